# The kernels for Cython: `from relu_ext cimport relu_ext_import, relu_f32`, then
# relu_ext_import() once at the top of the module. Compile with relu_ext.get_include();
# relu_ext.h is the contract.
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "relu_ext_capi.h":
    int relu_ext_import() except -1
    const char *relu_ext_isa() noexcept nogil

    void relu_i8(const int8_t *x, int8_t *y, size_t n) noexcept nogil
    void relu_i16(const int16_t *x, int16_t *y, size_t n) noexcept nogil
    void relu_i32(const int32_t *x, int32_t *y, size_t n) noexcept nogil
    void relu_i64(const int64_t *x, int64_t *y, size_t n) noexcept nogil
    void relu_u8(const uint8_t *x, uint8_t *y, size_t n) noexcept nogil
    void relu_u16(const uint16_t *x, uint16_t *y, size_t n) noexcept nogil
    void relu_u32(const uint32_t *x, uint32_t *y, size_t n) noexcept nogil
    void relu_u64(const uint64_t *x, uint64_t *y, size_t n) noexcept nogil
    void relu_f8e5m2(const uint8_t *x, uint8_t *y, size_t n) noexcept nogil
    void relu_f8e4m3fn(const uint8_t *x, uint8_t *y, size_t n) noexcept nogil
    void relu_f16(const uint16_t *x, uint16_t *y, size_t n) noexcept nogil
    void relu_bf16(const uint16_t *x, uint16_t *y, size_t n) noexcept nogil
    void relu_f32(const float *x, float *y, size_t n) noexcept nogil
    void relu_f64(const double *x, double *y, size_t n) noexcept nogil
    void relu_longdouble(const long double *x, long double *y, size_t n) noexcept nogil

    void relu_grad_f8e5m2(
        const uint8_t *dy, const uint8_t *x, uint8_t *dx, size_t n) noexcept nogil
    void relu_grad_f8e4m3fn(
        const uint8_t *dy, const uint8_t *x, uint8_t *dx, size_t n) noexcept nogil
    void relu_grad_f16(
        const uint16_t *dy, const uint16_t *x, uint16_t *dx, size_t n) noexcept nogil
    void relu_grad_bf16(
        const uint16_t *dy, const uint16_t *x, uint16_t *dx, size_t n) noexcept nogil
    void relu_grad_f32(const float *dy, const float *x, float *dx, size_t n) noexcept nogil
    void relu_grad_f64(const double *dy, const double *x, double *dx, size_t n) noexcept nogil
    void relu_grad_longdouble(
        const long double *dy, const long double *x, long double *dx, size_t n) noexcept nogil

    void leaky_relu_f16(const uint16_t *x, uint16_t slope, uint16_t *y, size_t n) noexcept nogil
    void leaky_relu_bf16(
        const uint16_t *x, uint16_t slope, uint16_t *y, size_t n) noexcept nogil
    void leaky_relu_f32(const float *x, float slope, float *y, size_t n) noexcept nogil
    void leaky_relu_f64(const double *x, double slope, double *y, size_t n) noexcept nogil
    void leaky_relu_grad_f16(
        const uint16_t *dy, const uint16_t *x, uint16_t slope, uint16_t *dx, size_t n) noexcept nogil
    void leaky_relu_grad_bf16(
        const uint16_t *dy, const uint16_t *x, uint16_t slope, uint16_t *dx, size_t n) noexcept nogil
    void leaky_relu_grad_f32(
        const float *dy, const float *x, float slope, float *dx, size_t n) noexcept nogil
    void leaky_relu_grad_f64(
        const double *dy, const double *x, double slope, double *dx, size_t n) noexcept nogil
    void clipped_relu_i8(const int8_t *x, int8_t ceiling, int8_t *y, size_t n) noexcept nogil
    void clipped_relu_i16(
        const int16_t *x, int16_t ceiling, int16_t *y, size_t n) noexcept nogil
    void clipped_relu_i32(
        const int32_t *x, int32_t ceiling, int32_t *y, size_t n) noexcept nogil
    void clipped_relu_i64(
        const int64_t *x, int64_t ceiling, int64_t *y, size_t n) noexcept nogil
    void clipped_relu_u8(const uint8_t *x, uint8_t ceiling, uint8_t *y, size_t n) noexcept nogil
    void clipped_relu_u16(
        const uint16_t *x, uint16_t ceiling, uint16_t *y, size_t n) noexcept nogil
    void clipped_relu_u32(
        const uint32_t *x, uint32_t ceiling, uint32_t *y, size_t n) noexcept nogil
    void clipped_relu_u64(
        const uint64_t *x, uint64_t ceiling, uint64_t *y, size_t n) noexcept nogil
    void clipped_relu_f8e5m2(
        const uint8_t *x, uint8_t ceiling, uint8_t *y, size_t n) noexcept nogil
    void clipped_relu_f8e4m3fn(
        const uint8_t *x, uint8_t ceiling, uint8_t *y, size_t n) noexcept nogil
    void clipped_relu_f16(
        const uint16_t *x, uint16_t ceiling, uint16_t *y, size_t n) noexcept nogil
    void clipped_relu_bf16(
        const uint16_t *x, uint16_t ceiling, uint16_t *y, size_t n) noexcept nogil
    void clipped_relu_f32(const float *x, float ceiling, float *y, size_t n) noexcept nogil
    void clipped_relu_f64(const double *x, double ceiling, double *y, size_t n) noexcept nogil
    void clipped_relu_longdouble(
        const long double *x, long double ceiling, long double *y, size_t n) noexcept nogil
    void clipped_relu_grad_f8e5m2(
        const uint8_t *dy, const uint8_t *x, uint8_t ceiling, uint8_t *dx, size_t n) noexcept nogil
    void clipped_relu_grad_f8e4m3fn(
        const uint8_t *dy, const uint8_t *x, uint8_t ceiling, uint8_t *dx, size_t n) noexcept nogil
    void clipped_relu_grad_f16(
        const uint16_t *dy, const uint16_t *x, uint16_t ceiling, uint16_t *dx, size_t n) noexcept nogil
    void clipped_relu_grad_bf16(
        const uint16_t *dy, const uint16_t *x, uint16_t ceiling, uint16_t *dx, size_t n) noexcept nogil
    void clipped_relu_grad_f32(
        const float *dy, const float *x, float ceiling, float *dx, size_t n) noexcept nogil
    void clipped_relu_grad_f64(
        const double *dy, const double *x, double ceiling, double *dx, size_t n) noexcept nogil
    void clipped_relu_grad_longdouble(
        const long double *dy, const long double *x, long double ceiling, long double *dx, size_t n) noexcept nogil
    void add_relu_i8(const int8_t *a, const int8_t *b, int8_t *y, size_t n) noexcept nogil
    void add_relu_i16(const int16_t *a, const int16_t *b, int16_t *y, size_t n) noexcept nogil
    void add_relu_i32(const int32_t *a, const int32_t *b, int32_t *y, size_t n) noexcept nogil
    void add_relu_i64(const int64_t *a, const int64_t *b, int64_t *y, size_t n) noexcept nogil
    void add_relu_u8(const uint8_t *a, const uint8_t *b, uint8_t *y, size_t n) noexcept nogil
    void add_relu_u16(
        const uint16_t *a, const uint16_t *b, uint16_t *y, size_t n) noexcept nogil
    void add_relu_u32(
        const uint32_t *a, const uint32_t *b, uint32_t *y, size_t n) noexcept nogil
    void add_relu_u64(
        const uint64_t *a, const uint64_t *b, uint64_t *y, size_t n) noexcept nogil
    void add_relu_f16(
        const uint16_t *a, const uint16_t *b, uint16_t *y, size_t n) noexcept nogil
    void add_relu_bf16(
        const uint16_t *a, const uint16_t *b, uint16_t *y, size_t n) noexcept nogil
    void add_relu_f32(const float *a, const float *b, float *y, size_t n) noexcept nogil
    void add_relu_f64(const double *a, const double *b, double *y, size_t n) noexcept nogil
    void relu_bits_f8e5m2(const uint8_t *x, uint8_t *y, uint8_t *bits, size_t n) noexcept nogil
    void relu_bits_f8e4m3fn(const uint8_t *x, uint8_t *y, uint8_t *bits, size_t n) noexcept nogil
    void relu_bits_f16(const uint16_t *x, uint16_t *y, uint8_t *bits, size_t n) noexcept nogil
    void relu_bits_bf16(const uint16_t *x, uint16_t *y, uint8_t *bits, size_t n) noexcept nogil
    void relu_bits_f32(const float *x, float *y, uint8_t *bits, size_t n) noexcept nogil
    void relu_bits_f64(const double *x, double *y, uint8_t *bits, size_t n) noexcept nogil
    void relu_bits_longdouble(
        const long double *x, long double *y, uint8_t *bits, size_t n) noexcept nogil

    void relu_grad_bits_f8e5m2(
        const uint8_t *dy, const uint8_t *bits, uint8_t *dx, size_t n) noexcept nogil
    void relu_grad_bits_f8e4m3fn(
        const uint8_t *dy, const uint8_t *bits, uint8_t *dx, size_t n) noexcept nogil
    void relu_grad_bits_f16(
        const uint16_t *dy, const uint8_t *bits, uint16_t *dx, size_t n) noexcept nogil
    void relu_grad_bits_bf16(
        const uint16_t *dy, const uint8_t *bits, uint16_t *dx, size_t n) noexcept nogil
    void relu_grad_bits_f32(
        const float *dy, const uint8_t *bits, float *dx, size_t n) noexcept nogil
    void relu_grad_bits_f64(
        const double *dy, const uint8_t *bits, double *dx, size_t n) noexcept nogil
    void relu_grad_bits_longdouble(
        const long double *dy, const uint8_t *bits, long double *dx, size_t n) noexcept nogil

    int relu_ext_scale_shift_relu(
        const char *x_dtype, const void *x, const ptrdiff_t *x_strides,
        const char *y_dtype, void *y, const ptrdiff_t *y_strides,
        const size_t *shape, size_t ndim, size_t axis,
        const double *scale, const double *shift) noexcept nogil
