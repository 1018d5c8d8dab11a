"""`scale_shift_relu`: its arguments checked; the arithmetic and the walking are in C."""

import operator

import numpy as np

from relu_ext._core import convert
from relu_ext._core import scale_shift as _run

_FLOAT64 = np.dtype(np.float64)


def scale_shift_relu(x, scale, shift, *, axis=-1, out_axis=None, out=None, dtype=None):
    """``max(x * scale + shift, 0)`` per channel: converted, computed and laid out in one pass.

    Parameters
    ----------
    x : array_like
        uint8, int16, float16, float32, float64 or ml_dtypes' bfloat16; at least one
        dimension, any strides and byte order.
    scale, shift : array_like
        One number, or one for each channel: of shape ``(x.shape[axis],)``.
    axis : int, optional
        Which axis of `x` is the channels'; the last by default.
    out_axis : int, optional
        Which axis of the result is the channels', the others being in the order of `x`;
        by default the same as in `x`. ``axis=-1, out_axis=0`` makes a planar tensor
        (C, H, W) of an interleaved image (H, W, C), and ``axis=-1, out_axis=1`` a batch
        (N, C, H, W) of (N, H, W, C).
    out : ndarray, optional
        Where to write, of the result's shape, any strides; `x` itself for in place. A new
        array costs more than the arithmetic: pass `out` where speed counts.
    dtype : dtype, optional
        Of the result: float16, bfloat16, float32 or float64. By default that of `out`;
        without `out` float64 if `x` is float64, else float32.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError
        For other dtypes, for scales or shifts that are not real numbers, and if `dtype` is
        not that of `out`. Nothing is written.
    ValueError
        If the shapes or axes do not fit, or `out` is read-only. Nothing is written.

    See Also
    --------
    relu : for ``max(x, 0)`` alone.

    Notes
    -----
    Computed in float64 if `x` or the result is float64, else in float32; `scale`
    and `shift` are rounded to that first. Then ``x * scale + shift`` is one fused
    multiply-add, rounded once, to nearest. What is zero or less, including -0.0 and
    -inf, becomes +0.0; every NaN becomes the positive quiet one without payload
    (0x7FC00000 in float32), since processors differ in the NaN that they make. A
    result of a shorter dtype is rounded once more, to nearest, ties to even.

    The bits are the same on every machine, whatever the program has set for
    rounding or subnormals, and there is no RuntimeWarning. Where the instruction
    set has no fused multiply-add (``"baseline"`` on x86-64), other instructions
    compute the same bits, several times as slowly.

    Where `out` shares memory with `x` without being it, a copy of `x` is made first.

    Examples
    --------
    Prepare a photograph for a network that was trained with ImageNet's statistics:

    >>> import numpy as np
    >>> from relu_ext import scale_shift_relu
    >>> image = np.full((480, 640, 3), 200, np.uint8)
    >>> mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    >>> scale_shift_relu(image, 1 / (255 * std), -mean / std, out_axis=0).shape
    (3, 480, 640)

    A batch normalization in place, folded into a scale and a shift for each channel:

    >>> x = np.array([[[1.0, -2.0]], [[3.0, 4.0]]], np.float32)
    >>> scale_shift_relu(x, [2.0, -1.0], [0.5, 3.5], axis=0, out=x)
    array([[[2.5, 0. ]],
    <BLANKLINE>
           [[0.5, 0. ]]], dtype=float32)
    """
    x = np.asarray(x).view()  # whose shape no other thread can change
    if not x.dtype.isnative:
        x = x.astype(x.dtype.newbyteorder("="))
    ndim = x.ndim
    axis = _index("axis", axis, ndim)
    out_axis = axis if out_axis is None else _index("out_axis", out_axis, ndim)
    channels = x.shape[axis]
    scale, shift = _parameters("scale", scale, channels), _parameters("shift", shift, channels)
    if out_axis != axis:
        x = np.moveaxis(x, axis, out_axis)
    if out is None:
        if dtype is None:
            dtype = _FLOAT64 if x.dtype == _FLOAT64 else np.float32
        out = np.empty(x.shape, np.dtype(dtype).newbyteorder("="))
        _run(x, out, out_axis, scale, shift, True)
    else:
        target = _check_out(out, x.shape, dtype)
        if target.dtype.isnative:
            _run(x, target, out_axis, scale, shift, False)
        else:
            native = np.empty(target.shape, target.dtype.newbyteorder("="))
            _run(x, native, out_axis, scale, shift, True)
            target[...] = native
    return out


def _index(name, value, ndim):
    """The axis counted from the front."""
    index = operator.index(value)
    if not -ndim <= index < ndim:
        raise np.exceptions.AxisError(f"{name} is {index}, and x has {ndim} dimensions")
    return index % ndim


def _parameters(name, values, channels):
    """float64, contiguous, one for each channel; new, as `out` may lie in the same memory."""
    if type(values) is not float:
        values = np.asarray(values)
        # ml_dtypes' are of kind V.
        if values.dtype.kind not in "biufV" or not np.can_cast(values.dtype, _FLOAT64, "same_kind"):
            raise TypeError(f"{name} has dtype {values.dtype}; it must hold real numbers")
        if values.shape == (channels,):
            return np.array(convert(values, _FLOAT64))
        if values.shape != ():
            raise ValueError(
                f"{name} has shape {values.shape}; it must be one number, or one for each of "
                f"the {channels} channels"
            )
        values = convert(values, _FLOAT64)
    return np.full(channels, values, _FLOAT64)


def _check_out(out, shape, dtype):
    """`out` as it is, and stays: a subclass may say something else of itself."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is a {type(out).__name__}; it must be an ndarray")
    out = np.asarray(out).view()
    if dtype is not None and np.dtype(dtype) != out.dtype:
        raise TypeError(f"dtype is {np.dtype(dtype)}; it must be that of out, {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}; it must be that of the result, {shape}")
    if not out.flags.writeable:
        raise ValueError("out is read-only; omit it for a new array")
    return out
