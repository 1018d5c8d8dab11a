"""The compiled module, loaded and set up."""

import contextlib
import ctypes
import os

# The compiled module imports it, too, where a freezer of programs does not look.
import _cffi_backend  # noqa: F401
import numpy as np

from relu_ext._ufunc_docs import DOCS

try:
    from relu_ext._relu_ext import ffi, lib
except ModuleNotFoundError as _error:
    if _error.name != "relu_ext._relu_ext":
        raise
    _package = os.path.dirname(__file__)
    if not os.path.isdir(_package):
        raise ImportError(
            f"relu_ext cannot be imported from a zip file, {os.path.dirname(_package)}, as it has "
            "a compiled module: unpack the file, or run `pip install` on it if it is a wheel"
        ) from None
    raise ImportError(
        f"relu_ext is imported from the source tree {os.path.dirname(_package)}, which hides an "
        "installed one and is not built: leave that directory, or run `pip install -e .` in it"
    ) from None


def isa():
    """The instruction set whose kernels are in use.

    The best that this CPU can run, or the one that the environment variable
    ``RELU_EXT_ISA`` named when relu_ext was imported. The results are the same
    with every one.

    Returns
    -------
    str
        ``"avx512"``, ``"avx2"`` or ``"baseline"``: SSE2 on x86-64, NEON on
        AArch64, and elsewhere whatever the compiler targets.
    """
    return ffi.string(lib.relu_ext_isa()).decode()


def available_isas():
    """The instruction sets that this CPU can run.

    Returns
    -------
    tuple of str
        Best first; the last is always ``"baseline"``.
    """
    names = []
    while (name := lib.relu_ext_available_isa(len(names))) != ffi.NULL:
        names.append(ffi.string(name).decode())
    return tuple(names)


if (name := os.environ.get("RELU_EXT_ISA")) and lib.relu_ext_use_isa(os.fsencode(name)) != 0:
    raise ImportError(
        f"RELU_EXT_ISA={name!r} is not an instruction set that this CPU can run; "
        f"valid here: {', '.join(available_isas())}"
    )


def _with_gil(name, restype, *argtypes):
    """A function of `lib` that uses Python objects, for which cffi would release the GIL."""
    address = int(ffi.cast("intptr_t", ffi.addressof(lib, name)))
    return ctypes.PYFUNCTYPE(restype, *argtypes)(address)


_register = _with_gil("relu_ext_register", ctypes.py_object, ctypes.c_int, ctypes.py_object)
_add_type = _with_gil("relu_ext_add_type", ctypes.c_int, ctypes.c_int, ctypes.c_char_p)

if (fast := os.environ.get("RELU_EXT_FAST_CALL") or "1") not in ("0", "1"):
    raise ImportError(f"RELU_EXT_FAST_CALL={fast!r} must be 1, the default, or 0")

try:
    _registered: dict = _register(fast == "1", DOCS)
except Exception as error:
    raise ImportError(f"relu_ext cannot be imported here: {error}") from error
relu = _registered["relu"]
relu_grad = _registered["relu_grad"]
leaky_relu = _registered["leaky_relu"]
leaky_relu_grad = _registered["leaky_relu_grad"]
clipped_relu = _registered["clipped_relu"]
clipped_relu_grad = _registered["clipped_relu_grad"]
add_relu = _registered["add_relu"]
_C_API = _registered["_C_API"]
__pyx_capi__: dict = _registered["__pyx_capi__"]
bits = _registered["bits"]
convert = _registered["convert"]
count = _registered["count"]
scale_shift = _registered["scale_shift"]
slope_sums = _registered["slope_sums"]
xla_handlers: dict = _registered["xla_handlers"]

# Else pickle looks for them in every module there is, and may find them in a script's, which is
# no module to another process. NumPy's ufuncs have this attribute since 2.2.
with contextlib.suppress(AttributeError):
    for _ufunc in _registered.values():
        if isinstance(_ufunc, np.ufunc):
            _ufunc.__module__ = "relu_ext"

# The dtypes that ml_dtypes adds to NumPy, under our names for them; none if it is old or broken,
# or where a mock stands in for it, as it may where documentation is built.
try:
    import ml_dtypes
except Exception:
    ml_dtypes = None
for theirs, ours in (
    ("bfloat16", b"bf16"),
    ("float8_e5m2", b"f8e5m2"),
    ("float8_e4m3fn", b"f8e4m3fn"),
):
    added = getattr(ml_dtypes, theirs, None)
    if isinstance(added, type) and issubclass(added, np.generic):
        _add_type(np.dtype(added).num, ours)
