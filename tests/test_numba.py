"""`relu` in functions that Numba compiles: the same bits as outside."""

import numpy as np
import pytest
import reference
from arrays import assert_same_bits, samples

from relu_ext import relu

numba = pytest.importorskip("numba")

DTYPES = "f32 f64 i8 i16 i32 i64 u8 u16 u32 u64".split()


@numba.njit
def compiled(x):
    return relu(x)


@numba.njit
def compiled_out(x, out):
    return relu(x, out)


@numba.njit
def compiled_keyword(x, y):
    relu(x, out=y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 31, 4097])
def test_every_dtype(dtype, n, rng):
    x = samples(dtype, n, rng)
    want = reference.relu(x, dtype)
    assert_same_bits(compiled(x), want)
    out = np.empty_like(x)
    assert compiled_out(x, out) is not x
    assert_same_bits(out, want)


LAYOUTS = {
    "C": lambda a: a.copy(),
    "F": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
}


@pytest.mark.parametrize("of_out", LAYOUTS)
@pytest.mark.parametrize("of_x", LAYOUTS)
def test_every_layout(of_x, of_out, rng):
    plain = samples("f32", 21, rng).reshape(3, 7)
    x, out = LAYOUTS[of_x](plain), LAYOUTS[of_out](np.zeros_like(plain))
    want = reference.relu(plain)
    assert_same_bits(compiled(x), want)
    compiled_keyword(x, out)
    assert_same_bits(out, want)
    assert_same_bits(x, plain)


def test_shapes_without_elements_to_spread(rng):
    for x in (np.array(-1.0), np.array(2.0), np.ones((3, 0, 2))):
        assert_same_bits(compiled(x), relu(x))


@pytest.mark.parametrize("ahead", [-40, -1, 0, 1, 40])
def test_memory_in_common(ahead, rng):
    """As outside: as if x had been read before out is written."""
    buffer = samples("f64", 500, rng)
    x, out = buffer[50:450], buffer[50 + ahead : 450 + ahead]
    want = reference.relu(x.copy())
    compiled_out(x, out)
    assert_same_bits(out, want)


def test_read_only_x(rng):
    x = samples("f32", 50, rng)
    x.flags.writeable = False
    assert_same_bits(compiled(x), reference.relu(x))
    assert_same_bits(compiled_out(x, np.empty_like(x)), reference.relu(x))


def test_out_of_another_shape():
    x, out = -np.ones(3), np.full(4, 7.0)
    with pytest.raises(ValueError, match="relu's out must have the shape of x"):
        compiled_out(x, out)
    assert (out == 7).all()


def read_only(x):
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    "function, arguments, reason",
    [
        (compiled, [2.0], r"relu's x is float64: .* must be an array of .* np.array\(\[x\]\)"),
        (compiled, [np.ones(2, complex)], r"relu's x is array\(complex128.* must be an array of"),
        (compiled, [np.ones(2, "?")], r"must be an array of float32, float64 or integers"),
        (compiled_out, [np.ones(2), np.ones(2, "f")], r"out is array\(float32.* of x's type"),
        (compiled_out, [np.ones(2), np.ones((2, 1))], r"out is array\(float64, 2d.* x's type"),
        (compiled_out, [np.ones(2), read_only(np.ones(2))], r"relu's out is .* must be writable"),
    ],
)
def test_refused(function, arguments, reason):
    with pytest.raises(numba.TypingError, match=reason):
        function(*arguments)
