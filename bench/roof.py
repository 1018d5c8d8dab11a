"""Compiles roof.c for this machine and loads it."""

import contextlib
import importlib.util
import io
import re
import tempfile
from pathlib import Path

import cffi
from cffi import VerificationError

_SOURCE = Path(__file__).with_name("roof.c").read_text(encoding="utf-8")
_PROTOTYPES = re.findall(r"^[a-z][\w *]*\broof_\w+\([^)]*\)", _SOURCE, re.MULTILINE)

ffi = None
lib = None


def build():
    """Compile and load; returns whether it worked."""
    global ffi, lib
    for openmp in (["-fopenmp"], []):
        builder = cffi.FFI()
        builder.cdef("".join(f"{prototype};\n" for prototype in sorted(set(_PROTOTYPES))))
        builder.set_source(
            "_roof", _SOURCE, extra_compile_args=["-O3", *openmp], extra_link_args=openmp
        )
        try:
            with tempfile.TemporaryDirectory() as folder, _quiet():
                module = _load(builder.compile(tmpdir=folder))
        except (VerificationError, OSError):
            continue
        ffi, lib = module.ffi, module.lib
        return True
    return False


def _load(path):
    spec = importlib.util.spec_from_file_location("_roof", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _quiet():
    """setuptools reports each step; a failed one still raises."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def pointer(array):
    return ffi.cast("void *", array.ctypes.data)


def flush(arrays):
    """Write the arrays back to memory and drop them from every cache."""
    for array in arrays:
        lib.roof_flush(pointer(array), array.nbytes)


def can_flush():
    return lib is not None and bool(lib.roof_flush(ffi.NULL, 0))
