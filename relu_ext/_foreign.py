"""Memory that belongs to other libraries, as NumPy arrays over it, never copies."""

import ctypes
import struct
from array import ArrayType

import numpy as np

# What dlpack.h, version 1, declares.
_READ_ONLY, _COPIED = 1, 2
_HOST_DEVICES = (1, 3, 11, 13)  # CPU; CUDA's and ROCm's host memory, CUDA's managed memory
_KINDS = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}
_ML_DTYPES = {(4, 16): "bfloat16", (10, 8): "float8_e4m3fn", (12, 8): "float8_e5m2"}

# Owners of memory that cannot be had without saying of what type it is.
_TYPED = (ArrayType, ctypes.Array, ctypes._SimpleCData, np.ndarray)

# data; device's type and number, ndim; dtype's code and bits, lanes; shape, strides; byte_offset
_TENSOR = struct.Struct("P3i2BH2PQ")
# What comes before it since version 1: major and minor; manager_ctx, deleter; flags
_VERSION = struct.Struct("2I2PQ")

# Not ctypes.pythonapi's own functions, whose types any other module may set.
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)


class _Memory:
    """What NumPy makes an array of; the array keeps it, and it keeps the owner's capsule."""

    def __init__(self, capsule, interface):
        self.capsule = capsule
        self.__array_interface__ = interface


def overwritable(x, name, instead):
    """An array over the memory of `x`, for a function that overwrites it.

    Parameters
    ----------
    x : object
        With a buffer, DLPack or ``__array_interface__``. One that has
        ``__array_ufunc__`` is returned itself, to be asked by the ufunc.
    name, instead : str
        The argument's name and the call that needs nothing to overwrite, for errors.

    Raises
    ------
    TypeError, ValueError
        If there is no such memory, or it has no type, is not the CPU's or must not
        be written.
    """
    # NumPy's scalars have a buffer, read-only, but are no memory to anybody.
    if hasattr(x, "__array_ufunc__") or isinstance(x, np.generic):
        return x
    view, array = _buffer(x), None
    try:
        if view is not None and _is_typed(view, x):
            array = np.asarray(view, copy=False)
        elif hasattr(x, "__dlpack__"):
            array = _from_dlpack(x, name, write=True)
        elif hasattr(x, "__array_interface__"):
            array = np.asarray(x, copy=False)
    except (AttributeError, BufferError, RuntimeError, ValueError) as error:
        raise ValueError(f"{name} is {kind(x)} that cannot be used: {error}") from error
    if array is None and view is not None:
        copy = ".copy()" if view.readonly else ""
        raise TypeError(
            f"{name} is {kind(x)}, which does not say what its bytes are; pass "
            f"np.frombuffer({name}, dtype){copy}, with the dtype of the numbers that they make"
        )
    if array is None:
        raise TypeError(
            f"{name} is {kind(x)}, which gives no access to its memory (a writable "
            f"buffer, DLPack or __array_interface__), so it cannot be overwritten; use "
            f"{instead} for a new array"
        )
    if any(step == 0 and n > 1 for step, n in zip(array.strides, array.shape, strict=True)):
        raise ValueError(
            f"{name} has several elements in the same place in memory; pass a copy of it, or use "
            f"{instead} for a new array"
        )
    return array


def kind(x):
    """What an object is, with its article."""
    name = type(x).__name__
    article = "an" if name.lower().startswith(("a", "e", "i", "o")) else "a"
    return "None" if x is None else f"{article} {name}"


def readable(x):
    """`x`, or an array over its memory if it needs our help to become one."""
    if hasattr(x, "__array_ufunc__") or not hasattr(x, "__dlpack__"):
        return x
    try:
        return _from_dlpack(x, "x", write=False)
    except (AttributeError, BufferError, RuntimeError, ValueError) as error:
        raise ValueError(f"x is {kind(x)} that cannot be used: {error}") from error


def _buffer(x):
    try:
        return memoryview(x)
    except (BufferError, TypeError, ValueError):
        return None


def _is_typed(view, x):
    """Whether the format says what the elements are, and not merely that there are bytes.

    Bytes of whatever have the formats of one byte: mostly 'B', with pyarrow 'b'. Those are
    believed where the owner of the memory has a type and says so itself, and 'b' where
    somebody cast a memoryview to it. A cast to 'B' is how one asks for the mere bytes.
    """
    kind = view.format[-1:]
    if kind not in ("", "b", "B", "c"):
        return True
    own = _buffer(view.obj)
    if own is None:
        return False
    if isinstance(view.obj, _TYPED) and view.format == own.format:
        return kind != "c"
    return isinstance(x, memoryview) and view.format == "b" != own.format


def _from_dlpack(x, name, write):
    # PyTorch's mark that the numbers are minus what the memory has; DLPack has none.
    if getattr(x, "is_neg", bool)():
        raise ValueError(f"it is the negative of what its memory holds: pass {name}.resolve_neg()")
    device = int(x.__dlpack_device__()[0])
    if device not in _HOST_DEVICES:
        raise ValueError(
            f"it is not in the CPU's memory (DLPack device type {device}): copy it there first"
        )
    try:
        capsule = x.__dlpack__(max_version=(1, 0))
    except TypeError:
        capsule = x.__dlpack__()
    if _is_valid(capsule, b"dltensor_versioned"):
        managed = _pointer(capsule, b"dltensor_versioned")
        major, minor, _, _, flags = _VERSION.unpack(ctypes.string_at(managed, _VERSION.size))
        if major != 1:
            raise ValueError(f"its version of DLPack must be 1, not {major}.{minor}")
        if write and flags & _COPIED:
            raise ValueError("it lends a copy of its memory, not the memory itself")
        writable = not flags & _READ_ONLY
        tensor = managed + _VERSION.size
    else:
        writable = not write or _looks_mutable(x)
        tensor = _pointer(capsule, b"dltensor")
    data, _, _, ndim, code, bits, lanes, shape, strides, byte_offset = _TENSOR.unpack(
        ctypes.string_at(tensor, _TENSOR.size)
    )

    added = _ML_DTYPES.get((code, bits))
    if lanes != 1 or bits % 8 or (code not in _KINDS and added is None):
        raise TypeError(
            f"{name} has a dtype that NumPy does not have (DLPack code {code}, {bits} bits, "
            f"{lanes} lanes)"
        )
    size, numbers = bits // 8, ctypes.c_int64 * ndim
    interface = {
        "version": 3,
        "typestr": f"={_KINDS.get(code, 'u')}{size}",
        "shape": tuple(numbers.from_address(shape)) if ndim else (),
        "strides": tuple(n * size for n in numbers.from_address(strides)) if strides else None,
        "data": (data + byte_offset, not writable),
    }
    array = np.asarray(_Memory(capsule, interface))
    if added is None:
        return array
    try:
        import ml_dtypes
    except ImportError:
        raise TypeError(
            f"{name} has dtype {added}, which NumPy has from ml_dtypes: pip install ml_dtypes"
        ) from None
    return array.view(getattr(ml_dtypes, added))


def _looks_mutable(x):
    """What capsules from before version 1 do not say: JAX's arrays, for one, never change."""
    if not hasattr(x, "__setitem__"):
        return False
    try:
        return np.asarray(x).flags.writeable
    except (RuntimeError, TypeError, ValueError):  # of a dtype that NumPy does not have
        return True
