"""Natural mistakes with the functions that are no ufuncs, and what `scale_shift` accepts."""

import array
import ctypes
import re

import numpy as np
import pytest

from relu_ext import (
    activity,
    dead_units,
    prelu,
    prelu_slope_grad,
    relu_bits,
    relu_grad_bits,
    scale_shift,
    scale_shift_relu,
    sparsity,
)

X = np.linspace(-3, 3, 12, dtype=np.float32).reshape(4, 3)
BITS = relu_bits(X)[1]
MASKED = np.ma.masked_array(X.copy(), X > 1)
IMAGE = np.arange(480 * 64 * 3, dtype=np.uint8).reshape(480, 64, 3)


class Sparse:
    """As scipy's: NumPy makes an object array of it."""

    shape, ndim = (4, 3), 2

    def toarray(self):
        return X


class Lazy:
    """As Dask's."""

    def __dask_graph__(self):
        return {}

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("computed")


# The array goes into the place of x in each.
CALLS = {
    "sparsity": sparsity,
    "activity": activity,
    "dead_units": dead_units,
    "relu_bits": relu_bits,
    "relu_grad_bits": lambda x: relu_grad_bits(x, BITS),
    "prelu": lambda x: prelu(x, 0.5),
    "prelu, slope": lambda x: prelu(X, x),
    "prelu_slope_grad": lambda x: prelu_slope_grad(X, x),
    "prelu_slope_grad, dy": lambda x: prelu_slope_grad(x, X),
    "scale_shift": lambda x: scale_shift(x, 2, 1),
    "scale_shift, scale": lambda x: scale_shift(X, x, 1),
    "scale_shift, shift": lambda x: scale_shift(X, 2, x),
    "scale_shift, a list": lambda x: scale_shift([X, x], 2, 1),
    "scale_shift_relu": lambda x: scale_shift_relu(x, 2, 1),
}
every = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@every
def test_none(call):
    with pytest.raises((TypeError, ValueError), match=r"None|dtype object|inhomogeneous"):
        call(None)


# Of a list with such an object NumPy says itself that it makes no array.
@pytest.mark.parametrize("name", [name for name in CALLS if not name.endswith("a list")])
def test_sparse(name):
    with pytest.raises(TypeError, match=r"a Sparse; it must be an array .*pass \w+\.toarray\(\)"):
        CALLS[name](Sparse())


@every
def test_lazy(call):
    with pytest.raises(TypeError, match=r"lazy Lazy.*map_blocks.*\.compute\(\)"):
        call(Lazy())


WITH_MASKS = {
    **{name: call for name, call in CALLS.items() if not name.startswith("prelu, ")},
    "relu_bits, out": lambda x: relu_bits(X, out=x),
    "relu_bits, bits": lambda x: relu_bits(X, bits=np.ma.masked_array(BITS.copy())),
    "relu_grad_bits, bits": lambda x: relu_grad_bits(X, np.ma.masked_array(BITS.copy())),
    "relu_grad_bits, out": lambda x: relu_grad_bits(X, BITS, out=x),
    "scale_shift, out": lambda x: scale_shift(X, 2, 1, out=x),
    "activity, a list": lambda x: activity([x, x]),
}


@pytest.mark.parametrize("name", [name for name in WITH_MASKS if name != "prelu"])
def test_masks_are_not_dropped(name):
    before = MASKED.copy()
    with pytest.raises(TypeError, match=r"masked array.*\.filled\(value\), or .*\.data"):
        WITH_MASKS[name](MASKED)
    assert MASKED.tobytes() == before.tobytes() and np.array_equal(MASKED.mask, before.mask)


AXES = {
    "activity": lambda axis: activity(X, axis),
    "activity, a tuple": lambda axis: activity(X, (0, axis)),
    "dead_units": lambda axis: dead_units(X, axis),
    "prelu": lambda axis: prelu(X, 0.5, axis),
    "prelu_slope_grad": lambda axis: prelu_slope_grad(X, X, axis),
    "scale_shift": lambda axis: scale_shift(X, 1, 1, axis=axis),
    "scale_shift, out_axis": lambda axis: scale_shift_relu(X, 1, 1, out_axis=axis),
}


@pytest.mark.parametrize("axis", [2, -3, 10**30, -(2**63) - 1])
@pytest.mark.parametrize("call", AXES.values(), ids=AXES)
def test_axes_that_are_not_there(call, axis):
    with pytest.raises(np.exceptions.AxisError, match=rf"axis is {axis}, and [xy] has 2 dim"):
        call(axis)


@pytest.mark.parametrize("axis", [1.0, "1", [1]])
@pytest.mark.parametrize("call", AXES.values(), ids=AXES)
def test_axes_that_are_none(call, axis):
    with pytest.raises(TypeError, match=rf"axis is a {type(axis).__name__}; it must be an integer"):
        call(axis)


def test_axes_that_are_a_list():
    for function in (activity, dead_units):
        with pytest.raises(
            TypeError, match=r"axis is a list; it must be .*, a tuple of them or None"
        ):
            function(X, [0, 1])


def test_no_axis():
    for function in (scale_shift, scale_shift_relu):
        with pytest.raises(TypeError, match="axis is None; it must be an integer"):
            function(X, 1, 1, axis=None)
    with pytest.raises(TypeError, match="axis is None"):
        prelu(X, 0.5, None)


OUT = np.full((3, 480, 64), 7, np.float32)


@pytest.mark.parametrize(
    "error, words, call",
    [
        (
            ValueError,
            "scale has shape (3,); it must be one number, or one for each of the 480 channels "
            "along axis 0 of x, which has shape (480, 64, 3); axis=2 has 3 of them",
            lambda: scale_shift(IMAGE, [1, 2, 3], 0, axis=0, out=OUT),
        ),
        (
            ValueError,
            "shift has shape (4,); it must be one number, or one for each of the 3 channels "
            "along axis 2 of x, which has shape (480, 64, 3)",
            lambda: scale_shift(IMAGE, 1, [1, 2, 3, 4], out_axis=0, out=OUT),
        ),
        (
            ValueError,
            "x[1] has shape (479, 64, 3); it must be that of x[0], (480, 64, 3): resize or crop",
            lambda: scale_shift([IMAGE, IMAGE[1:]], 1, 0),
        ),
        (
            TypeError,
            "x[1] has dtype float32; it must be that of x[0], uint8",
            lambda: scale_shift([IMAGE, IMAGE.astype("f")], 1, 0),
        ),
        (
            ValueError,
            "out has shape (480, 64, 3); it must be that of the result, (3, 480, 64)",
            lambda: scale_shift(IMAGE, 1, 0, out_axis=0, out=np.empty(IMAGE.shape, "f")),
        ),
        (
            ValueError,
            "out has shape (3, 479, 64); it must be that of the result, (3, 480, 64)",
            lambda: scale_shift(IMAGE, 1, 0, out_axis=0, out=OUT[:, 1:]),
        ),
        (
            TypeError,
            "dtype is int32; it must be uint8, int8, float16, bfloat16, float32 or float64",
            lambda: scale_shift(IMAGE, 1, 0, dtype=np.int32),
        ),
        (TypeError, "scale is None; it must be", lambda: scale_shift(IMAGE, None, 0)),
        (ValueError, "scale is too large", lambda: scale_shift(IMAGE, 10**400, 0)),
        (TypeError, "scale has dtype object", lambda: scale_shift(IMAGE, [2**64, 1, 1], 0)),
        (
            TypeError,
            "out is a bytearray, which does not say what its bytes are",
            lambda: scale_shift(IMAGE, 1, 0, out=bytearray(4 * IMAGE.size)),
        ),
        (
            ValueError,
            "out has shape (3,)",
            lambda: scale_shift(IMAGE, 1, 0, out=array.array("f", [1] * 3)),
        ),
    ],
)
def test_natural_mistakes(error, words, call):
    with pytest.raises(error, match=re.escape(words)):
        call()
    assert (OUT == 7).all()


def test_one_parameter_for_all():
    want = X * 2 + 1
    for two, one in (([2], (1,)), (np.array([2.0]), np.float16(1)), (np.array(2), 1)):
        assert np.array_equal(scale_shift(X, two, one), want)


def test_integers_of_any_size():
    assert scale_shift(np.float64([1, 2]), 2**64, -(2**64)).tolist() == [0.0, 2.0**64]


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("axis, out_axis", [(-1, 1), (-1, 0), (3, None), (0, 3), (1, -1), (2, 2)])
def test_pictures(kind, axis, out_axis):
    rng = np.random.default_rng(3)
    pictures = kind(rng.integers(0, 256, (5, 40, 30, 3), np.uint8))
    channels = np.stack(pictures).shape[axis]
    scale, shift = rng.standard_normal((2, channels))
    for function in (scale_shift, scale_shift_relu):
        want = function(np.stack(pictures), scale, shift, axis=axis, out_axis=out_axis)
        got = function(pictures, scale, shift, axis=axis, out_axis=out_axis)
        assert got.shape == want.shape and np.array_equal(got, want)
        for dtype in ("f4", ">f4"):
            out = np.empty(want.shape, dtype)
            assert function(pictures, scale, shift, axis=axis, out_axis=out_axis, out=out) is out
            assert np.array_equal(out, want)


def test_pictures_in_the_memory_of_the_result():
    memory = np.random.default_rng(4).standard_normal((4, 6, 5), np.float32)
    want = memory[::-1] * np.float32(2) + 1
    scale_shift([memory[3], memory[2], memory[1], memory[0]], 2, 1, out=memory)
    assert np.array_equal(memory, want)


def test_numbers_in_lists_are_no_pictures():
    assert scale_shift([1.0, -2.0], 2, 1).tolist() == [3, -3]
    assert scale_shift([[1.0, 2.0], [3.0, 4.0]], 2, 1, dtype=np.int8).tolist() == [[3, 5], [7, 9]]
    assert scale_shift([np.float32(1), np.float32(2)], 2, 1).tolist() == [3, 5]


def test_out_that_is_not_numpys():
    x, want = np.arange(4, dtype=np.uint8), [1, 3, 5, 7]
    for out in (array.array("f", [0] * 4), (ctypes.c_float * 4)(), array.array("d", [0] * 4)):
        assert scale_shift(x, 2, 1, out=out) is out
        assert list(out) == want
    view = memoryview(array.array("b", [0] * 4))
    assert scale_shift(x, 2, 1, out=view) is view
    assert view.tolist() == want
    with pytest.raises(ValueError, match="out is read-only"):
        scale_shift(x, 2, 1, out=memoryview(array.array("f", [0] * 4)).toreadonly())


def test_views_of_channels(isa):
    """From BGR to RGB, and without the last of RGBA, as the recipes have it."""
    rgba = np.random.default_rng(2).integers(0, 256, (7, 33, 4), np.uint8)
    scale, shift = np.array([0.5, 1, 2]), np.array([-3.0, 0, 8])
    for view in (rgba[..., :3], rgba[..., 2::-1], np.ascontiguousarray(rgba[..., :3])[..., ::-1]):
        want = (view * scale + shift).transpose(2, 0, 1)
        assert np.array_equal(scale_shift(view, scale, shift, out_axis=0), want)
