"""The in-place helpers: the ufuncs with ``out=`` and errors that say what to do."""

import numpy as np

from relu_ext._core import relu, relu_grad


def relu_(x):
    """ReLU in place.

    Parameters
    ----------
    x : ndarray
        Any shape and strides; any dtype of `relu`. Overwritten by ``max(x, 0)``,
        with the rules of `relu` for NaN and zero. An object with
        ``__array_ufunc__`` of its own decides itself what this does.

    Returns
    -------
    ndarray
        `x` itself.

    Raises
    ------
    TypeError
        If `x` is not an ndarray, or has a dtype that `relu` does not know. Nothing
        is written.
    ValueError
        If `x` is read-only. Nothing is written.

    Examples
    --------
    >>> import numpy as np
    >>> from relu_ext import relu_
    >>> x = np.array([-1, 2], np.int8)
    >>> relu_(x)
    array([0, 2], dtype=int8)
    >>> x
    array([0, 2], dtype=int8)
    """
    try:
        relu(x, x)
    except (TypeError, ValueError) as error:
        raise _explained(error, x, "x", "relu(x)") from error
    return x


def relu_grad_(dy, x):
    """Gradient of ReLU, in place of the gradient that arrives.

    Parameters
    ----------
    dy : ndarray
        Any shape and strides; float16, float32, float64 or longdouble. Overwritten
        by `dy` where `x` is greater than 0 or is a NaN, else by +0.0.
    x : array_like
        What went into `relu`, or what came out of it. Broadcasts to the shape of
        `dy`.

    Returns
    -------
    ndarray
        `dy` itself.

    Raises
    ------
    TypeError
        If `dy` is not an ndarray, or one of the dtypes is not known to `relu_grad`
        or its result cannot be cast to that of `dy`. Nothing is written.
    ValueError
        If `dy` is read-only, or `x` does not broadcast to its shape. Nothing is
        written.

    Examples
    --------
    >>> import numpy as np
    >>> from relu_ext import relu_grad_
    >>> relu_grad_(np.array([1., 2., 3.]), np.array([-1., 0., 4.]))
    array([0., 0., 3.])
    """
    try:
        relu_grad(dy, x, dy)
    except (TypeError, ValueError) as error:
        raise _explained(error, dy, "dy", "relu_grad(dy, x)") from error
    return dy


def _explained(error, array, name, instead):
    """The error that the ufunc raised, in the words of somebody who meant to work in place."""
    if not isinstance(array, np.ndarray):
        return TypeError(
            f"{name} is a {type(array).__name__}, and only an ndarray can be overwritten; "
            f"use {instead} for a new array"
        )
    if not array.flags.writeable:
        return ValueError(f"{name} is read-only; use {instead} for a new array")
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(
        f"{error}; {name}, to be overwritten, has dtype {array.dtype} and shape {array.shape}: "
        "pass operands that go together, of dtypes that the function has a loop for"
    )
