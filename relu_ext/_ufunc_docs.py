"""The ufuncs' docstrings, in numpydoc's format; NumPy puts the signature in front."""

_KWARGS = """\
**kwargs
    ``where``, ``dtype``, ``casting``, ... as for any ufunc, see
    :ref:`ufuncs.kwargs`."""


def _out(operand):
    return f"""\
out : ndarray or any object over writable memory of the CPU, optional
    Where to write, as for `relu_`; {operand} itself for in place.
{_KWARGS}"""


def _raises(other_dtypes=""):
    return f"""\
Raises
------
TypeError
    For complex, datetime, timedelta, object and string dtypes{other_dtypes}.
ValueError
    If the shapes do not broadcast, or `out` is read-only or of another shape."""


DOCS = {
    "relu": f"""\
Rectified linear unit, ``max(x, 0)`` element by element.

Parameters
----------
x : array_like
    Any shape; bool, an integer type, float16, float32, float64 or longdouble.
out : ndarray or any object over writable memory of the CPU, optional
    Where to write, as for `relu_`: of the shape that `x` broadcasts to; `x` itself for
    in place. A new array costs more than the arithmetic: pass `out` where speed counts.
{_KWARGS}

Returns
-------
ndarray or scalar
    Shape and dtype of `x`. +0.0 for every float that is zero or less, including
    -0.0 and -inf; every other float, including subnormals and NaNs (quiet,
    signalling, either sign), is kept bit for bit. Unsigned integers and bools
    are kept.

Raises
------
TypeError
    For complex, datetime, timedelta, object and string dtypes.
ValueError
    If `out` is read-only or of another shape.

See Also
--------
relu_ : in place.
relu_grad : the gradient.

Notes
-----
The bits are the same on every machine. No floating-point flag is raised, so
there is no RuntimeWarning.

Examples
--------
>>> import numpy as np
>>> from relu_ext import relu
>>> relu(np.array([-1.5, -0.0, 2.5, np.nan]))
array([0. , 0. , 2.5, nan])
>>> y = np.empty(3, np.float32)
>>> relu(np.array([-1, 0, 1], np.float32), out=y)
array([0., 0., 1.], dtype=float32)
""",
    "relu_grad": f"""\
Gradient of the rectified linear unit: `dy` where ``x > 0``, else 0.

Parameters
----------
dy : array_like
    The gradient that arrives at the output of `relu`; float16, float32, float64
    or longdouble.
x : array_like
    What went into `relu`, or what came out of it: the result is the same, so
    the forward pass may run in place. Broadcasts with `dy`.
{_out("`dy`")}

Returns
-------
ndarray or scalar
    `dy`, bit for bit, where `x` is greater than 0 or is a NaN; else +0.0. The
    gradient at 0 is 0. Operands of different dtypes are cast as NumPy casts them,
    integers to the float that holds them.

{_raises()}

See Also
--------
relu_grad_ : in place.
relu : the function whose gradient this is.

Examples
--------
>>> import numpy as np
>>> from relu_ext import relu_grad
>>> relu_grad(np.array([1., 2., 3.]), np.array([-1., 0., 4.]))
array([0., 0., 3.])
""",
    "leaky_relu": f"""\
Leaky rectified linear unit: `x` where ``x > 0``, else ``slope * x``.

Parameters
----------
x : array_like
    Any shape; float16, float32, float64, or ml_dtypes' bfloat16.
slope : array_like
    Usually one number; broadcasts with `x`, so that it may be one for each
    channel or element (PReLU), see `prelu`.
{_out("`x`")}

Returns
-------
ndarray or scalar
    `x`, bit for bit, where it is greater than 0 or a NaN, else the product,
    rounded once. A product that is a NaN (0 times infinity, a NaN in `slope`)
    is the positive quiet one. Integers are cast to the float that holds them.

{_raises(", and longdouble")}

See Also
--------
leaky_relu_grad : the gradient.
prelu : a slope for each channel.

Notes
-----
The bits are the same on every machine and in every floating-point mode, and
there is no RuntimeWarning. Maas, Hannun, Ng, "Rectifier nonlinearities improve
neural network acoustic models", 2013.

Examples
--------
>>> import numpy as np
>>> from relu_ext import leaky_relu
>>> leaky_relu(np.array([-2., -0.5, 3.]), 0.1)
array([-0.2 , -0.05,  3.  ])
""",
    "leaky_relu_grad": f"""\
Gradient of `leaky_relu`: `dy` where ``x > 0``, else ``slope * dy``.

Parameters
----------
dy : array_like
    The gradient that arrives at the output; float16, float32, float64, or
    ml_dtypes' bfloat16.
x : array_like
    What went into `leaky_relu`, or, if `slope` is finite and greater than 0,
    what came out of it.
slope : array_like
    As for `leaky_relu`. All three broadcast.
{_out("`dy`")}

Returns
-------
ndarray or scalar
    `dy`, bit for bit, where `x` is greater than 0 or a NaN, else the product,
    rounded once; at 0 it is ``slope * dy``. NaNs as for `leaky_relu`.

{_raises(", and longdouble")}

See Also
--------
leaky_relu : the function whose gradient this is.
prelu_slope_grad : the gradient of the slope.

Examples
--------
>>> import numpy as np
>>> from relu_ext import leaky_relu_grad
>>> leaky_relu_grad(np.ones(3), np.array([-1., 0., 4.]), 0.1)
array([0.1, 0.1, 1. ])
""",
    "clipped_relu": f"""\
Clipped rectified linear unit, ``min(max(x, 0), ceiling)``; ReLU6 has ceiling 6.

Parameters
----------
x : array_like
    Any shape; the dtypes of `relu`.
ceiling : array_like
    Usually one number; broadcasts with `x`.
{_out("`x`")}

Returns
-------
ndarray or scalar
    A NaN in `x` is kept bit for bit; for any other `x`, a `ceiling` that is a NaN
    or less than 0 (or -0.0) is the result itself.

{_raises()}

See Also
--------
clipped_relu_grad : the gradient.

Notes
-----
The bits are the same on every machine, and there is no RuntimeWarning.

Examples
--------
>>> import numpy as np
>>> from relu_ext import clipped_relu
>>> clipped_relu(np.array([-1., 2., 8., np.nan]), 6)
array([ 0.,  2.,  6., nan])
""",
    "clipped_relu_grad": f"""\
Gradient of `clipped_relu`: `dy` where ``0 < x < ceiling``, else 0.

Parameters
----------
dy : array_like
    The gradient that arrives at the output; the dtypes of `relu_grad`.
x : array_like
    What went into `clipped_relu`, or, unless `ceiling` is a NaN, what came out.
ceiling : array_like
    As for `clipped_relu`. All three broadcast.
{_out("`dy`")}

Returns
-------
ndarray or scalar
    `dy`, bit for bit, where `x` is a NaN or strictly between 0 and `ceiling`,
    else +0.0: at 0 and at the ceiling it is 0.

{_raises()}

See Also
--------
clipped_relu : the function whose gradient this is.

Examples
--------
>>> import numpy as np
>>> from relu_ext import clipped_relu_grad
>>> clipped_relu_grad(np.ones(4), np.array([-1., 2., 6., 8.]), 6)
array([0., 1., 0., 0.])
""",
    "add_relu": f"""\
ReLU of a sum, ``max(a + b, 0)``, in one pass: residual connections and biases.

Parameters
----------
a, b : array_like
    Of shapes that broadcast; an integer type, float16, float32, float64, or
    ml_dtypes' bfloat16.
{_out("`a` or `b`")}

Returns
-------
ndarray or scalar
    The sum is rounded once, and integers wrap around, as in `numpy.add`; zero or
    less, including -0.0, becomes +0.0. A sum that is a NaN is the positive quiet
    one.

{_raises(", and longdouble")}

See Also
--------
relu_grad : called with the output, the gradient for `a` and for `b`.

Notes
-----
The bits are the same on every machine and in every floating-point mode, and
there is no RuntimeWarning.

Examples
--------
>>> import numpy as np
>>> from relu_ext import add_relu
>>> add_relu(np.array([-3., 1.]), np.array([1., 1.]))
array([0., 2.])
""",
}
