"""The kernels called by cffi and by ctypes, on the memory of C-ordered float32 arrays."""

import ctypes

from relu_ext import ffi, lib


def relu_by_cffi(x, y):
    # "float[]" is a promise: nobody asks the array for its dtype. lib releases the GIL.
    source = ffi.from_buffer("float[]", x)
    target = ffi.from_buffer("float[]", y, require_writable=True)
    lib.relu_f32(source, target, x.size)


# A kernel's address as a number: for ctypes, or whoever else calls C functions by address.
ADDRESS = int(ffi.cast("intptr_t", ffi.addressof(lib, "relu_f32")))
PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
relu_f32 = PROTOTYPE(ADDRESS)


def relu_by_ctypes(x, y):
    relu_f32(x.ctypes.data, y.ctypes.data, x.size)
