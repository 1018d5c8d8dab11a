"""The in-place helpers: the ufuncs with ``out=`` and errors that say what to do."""

from numpy import ndarray

from relu_ext._core import relu, relu_grad
from relu_ext._foreign import kind, overwritable, readable

# Of the ufuncs, or of an object that NumPy asks for an array. For arrays to ask first what
# they are would cost a third of a short call.
_REFUSALS = (RuntimeError, TypeError, ValueError)


def relu_(x):
    """ReLU in place.

    Parameters
    ----------
    x : ndarray or any object over writable memory of the CPU
        Any shape and strides; any dtype of `relu`. Overwritten by ``max(x, 0)``,
        with the rules of `relu` for NaN and zero. Besides ndarrays, an object with
        a typed buffer (`array.array`, `memoryview`, ctypes arrays), with DLPack
        (PyTorch's tensors) or with ``__array_interface__``; its memory is written
        to, and nothing copied. For an object with its own ``__array_ufunc__``, that
        method decides what happens.

    Returns
    -------
    same as `x`
        `x` itself.

    Raises
    ------
    TypeError
        If `x` has no such memory, or does not say what its bytes are (`bytearray`,
        `mmap.mmap`, shared memory, buffers of pyarrow: pass ``np.frombuffer(x, dtype)``),
        or has a dtype that `relu` does not know. Nothing is written.
    ValueError
        If `x` is read-only, immutable, on another device or a tensor that requires
        its gradient. Nothing is written.

    Notes
    -----
    PyTorch's autograd does not notice the change: use it for tensors without a
    gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from relu_ext import relu_
    >>> x = np.array([-1, 2], np.int8)
    >>> relu_(x)
    array([0, 2], dtype=int8)
    >>> x
    array([0, 2], dtype=int8)
    >>> import array
    >>> relu_(array.array("f", [-1.0, 2.0]))
    array('f', [0.0, 2.0])
    """
    try:
        relu(x, x)
    except _REFUSALS as error:
        target = overwritable(x, "x", "relu(x)")
        if target is x:
            raise _explained(error, x, "x", "relu(x)") from error
        relu_(target)
    return x


def relu_grad_(dy, x):
    """Gradient of ReLU, in place of the gradient that arrives.

    Parameters
    ----------
    dy : ndarray or any object over writable memory of the CPU
        Any shape and strides; any dtype of `relu_grad`. Overwritten by `dy` where
        `x` is greater than 0 or is a NaN, else by +0.0. For objects other than
        ndarrays see `relu_`.
    x : array_like
        What went into `relu`, or what came out of it; a tensor of PyTorch's, too.
        Broadcasts to the shape of `dy`.

    Returns
    -------
    same as `dy`
        `dy` itself.

    Raises
    ------
    TypeError
        If `dy` has no such memory, or does not say what its bytes are, or one of the
        dtypes is not known to `relu_grad` or its result cannot be cast to that of
        `dy`. Nothing is written.
    ValueError
        If `dy` is read-only or immutable, `x` does not broadcast to its shape, or one
        of them is on another device or requires its gradient. Nothing is written.

    Examples
    --------
    >>> import numpy as np
    >>> from relu_ext import relu_grad_
    >>> relu_grad_(np.array([1., 2., 3.]), np.array([-1., 0., 4.]))
    array([0., 0., 3.])
    """
    try:
        relu_grad(dy, x, dy)
    except _REFUSALS as error:
        target, decides = overwritable(dy, "dy", "relu_grad(dy, x)"), readable(x)
        if target is dy and decides is x:
            raise _explained(error, dy, "dy", "relu_grad(dy, x)") from error
        relu_grad_(target, decides)
    return dy


def _explained(error, array, name, instead):
    """The error that the ufunc raised, reworded for an in-place call."""
    if not isinstance(array, ndarray):
        return TypeError(
            f"{name} is {kind(array)} that cannot be overwritten ({error}): pass an "
            "ndarray, or an object with a writable typed buffer, DLPack or __array_interface__; "
            f"use {instead} for a new array"
        )
    if not array.flags.writeable:
        return ValueError(f"{name} is read-only; use {instead} for a new array")
    error_type = TypeError if isinstance(error, TypeError) else ValueError
    return error_type(
        f"{error}; {name}, to be overwritten, has dtype {array.dtype} and shape {array.shape}: "
        f"pass shapes that fit together, and dtypes of {instead.partition('(')[0]}.types"
    )
