"""Memory that belongs to other libraries, as NumPy arrays over it, never copies."""

import ctypes
import mmap

import numpy as np

# What dlpack.h, version 1, declares.
_READ_ONLY, _COPIED = 1, 2
_HOST_DEVICES = (1, 3, 11, 13)  # CPU; CUDA's and ROCm's host memory, CUDA's managed memory
_KINDS = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}
_ML_DTYPES = {(4, 16): "bfloat16", (10, 8): "float8_e4m3fn", (12, 8): "float8_e5m2"}


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    ]


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.argtypes = [ctypes.py_object, ctypes.c_char_p]


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
    if isinstance(x, (bytes, bytearray, mmap.mmap)):
        raise TypeError(
            f"{name} is a {type(x).__name__}, which does not say what its bytes are; pass "
            f"memoryview({name}).cast('f'), or the format that it is"
        )
    try:
        array = _from_buffer(x)
        if array is None and hasattr(x, "__dlpack__"):
            array = _from_dlpack(x, name, write=True)
        if array is None and hasattr(x, "__array_interface__"):
            array = np.asarray(x, copy=False)
    except (AttributeError, BufferError, RuntimeError, ValueError) as error:
        raise ValueError(f"{name} is a {type(x).__name__} that cannot be used: {error}") from error
    if array is None:
        raise TypeError(
            f"{name} is a {type(x).__name__}, which gives no access to its memory (a writable "
            f"buffer, DLPack or __array_interface__), so it cannot be overwritten; use "
            f"{instead} for a new array"
        )
    if any(step == 0 and n > 1 for step, n in zip(array.strides, array.shape, strict=True)):
        raise ValueError(
            f"{name} has elements that are one and the same in memory; pass a copy of it, or use "
            f"{instead} for a new array"
        )
    return array


def readable(x):
    """`x`, or an array over its memory if it needs our help to become one."""
    if hasattr(x, "__array_ufunc__") or not hasattr(x, "__dlpack__"):
        return x
    try:
        return _from_dlpack(x, "x", write=False)
    except (AttributeError, BufferError, RuntimeError, ValueError) as error:
        raise ValueError(f"x is a {type(x).__name__} that cannot be used: {error}") from error


def _from_buffer(x):
    try:
        view = memoryview(x)
    except (BufferError, TypeError, ValueError):
        return None
    return np.asarray(view, copy=False)


def _from_dlpack(x, name, write):
    # PyTorch's mark that the numbers are minus what the memory has; DLPack has none.
    if getattr(x, "is_neg", bool)():
        raise ValueError(f"its negation is still to be done: pass {name}.resolve_neg()")
    device = int(x.__dlpack_device__()[0])
    if device not in _HOST_DEVICES:
        raise ValueError(
            f"its memory is not the CPU's (DLPack device type {device}): copy it there first"
        )
    try:
        capsule = x.__dlpack__(max_version=(1, 0))
    except TypeError:
        capsule = x.__dlpack__()
    versioned = _is_valid(capsule, b"dltensor_versioned")
    if versioned:
        managed = _Versioned.from_address(_pointer(capsule, b"dltensor_versioned"))
        if managed.major != 1:
            raise ValueError(f"it speaks DLPack {managed.major}.{managed.minor}, not 1")
        tensor = managed.tensor
        if write and managed.flags & _COPIED:
            raise ValueError("it gives a copy of its memory only")
        writable = not managed.flags & _READ_ONLY
    else:
        tensor = _Tensor.from_address(_pointer(capsule, b"dltensor"))
        writable = not write or _looks_mutable(x)

    kind, size = _KINDS.get(tensor.code, "u"), tensor.bits // 8
    added = _ML_DTYPES.get((tensor.code, tensor.bits))
    if tensor.lanes != 1 or tensor.bits % 8 or (tensor.code not in _KINDS and added is None):
        raise TypeError(
            f"{name} has a dtype that NumPy does not have (DLPack code {tensor.code}, "
            f"{tensor.bits} bits, {tensor.lanes} lanes)"
        )
    shape, strides = tensor.shape[: tensor.ndim], None
    if tensor.strides:
        strides = tuple(step * size for step in tensor.strides[: tensor.ndim])
    address = (tensor.data or 0) + tensor.byte_offset
    array = np.asarray(
        _Memory(
            capsule,
            {
                "version": 3,
                "typestr": f"={kind}{size}",
                "shape": tuple(shape),
                "strides": strides,
                "data": (address, not writable),
            },
        )
    )
    if added is None:
        return array
    try:
        import ml_dtypes
    except ImportError:
        raise TypeError(f"{name} has dtype {added}: `pip install ml_dtypes` adds it") from None
    return array.view(getattr(ml_dtypes, added))


def _looks_mutable(x):
    """What capsules from before version 1 do not say: JAX's arrays, for one, never change."""
    if not hasattr(x, "__setitem__"):
        return False
    try:
        return np.asarray(x).flags.writeable
    except (RuntimeError, TypeError, ValueError):  # of a dtype that NumPy does not have
        return True
