"""
Run C functions on buffers that begin or end at pages which fault on any access.

    python fences.py ISA FUNCTION...

Names each function before it runs, so that the last name is that of one which touched
anything outside.
"""

import ctypes
import mmap
import sys

from relu_ext import ffi, lib

PAGE = mmap.PAGESIZE


def fenced_page():
    """A page whose neighbours fault: its address, and the memory to keep alive."""
    memory = mmap.mmap(-1, 3 * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None)
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for fence in (start, start + 2 * PAGE):
        assert libc.mprotect(fence, PAGE, 0) == 0
    return start + PAGE, memory


def run(function, pages):
    *kinds, _ = ffi.typeof(function).args
    size = ffi.sizeof(kinds[0].item)
    for n in (*range(200), PAGE // size):
        for start in (0, PAGE - n * size):
            pointers = iter(page + start for page, _ in pages)
            arguments = (
                ffi.cast(kind, next(pointers)) if kind.kind == "pointer" else 1 for kind in kinds
            )
            function(*arguments, n)


def main(isa, *names):
    assert lib.relu_ext_use_isa(isa.encode()) == 0
    pages = [fenced_page() for _ in range(4)]
    for name in names:
        print(name, flush=True)
        run(getattr(lib, name), pages)


if __name__ == "__main__":
    main(*sys.argv[1:])
