"""ReLU and its gradient on NumPy buffers, at the speed of the memory.

The functions are NumPy ufuncs: they broadcast, take ``out=``, ``where=`` and
``dtype=``, and accept any strides. ``lib`` and ``ffi`` are the same kernels for
callers who bring raw pointers; their contract is the header ``relu_ext.h``.
"""

from relu_ext._bits import relu_bits, relu_grad_bits
from relu_ext._core import (
    _C_API,
    __pyx_capi__,  # noqa: F401, which Cython, SciPy and Numba look for here
    add_relu,
    available_isas,
    clipped_relu,
    clipped_relu_grad,
    ffi,
    isa,
    leaky_relu,
    leaky_relu_grad,
    lib,
    relu,
    relu_grad,
)
from relu_ext._counts import activity, dead_units, sparsity
from relu_ext._embed import get_include, get_sources
from relu_ext._inplace import relu_, relu_grad_
from relu_ext._output_cache import get_output_cache, set_output_cache
from relu_ext._prelu import prelu, prelu_slope_grad
from relu_ext._scale_shift import scale_shift, scale_shift_relu
from relu_ext._threads import get_num_threads, num_threads, set_num_threads

__all__ = [
    "_C_API",
    "activity",
    "add_relu",
    "available_isas",
    "clipped_relu",
    "clipped_relu_grad",
    "dead_units",
    "ffi",
    "get_include",
    "get_num_threads",
    "get_output_cache",
    "get_sources",
    "isa",
    "leaky_relu",
    "leaky_relu_grad",
    "lib",
    "num_threads",
    "prelu",
    "prelu_slope_grad",
    "relu",
    "relu_",
    "relu_bits",
    "relu_grad",
    "relu_grad_",
    "relu_grad_bits",
    "scale_shift",
    "scale_shift_relu",
    "set_num_threads",
    "set_output_cache",
    "sparsity",
]
__version__ = "0.1.0"
