"""Builds the extension module ``relu_ext._relu_ext``; setup.py names this file to cffi."""

import os
import re
import sysconfig
from pathlib import Path

import cffi
import numpy

with open("csrc/relu_ext.h", encoding="utf-8") as header:
    prototypes = re.search(
        r"/\* \[prototypes\] \*/(.*)/\* \[end of prototypes\] \*/", header.read(), re.DOTALL
    )

ffibuilder = cffi.FFI()
ffibuilder.cdef(prototypes[1].replace("RELU_EXT_API ", ""))
ffibuilder.cdef("int relu_ext_register(void *dict);")
ffibuilder.set_source(
    "relu_ext._relu_ext",
    '#include "relu_ext.h"\n#include "ufuncs.h"\n',
    sources=["csrc/relu_ext.c", "csrc/ufuncs.c"],
    depends=[str(path) for path in Path("csrc").glob("*.h")],
    include_dirs=["csrc", numpy.get_include()],
    # One binary for every CPython from 3.10 on. NumPy's headers need the version
    # spelled out; free-threaded builds have no limited API.
    define_macros=(
        [] if sysconfig.get_config_var("Py_GIL_DISABLED") else [("Py_LIMITED_API", "0x030A0000")]
    ),
    # GCC 12 leaves most of the kernels scalar at -O2.
    extra_compile_args=["-O3", "-fvisibility=hidden"] if os.name != "nt" else ["/std:c11"],
)
