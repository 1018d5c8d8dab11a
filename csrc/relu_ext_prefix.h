/* Every public name with RELU_EXT_PREFIX in front; relu_ext.h says what for. */
#ifndef RELU_EXT_PREFIX_H
#define RELU_EXT_PREFIX_H

#define RELU_EXT_JOIN_(a, b) a##b
#define RELU_EXT_JOIN(a, b) RELU_EXT_JOIN_(a, b)

#define relu_i8 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_i8)
#define relu_i16 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_i16)
#define relu_i32 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_i32)
#define relu_i64 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_i64)
#define relu_u8 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_u8)
#define relu_u16 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_u16)
#define relu_u32 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_u32)
#define relu_u64 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_u64)
#define relu_f8e5m2 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_f8e5m2)
#define relu_f8e4m3fn RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_f8e4m3fn)
#define relu_f16 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_f16)
#define relu_bf16 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_bf16)
#define relu_f32 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_f32)
#define relu_f64 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_f64)
#define relu_longdouble RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_longdouble)
#define relu_grad_f8e5m2 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_grad_f8e5m2)
#define relu_grad_f8e4m3fn RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_grad_f8e4m3fn)
#define relu_grad_f16 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_grad_f16)
#define relu_grad_bf16 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_grad_bf16)
#define relu_grad_f32 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_grad_f32)
#define relu_grad_f64 RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_grad_f64)
#define relu_grad_longdouble RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_grad_longdouble)
#define relu_ext_scale_shift_relu RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_ext_scale_shift_relu)
#define relu_ext_isa RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_ext_isa)
#define relu_ext_available_isa RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_ext_available_isa)
#define relu_ext_use_isa RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_ext_use_isa)
#define relu_ext_get_stream_bytes RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_ext_get_stream_bytes)
#define relu_ext_set_stream_bytes RELU_EXT_JOIN(RELU_EXT_PREFIX, relu_ext_set_stream_bytes)

#endif
