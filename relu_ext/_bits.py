"""ReLU that keeps one bit an element for its gradient."""

import numpy as np
from numpy import empty, ndarray, uint8

from relu_ext._arguments import as_array, as_out, refuse_mask
from relu_ext._core import bits as _run


def relu_bits(x, out=None, bits=None):
    """ReLU, and one bit for each element that says whether it passed.

    The bits are all that the gradient needs of the forward pass: 1/32 of the memory
    of `x` in float32.

    Parameters
    ----------
    x : array_like
        float16, float32, float64, longdouble, or ml_dtypes' bfloat16, float8_e5m2 or
        float8_e4m3fn; any shape. Copied first where it is not in C order.
    out : ndarray or any object over writable memory of the CPU, optional
        Where to write, as for `relu_`: of the shape and dtype of `x`, in C order and in
        this machine's byte order; `x` itself for in place.
    bits : ndarray of uint8, optional
        Where to write the bits: of shape ``((x.size + 7) // 8,)``, in C order. It must
        not overlap `x` or `out`.

    Returns
    -------
    y : ndarray
        `relu` of `x`; `out` if that was given.
    bits : ndarray of uint8
        Bit ``i % 8`` of byte ``i // 8``, counted from the lowest as
        ``np.unpackbits(bits, bitorder="little")`` does, is 1 where element i of `x` in C
        order is greater than 0 or is a NaN. Bits past the last element are 0.

    Raises
    ------
    TypeError
        For other dtypes, for masked, lazy and sparse arrays, and if `out` or `bits` is not
        an ndarray of the right dtype. Nothing is written.
    ValueError
        If `out` or `bits` is read-only, of another shape or not in C order, or if they
        overlap in a way that does not work. Nothing is written.

    See Also
    --------
    relu_grad_bits : the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from relu_ext import relu_bits, relu_grad_bits
    >>> y, bits = relu_bits(np.array([-1., 2., 0., np.nan]))
    >>> y, bits
    (array([ 0.,  2.,  0., nan]), array([10], dtype=uint8))
    >>> relu_grad_bits(np.ones(4), bits)
    array([0., 1., 0., 1.])
    """
    given, x = x, _in_c_order(x, "x")
    size = (x.size + 7) // 8
    target = None if out is None else _check_out(out, given, x, "x")
    if bits is None:
        bits = empty(size, uint8)
    else:
        _check_bits(bits, size, "x")
        _check_writeable(bits, "bits")
    y = _run(x, bits, target, False)
    return (y if out is None else out), bits


def relu_grad_bits(dy, bits, out=None):
    """Gradient of ReLU from the bits that `relu_bits` kept.

    Parameters
    ----------
    dy : array_like
        The gradient that arrives: of the shape of the input of `relu_bits`, and any
        dtype that it takes. Copied first where it is not in C order.
    bits : ndarray of uint8
        Of shape ``((dy.size + 7) // 8,)``. Bits past the last element may have any
        value.
    out : ndarray or any object over writable memory of the CPU, optional
        Where to write, as for `relu_`: of the shape and dtype of `dy`, in C order and in
        this machine's byte order; `dy` itself for in place.

    Returns
    -------
    ndarray
        `dy`, bit for bit, where the bit is 1, else +0.0: what `relu_grad` gives.

    Raises
    ------
    TypeError
        For other dtypes, for masked, lazy and sparse arrays, and if `out` or `bits` is not
        an ndarray of the right dtype. Nothing is written.
    ValueError
        If `bits` is of another shape, or `out` is read-only, of another shape, not in C
        order or overlaps the bits. Nothing is written.

    See Also
    --------
    relu_bits : the forward pass, with an example.
    """
    given, dy = dy, _in_c_order(dy, "dy")
    _check_bits(bits, (dy.size + 7) // 8, "dy")
    target = None if out is None else _check_out(out, given, dy, "dy")
    dx = _run(dy, bits, target, True)
    return dx if out is None else out


def _in_c_order(x, name):
    x = as_array(x, name)
    if x.flags.c_contiguous and x.dtype.isnative:
        return x
    return x.astype(x.dtype.newbyteorder("="), order="C")


def _check_out(out, given, array, name):
    in_place = out is given
    out = as_out(out)
    if not out.dtype.isnative:
        what = f"in place, {name} must be" if in_place else "out must be"
        raise TypeError(f"{what} in this machine's byte order; omit out for a new array")
    if out.dtype != array.dtype:
        raise TypeError(f"out has dtype {out.dtype}; it must be that of {name}, {array.dtype}")
    if out.shape != array.shape:
        raise ValueError(f"out has shape {out.shape}; it must be that of {name}, {array.shape}")
    if not out.flags.c_contiguous:
        what = f"in place, {name} must be" if in_place else "out must be"
        raise ValueError(f"{what} in C order, without gaps; omit out for a new array")
    _check_writeable(out, "out")
    return out


def _check_bits(bits, size, name):
    if type(bits) is not ndarray:
        refuse_mask(bits, "bits")
        if not isinstance(bits, np.ndarray):
            raise TypeError(f"bits must be an ndarray of uint8, not {type(bits).__name__}")
        bits = np.asarray(bits)
    if bits.dtype != uint8:
        raise TypeError(f"bits must be an ndarray of uint8, not {bits.dtype}")
    if bits.shape != (size,):
        raise ValueError(
            f"bits has shape {bits.shape}; it must be ({size},), one bit for each element of {name}"
        )
    if not bits.flags.c_contiguous:
        raise ValueError("bits must be in C order, without gaps: pass np.ascontiguousarray(bits)")


def _check_writeable(array, name):
    if not array.flags.writeable:
        raise ValueError(f"{name} is read-only; it must be writeable")
