"""`scale_shift` and its ReLU: arguments checked; the arithmetic and the walking are in C."""

import numpy as np
from numpy import empty, float32, full, ndarray

from relu_ext._arguments import as_array, as_out, axis_index, native
from relu_ext._core import convert
from relu_ext._core import scale_shift as _run
from relu_ext._foreign import readable

_FLOAT64 = np.dtype(np.float64)


def scale_shift(x, scale, shift, *, axis=-1, out_axis=None, out=None, dtype=None):
    """``x * scale + shift`` per channel: converted, computed and laid out in one pass.

    Parameters
    ----------
    x : array_like
        bool, uint8, uint16, int8, int16, int32, float16, float32, float64 or ml_dtypes'
        bfloat16; at least one dimension, any strides and byte order. Or a list or tuple of
        arrays of one shape and dtype, such as the pictures of a batch: what
        ``np.stack(x)`` would give, without the copy.
    scale, shift : array_like
        One number, or one for each channel: of shape ``(x.shape[axis],)`` or ``(1,)``.
    axis : int, optional
        Which axis of `x` is the channels'; the last by default.
    out_axis : int, optional
        Which axis of the result is the channels', the others being in the order of `x`;
        by default the same as in `x`. ``axis=-1, out_axis=0`` makes a planar tensor
        (C, H, W) of an interleaved image (H, W, C), and ``axis=-1, out_axis=1`` a batch
        (N, C, H, W) of (N, H, W, C).
    out : ndarray or any object over writable memory of the CPU, optional
        Where to write, of the result's shape, any strides; `x` itself for in place, or a
        tensor of PyTorch's or another object that `relu_` takes. A new array costs more
        than the arithmetic: pass `out` where speed counts.
    dtype : dtype, optional
        Of the result: float16, bfloat16, float32, float64, uint8 or int8. By default that
        of `out`; without `out` float64 if `x` is float64, else float32.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError
        For other dtypes, for scales or shifts that are not real numbers, if `dtype` is
        not that of `out`, and for masked, lazy and sparse arrays. Nothing is written.
    numpy.exceptions.AxisError
        If `x` has no such axis.
    ValueError
        If the shapes do not fit, or `out` is read-only. Nothing is written.

    See Also
    --------
    scale_shift_relu : the same with a ReLU, for a folded batch normalization.

    Notes
    -----
    Computed in float64 if `x` is int32 or float64, or the result is float64, else in
    float32; `scale` and `shift` are rounded to that first. Then ``x * scale + shift`` is
    one fused multiply-add, rounded once, to nearest. Every NaN becomes the positive quiet
    one without payload (0x7FC00000 in float32), since processors differ in the NaN that
    they make. A zero has the sign of IEEE 754: -0.0 only where both terms are -0.0, or
    where a negative result is too small even for a subnormal.

    A result of a shorter dtype is rounded once more, to nearest, ties to even. To uint8 and
    int8 it is rounded to the nearest integer, ties to even as by `numpy.rint` and
    `torch.round`; what lies outside the range becomes its nearest end, as by `numpy.clip`,
    ONNX's QuantizeLinear and OpenCV; and a NaN becomes 0, where ``astype`` leaves it open.

    The bits are the same on every machine, whatever the program has set for
    rounding or subnormals, and there is no RuntimeWarning. Where the instruction
    set has no fused multiply-add (``"baseline"`` on x86-64), other instructions
    compute the same bits, several times as slowly.

    Where `out` shares memory with `x` without being it, a copy of `x` is made first.

    Examples
    --------
    Prepare a photograph for a network that was trained with ImageNet's statistics:

    >>> import numpy as np
    >>> from relu_ext import scale_shift
    >>> image = np.full((480, 640, 3), 200, np.uint8)
    >>> mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    >>> scale_shift(image, 1 / (255 * std), -mean / std, out_axis=0).shape
    (3, 480, 640)

    A batch of them, from BGR to RGB:

    >>> images = np.stack([image, image])[..., ::-1]
    >>> scale_shift(images, 1 / (255 * std), -mean / std, out_axis=1).shape
    (2, 3, 480, 640)

    Quantize, and back:

    >>> q = scale_shift([-0.5, 0.0, 0.26, 9.0], 1 / 0.01, 3, dtype=np.int8)
    >>> q
    array([-47,   3,  29, 127], dtype=int8)
    >>> scale_shift(q, 0.01, -3 * 0.01)
    array([-0.5 ,  0.  ,  0.26,  1.24], dtype=float32)
    """
    return _scale_shift(x, scale, shift, axis, out_axis, out, dtype, False)


def scale_shift_relu(x, scale, shift, *, axis=-1, out_axis=None, out=None, dtype=None):
    """``max(x * scale + shift, 0)`` per channel, in one pass. Keeps no negative value.

    Parameters
    ----------
    x : array_like
        bool, uint8, uint16, int8, int16, int32, float16, float32, float64 or ml_dtypes'
        bfloat16; at least one dimension, any strides and byte order. Or a list or tuple of
        arrays of one shape and dtype, such as the pictures of a batch: what
        ``np.stack(x)`` would give, without the copy.
    scale, shift : array_like
        One number, or one for each channel: of shape ``(x.shape[axis],)`` or ``(1,)``.
    axis : int, optional
        Which axis of `x` is the channels'; the last by default.
    out_axis : int, optional
        Which axis of the result is the channels', the others being in the order of `x`;
        by default the same as in `x`. ``axis=-1, out_axis=0`` makes a planar tensor
        (C, H, W) of an interleaved image (H, W, C), and ``axis=-1, out_axis=1`` a batch
        (N, C, H, W) of (N, H, W, C).
    out : ndarray or any object over writable memory of the CPU, optional
        Where to write, of the result's shape, any strides; `x` itself for in place, or a
        tensor of PyTorch's or another object that `relu_` takes. A new array costs more
        than the arithmetic: pass `out` where speed counts.
    dtype : dtype, optional
        Of the result: float16, bfloat16, float32, float64, uint8 or int8. By default that
        of `out`; without `out` float64 if `x` is float64, else float32.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError
        For other dtypes, for scales or shifts that are not real numbers, if `dtype` is
        not that of `out`, and for masked, lazy and sparse arrays. Nothing is written.
    numpy.exceptions.AxisError
        If `x` has no such axis.
    ValueError
        If the shapes do not fit, or `out` is read-only. Nothing is written.

    See Also
    --------
    scale_shift : the same without the ReLU, for what goes into a network.
    relu : for ``max(x, 0)`` alone.

    Notes
    -----
    As for `scale_shift`, but that what is zero or less, including -0.0 and -inf, becomes
    +0.0 before the result is rounded to its dtype.

    Examples
    --------
    A batch normalization in place, folded into a scale and a shift for each channel:

    >>> import numpy as np
    >>> from relu_ext import scale_shift_relu
    >>> x = np.array([[[1.0, -2.0]], [[3.0, 4.0]]], np.float32)
    >>> scale_shift_relu(x, [2.0, -1.0], [0.5, 3.5], axis=0, out=x)
    array([[[2.5, 0. ]],
    <BLANKLINE>
           [[0.5, 0. ]]], dtype=float32)
    """
    return _scale_shift(x, scale, shift, axis, out_axis, out, dtype, True)


def _scale_shift(x, scale, shift, axis, out_axis, out, dtype, rectified):
    pictures = None
    if isinstance(x, (list, tuple)) and x and all(map(_is_array, x)):
        pictures = _pictures(x)
        shape, x_dtype = (len(pictures), *pictures[0].shape), pictures[0].dtype
    else:
        if type(x) is not ndarray:
            x = as_array(readable(x), "x")
        shape, x_dtype = x.shape, x.dtype  # once: another thread may change it, and C asks again
    ndim = len(shape)
    axis = axis_index(axis, ndim)
    out_axis = axis if out_axis is None else axis_index(out_axis, ndim, name="out_axis")
    scale = _parameters("scale", scale, shape, axis)
    shift = _parameters("shift", shift, shape, axis)
    if scale.size != shift.size:
        scale, shift = (p if p.size > 1 else full(shape[axis], p) for p in (scale, shift))
    result_shape = shape
    if out_axis != axis:
        rest = (*shape[:axis], *shape[axis + 1 :])
        result_shape = (*rest[:out_axis], shape[axis], *rest[out_axis:])

    if out is None:
        if dtype is None:
            dtype = _FLOAT64 if x_dtype == _FLOAT64 else float32
        out = target = result = empty(result_shape, np.dtype(dtype).newbyteorder("="))
        fresh = True
    else:
        target = result = _check_out(out, result_shape, dtype)
        fresh = not target.dtype.isnative
        if fresh:
            result = np.empty(result_shape, target.dtype.newbyteorder("="))

    # Pictures in the memory of the result would be overwritten before their turn.
    if pictures and (axis == 0 or any(np.may_share_memory(p, result) for p in pictures)):
        x, pictures = np.stack(pictures), None
    if pictures:
        results = _with_axis_moved(result, out_axis, axis)
        for picture, part in zip(pictures, results, strict=True):
            _run(native(picture), part, axis - 1, scale, shift, fresh, rectified)
    else:
        x = native(x)
        if out_axis != axis:
            x = _with_axis_moved(x, axis, out_axis)
        _run(x, result, out_axis, scale, shift, fresh, rectified)
    if result is not target:
        target[...] = result
    return out


def _with_axis_moved(x, source, destination):
    """`np.moveaxis`, which takes a tenth of the time of a small picture's whole call."""
    order = list(range(x.ndim))
    order.insert(destination, order.pop(source))
    return x.transpose(order)


def _is_array(x):
    """Whether it is one, rather than a number or a list of them."""
    if isinstance(x, (np.ndarray, np.generic)):
        return x.ndim > 0
    return any(hasattr(x, a) for a in ("__array__", "__array_interface__", "__dlpack__"))


def _pictures(x):
    """Views of all of them, of one shape and dtype."""
    pictures = [as_array(readable(p), f"x[{i}]").view() for i, p in enumerate(x)]
    first = pictures[0]
    for i, picture in enumerate(pictures):
        if picture.shape != first.shape:
            raise ValueError(
                f"x[{i}] has shape {picture.shape}; it must be that of x[0], {first.shape}: "
                "resize or crop the pictures to one size first"
            )
        if picture.dtype != first.dtype:
            raise TypeError(
                f"x[{i}] has dtype {picture.dtype}; it must be that of x[0], {first.dtype}"
            )
    return pictures


def _parameters(name, values, shape, axis):
    """float64, contiguous, one or one for each channel; new, as `out` may lie in their memory."""
    channels = shape[axis]
    if type(values) is int:  # NumPy makes objects of those beyond 64 bits
        try:
            values = float(values)
        except OverflowError:
            raise ValueError(f"{name} is too large; it must fit into float64") from None
    if type(values) is not float:
        values = as_array(values, name)
        # ml_dtypes' are of kind V.
        if values.dtype != _FLOAT64 and (
            values.dtype.kind not in "biufV" or not np.can_cast(values.dtype, _FLOAT64, "same_kind")
        ):
            raise TypeError(f"{name} has dtype {values.dtype}; it must hold real numbers")
        if values.shape == (channels,):
            return np.array(convert(values, _FLOAT64))
        if values.shape not in ((), (1,)):
            raise ValueError(_wrong_number(name, values.shape, shape, axis))
        values = convert(values, _FLOAT64)
    return full(1, values, _FLOAT64)


def _wrong_number(name, got, shape, axis):
    text = (
        f"{name} has shape {got}; it must be one number, or one for each of the {shape[axis]} "
        f"channels along axis {axis} of x, which has shape {shape}"
    )
    if len(got) == 1 and got[0] in shape:
        text += f"; axis={shape.index(got[0])} has {got[0]} of them"
    return text


def _check_out(out, shape, dtype):
    out = as_out(out)
    if dtype is not None and np.dtype(dtype) != out.dtype:
        raise TypeError(f"dtype is {np.dtype(dtype)}; it must be that of out, {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}; it must be that of the result, {shape}")
    if not out.flags.writeable:
        raise ValueError("out is read-only; omit it for a new array")
    return out
