from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, SupportsIndex, TypeVar, overload

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer, CapsuleType

from relu_ext._output_cache import OutputCache as _OutputCache
from relu_ext._relu_ext import ffi as ffi
from relu_ext._relu_ext import lib as lib

__all__ = [
    "_C_API",
    "activity",
    "add_relu",
    "available_isas",
    "clipped_relu",
    "clipped_relu_grad",
    "dead_units",
    "ffi",
    "get_include",
    "get_num_threads",
    "get_output_cache",
    "get_sources",
    "isa",
    "leaky_relu",
    "leaky_relu_grad",
    "lib",
    "num_threads",
    "prelu",
    "prelu_slope_grad",
    "relu",
    "relu_",
    "relu_bits",
    "relu_grad",
    "relu_grad_",
    "relu_grad_bits",
    "scale_shift",
    "scale_shift_relu",
    "set_num_threads",
    "set_output_cache",
    "sparsity",
]
__version__: str
_C_API: CapsuleType
__pyx_capi__: dict[str, CapsuleType]

class _DLPack(Protocol):
    def __dlpack__(self) -> Any: ...
    def __dlpack_device__(self) -> tuple[Any, Any]: ...

class _ArrayInterface(Protocol):
    @property
    def __array_interface__(self) -> dict[str, Any]: ...

class _ArrayUfunc(Protocol):
    @property
    def __array_ufunc__(self) -> Callable[..., Any]: ...

# That the memory is writable, has a type and is the CPU's shows at run time.
_T = TypeVar("_T", bound=Buffer | _DLPack | _ArrayInterface | _ArrayUfunc)

relu: np.ufunc
relu_grad: np.ufunc
leaky_relu: np.ufunc
leaky_relu_grad: np.ufunc
clipped_relu: np.ufunc
clipped_relu_grad: np.ufunc
add_relu: np.ufunc

def relu_(x: _T) -> _T: ...
def relu_grad_(dy: _T, x: npt.ArrayLike | _DLPack | _ArrayInterface | _ArrayUfunc) -> _T: ...
@overload
def prelu(
    x: npt.ArrayLike, slope: npt.ArrayLike, axis: SupportsIndex = 1, out: None = None
) -> npt.NDArray[Any]: ...
@overload
def prelu(x: npt.ArrayLike, slope: npt.ArrayLike, axis: SupportsIndex = 1, *, out: _T) -> _T: ...
def prelu_slope_grad(
    dy: npt.ArrayLike, x: npt.ArrayLike, axis: SupportsIndex | None = 1
) -> Any: ...

# The pictures of a batch, and where a result goes.
_Arrays = npt.ArrayLike | Sequence[npt.ArrayLike] | _DLPack | _ArrayInterface

@overload
def scale_shift(
    x: _Arrays,
    scale: npt.ArrayLike,
    shift: npt.ArrayLike,
    *,
    axis: SupportsIndex = -1,
    out_axis: SupportsIndex | None = None,
    out: None = None,
    dtype: npt.DTypeLike | None = None,
) -> npt.NDArray[Any]: ...
@overload
def scale_shift(
    x: _Arrays,
    scale: npt.ArrayLike,
    shift: npt.ArrayLike,
    *,
    axis: SupportsIndex = -1,
    out_axis: SupportsIndex | None = None,
    out: _T,
    dtype: npt.DTypeLike | None = None,
) -> _T: ...
@overload
def scale_shift_relu(
    x: _Arrays,
    scale: npt.ArrayLike,
    shift: npt.ArrayLike,
    *,
    axis: SupportsIndex = -1,
    out_axis: SupportsIndex | None = None,
    out: None = None,
    dtype: npt.DTypeLike | None = None,
) -> npt.NDArray[Any]: ...
@overload
def scale_shift_relu(
    x: _Arrays,
    scale: npt.ArrayLike,
    shift: npt.ArrayLike,
    *,
    axis: SupportsIndex = -1,
    out_axis: SupportsIndex | None = None,
    out: _T,
    dtype: npt.DTypeLike | None = None,
) -> _T: ...
@overload
def relu_bits(
    x: npt.ArrayLike, out: None = None, bits: npt.NDArray[np.uint8] | None = None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]: ...
@overload
def relu_bits(
    x: npt.ArrayLike, out: _T, bits: npt.NDArray[np.uint8] | None = None
) -> tuple[_T, npt.NDArray[np.uint8]]: ...
@overload
def relu_grad_bits(
    dy: npt.ArrayLike, bits: npt.NDArray[np.uint8], out: None = None
) -> npt.NDArray[Any]: ...
@overload
def relu_grad_bits(dy: npt.ArrayLike, bits: npt.NDArray[np.uint8], out: _T) -> _T: ...
def sparsity(y: npt.ArrayLike) -> float: ...
def activity(
    y: npt.ArrayLike, axis: SupportsIndex | tuple[SupportsIndex, ...] | None = 0
) -> Any: ...
def dead_units(
    y: npt.ArrayLike, axis: SupportsIndex | tuple[SupportsIndex, ...] | None = 0
) -> Any: ...
def isa() -> str: ...
def available_isas() -> tuple[str, ...]: ...
def get_num_threads() -> int: ...
def set_num_threads(n: SupportsIndex) -> None: ...
@contextmanager
def num_threads(n: SupportsIndex) -> Iterator[None]: ...
def get_output_cache() -> _OutputCache: ...
def set_output_cache(nbytes: SupportsIndex | str) -> None: ...
def get_include() -> str: ...
def get_sources() -> list[str]: ...
