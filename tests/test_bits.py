"""relu_bits and relu_grad_bits: the C functions and the Python ones."""

import itertools

import numpy as np
import pytest
import reference
from arrays import FLOAT_TYPES, address, assert_same_bits, new, samples, swapped, unaligned
from test_kernels import all_patterns, exported_kernels

import relu_ext
from relu_ext import ffi, lib, relu_bits, relu_grad_bits

NAMES = sorted({name for _, name in exported_kernels(bits=True)})
each_name = pytest.mark.parametrize("name", NAMES)
POISON = 0xCD


class Buffer:
    """Bytes at an offset from a 64-byte boundary, with poison around them."""

    def __init__(self, content, offset):
        self.length = content.nbytes
        self.memory = np.full(self.length + 256, POISON, np.uint8)
        self.begin = -address(self.memory) % 64 + 64 + offset
        self.dtype = content.dtype
        self.bytes[:] = content.reshape(-1).view(np.uint8)

    @property
    def bytes(self):
        return self.memory[self.begin : self.begin + self.length]

    @property
    def pointer(self):
        return ffi.cast("void *", address(self.memory) + self.begin)

    def array(self):
        assert (self.memory[: self.begin] == POISON).all()
        assert (self.memory[self.begin + self.length :] == POISON).all()
        return self.bytes.copy().view(self.dtype)


def check_c(name, x, dy, offsets, in_place):
    """Both C functions, buffers at these offsets, against the oracle."""
    at = itertools.cycle(offsets)
    want, want_bits = reference.relu(x, name), reference.bits_of(x, name)
    source = Buffer(x, next(at))
    target = source if in_place else Buffer(np.empty_like(x), next(at))
    bits = Buffer(np.full_like(want_bits, POISON), next(at))
    getattr(lib, f"relu_bits_{name}")(source.pointer, target.pointer, bits.pointer, x.size)
    assert_same_bits(target.array(), want)
    assert np.array_equal(bits.array(), want_bits)
    if not in_place:
        assert_same_bits(source.array(), x)

    want = reference.relu_grad_bits(dy, want_bits)
    assert_same_bits(want, reference.relu_grad(dy, x, name))
    source = Buffer(dy, next(at))
    target = source if in_place else Buffer(np.empty_like(dy), next(at))
    bits.bytes[-1:] |= (0xFF << x.size % 8 & 0xFF) if x.size % 8 else 0  # to be ignored
    getattr(lib, f"relu_grad_bits_{name}")(source.pointer, bits.pointer, target.pointer, x.size)
    assert_same_bits(target.array(), want)
    bits.array()


@pytest.fixture
def streaming():
    lib.relu_ext_set_stream_bytes(1)
    yield
    lib.relu_ext_set_stream_bytes(0)


@pytest.fixture(params=[1, 3])
def threads(request):
    lib.relu_ext_set_parallel_bytes(1)
    with relu_ext.num_threads(request.param):
        yield request.param
    lib.relu_ext_set_parallel_bytes(0)


def test_names():
    assert sorted(reference.FLOATS) == NAMES


@each_name
@pytest.mark.parametrize("in_place", [False, True])
def test_every_length(isa, name, in_place, rng):
    x, dy = samples(name, 300, rng), samples(name, 300, rng)
    for n in range(301):
        check_c(name, x[300 - n :], dy[:n], (n % 64, 3, 17, 40), in_place)


@each_name
def test_large(isa, name, rng):
    x, dy = samples(name, 40_011, rng), samples(name, 40_011, rng)
    for in_place in (False, True):
        check_c(name, x, dy, (1, 16, 0), in_place)


@each_name
def test_streaming_at_every_offset(isa, streaming, name, rng):
    size = reference.STORAGE[name].itemsize
    for nbytes in (2048, 2064, 3072, 3137, 10_016):
        n = nbytes // size + 1
        x, dy = samples(name, n, rng), samples(name, n, rng)
        for offset in range(64):
            check_c(name, x, dy, (5, offset, 9, 33, offset), False)


@each_name
def test_no_elements(isa, name):
    getattr(lib, f"relu_bits_{name}")(ffi.NULL, ffi.NULL, ffi.NULL, 0)
    getattr(lib, f"relu_grad_bits_{name}")(ffi.NULL, ffi.NULL, ffi.NULL, 0)


@pytest.mark.parametrize("name", [n for n in NAMES if reference.STORAGE[n].itemsize <= 2])
def test_every_bit_pattern(isa, name, rng):
    x = all_patterns(name)
    check_c(name, x, rng.permutation(x), (0,), False)


# The Python functions.


@pytest.mark.parametrize("char", FLOAT_TYPES)
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 4095, 4096, 4097, 50_021])
def test_arrays(isa, threads, char, n, rng):
    x, dy = new(char, n, rng), new(char, n, rng)
    want, want_bits = reference.relu(x), reference.bits_of(x)
    y, bits = relu_bits(x)
    assert_same_bits(y, want)
    assert bits.dtype == np.uint8 and np.array_equal(bits, want_bits)
    unpacked = np.unpackbits(bits, bitorder="little", count=n)
    assert np.array_equal(unpacked.astype(bool), reference.fires(x, reference.format_of(x.dtype)))

    out, into = np.empty_like(x), np.full_like(bits, POISON)
    result = relu_bits(x, out, into)
    assert result[0] is out and result[1] is into
    assert_same_bits(out, want)
    assert np.array_equal(into, want_bits)
    relu_bits(x, x, into)
    assert_same_bits(x, want)

    want = reference.relu_grad_bits(dy, bits)
    assert_same_bits(relu_grad_bits(dy, bits), want)
    assert relu_grad_bits(dy, bits, out) is out
    assert_same_bits(out, want)
    relu_grad_bits(dy, bits, out=dy)
    assert_same_bits(dy, want)


@pytest.mark.parametrize("their_name", ["bfloat16", "float8_e5m2", "float8_e4m3fn"])
def test_ml_dtypes(threads, their_name, rng):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    theirs = {"bfloat16": "bf16", "float8_e5m2": "f8e5m2", "float8_e4m3fn": "f8e4m3fn"}
    name, dtype = theirs[their_name], np.dtype(getattr(ml_dtypes, their_name))
    x = samples(name, 5001, rng)
    y, bits = relu_bits(x.view(dtype))
    assert y.dtype == dtype
    assert_same_bits(y.view(x.dtype), reference.relu(x, name))
    assert np.array_equal(bits, reference.bits_of(x, name))
    got = relu_grad_bits(x[::-1].copy().view(dtype), bits)
    assert_same_bits(got.view(x.dtype), reference.relu_grad_bits(x[::-1].copy(), bits))


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::2],
        lambda a: a.T,
        lambda a: a[:, ::-1],
        swapped,
        unaligned,
        lambda a: np.broadcast_to(a[0], a.shape),
        lambda a: a.tolist(),
    ],
)
def test_other_layouts_are_copied(view, rng):
    with np.errstate(invalid="ignore"):
        x = view(np.nan_to_num(new("d", (12, 13), rng)))
    native = np.array(x, dtype=np.float64, order="C")
    y, bits = relu_bits(x)
    assert_same_bits(y, reference.relu(native))
    assert y.flags.c_contiguous
    assert np.array_equal(bits, reference.bits_of(native))
    assert_same_bits(relu_grad_bits(x, bits), reference.relu_grad_bits(native, bits))


def test_overlapping_output(rng):
    for forwards in (False, True):
        base = new("f", 1001, rng)
        x, out = (base[:-1], base[1:]) if forwards else (base[1:], base[:-1])
        want, want_bits = reference.relu(x), reference.bits_of(x)
        _, bits = relu_bits(x, out)
        assert_same_bits(out, want)
        assert np.array_equal(bits, want_bits)
        want = reference.relu_grad_bits(x.copy(), bits)
        relu_grad_bits(x, bits, out)
        assert_same_bits(out, want)


def test_no_dimensions():
    y, bits = relu_bits(np.float32(-2))
    assert y.shape == () and y == 0 and bits.tolist() == [0]


X = np.linspace(-1, 1, 20, dtype=np.float32)
READ_ONLY = X.copy()
READ_ONLY.flags.writeable = False
LOCKED_BITS = np.zeros(3, np.uint8)
LOCKED_BITS.flags.writeable = False


@pytest.mark.parametrize(
    "arguments, error, match",
    [
        (dict(x=np.arange(3, dtype="i8")), TypeError, "int64"),
        (dict(x=np.zeros(3, complex)), TypeError, "complex128"),
        (dict(x=["a"]), TypeError, "U1"),
        (dict(x=X, out=X.tolist()), TypeError, "list"),
        (dict(x=X, out=np.zeros(20)), TypeError, "float64"),
        (dict(x=X, out=X.astype(X.dtype.newbyteorder())), TypeError, "out must be in this"),
        (dict(x=X, out=X[:-1].copy()), ValueError, "shape"),
        (dict(x=X, out=READ_ONLY), ValueError, "read-only"),
        (dict(x=X, out=np.zeros(40, np.float32)[::2]), ValueError, "C order"),
        (dict(x=X, bits=[0, 0, 0]), TypeError, "list"),
        (dict(x=X, bits=np.zeros(3, np.int8)), TypeError, "int8"),
        (dict(x=X, bits=np.zeros(2, np.uint8)), ValueError, "shape"),
        (dict(x=X, bits=np.zeros((3, 1), np.uint8)), ValueError, "shape"),
        (dict(x=X, bits=np.zeros(6, np.uint8)[::2]), ValueError, "C order"),
        (dict(x=X, bits=LOCKED_BITS), ValueError, "read-only"),
        (dict(x=X, bits=X.view(np.uint8)[:3]), ValueError, "overlap"),
    ],
)
def test_bad_input(arguments, error, match):
    arrays = [a for a in arguments.values() if isinstance(a, np.ndarray)]
    before = [a.tobytes() for a in arrays]
    with pytest.raises(error, match=match):
        relu_bits(**arguments)
    if "bits" not in arguments or match not in ("read-only",):
        arguments = {"bits": np.zeros(3, np.uint8), **arguments}
        arguments["dy"] = arguments.pop("x")
        if match == "overlap":
            arguments["out"] = arguments["dy"]
        if not (match == "int64" or np.size(arguments["dy"]) != 20):
            with pytest.raises(error, match=match):
                relu_grad_bits(**arguments)
    assert [a.tobytes() for a in arrays] == before


def test_in_place_needs_c_order():
    x = np.zeros((4, 6), np.float32).T
    with pytest.raises(ValueError, match="in place, x must be in C order"):
        relu_bits(x, out=x)


def test_in_place_needs_the_byte_order_of_the_machine():
    x = X.astype(X.dtype.newbyteorder())
    with pytest.raises(TypeError, match="in place, x must be in this machine's byte order"):
        relu_bits(x, out=x)


@pytest.mark.parametrize("dy", [np.arange(3), np.zeros(3, complex)])
def test_gradients_of_other_dtypes(dy):
    with pytest.raises(TypeError, match="it must be a float that relu_grad takes"):
        relu_grad_bits(dy, np.zeros(1, np.uint8))
