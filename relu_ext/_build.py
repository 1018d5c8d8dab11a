"""
Builds the extension module ``relu_ext._relu_ext``; setup.py names this file to cffi.

Other cffi builders can include it, from an installed package too::

    from relu_ext._build import ffibuilder as relu_ext_builder
    ffibuilder.include(relu_ext_builder)
"""

import os
import re
import sysconfig
from pathlib import Path

import cffi
import numpy

HERE = Path(__file__).parent
# The first in an installed package, the second while it is being built.
HEADERS = (HERE / "include" / "relu_ext.h", HERE.parent / "csrc" / "relu_ext.h")
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


# What the interpreter was built for: the kernel's name of the machine says x86_64 to 32-bit
# processes, too.
X86_32 = re.match(r"i[3-6]86-", sysconfig.get_config_var("HOST_GNU_TYPE") or "")
# By default compilers calculate with the x87 there, which rounds twice.
SSE = ["-msse2", "-mfpmath=sse"]


def prototypes():
    """The part of relu_ext.h that cffi can read."""
    text = next(path for path in HEADERS if path.exists()).read_text(encoding="utf-8")
    marked = re.search(r"/\* \[prototypes\] \*/(.*)/\* \[end of prototypes\] \*/", text, re.DOTALL)
    return marked[1].replace("RELU_EXT_API ", "")


ffibuilder = cffi.FFI()
ffibuilder.cdef(prototypes())
# What only this package needs; the headers in csrc/python/ describe it.
ffibuilder.cdef("""
    void *relu_ext_register(int fast, void *docs);
    int relu_ext_add_type(int type_num, const char *dtype);
    int relu_ext_fast_calls(void);
    int relu_ext_get_num_threads(void);
    int relu_ext_get_num_threads_asked(void);
    void relu_ext_set_num_threads(int n);
    void relu_ext_set_most_threads(int cpus, int limit);
    void relu_ext_get_helpers(int *helpers, size_t *parts);
    size_t relu_ext_get_parallel_bytes(void);
    void relu_ext_set_parallel_bytes(size_t bytes);
    void relu_ext_set_output_cache(size_t limit);
    void relu_ext_get_output_cache(size_t *limit, size_t *held, size_t *hits, size_t *misses);
""")
ffibuilder.set_source(
    "relu_ext._relu_ext",
    """
    #include "relu_ext.h"
    #include "python/fast_call.h"
    #include "python/module.h"
    #include "python/output_cache.h"
    #include "python/threads.h"
    """,
    sources=["csrc/relu_ext.c", *(str(path) for path in sorted(Path("csrc/python").glob("*.c")))],
    depends=[str(path) for path in sorted(Path("csrc").rglob("*.h"))],
    include_dirs=["csrc", numpy.get_include()],
    # The binding's files share what internal.h declares.
    define_macros=[("RELU_EXT_INTERNAL", "extern")]
    # One binary for every CPython from 3.10 on. NumPy's headers need the version
    # spelled out.
    + ([] if FREE_THREADED else [("Py_LIMITED_API", "0x030A0000")]),
    # Before 3.15 free-threaded builds have no limited API. From there on cffi asks for theirs,
    # abi3t, which NumPy's headers do not know before 2.5.
    **({"py_limited_api": False, "undef_macros": ["Py_TARGET_ABI3T"]} if FREE_THREADED else {}),
    # GCC 12 leaves most of the kernels scalar at -O2.
    extra_compile_args=(
        ["/std:c11", "/experimental:c11atomics"]
        if os.name == "nt"
        else ["-O3", "-fvisibility=hidden", "-pthread", *(SSE if X86_32 else [])]
    ),
    extra_link_args=[] if os.name == "nt" else ["-pthread"],
)
