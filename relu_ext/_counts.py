"""How sparse activations are, and which units fire."""

from relu_ext._arguments import as_array, axis_index, native
from relu_ext._core import count

_SHARE_OF_ZEROS, _FIRING, _NEVER_FIRING = range(3)


def sparsity(y):
    """The share of elements that are exactly zero.

    Parameters
    ----------
    y : array_like
        Any shape and strides; any dtype of `relu`.

    Returns
    -------
    float
        From 0 to 1. -0.0 is zero as well; subnormals and NaNs are not. NaN where `y`
        has no elements.

    Raises
    ------
    TypeError
        For complex, datetime, timedelta, object and string dtypes, and for masked, lazy
        and sparse arrays.

    Notes
    -----
    One pass over the memory, without a temporary array. Arrays in the other byte order
    are copied first.

    Examples
    --------
    >>> import numpy as np
    >>> from relu_ext import relu, sparsity
    >>> sparsity(relu(np.array([-1., 0., 2., 3.])))
    0.5
    """
    return count(native(as_array(y, "y")), _SHARE_OF_ZEROS, 0)


def activity(y, axis=0):
    """How often each unit fires.

    Parameters
    ----------
    y : array_like
        What went into `relu`, or what came out of it: the result is the same. Any
        shape and strides; any dtype of `relu`.
    axis : int, tuple of int or None, optional
        The axes to count over, which are those of the batch: 0 for rows of
        activations, ``(0, 2, 3)`` for images with channels first. None is all of
        them.

    Returns
    -------
    ndarray of int64, or int64
        Of the shape of `y` without those axes: the number of elements that are greater
        than 0 or are NaN, those which `relu_grad` lets the gradient through.

    Raises
    ------
    TypeError
        For complex, datetime, timedelta, object and string dtypes, for an `axis` that is
        no integer, and for masked, lazy and sparse arrays.
    numpy.exceptions.AxisError
        If `y` has no such axis.
    ValueError
        If an axis is given twice.

    See Also
    --------
    dead_units : those which never fire.

    Notes
    -----
    One pass over the memory, without a temporary array. Arrays in the other byte order
    are copied first.

    Examples
    --------
    >>> import numpy as np
    >>> from relu_ext import activity
    >>> activity(np.array([[-1., 0., 2.], [0., 0., np.nan], [3., -0., 1.]]))
    array([1, 0, 3])
    """
    y = native(as_array(y, "y"))
    return count(y, _FIRING, _axes(y, axis))


def dead_units(y, axis=0):
    """Which units never fire in the batch.

    Parameters
    ----------
    y : array_like
        What went into `relu`, or what came out of it: the result is the same. Any
        shape and strides; any dtype of `relu`.
    axis : int, tuple of int or None, optional
        The axes of the batch, as for `activity`.

    Returns
    -------
    ndarray of bool, or bool
        Of the shape of `y` without those axes: where no element is greater than 0 or is
        NaN, which is where `activity` is 0. A unit whose outputs are all zero is dead; so
        is one whose outputs are zero or less, as a leaky ReLU's may be. An empty batch
        leaves every unit dead.

    Raises
    ------
    TypeError
        For complex, datetime, timedelta, object and string dtypes, for an `axis` that is
        no integer, and for masked, lazy and sparse arrays.
    numpy.exceptions.AxisError
        If `y` has no such axis.
    ValueError
        If an axis is given twice.

    See Also
    --------
    activity : how often each unit fires.

    Notes
    -----
    At most one pass over the memory, which ends where all units are known to live.
    Arrays in the other byte order are copied first.

    Examples
    --------
    >>> import numpy as np
    >>> from relu_ext import dead_units
    >>> dead_units(np.array([[-1., 0., 2.], [0., 0., np.nan], [3., -0., 1.]]))
    array([False,  True, False])
    """
    y = native(as_array(y, "y"))
    return count(y, _NEVER_FIRING, _axes(y, axis))


def _axes(y, axis):
    """The axes as the bits of a number."""
    ndim = y.ndim
    if axis is None:
        return (1 << ndim) - 1
    if type(axis) is int and -ndim <= axis < ndim:
        return 1 << axis % ndim
    if isinstance(axis, tuple):
        indices = [axis_index(i, ndim, "y", "an item of axis") for i in axis]
    else:
        indices = [axis_index(axis, ndim, "y", wanted="an integer, a tuple of them or None")]
    if len(set(indices)) < len(indices):
        raise ValueError(f"axis is {axis}, with a repeated axis; each must be there once")
    return sum(1 << i for i in indices)
