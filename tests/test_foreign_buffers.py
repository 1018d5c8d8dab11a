"""Writing to memory that is not NumPy's: in place and as `out`, and what is refused."""

import array
import ctypes
import io
import mmap
import multiprocessing
import pickle
import struct
import weakref
from multiprocessing import shared_memory

import numpy as np
import pytest
import reference
from arrays import ALL_TYPES, FLOAT_TYPES, assert_same_bits, new

import relu_ext
from relu_ext import _foreign, relu_, relu_grad_


def bits(a):
    return np.ascontiguousarray(a).view(f"u{a.itemsize}")


# Buffers. Each maker takes an array of one dimension and gives an object with its bytes, and
# an array over the object's memory.


def array_array(a):
    made = array.array(a.dtype.char, a.tobytes())
    return made, np.frombuffer(made, a.dtype)


def ctypes_array(a):
    made = (np.ctypeslib.as_ctypes_type(a.dtype) * len(a)).from_buffer_copy(a)
    return made, np.frombuffer(made, a.dtype)


def cast_bytearray(a):
    raw = bytearray(a.tobytes())
    return memoryview(raw).cast(a.dtype.char), np.frombuffer(raw, a.dtype)


def cast_mmap(a):
    raw = mmap.mmap(-1, a.nbytes)
    raw[:] = a.tobytes()
    return memoryview(raw).cast(a.dtype.char), np.frombuffer(raw, a.dtype)


# Not to 'B', which says no more than that there are bytes.
@pytest.mark.parametrize(
    "make, char",
    [(make, char) for make in (array_array, ctypes_array) for char in "bBhHiIlLqQfd"]
    + [(make, char) for make in (cast_bytearray, cast_mmap) for char in "bhHiIlLqQfd"],
)
def test_buffers(make, char, rng):
    before = new(char, 1001, rng)
    made, memory = make(before)
    assert relu_(made) is made
    assert_same_bits(memory, reference.relu(before))

    if char in FLOAT_TYPES:
        dy, x = new(char, 1001, rng), new(char, 1001, rng)
        (made_dy, memory_dy), (made_x, memory_x) = make(dy), make(x)
        assert relu_grad_(made_dy, made_x) is made_dy
        assert_same_bits(memory_dy, reference.relu_grad(dy, x))
        assert_same_bits(memory_x, x)


LAYOUTS = {
    "contiguous": lambda a: a,
    "every other": lambda a: a[:, ::2],
    "backwards": lambda a: a[::-1, ::-1],
    "transposed": lambda a: a.T,
    "0-d": lambda a: a[1, 2:3].reshape(()),
    "empty": lambda a: a[:0],
}


# Of longdouble, NumPy gives no buffer in the other byte order.
@pytest.mark.parametrize(
    "dtype", [*ALL_TYPES, *(np.dtype(c).newbyteorder() for c in "hHiIlLqQefd")], ids=str
)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_memoryviews(dtype, layout, rng):
    a = new(dtype, (6, 70), rng)
    want = a.copy()
    layout(want)[...] = reference.relu(layout(a))
    view = memoryview(layout(a))
    assert relu_(view) is view
    assert_same_bits(a, want)


def test_a_ctypes_number():
    number = ctypes.c_float(-1)
    assert relu_(number) is number
    assert number.value == 0


def test_shared_memory(rng):
    before = new("f", 256, rng)
    block = shared_memory.SharedMemory(create=True, size=before.nbytes)
    try:
        block.buf[: before.nbytes] = before.tobytes()
        with block.buf.cast("f") as floats:
            relu_(floats)
        assert bytes(block.buf[: before.nbytes]) == reference.relu(before).tobytes()
    finally:
        block.close()
        block.unlink()


class Interface:
    """Memory offered through __array_interface__ only."""

    def __init__(self, a):
        self.a = a
        self.__array_interface__ = a.__array_interface__


@pytest.mark.parametrize("char", FLOAT_TYPES)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_array_interface(char, layout, rng):
    dy, x = layout(new(char, (6, 70), rng)), layout(new(char, (6, 70), rng))
    want = reference.relu_grad(dy, x)
    wrapped = Interface(dy)
    assert relu_grad_(wrapped, Interface(x)) is wrapped
    assert_same_bits(dy, want)
    want = reference.relu(x)
    relu_(Interface(x))
    assert_same_bits(x, want)


class DLPack:
    """NumPy's DLPack with whatever of it a test wants otherwise."""

    def __init__(self, a, device=1, version=True):
        self.a, self.device, self.version = a, device, version

    def __dlpack__(self, *, max_version=None):
        if self.version and NUMPY_HAS_VERSIONS:
            return self.a.__dlpack__(max_version=max_version)
        return self.a.__dlpack__()

    def __dlpack_device__(self):
        return (self.device, 0)


class OldDLPack(DLPack):
    """From before there were versions: no arguments, and a capsule that knows no read-only."""

    def __dlpack__(self):
        return self.a.__dlpack__()

    def __setitem__(self, index, value):
        self.a[index] = value


NUMPY_HAS_VERSIONS = np.lib.NumpyVersion(np.__version__) >= "2.1.0"


@pytest.mark.parametrize("wrapper", [DLPack, OldDLPack] if NUMPY_HAS_VERSIONS else [OldDLPack])
@pytest.mark.parametrize("char", ALL_TYPES.replace("g", ""))
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_dlpack(wrapper, char, layout, rng):
    x = layout(new(char, (6, 70), rng))
    want = reference.relu(x)
    wrapped = wrapper(x)
    assert relu_(wrapped) is wrapped
    assert_same_bits(x, want)
    if char in FLOAT_TYPES:
        dy, x = layout(new(char, (6, 70), rng)), layout(new(char, (6, 70), rng))
        want = reference.relu_grad(dy, x)
        relu_grad_(wrapper(dy), wrapper(x))
        assert_same_bits(dy, want)


def test_dlpack_byte_offset():
    class Later(OldDLPack):
        def __dlpack__(self):
            capsule = super().__dlpack__()
            tensor = _foreign._pointer(capsule, b"dltensor")
            shape = ctypes.c_void_p.from_address(tensor + struct.calcsize("P3i2BH0P")).value
            ctypes.c_int64.from_address(shape).value -= 2
            ctypes.c_uint64.from_address(tensor + struct.calcsize("P3i2BH2P0Q")).value += 16
            return capsule

    memory = np.full(5, -1.0)
    relu_(Later(memory))
    assert memory.tolist() == [-1, -1, 0, 0, 0]


def test_nothing_is_kept():
    made = array.array("f", [-1.0])
    relu_(made)
    made.append(2.0)  # a BufferError if somebody still looked at its memory
    assert made.tolist() == [0, 2]

    memory = np.full(2, -1.0)
    alive = weakref.ref(memory)
    relu_(OldDLPack(memory))
    del memory
    assert alive() is None


# PyTorch.

TORCH_FLOATS = ["float16", "float32", "float64", "bfloat16", "float8_e5m2", "float8_e4m3fn"]
OUR_NAMES = {"bfloat16": "bf16", "float8_e5m2": "f8e5m2", "float8_e4m3fn": "f8e4m3fn"}


def tensor(torch, dtype, shape, rng):
    """A tensor, and the array of bits that it was made of."""
    raw = rng.integers(0, 256, (*shape, getattr(torch, dtype).itemsize), dtype=np.uint8)
    made = torch.from_numpy(raw).view(getattr(torch, dtype))[..., 0].contiguous()
    return made, tensor_bits(torch, made)


def tensor_bits(torch, t):
    kind = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[t.itemsize]
    return t.contiguous().view(kind).numpy().view(f"u{t.itemsize}").copy()


TORCH_LAYOUTS = {
    "contiguous": lambda t: t,
    "every other": lambda t: t[:, ::2],
    "transposed": lambda t: t.T,
    "offset": lambda t: t[1:, 3:],
    "0-d": lambda t: t[1, 2],
    "empty": lambda t: t[:0],
}


@pytest.mark.parametrize("dtype", TORCH_FLOATS)
@pytest.mark.parametrize("layout", TORCH_LAYOUTS.values(), ids=TORCH_LAYOUTS)
def test_tensors(dtype, layout, rng):
    torch = pytest.importorskip("torch")
    if dtype in OUR_NAMES:
        pytest.importorskip("ml_dtypes")
    name = OUR_NAMES.get(dtype) or reference.format_of(np.dtype(dtype))

    def stored(t):
        return tensor_bits(torch, t).view(reference.STORAGE[name])

    base = tensor(torch, dtype, (6, 70), rng)[0]
    x = layout(base)
    before, pointer = stored(x), x.data_ptr()
    assert relu_(x) is x
    assert x.data_ptr() == pointer
    assert np.array_equal(bits(stored(x)), bits(reference.relu(before, name)))

    dy, x = (layout(tensor(torch, dtype, (6, 70), rng)[0]) for _ in range(2))
    want, x_before = reference.relu_grad(stored(dy), stored(x), name), stored(x)
    assert relu_grad_(dy, x) is dy
    assert np.array_equal(bits(stored(dy)), bits(want))
    assert np.array_equal(bits(stored(x)), bits(x_before))


def test_arrays_and_tensors_together(rng):
    torch = pytest.importorskip("torch")
    dy, x = new("f", 100, rng), new("f", 100, rng)
    want = reference.relu_grad(dy, x)
    of_array, of_tensor = dy.copy(), torch.from_numpy(dy.copy())
    assert relu_grad_(of_array, torch.from_numpy(x)) is of_array
    assert relu_grad_(of_tensor, x) is of_tensor
    assert_same_bits(of_array, want)
    assert_same_bits(of_tensor.numpy(), want)


def test_bfloat16_gradient_decided_by_a_tensor():
    torch = pytest.importorskip("torch")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dy = np.ones(3, ml_dtypes.bfloat16)
    relu_grad_(dy, torch.tensor([-1.0, 0.0, 2.0], dtype=torch.bfloat16))
    assert dy.tolist() == [0, 0, 1]


def test_parameters_under_no_grad():
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.tensor([-1.0, 2.0]))
    relu_(weight.detach())
    assert weight.tolist() == [0, 2]


# `out` of every function that has one. Those of scale_shift are in test_scale_shift.py.

BITS = np.arange(126, dtype=np.uint8)
SLOPE = np.array([0.5], np.float32)
WITH_OUT = {
    "relu": relu_ext.relu,
    "relu, positional": lambda x, **out: relu_ext.relu(x, *out.values()),
    "relu, in a tuple": lambda x, **out: relu_ext.relu(x, **{k: (v,) for k, v in out.items()}),
    "relu, with other keywords": lambda x, **out: relu_ext.relu(x, casting="no", **out, order="C"),
    "relu_grad": lambda x, **out: relu_ext.relu_grad(x, x, **out),
    "leaky_relu": lambda x, **out: relu_ext.leaky_relu(x, 0.5, **out),
    "leaky_relu_grad": lambda x, **out: relu_ext.leaky_relu_grad(x, x, 0.5, **out),
    "prelu": lambda x, **out: relu_ext.prelu(x, SLOPE, axis=0, **out),
    "clipped_relu": lambda x, **out: relu_ext.clipped_relu(x, 6, *out.values()),
    "clipped_relu_grad": lambda x, **out: relu_ext.clipped_relu_grad(x, x, 6, **out),
    "add_relu": lambda x, **out: relu_ext.add_relu(x, x, **out),
    "relu_bits": lambda x, **out: relu_ext.relu_bits(x, **out)[0],
    "relu_grad_bits": lambda x, **out: relu_ext.relu_grad_bits(x, BITS, **out),
}
LENDER = DLPack if NUMPY_HAS_VERSIONS else OldDLPack
with_out = pytest.mark.parametrize("call", WITH_OUT.values(), ids=WITH_OUT)


@with_out
@pytest.mark.parametrize("make", [array_array, cast_mmap, lambda a: (LENDER(a), a)])
def test_out_of_others(call, make, rng):
    x = new("f", 1001, rng)
    out, memory = make(np.ones_like(x))
    assert call(x, out=out) is out
    assert_same_bits(memory, call(x))
    # In place.
    out, memory = make(x.copy())
    assert call(memory, out=out) is out
    assert_same_bits(memory, call(x))


@with_out
def test_tensors_as_out(call, rng):
    torch = pytest.importorskip("torch")
    x = new("f", 1001, rng)
    x[np.isnan(x)] = 1  # products of NaNs too
    tensor = torch.from_numpy(x.copy())
    out = torch.ones(1001)
    assert call(tensor, out=out) is out
    assert_same_bits(out.numpy(), call(x))
    assert call(tensor, out=tensor) is tensor
    assert_same_bits(tensor.numpy(), call(x))


@with_out
def test_out_that_is_no_memory(call):
    x = np.full(1001, -1, np.float32)
    raw = bytes(x)
    for out, error, match in [
        ([0.0] * 1001, TypeError, "list, which gives no access to its memory"),
        (bytearray(raw), TypeError, "does not say what its bytes are"),
        (memoryview(raw).cast("f"), ValueError, "read-only"),
        (array.array("f", [3.0] * 1000), ValueError, "shape|broadcast"),
        (array.array("b", [3] * 1001), TypeError, "dtype|cast"),
    ]:
        before = bytes(out) if not isinstance(out, list) else list(out)
        with pytest.raises(error, match=match):
            call(x, out=out)
        assert type(before)(out) == before


# Refusals: every one says why, and nothing was written.


class Exporter:
    """Objects with a buffer over other memory, of a format of our choice.

    Python 3.11 leaves that to C: a type made of a specification, with one function.
    """

    def __init__(self, raw, format):
        memory = (ctypes.c_char * len(raw)).from_buffer(raw)
        fill = ctypes.PYFUNCTYPE(
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.py_object,
            ctypes.c_void_p,
            ctypes.c_ssize_t,
            ctypes.c_int,
            ctypes.c_int,
        )(("PyBuffer_FillInfo", ctypes.pythonapi))

        @ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_void_p, ctypes.c_int)
        def get_buffer(self, view, flags):
            status = fill(view, self, ctypes.addressof(memory), len(raw), 0, flags)
            # Behind two pointers, two sizes and two ints.
            at = view + 4 * ctypes.sizeof(ctypes.c_void_p) + 2 * ctypes.sizeof(ctypes.c_int)
            ctypes.c_char_p.from_address(at).value = format
            return status

        class Slot(ctypes.Structure):
            _fields_ = [("slot", ctypes.c_int), ("function", ctypes.c_void_p)]

        class Spec(ctypes.Structure):
            _fields_ = [
                ("name", ctypes.c_char_p),
                ("basicsize", ctypes.c_int),
                ("itemsize", ctypes.c_int),
                ("flags", ctypes.c_uint),
                ("slots", ctypes.POINTER(Slot)),
            ]

        from_spec = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.POINTER(Spec))(
            ("PyType_FromSpec", ctypes.pythonapi)
        )
        bf_getbuffer = 1  # of CPython's typeslots.h
        slots = (Slot * 2)(Slot(bf_getbuffer, ctypes.cast(get_buffer, ctypes.c_void_p)))
        self.alive = memory, format, get_buffer, slots
        self.type = from_spec(Spec(b"tests.Exporter", object.__basicsize__, 0, 0, slots))


def exporter(format):
    def make(raw):
        made = Exporter(raw, format)
        ALIVE.append(made)
        return made.type()

    return make


ALIVE = []  # what CPython's types point to


def in_shared_memory(raw):
    block = shared_memory.SharedMemory(create=True, size=len(raw))
    block.buf[: len(raw)] = raw
    block.unlink()
    ALIVE.append(block)
    return block.buf[: len(raw)]


def in_mmap(raw):
    made = mmap.mmap(-1, len(raw))
    made[:] = bytes(raw)
    return made


def of_pyarrow(raw):
    return pytest.importorskip("pyarrow").py_buffer(raw)


UNTYPED = {
    "bytes": bytes,
    "bytearray": lambda raw: raw,
    "mmap": in_mmap,
    "memoryview": memoryview,
    "memoryview, cast to bytes": lambda raw: memoryview(raw).cast("f").cast("B"),
    "memoryview, cast to chars": lambda raw: memoryview(raw).cast("c"),
    "bytes of an array": lambda raw: memoryview(np.frombuffer(raw, np.float32)).cast("B"),
    "SharedMemory": in_shared_memory,
    "BytesIO": lambda raw: io.BytesIO(raw).getbuffer(),
    "chars of ctypes": lambda raw: ctypes.create_string_buffer(bytes(raw), len(raw)),
    "PickleBuffer": pickle.PickleBuffer,
    "PickleBuffer, raw": lambda raw: pickle.PickleBuffer(np.frombuffer(raw, np.float32)).raw(),
    "cffi": lambda raw: relu_ext.ffi.buffer(relu_ext.ffi.from_buffer(raw)),
    "pyarrow": of_pyarrow,
    "memoryview of pyarrow": lambda raw: memoryview(of_pyarrow(raw)),
    **{f"format {format}": exporter(format) for format in (None, b"", b"b", b"B", b"<b", b"c")},
    "memoryview of format b": lambda raw: memoryview(exporter(b"b")(raw)),
}


@pytest.mark.parametrize("make", UNTYPED.values(), ids=UNTYPED)
def test_a_buffer_that_does_not_say_what_its_bytes_are(make):
    """Refused, whoever exports it."""
    before = np.array([-1, 3.14, 2.72, -0.0], np.float32).tobytes()
    raw = make(bytearray(before))
    for call in (lambda: relu_(raw), lambda: relu_grad_(raw, np.ones(4, np.float32))):
        copied = r"\.copy\(\)" if memoryview(raw).readonly else ""
        words = rf"what its bytes are; pass np\.frombuffer\((x|dy), dtype\){copied}, with the dtype"
        with pytest.raises(TypeError, match=words):
            call()
    assert memoryview(raw).tobytes() == before
    # What the error says to do.
    numbers = np.frombuffer(raw, np.float32)
    if not numbers.flags.writeable:
        numbers = numbers.copy()
    relu_(numbers)
    assert numbers.tolist() == [0, np.float32(3.14), np.float32(2.72), 0]


TYPED = {
    "memoryview of an array": memoryview,
    "memoryview of array.array": lambda a: memoryview(array.array("b", a.tobytes())),
    "memoryview, cast": lambda a: memoryview(bytearray(a.tobytes())).cast("b"),
    "SharedMemory, cast": lambda a: in_shared_memory(a.tobytes()).cast("b"),
    "array.array": lambda a: array.array("b", a.tobytes()),
    "ctypes array": lambda a: ctypes_array(a)[0],
    "RawArray": lambda a: multiprocessing.RawArray("b", a.tolist()),
    "memoryview of a ctypes array": lambda a: memoryview(ctypes_array(a)[0]),
    "PickleBuffer of an array": pickle.PickleBuffer,
}


@pytest.mark.parametrize("make", TYPED.values(), ids=TYPED)
def test_a_buffer_that_says_that_its_bytes_are_int8(make):
    made = make(np.array([-128, -1, 0, 1, 127], np.int8))
    relu_(made)
    assert np.frombuffer(made, np.int8).tolist() == [0, 0, 0, 1, 127]


def refuse(error, match, target, memory, *inputs):
    before = memory.tobytes()
    with pytest.raises(error, match=match):
        relu_(target)
    with pytest.raises(error, match=match):
        relu_grad_(target, *(inputs or [np.full(memory.shape, -1.0)]))
    assert memory.tobytes() == before


def test_read_only_buffers():
    raw = np.full(4, -1.0, np.float32).tobytes()
    memory = np.frombuffer(raw, np.float32)
    refuse(ValueError, "read-only", memoryview(raw).cast("f"), memory)
    refuse(ValueError, "read-only", Interface(memory), memory)
    # But they may decide over a gradient.
    dy = array.array("f", [1, 2, 3, 4])
    relu_grad_(dy, memoryview(raw).cast("f"))
    assert dy.tolist() == [0] * 4


def test_read_only_dlpack():
    memory = np.full(4, -1.0)
    memory.flags.writeable = False
    # NumPy before 2.1 does not lend it at all.
    refuse(ValueError, "read-?only", DLPack(memory), memory)


@pytest.mark.parametrize("char", ["F", "D", "V4", "S4"])
def test_dtypes_without_a_loop(char):
    memory = np.frombuffer(b"\xfe" * 64, char).copy()
    refuse(TypeError, "dtype", Interface(memory), memory)
    refuse(TypeError, "dtype", memoryview(memory), memory)


def test_formats_that_numpy_does_not_know():
    raw = bytearray(b"\xff" * 64)
    view = memoryview(raw).cast("P")
    with pytest.raises((TypeError, ValueError)):
        relu_(view)
    assert raw == b"\xff" * 64


def test_another_device():
    memory = np.full(4, -1.0)
    refuse(ValueError, "DLPack device type 2", DLPack(memory, device=2), memory)


class OnlyCopies:
    def __init__(self, a):
        self.a = a
        self.asked = 0

    def __array__(self, dtype=None, copy=None):
        self.asked += 1
        return self.a.copy()


def test_what_gives_copies_only():
    memory = np.full(4, -1.0)
    target = OnlyCopies(memory)
    refuse(TypeError, r"use relu(_grad)?\((dy, )?x\) for a new array", target, memory)
    if relu_ext.lib.relu_ext_fast_calls():
        assert target.asked == 0


def test_immutable_memory_of_an_old_capsule():
    class Immutable(DLPack):
        def __init__(self, a):
            super().__init__(a, version=False)

    memory = np.full(4, -1.0)
    refuse(ValueError, "read-only", Immutable(memory), memory)


def test_elements_that_are_one_in_memory():
    memory = np.full(1, -1.0)
    target = np.lib.stride_tricks.as_strided(memory, (4,), (0,))
    refuse(ValueError, "the same place in memory", Interface(target), memory, np.arange(-1.0, 3))


def test_lanes_and_codes_that_numpy_does_not_have():
    torch = pytest.importorskip("torch")
    raw = torch.full((4,), 200, dtype=torch.uint8)
    for dtype in (torch.float8_e4m3fnuz, torch.complex64):
        t = raw.view(dtype) if dtype.itemsize == 1 else torch.full((4,), -1, dtype=dtype)
        before = t.view(torch.uint8).tolist()
        with pytest.raises(TypeError, match="dtype"):
            relu_(t)
        assert t.view(torch.uint8).tolist() == before


def test_tensors_that_cannot_be_written():
    torch = pytest.importorskip("torch")
    grad = torch.full((3,), -1.0, requires_grad=True)
    memory = grad.detach().numpy()
    refuse(ValueError, "detach", grad, memory)
    refuse(ValueError, "detach", torch.full((3,), -1.0, requires_grad=True).exp(), memory)
    refuse(ValueError, "resolve_neg", torch.ones(3, dtype=torch.complex64).conj().imag, memory)
    refuse(ValueError, "is a Tensor.*layout", torch.ones(3).to_sparse(), memory)
    refuse(ValueError, "meta", torch.ones(3, device="meta"), memory)
    refuse(ValueError, "the same place in memory", torch.tensor(-1.0).expand(3), memory)
    with pytest.raises(ValueError, match="detach"):
        relu_grad_(np.ones(3, np.float32), grad)
    with pytest.raises(ValueError, match="meta"):
        relu_grad_(torch.ones(3), torch.ones(3, device="meta"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32"])
def test_jax_arrays_never_change(dtype):
    jax = pytest.importorskip("jax")
    x = jax.numpy.full(3, -1, dtype)
    refuse(ValueError, "read-only", x, np.asarray(x))
    dy = np.ones(3, np.float32)
    if dtype == "float32":
        relu_grad_(dy, x)
        assert not dy.any()
