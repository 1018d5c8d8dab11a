"""What is asked of arguments by the functions that are no ufuncs."""

import operator
import sys

import numpy as np

# What plain calls need of NumPy is looked up once, here and elsewhere. It takes CPython before
# 3.15 as long as a small kernel, and threads without a GIL wait for one another there.
from numpy import asarray, ndarray

from relu_ext._core import convert
from relu_ext._foreign import kind, overwritable


def as_array(x, name, keep_mask=False):
    """`np.asarray`, unless that would drop a mask, compute a lazy array or hide what is no array.

    Parameters
    ----------
    x : array_like
    name : str
        The argument's, for errors.
    keep_mask : bool, optional
        Whether a masked array, and every other subclass, stays what it is.
    """
    if type(x) is ndarray:
        return x
    if not keep_mask:
        refuse_mask(x, name)
        if isinstance(x, (list, tuple)):
            for item in x:
                refuse_mask(item, f"an item of {name}")
    # xarray's objects have the method, too, and answer None where they hold no lazy arrays.
    graph = getattr(x, "__dask_graph__", None)
    if graph is not None and graph() is not None:
        raise TypeError(
            f"{name} is a lazy {type(x).__name__}; it must be computed first: call this function "
            f"in map_blocks or apply_ufunc, block by block, or pass {name}.compute()"
        )
    # Lists may have numbers of several dtypes, of which NumPy makes one.
    array = x if keep_mask and isinstance(x, np.ndarray) else convert(x, None)
    # What NumPy makes of an object that it cannot look into.
    if array.dtype == object and array.ndim == 0:
        instead = f": pass {name}.toarray()" if hasattr(x, "toarray") else ""
        raise TypeError(f"{name} is {kind(x)}; it must be an array of numbers{instead}")
    return array


def as_out(out):
    """A plain array over the memory of `out`: a subclass may misreport itself."""
    if type(out) is ndarray:
        return out
    refuse_mask(out, "out")
    if not isinstance(out, ndarray):
        out = overwritable(out, "out", "the call without out")
        if not isinstance(out, ndarray):
            raise TypeError(f"out is {kind(out)}; it must be an ndarray or other memory")
    return asarray(out)


def native(x):
    """The array in this machine's byte order."""
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def refuse_mask(x, name):
    # Where nobody has imported it, as NumPy itself does not always, there are no such arrays.
    masked = sys.modules.get("numpy.ma")
    if masked is not None and isinstance(x, masked.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, whose mask this function would lose; it must be a plain "
            f"one: pass {name}.filled(value), or {name}.data for what lies under the mask, too"
        )


def axis_index(axis, ndim, of="x", name="axis", wanted="an integer"):
    """The axis of the array `of`, counted from the front."""
    try:
        index = operator.index(axis)
    except TypeError:
        raise TypeError(f"{name} is {kind(axis)}; it must be {wanted}") from None
    if not -ndim <= index < ndim:
        raise np.exceptions.AxisError(f"{name} is {index}, and {of} has {ndim} dimensions")
    return index % ndim
