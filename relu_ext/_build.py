"""Builds the extension module ``relu_ext._relu_ext``; setup.py names this file to cffi."""

import os
import re
import sysconfig
import tempfile
from pathlib import Path

import cffi
import numpy
from setuptools._distutils.ccompiler import new_compiler
from setuptools._distutils.errors import CompileError, LinkError
from setuptools._distutils.sysconfig import customize_compiler

WINDOWS = os.name == "nt"


def prototypes(header):
    """The part of relu_ext.h that cffi can read."""
    text = Path(header).read_text(encoding="utf-8")
    marked = re.search(r"/\* \[prototypes\] \*/(.*)/\* \[end of prototypes\] \*/", text, re.DOTALL)
    return marked[1].replace("RELU_EXT_API ", "")


def openmp_flags():
    """What turns OpenMP on: nothing where it does not build, or RELU_EXT_OPENMP=0 asks so."""
    if os.environ.get("RELU_EXT_OPENMP") == "0":
        return []
    flags = ["/openmp"] if WINDOWS else ["-fopenmp"]
    compiler = new_compiler()
    customize_compiler(compiler)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
        try:
            objects = compiler.compile([str(source)], output_dir=folder, extra_postargs=flags)
            compiler.link_executable(
                objects, "probe", output_dir=folder, extra_postargs=[] if WINDOWS else flags
            )
        except (CompileError, LinkError):
            return []
    return flags


openmp = openmp_flags()

ffibuilder = cffi.FFI()
ffibuilder.cdef(prototypes("csrc/relu_ext.h"))
# What the package itself needs besides; the headers in csrc/ say what it is.
ffibuilder.cdef("""
    int relu_ext_register(void *dict, int fast);
    int relu_ext_fast_calls(void);
    int relu_ext_openmp(void);
    int relu_ext_get_num_threads(void);
    int relu_ext_get_num_threads_asked(void);
    void relu_ext_set_num_threads(int n);
    size_t relu_ext_get_parallel_bytes(void);
    void relu_ext_set_parallel_bytes(size_t bytes);
    size_t relu_ext_get_stream_bytes(void);
    void relu_ext_set_stream_bytes(size_t bytes);
    void relu_ext_set_pool_bytes(size_t bytes);
""")
ffibuilder.set_source(
    "relu_ext._relu_ext",
    """
    #include "relu_ext.h"
    #include "dispatch.h"
    #include "fast_call.h"
    #include "parallel.h"
    #include "pool.h"
    #include "ufuncs.h"
    """,
    sources=[f"csrc/{name}.c" for name in ("relu_ext", "parallel", "ufuncs", "fast_call", "pool")],
    depends=[str(path) for path in Path("csrc").glob("*.h")],
    include_dirs=["csrc", numpy.get_include()],
    # One binary for every CPython from 3.10 on. NumPy's headers need the version
    # spelled out; free-threaded builds have no limited API.
    define_macros=(
        [] if sysconfig.get_config_var("Py_GIL_DISABLED") else [("Py_LIMITED_API", "0x030A0000")]
    ),
    # GCC 12 leaves most of the kernels scalar at -O2.
    extra_compile_args=openmp
    + (
        ["/std:c11", "/experimental:c11atomics"] if WINDOWS else ["-O3", "-fvisibility=hidden"]
    ),
    extra_link_args=[] if WINDOWS else openmp,
)
