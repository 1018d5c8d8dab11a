"""PReLU: `leaky_relu` with a slope for each channel, and the gradient of those slopes."""

import math

import numpy as np

from relu_ext._arguments import as_array, axis_index
from relu_ext._core import convert, leaky_relu, slope_sums


def prelu(x, slope, axis=1, out=None):
    """Parametric rectified linear unit: `leaky_relu` with a slope for each channel.

    Parameters
    ----------
    x : array_like
        At least one dimension; float16, float32, float64 or ml_dtypes' bfloat16.
    slope : array_like
        Of shape ``(x.shape[axis],)``, or one number.
    axis : int, optional
        The axis of the channels: 1, as in (N, C, H, W), unless given.
    out : ndarray or any object over writable memory of the CPU, optional
        Where to write, as for `relu_`; `x` itself for in place.

    Returns
    -------
    ndarray
        `x`, bit for bit, where it is greater than 0 or a NaN, else its channel's slope
        times `x`, as `leaky_relu` has it. dtype as for `leaky_relu`.

    Raises
    ------
    TypeError
        For dtypes that `leaky_relu` does not know, and for lazy and sparse arrays.
    numpy.exceptions.AxisError
        If `x` has no such axis.
    ValueError
        If there is not one slope for each channel, or `out` does not fit.

    See Also
    --------
    leaky_relu_grad : the gradient for `x`, with the slopes along the same axis.
    prelu_slope_grad : the gradient for `slope`.

    Notes
    -----
    He, Zhang, Ren, Sun, "Delving deep into rectifiers", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from relu_ext import prelu
    >>> prelu(np.array([[-2., -2.], [3., -1.]]), [0.5, 0.25])
    array([[-1.  , -0.5 ],
           [ 3.  , -0.25]])
    """
    x = as_array(x, "x", keep_mask=True)
    axis = axis_index(axis, x.ndim)
    if isinstance(slope, (int, float)):  # takes the dtype of x, as an array would not
        return leaky_relu(x, slope, out=out)
    slope = as_array(slope, "slope", keep_mask=True)
    if slope.ndim > 1 or slope.size not in (1, x.shape[axis]):
        raise ValueError(
            f"slope has shape {slope.shape}; it must be one number, or one for each of the "
            f"{x.shape[axis]} channels"
        )
    if slope.ndim == 1:
        slope = slope.reshape(slope.shape + (1,) * (x.ndim - 1 - axis))
    return leaky_relu(x, slope, out=out)


def prelu_slope_grad(dy, x, axis=1):
    """Gradient of `prelu` for its slopes.

    Parameters
    ----------
    dy : array_like
        The gradient that arrives at the output; of the shape of `x`, and cast to its dtype.
    x : array_like
        What went into `prelu`; float16, float32, float64 or ml_dtypes' bfloat16.
    axis : int or None, optional
        The axis of the channels, as for `prelu`; None for one slope for all.

    Returns
    -------
    ndarray of shape ``(x.shape[axis],)``, or scalar
        For each channel the sum of ``dy * x`` over the elements that are neither greater
        than 0 nor NaN; dtype of `x`. +0.0 for no elements.

    Raises
    ------
    TypeError
        For other dtypes, a `dy` that cannot be cast to that of `x`, and for masked, lazy
        and sparse arrays.
    numpy.exceptions.AxisError
        If `x` has no such axis.
    ValueError
        If the shapes differ.

    Notes
    -----
    Products and sums are float64, and the order of the sums follows from the shape
    alone: the bits are the same on every machine and with any number of threads. The
    result is rounded to float32 first if it is shorter than that. A sum that is a NaN
    is the positive quiet one.

    Examples
    --------
    >>> import numpy as np
    >>> from relu_ext import prelu_slope_grad
    >>> prelu_slope_grad(np.ones((2, 2)), np.array([[-2., 1.], [3., -4.]]))
    array([-2., -4.])
    """
    x, dy = as_array(x, "x"), as_array(dy, "dy")
    dtype = x.dtype.newbyteorder("=")
    if dtype.kind in "fV":  # what else x may be, slope_sums refuses
        if not np.can_cast(dy.dtype, dtype, "same_kind"):
            raise TypeError(
                f"dy has dtype {dy.dtype}, which cannot be cast to that of x, {x.dtype}"
            )
        dy = convert(dy, dtype)
    x = convert(x, dtype)
    if dy.shape != x.shape:
        raise ValueError(f"dy has shape {dy.shape} and x {x.shape}; they must be the same")
    if axis is None:
        outer, channels, inner = 1, 1, x.size
    else:
        axis = axis_index(axis, x.ndim)
        outer, channels = math.prod(x.shape[:axis]), x.shape[axis]
        inner = math.prod(x.shape[axis + 1 :])
    grad = slope_sums(dy, x, outer, channels, inner)
    return grad[0] if axis is None else grad
