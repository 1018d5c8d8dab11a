"""leaky_relu, prelu, clipped_relu, add_relu: what is particular to each, and their gradients."""

import numpy as np
import pytest
import reference
from arrays import assert_same_bits, new, samples, swapped

import relu_ext
from relu_ext import (
    add_relu,
    clipped_relu,
    clipped_relu_grad,
    leaky_relu,
    leaky_relu_grad,
    num_threads,
    prelu,
    prelu_slope_grad,
    relu,
    relu_grad,
)

FLOATS = pytest.mark.parametrize("char", "efd")


@FLOATS
def test_known_values(char):
    inf, nan = np.inf, np.nan
    x = np.array([-inf, -2, -0.0, 0, 1e-4, 2, 7, inf, nan], char)
    zeros = np.array([nan, -0.0, -0.0, 0, 1e-4, 2, 7, inf, nan], char)
    assert_same_bits(leaky_relu(x, 0), zeros)
    assert_same_bits(leaky_relu(x, -0.5), np.array([inf, 1, 0, -0.0, *x[4:]], char))
    assert_same_bits(leaky_relu(x, 1), x)
    ones = np.ones_like(x)
    assert_same_bits(leaky_relu_grad(ones, x, 0.25), np.array([0.25] * 4 + [1] * 5, char))
    assert_same_bits(clipped_relu(x, 6), np.array([0, 0, 0, 0, 1e-4, 2, 6, 6, nan], char))
    assert_same_bits(clipped_relu(x, inf), relu(x))
    assert_same_bits(clipped_relu(x, -3), np.array([-3] * 8 + [nan], char))
    assert_same_bits(clipped_relu_grad(ones, x, 2), np.array([0] * 4 + [1, 0, 0, 0, 1], char))
    assert_same_bits(add_relu(x, x), np.array([0, 0, 0, 0, 2e-4, 4, 14, inf, nan], char))
    assert_same_bits(add_relu(x, -x), np.array([nan, *[0] * 6, nan, nan], char))


def test_integers():
    a = np.array([-128, -5, 0, 5, 127], np.int8)
    assert_same_bits(clipped_relu(a, 6), np.array([0, 0, 0, 5, 6], np.int8))
    assert_same_bits(clipped_relu(a.view(np.uint8), 130), np.array([128, 130, 0, 5, 127], np.uint8))
    assert_same_bits(clipped_relu([True, False], False), np.array([False, False]))
    assert_same_bits(add_relu(a, np.int8(1)), np.array([0, 0, 1, 6, 0], np.int8))
    assert_same_bits(add_relu(a.view(np.uint8), 1), np.array([129, 252, 1, 6, 128], np.uint8))
    with pytest.raises(OverflowError):
        clipped_relu(a, 200)
    for ufunc in leaky_relu, add_relu:
        with pytest.raises(TypeError):
            ufunc(np.ones(3, np.longdouble), np.longdouble(1))


@FLOATS
def test_relu_is_a_special_case_of_each(char, rng):
    x, dy = new(char, 5000, rng), new(char, 5000, rng)
    numbers = x[~np.isnan(x)]
    assert_same_bits(clipped_relu(x, np.inf), relu(x))
    assert_same_bits(add_relu(numbers, 0), relu(numbers))
    finite = np.isfinite(dy) | (x > 0)
    got = leaky_relu_grad(dy, x, 0)[finite]
    assert np.array_equal(got, relu_grad(dy, x)[finite], equal_nan=True)


@pytest.mark.parametrize("name", ["f16", "bf16"])
def test_every_input_of_sixteen_bits(isa, name):
    """With slopes and ceilings of every exponent; bfloat16 needs ml_dtypes."""
    dtype = reference.STORAGE[name]
    if name == "bf16":
        dtype = np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    x = np.arange(2**16, dtype=np.uint16)
    parameters = np.concatenate([np.arange(0, 2**16, 1021), [0x8000, 0xFFFF]]).astype(np.uint16)
    for parameter in parameters.view(dtype):
        for ufunc, inputs in [
            (leaky_relu, (x,)),
            (leaky_relu_grad, (x[::-1].copy(), x)),
            (clipped_relu, (x,)),
            (clipped_relu_grad, (x[::-1].copy(), x)),
            (add_relu, (x,)),
        ]:
            got = ufunc(*(a.view(dtype) for a in inputs), parameter)
            stored = (*inputs, np.array([parameter]).view(np.uint16))
            want = getattr(reference, ufunc.__name__)(
                *(a.view(reference.STORAGE[name]) for a in stored), name
            )
            assert got.dtype == dtype
            assert_same_bits(got.view(np.uint16), want.view(np.uint16))


# One element for all, rows of them, columns of them: whatever the loops make of it.

SHAPES = [((), "scalar"), ((1,), "one"), ((1, 1, 1), "ones"), ((700,), "row")]
SHAPES += [((30, 1), "column"), ((4, 1, 1), "plane"), ((4, 30, 1), "lines")]


@pytest.mark.parametrize("shape", [s for s, _ in SHAPES], ids=[name for _, name in SHAPES])
@pytest.mark.parametrize("ufunc", [leaky_relu, clipped_relu, add_relu], ids=lambda u: u.__name__)
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
def test_broadcast_parameter(isa, ufunc, shape, layout, rng):
    x = np.asarray(
        new("f", (4, 30, 1400), rng)[..., ::2]
        if layout == "strided"
        else new("f", (4, 30, 700), rng),
        order=layout[:1].replace("s", "K"),
    )
    parameter = new("f", shape, rng)
    want = getattr(reference, ufunc.__name__)(x, parameter)
    assert_same_bits(ufunc(x, parameter), want)
    out = np.empty_like(x)
    assert_same_bits(ufunc(x, parameter, out=out), want)
    assert_same_bits(ufunc(x, parameter, out=x), want)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("streaming", [False, True])
def test_long_arrays_with_one_parameter(isa, threads, streaming, rng):
    lib = relu_ext.lib
    x, dy = (np.resize(samples("f32", n, rng), 300_001) for n in (4099, 4001))
    lib.relu_ext_set_stream_bytes(1 if streaming else 0)
    lib.relu_ext_set_parallel_bytes(1)
    try:
        with num_threads(threads):
            out = np.empty_like(x)
            slope = np.float32(0.1)
            assert_same_bits(leaky_relu(x, slope, out), reference.leaky_relu(x, slope))
            assert_same_bits(leaky_relu(x, float(slope), out), reference.leaky_relu(x, slope))
            want = reference.leaky_relu_grad(dy, x, slope)
            assert_same_bits(leaky_relu_grad(dy, x, slope, out), want)
            assert_same_bits(leaky_relu_grad(dy, x, float(slope), out), want)
            assert_same_bits(add_relu(dy, x, out), reference.add_relu(dy, x))
            assert_same_bits(clipped_relu(x, 2, out), reference.clipped_relu(x, np.float32(2)))
    finally:
        lib.relu_ext_set_stream_bytes(0)
        lib.relu_ext_set_parallel_bytes(0)


def test_where_the_parameter_is_part_of_the_output(rng):
    for k in 0, 500, 999:
        x = new("f", 1000, rng)
        want = reference.leaky_relu(x, x[k : k + 1])
        leaky_relu(x, x[k : k + 1], out=x)
        assert_same_bits(x, want)


# Gradients, numerically: away from the kinks, in float64.


def numerical(f, x, h=1e-6):
    return (f(x + h) - f(x - h)) / (2 * h)


def smooth_points(rng, n=500, *kinks):
    x = rng.uniform(-4, 9, n)
    return x[np.min([np.abs(x - kink) for kink in (0, *kinks)], axis=0) > 1e-3]


@pytest.mark.parametrize("slope", [0.01, 0.0, 1.0, -0.5])
def test_gradient_of_leaky_relu(slope, rng):
    x = smooth_points(rng)
    dy = rng.standard_normal(x.size)
    want = dy * numerical(lambda x: leaky_relu(x, slope), x)
    np.testing.assert_allclose(leaky_relu_grad(dy, x, slope), want, atol=1e-8)
    if slope > 0:
        of_output = leaky_relu_grad(dy, leaky_relu(x, slope), slope)
        assert_same_bits(of_output, leaky_relu_grad(dy, x, slope))


def test_gradient_of_clipped_relu(rng):
    x = smooth_points(rng, 500, 6)
    dy = rng.standard_normal(x.size)
    want = dy * numerical(lambda x: clipped_relu(x, 6), x)
    np.testing.assert_allclose(clipped_relu_grad(dy, x, 6), want, atol=1e-8)
    assert_same_bits(clipped_relu_grad(dy, clipped_relu(x, 6), 6), clipped_relu_grad(dy, x, 6))


def test_gradient_of_add_relu(rng):
    a, b = smooth_points(rng)[:300], 0.3
    a = a[np.abs(a + b) > 1e-3]
    dy = rng.standard_normal(a.size)
    want = dy * numerical(lambda a: add_relu(a, b), a)
    np.testing.assert_allclose(relu_grad(dy, add_relu(a, b)), want, atol=1e-8)


# PReLU.


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
@FLOATS
def test_prelu(axis, char, rng):
    x = new(char, (3, 5, 70), rng)
    slope = new(char, x.shape[axis], rng)
    shape = [1, 1, 1]
    shape[axis] = -1
    want = reference.leaky_relu(x, slope.reshape(shape))
    assert_same_bits(prelu(x, slope, axis), want)
    out = np.empty_like(x)
    assert prelu(x, slope, axis, out=out) is out
    assert_same_bits(out, want)
    assert_same_bits(prelu(x, slope[:1], axis), reference.leaky_relu(x, slope[:1]))
    assert_same_bits(prelu(x, slope[0], axis), reference.leaky_relu(x, slope[:1]))


def test_prelu_with_a_number_keeps_the_dtype(rng):
    x = new("f", (2, 5, 3), rng)
    assert_same_bits(prelu(x, 0.25), reference.leaky_relu(x, np.float32(0.25)))


@pytest.mark.parametrize("wrong", [np.ones(4), np.ones((5, 1)), np.ones(())[None, None]])
def test_prelu_wants_a_slope_for_each_channel(wrong):
    with pytest.raises(ValueError, match="one number, or one for each"):
        prelu(np.ones((2, 5, 3)), wrong)
    with pytest.raises(np.exceptions.AxisError):
        prelu(np.ones((2, 5)), np.ones(5), axis=2)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, None])
@pytest.mark.parametrize("char", "efd")
def test_slope_gradient(isa, axis, char, rng):
    x = rng.standard_normal((6, 37, 700)).astype(char)
    dy = rng.standard_normal(x.shape).astype(char)
    others = None if axis is None else tuple({0, 1, 2} - {axis % 3})
    products = np.where(x > 0, 0, dy.astype(float) * x.astype(float))
    got = prelu_slope_grad(dy, x, axis)
    assert got.dtype == x.dtype
    tolerance = {"e": 1e-3, "f": 1e-6, "d": 1e-12}[char]
    np.testing.assert_allclose(got, products.sum(others), rtol=tolerance, atol=1e3 * tolerance)
    for layout in (np.asfortranarray, lambda a: np.repeat(a, 2, 2)[..., ::2]):
        assert_same_bits(prelu_slope_grad(layout(dy), layout(x), axis), got)


@pytest.mark.parametrize("axis", [0, 1, 2, None])
def test_slope_gradient_has_the_same_bits_everywhere(axis, rng):
    x, dy = (rng.standard_normal((3, 41, 2049)).astype("f") for _ in range(2))
    before, results = relu_ext.isa(), []
    relu_ext.lib.relu_ext_set_parallel_bytes(1)
    try:
        for isa in relu_ext.available_isas():
            assert relu_ext.lib.relu_ext_use_isa(isa.encode()) == 0
            for threads in 1, 2, 3:
                with num_threads(threads):
                    results.append(prelu_slope_grad(dy, x, axis))
    finally:
        relu_ext.lib.relu_ext_set_parallel_bytes(0)
        relu_ext.lib.relu_ext_use_isa(before.encode())
    for got in results[1:]:
        assert_same_bits(got, results[0])


def test_slope_gradient_numerically(rng):
    x, slope = smooth_points(rng)[:400].reshape(4, 5, 20), rng.uniform(0, 1, 5)
    dy = rng.standard_normal(x.shape)
    for c in range(5):

        def loss(s, c=c):
            return (dy * prelu(x, np.where(np.arange(5) == c, s, slope))).sum()

        want = numerical(loss, slope[c])
        np.testing.assert_allclose(prelu_slope_grad(dy, x)[c], want, atol=1e-6)


def test_slope_gradient_of_special_values():
    nan, inf = np.nan, np.inf
    x = np.array([[nan, -inf, -1, -1, -0.0], [-2, 0, inf, -nan, 5]])
    dy = np.array([[nan, 0, inf, nan, 3], [3, 1, nan, nan, nan]])
    quiet = reference.quiet_nan("f64")
    want = np.array([-6, quiet, -inf, quiet, -0.0 + 0.0])
    assert_same_bits(prelu_slope_grad(dy, x), want)
    assert_same_bits(prelu_slope_grad(np.ones((3, 0)), np.ones((3, 0)), 0), np.zeros(3))
    assert prelu_slope_grad(np.ones((3, 0)), np.ones((3, 0))).shape == (0,)


@pytest.mark.parametrize("char", "fd")
def test_slope_gradient_of_the_other_byte_order(char, rng):
    dy, x = new(char, (3, 5), rng), new(char, (3, 5), rng)
    want = prelu_slope_grad(dy, x)
    for others in (dy, swapped(x)), (swapped(dy), x), (swapped(dy), swapped(x)):
        assert_same_bits(prelu_slope_grad(*others), want)


def test_slope_gradient_refuses():
    ones = np.ones((2, 3))
    with pytest.raises(TypeError, match="complex128"):
        prelu_slope_grad(ones.astype(complex), ones)
    with pytest.raises(ValueError, match="shape"):
        prelu_slope_grad(ones, np.ones((3, 2)))
    with pytest.raises(TypeError, match="int64"):
        prelu_slope_grad(ones.astype("i8"), ones.astype("i8"))
    with pytest.raises(TypeError, match="x has dtype int64; it must be float16"):
        prelu_slope_grad(ones * np.nan, ones.astype("i8"))
    with pytest.raises(np.exceptions.AxisError):
        prelu_slope_grad(ones, ones, 2)
