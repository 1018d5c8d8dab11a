"""
Run C functions and ufuncs on buffers that begin or end at pages which fault on any access.

    python tests/fences.py ISA [FUNCTION...]

FUNCTION is a C function, or a ufunc and a type as in `relu-f-float32`; without any, all there
are. The long way of large arrays, past the caches and over threads, is taken too, from
one byte on. Names each function before it runs, so that the last name is that of one which
touched anything outside; at the end, says how many calls there were.
"""

import contextlib
import ctypes
import mmap
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "3")

import arrays
import numpy as np
from arrays import ALL_TYPES
from test_kernels import KERNELS, exported_kernels

import relu_ext
from relu_ext import ffi, lib

PAGE = mmap.PAGESIZE
NEVER = sys.maxsize
PAGES = 4  # so that three threads have something each, and streaming several blocks

# The bytes from which an operation streams, and from which it is split.
PATHS = {"plain": (NEVER, NEVER), "streaming": (1, NEVER), "threads": (NEVER, 1), "both": (1, 1)}


def fenced(pages):
    """That many pages whose neighbours fault: their address, and the memory to keep alive."""
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None)
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for fence in (start, start + (pages + 1) * PAGE):
        assert libc.mprotect(fence, PAGE, 0) == 0
    return start + PAGE, memory


# Which argument has one bit an element.
BITS = {"relu_bits": 2, "relu_grad_bits": 1}


def run_kernel(name, buffers):
    function = getattr(lib, name)
    *kinds, _ = ffi.typeof(function).args
    size = ffi.sizeof(kinds[0].item)
    bits = BITS.get(name.rpartition("_")[0])
    calls = 0
    for n in (*range(200), PAGE // size):
        for at_end in (False, True):
            pages = iter(buffers)
            arguments = []
            for k, kind in enumerate(kinds):
                if kind.kind == "pointer":
                    length = (n + 7) // 8 if k == bits else n * size
                    start = next(pages)[0] + at_end * (PAGES * PAGE - length)
                    arguments.append(ffi.cast(kind, start))
                else:
                    arguments.append(1)  # a parameter
            function(*arguments, n)
            calls += 1
    return calls


def lengths(size):
    """Every one to several vectors, and those around which blocks and pages end."""
    short = range(4 * 64 // size + 2)
    whole = [1024 * k // size for k in (2, 3, 4)] + [PAGE * k // size for k in (1, 2, PAGES)]
    return sorted({*short, *(n + d for n in whole for d in (-1, 0, 1))})


def run_ufunc(ufunc, dtype, buffers):
    """Operands that begin and that end at a fence, whole, strided, backwards and in rows."""
    nbytes = PAGES * PAGE
    wholes = [
        np.frombuffer((ctypes.c_char * nbytes).from_address(page), np.uint8)
        for page, _ in buffers[: ufunc.nin + 1]
    ]
    for whole in wholes:
        whole[:] = 1  # positive in every type, and all that a bool may hold
    calls = 0
    for n in lengths(dtype.itemsize):
        if n * dtype.itemsize > nbytes:
            continue
        ends = [nbytes - n * dtype.itemsize, 0]
        # An offset from the end leaves the operand aligned to nothing but its own size.
        ends += [e for k in (1, 3) if (e := ends[0] - k * dtype.itemsize) > 0]
        for start in ends:
            *ins, out = (whole[start : start + n * dtype.itemsize].view(dtype) for whole in wholes)
            ufunc(*ins, out)
            ufunc(*ins, ins[0])
            calls += 2
            if n < 300:
                ufunc(*ins)
                ufunc(*(a[::-1] for a in ins), out=out[::-1])
                ufunc(*(a[::2] for a in ins), out=out[::2])
                ufunc(*ins, out=out, where=True)
                calls += 4
        # Rows, the last of which ends at the fence, while the gaps between them are not touched.
        if n > 1 and 5 * n * dtype.itemsize <= nbytes:
            for columns in (slice(None, n // 2), slice((n + 1) // 2, None)):
                for start in (0, nbytes - 5 * n * dtype.itemsize):
                    rows = slice(start, start + 5 * n * dtype.itemsize)
                    *ins, out = (
                        whole[rows].view(dtype).reshape(5, n)[:, columns] for whole in wholes
                    )
                    ufunc(*ins, out)
                    ufunc(*ins)
                    calls += 2
    return calls


ADDED = {"bf16": "bfloat16", "f8e5m2": "float8_e5m2", "f8e4m3fn": "float8_e4m3fn"}
UFUNCS = {}
for ufunc in arrays.UFUNCS:
    types = [np.dtype(signature[0]) for signature in ufunc.types if signature[0] in ALL_TYPES]
    with contextlib.suppress(ImportError):
        import ml_dtypes

        for ours, theirs in ADDED.items():
            if hasattr(lib, f"{ufunc.__name__}_{ours}"):
                types.append(np.dtype(getattr(ml_dtypes, theirs)))
    UFUNCS |= {f"{ufunc.__name__}-{dtype.char}-{dtype.name}": (ufunc, dtype) for dtype in types}


def main(isa, *names):
    assert lib.relu_ext_use_isa(isa.encode()) == 0
    relu_ext.set_num_threads(3)
    buffers = [fenced(PAGES) for _ in range(4)]
    calls = 0
    for name in names or (*map("_".join, KERNELS + exported_kernels(bits=True)), *UFUNCS):
        print(name, flush=True)
        for stream_bytes, parallel_bytes in PATHS.values():
            lib.relu_ext_set_stream_bytes(stream_bytes)
            lib.relu_ext_set_parallel_bytes(parallel_bytes)
            if name in UFUNCS:
                calls += run_ufunc(*UFUNCS[name], buffers)
            else:
                calls += run_kernel(name, buffers)
    print(f"{calls:,} calls with {isa}, nothing touched outside", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
