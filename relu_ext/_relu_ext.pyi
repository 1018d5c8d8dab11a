"""The compiled module: the C functions of relu_ext.h, and cffi to reach them.

What cffi's own classes have besides, ``types-cffi`` describes.
"""

from collections.abc import Callable
from typing import Any, type_check_only

@type_check_only
class _CData:
    """A C value or pointer."""

    def __int__(self) -> int: ...
    def __len__(self) -> int: ...
    def __add__(self, elements: int, /) -> _CData: ...
    def __getitem__(self, index: Any, /) -> Any: ...
    def __setitem__(self, index: Any, value: Any, /) -> None: ...

@type_check_only
class _FFI:
    NULL: _CData

    def addressof(self, of: _CData | _Lib, /, *fields: str | int) -> _CData: ...
    def buffer(self, cdata: _CData, size: int = ...) -> Any: ...
    def cast(self, cdecl: str, value: object, /) -> _CData: ...
    def from_buffer(
        self, cdecl: str, python_buffer: object, require_writable: bool = ...
    ) -> _CData: ...
    def new(self, cdecl: str, init: object = ...) -> _CData: ...
    def sizeof(self, cdecl: str | _CData, /) -> int: ...
    def string(self, cdata: _CData, maxlen: int = ...) -> bytes: ...
    def __getattr__(self, name: str, /) -> Any: ...

_Relu = Callable[[_CData, _CData, int], None]  # x, y, n
_ReluGrad = Callable[[_CData, _CData, _CData, int], None]  # dy, x, dx, n
_WithParameter = Callable[[_CData, Any, _CData, int], None]  # x, parameter, y, n
_GradWithParameter = Callable[[_CData, _CData, Any, _CData, int], None]  # dy, x, parameter, dx, n

@type_check_only
class _Lib:
    relu_i8: _Relu
    relu_i16: _Relu
    relu_i32: _Relu
    relu_i64: _Relu
    relu_u8: _Relu
    relu_u16: _Relu
    relu_u32: _Relu
    relu_u64: _Relu
    relu_f8e5m2: _Relu
    relu_f8e4m3fn: _Relu
    relu_f16: _Relu
    relu_bf16: _Relu
    relu_f32: _Relu
    relu_f64: _Relu
    relu_longdouble: _Relu

    relu_grad_f8e5m2: _ReluGrad
    relu_grad_f8e4m3fn: _ReluGrad
    relu_grad_f16: _ReluGrad
    relu_grad_bf16: _ReluGrad
    relu_grad_f32: _ReluGrad
    relu_grad_f64: _ReluGrad
    relu_grad_longdouble: _ReluGrad

    leaky_relu_f16: _WithParameter
    leaky_relu_bf16: _WithParameter
    leaky_relu_f32: _WithParameter
    leaky_relu_f64: _WithParameter

    leaky_relu_grad_f16: _GradWithParameter
    leaky_relu_grad_bf16: _GradWithParameter
    leaky_relu_grad_f32: _GradWithParameter
    leaky_relu_grad_f64: _GradWithParameter

    clipped_relu_i8: _WithParameter
    clipped_relu_i16: _WithParameter
    clipped_relu_i32: _WithParameter
    clipped_relu_i64: _WithParameter
    clipped_relu_u8: _WithParameter
    clipped_relu_u16: _WithParameter
    clipped_relu_u32: _WithParameter
    clipped_relu_u64: _WithParameter
    clipped_relu_f8e5m2: _WithParameter
    clipped_relu_f8e4m3fn: _WithParameter
    clipped_relu_f16: _WithParameter
    clipped_relu_bf16: _WithParameter
    clipped_relu_f32: _WithParameter
    clipped_relu_f64: _WithParameter
    clipped_relu_longdouble: _WithParameter

    clipped_relu_grad_f8e5m2: _GradWithParameter
    clipped_relu_grad_f8e4m3fn: _GradWithParameter
    clipped_relu_grad_f16: _GradWithParameter
    clipped_relu_grad_bf16: _GradWithParameter
    clipped_relu_grad_f32: _GradWithParameter
    clipped_relu_grad_f64: _GradWithParameter
    clipped_relu_grad_longdouble: _GradWithParameter

    add_relu_i8: _ReluGrad
    add_relu_i16: _ReluGrad
    add_relu_i32: _ReluGrad
    add_relu_i64: _ReluGrad
    add_relu_u8: _ReluGrad
    add_relu_u16: _ReluGrad
    add_relu_u32: _ReluGrad
    add_relu_u64: _ReluGrad
    add_relu_f16: _ReluGrad
    add_relu_bf16: _ReluGrad
    add_relu_f32: _ReluGrad
    add_relu_f64: _ReluGrad

    relu_bits_f8e5m2: _ReluGrad
    relu_bits_f8e4m3fn: _ReluGrad
    relu_bits_f16: _ReluGrad
    relu_bits_bf16: _ReluGrad
    relu_bits_f32: _ReluGrad
    relu_bits_f64: _ReluGrad
    relu_bits_longdouble: _ReluGrad

    relu_grad_bits_f8e5m2: _ReluGrad
    relu_grad_bits_f8e4m3fn: _ReluGrad
    relu_grad_bits_f16: _ReluGrad
    relu_grad_bits_bf16: _ReluGrad
    relu_grad_bits_f32: _ReluGrad
    relu_grad_bits_f64: _ReluGrad
    relu_grad_bits_longdouble: _ReluGrad

    def relu_ext_scale_shift_relu(
        self,
        x_dtype: bytes,
        x: Any,
        x_strides: Any,
        y_dtype: bytes,
        y: Any,
        y_strides: Any,
        shape: Any,
        ndim: int,
        axis: int,
        scale: Any,
        shift: Any,
        /,
    ) -> int: ...
    def relu_ext_isa(self) -> _CData: ...
    def relu_ext_available_isa(self, i: int, /) -> _CData: ...
    def relu_ext_use_isa(self, name: bytes, /) -> int: ...
    def relu_ext_get_stream_bytes(self) -> int: ...
    def relu_ext_set_stream_bytes(self, bytes: int, /) -> None: ...

    # What only the package itself needs.
    def relu_ext_register(self, fast: int, /) -> _CData: ...
    def relu_ext_add_type(self, type_num: int, dtype: bytes, /) -> int: ...
    def relu_ext_fast_calls(self) -> int: ...
    def relu_ext_openmp(self) -> int: ...
    def relu_ext_get_num_threads(self) -> int: ...
    def relu_ext_get_num_threads_asked(self) -> int: ...
    def relu_ext_set_num_threads(self, n: int, /) -> None: ...
    def relu_ext_get_parallel_bytes(self) -> int: ...
    def relu_ext_set_parallel_bytes(self, bytes: int, /) -> None: ...
    def relu_ext_set_output_cache(self, limit: int, /) -> None: ...
    def relu_ext_get_output_cache(
        self, limit: _CData, held: _CData, hits: _CData, misses: _CData, /
    ) -> None: ...

ffi: _FFI
lib: _Lib
