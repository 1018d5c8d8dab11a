"""Numba calls `register` by itself, through the entry point ``numba_extensions``."""

import numpy as np


def register():
    """Let compiled functions call what ``relu_ext.lib`` has, use ``relu_ext.ffi``, and `relu`."""
    from numba.core import types
    from numba.core.errors import TypingError
    from numba.core.typing import cffi_utils
    from numba.core.typing.templates import infer_global
    from numba.core.typing.templates import make_overload_template as make_template

    from relu_ext import _relu_ext, ffi, lib, relu

    cffi_utils.register_module(_relu_ext)

    # The overload is this function's, and the ufunc is made to mean it: calls of a ufunc, by
    # its type, Numba would take apart into calls for one element each.
    def relu_of_arrays(x, out=None):
        return relu(x, out)

    kernels = {types.float32: lib.relu_f32, types.float64: lib.relu_f64}
    for bits in (8, 16, 32, 64):
        kernels[getattr(types, f"int{bits}")] = getattr(lib, f"relu_i{bits}")
        kernels[getattr(types, f"uint{bits}")] = getattr(lib, f"relu_u{bits}")

    def compiled(x, out=None):
        if not isinstance(x, types.Array) or x.dtype not in kernels:
            raise TypingError(
                f"relu's x is {x}: in a compiled function it must be an array of float32, float64 "
                "or integers. Pass np.array([x]) for a number, and x.view(np.uint16) to "
                "relu_ext.lib.relu_f16 for float16"
            )
        kernel = kernels[x.dtype]

        if out is None or isinstance(out, types.NoneType | types.Omitted):
            if x.layout == "C":

                def new(x, out=None):
                    y = np.empty_like(x)
                    kernel(ffi.from_buffer(x), ffi.from_buffer(y), x.size)
                    return y
            elif x.layout == "F":

                def new(x, out=None):
                    return relu(x.T).T
            else:

                def new(x, out=None):
                    y = x.copy()
                    kernel(ffi.from_buffer(y), ffi.from_buffer(y), y.size)
                    return y

            return new

        if not isinstance(out, types.Array) or (out.dtype, out.ndim) != (x.dtype, x.ndim):
            raise TypingError(f"relu's out is {out}: it must be an array of x's type, {x}, or None")
        if not out.mutable:
            raise TypingError(f"relu's out is {out}: it must be writable")

        if x.layout == out.layout == "C":

            def into(x, out=None):
                if x.shape != out.shape:
                    raise ValueError("relu's out must have the shape of x")
                # The kernel works in place or on memory apart, but not with an overlap.
                start, to = x.ctypes.data, out.ctypes.data
                if start == to or start + x.nbytes <= to or to + out.nbytes <= start:
                    kernel(ffi.from_buffer(x), ffi.from_buffer(out), x.size)
                else:
                    out[...] = relu(x)
                return out
        elif x.layout == out.layout == "F":

            def into(x, out=None):
                relu(x.T, out.T)
                return out
        else:

            def into(x, out=None):
                if x.shape != out.shape:
                    raise ValueError("relu's out must have the shape of x")
                out[...] = relu(x)
                return out

        return into

    options = {"nopython": True, "no_cpython_wrapper": True}
    template = make_template(relu_of_arrays, compiled, options, True, "never")
    infer_global(relu, types.Function(template))
