from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, SupportsIndex, TypeVar

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer, CapsuleType

from relu_ext._relu_ext import ffi as ffi
from relu_ext._relu_ext import lib as lib

__all__ = [
    "_C_API",
    "available_isas",
    "ffi",
    "get_include",
    "get_num_threads",
    "get_sources",
    "isa",
    "lib",
    "num_threads",
    "relu",
    "relu_",
    "relu_grad",
    "relu_grad_",
    "set_num_threads",
]
__version__: str
_C_API: CapsuleType

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

def relu_(x: _T) -> _T: ...
def relu_grad_(dy: _T, x: npt.ArrayLike | _DLPack | _ArrayInterface | _ArrayUfunc) -> _T: ...
def isa() -> str: ...
def available_isas() -> tuple[str, ...]: ...
def get_num_threads() -> int: ...
def set_num_threads(n: SupportsIndex) -> None: ...
@contextmanager
def num_threads(n: SupportsIndex) -> Iterator[None]: ...
def get_include() -> str: ...
def get_sources() -> list[str]: ...
