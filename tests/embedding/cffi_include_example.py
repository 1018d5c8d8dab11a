"""
Builds cffi_rows, a cffi module of one's own that includes relu_ext's.

    $ python cffi_include_example.py

Its `ffi` shares relu_ext's types, and its `lib` has relu_ext's functions besides its own.
"""

import cffi

import relu_ext
from relu_ext._build import ffibuilder as relu_ext_builder

ffibuilder = cffi.FFI()
ffibuilder.include(relu_ext_builder)
ffibuilder.cdef("void relu_rows(float *x, size_t rows, size_t columns, size_t stride);")
ffibuilder.set_source(
    "cffi_rows",
    # What is included is there for Python. C code that calls a kernel compiles it in,
    # static so that nothing of it shows outside.
    """
    #define RELU_EXT_STATIC
    #include "relu_ext.c"

    static void relu_rows(float *x, size_t rows, size_t columns, size_t stride)
    {
        for (size_t i = 0; i < rows; i++)
            relu_f32(x + i * stride, x + i * stride, columns);
    }
    """,
    include_dirs=[relu_ext.get_include()],
    extra_compile_args=["-O3"],
)

if __name__ == "__main__":
    ffibuilder.compile()
