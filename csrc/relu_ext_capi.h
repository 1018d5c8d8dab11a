/*
 * The kernels of relu_ext.h borrowed from the Python package at run time: nothing
 * to compile or link, and the instruction set already chosen.
 *
 *     #include <Python.h>
 *     #include "relu_ext_capi.h"
 *
 *     PyMODINIT_FUNC PyInit_mine(void)
 *     {
 *         if (relu_ext_import() < 0)
 *             return NULL;
 *         ...
 *     }
 *
 * From then on the functions below are those of relu_ext.h, with its contract;
 * they need no GIL. Calling one before relu_ext_import has returned 0 crashes.
 * Each file that includes this header calls relu_ext_import for itself.
 */
#ifndef RELU_EXT_CAPI_H
#define RELU_EXT_CAPI_H

#include <Python.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows by one whenever entries are appended. None is ever moved or taken away. */
#define RELU_EXT_CAPI_VERSION 2

typedef struct {
    unsigned version;

    /* Version 1 */
    const char *(*isa)(void);
    void (*relu_i8)(const int8_t *x, int8_t *y, size_t n);
    void (*relu_i16)(const int16_t *x, int16_t *y, size_t n);
    void (*relu_i32)(const int32_t *x, int32_t *y, size_t n);
    void (*relu_i64)(const int64_t *x, int64_t *y, size_t n);
    void (*relu_u8)(const uint8_t *x, uint8_t *y, size_t n);
    void (*relu_u16)(const uint16_t *x, uint16_t *y, size_t n);
    void (*relu_u32)(const uint32_t *x, uint32_t *y, size_t n);
    void (*relu_u64)(const uint64_t *x, uint64_t *y, size_t n);
    void (*relu_f8e5m2)(const uint8_t *x, uint8_t *y, size_t n);
    void (*relu_f8e4m3fn)(const uint8_t *x, uint8_t *y, size_t n);
    void (*relu_f16)(const uint16_t *x, uint16_t *y, size_t n);
    void (*relu_bf16)(const uint16_t *x, uint16_t *y, size_t n);
    void (*relu_f32)(const float *x, float *y, size_t n);
    void (*relu_f64)(const double *x, double *y, size_t n);
    void (*relu_longdouble)(const long double *x, long double *y, size_t n);
    void (*relu_grad_f8e5m2)(const uint8_t *dy, const uint8_t *x, uint8_t *dx, size_t n);
    void (*relu_grad_f8e4m3fn)(const uint8_t *dy, const uint8_t *x, uint8_t *dx, size_t n);
    void (*relu_grad_f16)(const uint16_t *dy, const uint16_t *x, uint16_t *dx, size_t n);
    void (*relu_grad_bf16)(const uint16_t *dy, const uint16_t *x, uint16_t *dx, size_t n);
    void (*relu_grad_f32)(const float *dy, const float *x, float *dx, size_t n);
    void (*relu_grad_f64)(const double *dy, const double *x, double *dx, size_t n);
    void (*relu_grad_longdouble)(const long double *dy, const long double *x, long double *dx,
                                 size_t n);

    /* Version 2 */
    void (*leaky_relu_f16)(const uint16_t *x, uint16_t slope, uint16_t *y, size_t n);
    void (*leaky_relu_bf16)(const uint16_t *x, uint16_t slope, uint16_t *y, size_t n);
    void (*leaky_relu_f32)(const float *x, float slope, float *y, size_t n);
    void (*leaky_relu_f64)(const double *x, double slope, double *y, size_t n);
    void (*leaky_relu_grad_f16)(const uint16_t *dy, const uint16_t *x, uint16_t slope,
                                uint16_t *dx, size_t n);
    void (*leaky_relu_grad_bf16)(const uint16_t *dy, const uint16_t *x, uint16_t slope,
                                 uint16_t *dx, size_t n);
    void (*leaky_relu_grad_f32)(const float *dy, const float *x, float slope, float *dx, size_t n);
    void (*leaky_relu_grad_f64)(const double *dy, const double *x, double slope, double *dx,
                                size_t n);
    void (*clipped_relu_i8)(const int8_t *x, int8_t ceiling, int8_t *y, size_t n);
    void (*clipped_relu_i16)(const int16_t *x, int16_t ceiling, int16_t *y, size_t n);
    void (*clipped_relu_i32)(const int32_t *x, int32_t ceiling, int32_t *y, size_t n);
    void (*clipped_relu_i64)(const int64_t *x, int64_t ceiling, int64_t *y, size_t n);
    void (*clipped_relu_u8)(const uint8_t *x, uint8_t ceiling, uint8_t *y, size_t n);
    void (*clipped_relu_u16)(const uint16_t *x, uint16_t ceiling, uint16_t *y, size_t n);
    void (*clipped_relu_u32)(const uint32_t *x, uint32_t ceiling, uint32_t *y, size_t n);
    void (*clipped_relu_u64)(const uint64_t *x, uint64_t ceiling, uint64_t *y, size_t n);
    void (*clipped_relu_f8e5m2)(const uint8_t *x, uint8_t ceiling, uint8_t *y, size_t n);
    void (*clipped_relu_f8e4m3fn)(const uint8_t *x, uint8_t ceiling, uint8_t *y, size_t n);
    void (*clipped_relu_f16)(const uint16_t *x, uint16_t ceiling, uint16_t *y, size_t n);
    void (*clipped_relu_bf16)(const uint16_t *x, uint16_t ceiling, uint16_t *y, size_t n);
    void (*clipped_relu_f32)(const float *x, float ceiling, float *y, size_t n);
    void (*clipped_relu_f64)(const double *x, double ceiling, double *y, size_t n);
    void (*clipped_relu_longdouble)(const long double *x, long double ceiling, long double *y,
                                    size_t n);
    void (*clipped_relu_grad_f8e5m2)(const uint8_t *dy, const uint8_t *x, uint8_t ceiling,
                                     uint8_t *dx, size_t n);
    void (*clipped_relu_grad_f8e4m3fn)(const uint8_t *dy, const uint8_t *x, uint8_t ceiling,
                                       uint8_t *dx, size_t n);
    void (*clipped_relu_grad_f16)(const uint16_t *dy, const uint16_t *x, uint16_t ceiling,
                                  uint16_t *dx, size_t n);
    void (*clipped_relu_grad_bf16)(const uint16_t *dy, const uint16_t *x, uint16_t ceiling,
                                   uint16_t *dx, size_t n);
    void (*clipped_relu_grad_f32)(const float *dy, const float *x, float ceiling, float *dx,
                                  size_t n);
    void (*clipped_relu_grad_f64)(const double *dy, const double *x, double ceiling, double *dx,
                                  size_t n);
    void (*clipped_relu_grad_longdouble)(const long double *dy, const long double *x,
                                         long double ceiling, long double *dx, size_t n);
    void (*add_relu_i8)(const int8_t *a, const int8_t *b, int8_t *y, size_t n);
    void (*add_relu_i16)(const int16_t *a, const int16_t *b, int16_t *y, size_t n);
    void (*add_relu_i32)(const int32_t *a, const int32_t *b, int32_t *y, size_t n);
    void (*add_relu_i64)(const int64_t *a, const int64_t *b, int64_t *y, size_t n);
    void (*add_relu_u8)(const uint8_t *a, const uint8_t *b, uint8_t *y, size_t n);
    void (*add_relu_u16)(const uint16_t *a, const uint16_t *b, uint16_t *y, size_t n);
    void (*add_relu_u32)(const uint32_t *a, const uint32_t *b, uint32_t *y, size_t n);
    void (*add_relu_u64)(const uint64_t *a, const uint64_t *b, uint64_t *y, size_t n);
    void (*add_relu_f16)(const uint16_t *a, const uint16_t *b, uint16_t *y, size_t n);
    void (*add_relu_bf16)(const uint16_t *a, const uint16_t *b, uint16_t *y, size_t n);
    void (*add_relu_f32)(const float *a, const float *b, float *y, size_t n);
    void (*add_relu_f64)(const double *a, const double *b, double *y, size_t n);
    void (*relu_bits_f8e5m2)(const uint8_t *x, uint8_t *y, uint8_t *bits, size_t n);
    void (*relu_bits_f8e4m3fn)(const uint8_t *x, uint8_t *y, uint8_t *bits, size_t n);
    void (*relu_bits_f16)(const uint16_t *x, uint16_t *y, uint8_t *bits, size_t n);
    void (*relu_bits_bf16)(const uint16_t *x, uint16_t *y, uint8_t *bits, size_t n);
    void (*relu_bits_f32)(const float *x, float *y, uint8_t *bits, size_t n);
    void (*relu_bits_f64)(const double *x, double *y, uint8_t *bits, size_t n);
    void (*relu_bits_longdouble)(const long double *x, long double *y, uint8_t *bits, size_t n);
    void (*relu_grad_bits_f8e5m2)(const uint8_t *dy, const uint8_t *bits, uint8_t *dx, size_t n);
    void (*relu_grad_bits_f8e4m3fn)(const uint8_t *dy, const uint8_t *bits, uint8_t *dx, size_t n);
    void (*relu_grad_bits_f16)(const uint16_t *dy, const uint8_t *bits, uint16_t *dx, size_t n);
    void (*relu_grad_bits_bf16)(const uint16_t *dy, const uint8_t *bits, uint16_t *dx, size_t n);
    void (*relu_grad_bits_f32)(const float *dy, const uint8_t *bits, float *dx, size_t n);
    void (*relu_grad_bits_f64)(const double *dy, const uint8_t *bits, double *dx, size_t n);
    void (*relu_grad_bits_longdouble)(const long double *dy, const uint8_t *bits, long double *dx,
                                      size_t n);
    int (*scale_shift_relu)(const char *x_dtype, const void *x, const ptrdiff_t *x_strides,
                            const char *y_dtype, void *y, const ptrdiff_t *y_strides,
                            const size_t *shape, size_t ndim, size_t axis, const double *scale,
                            const double *shift);
} relu_ext_capi;

/* Where relu_ext.h came first, its functions are meant and these stay away. */
#ifndef RELU_EXT_H

static const relu_ext_capi *relu_ext_api;

/* 0, or -1 with an ImportError: no relu_ext, or one older than this header. */
static inline int relu_ext_import(void)
{
    relu_ext_api = (const relu_ext_capi *)PyCapsule_Import("relu_ext._C_API", 0);
    if (relu_ext_api == NULL) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Clear();
            PyErr_SetString(PyExc_ImportError, "relu_ext has no C API: upgrade relu_ext");
        }
        return -1;
    }
    if (relu_ext_api->version < RELU_EXT_CAPI_VERSION) {
        PyErr_Format(PyExc_ImportError,
                     "this module needs version %d of relu_ext's C API, the relu_ext installed "
                     "has version %d: upgrade relu_ext",
                     (int)RELU_EXT_CAPI_VERSION, (int)relu_ext_api->version);
        relu_ext_api = NULL;
        return -1;
    }
    return 0;
}

static inline const char *relu_ext_isa(void)
{
    return relu_ext_api->isa();
}

static inline int relu_ext_scale_shift_relu(const char *x_dtype, const void *x,
                                            const ptrdiff_t *x_strides, const char *y_dtype,
                                            void *y, const ptrdiff_t *y_strides,
                                            const size_t *shape, size_t ndim, size_t axis,
                                            const double *scale, const double *shift)
{
    return relu_ext_api->scale_shift_relu(x_dtype, x, x_strides, y_dtype, y, y_strides, shape,
                                          ndim, axis, scale, shift);
}

#define RELU_EXT_CAPI_1(name, type)                                                    \
    static inline void name(const type *x, type *y, size_t n)                          \
    {                                                                                  \
        relu_ext_api->name(x, y, n);                                                   \
    }
#define RELU_EXT_CAPI_2(name, type)                                                    \
    static inline void name(const type *dy, const type *x, type *dx, size_t n)         \
    {                                                                                  \
        relu_ext_api->name(dy, x, dx, n);                                              \
    }
#define RELU_EXT_CAPI_2P(name, type)                                                   \
    static inline void name(const type *x, type parameter, type *y, size_t n)          \
    {                                                                                  \
        relu_ext_api->name(x, parameter, y, n);                                        \
    }
#define RELU_EXT_CAPI_3P(name, type)                                                   \
    static inline void name(const type *dy, const type *x, type parameter, type *dx,   \
                            size_t n)                                                  \
    {                                                                                  \
        relu_ext_api->name(dy, x, parameter, dx, n);                                   \
    }
RELU_EXT_CAPI_1(relu_i8, int8_t)
RELU_EXT_CAPI_1(relu_i16, int16_t)
RELU_EXT_CAPI_1(relu_i32, int32_t)
RELU_EXT_CAPI_1(relu_i64, int64_t)
RELU_EXT_CAPI_1(relu_u8, uint8_t)
RELU_EXT_CAPI_1(relu_u16, uint16_t)
RELU_EXT_CAPI_1(relu_u32, uint32_t)
RELU_EXT_CAPI_1(relu_u64, uint64_t)
RELU_EXT_CAPI_1(relu_f8e5m2, uint8_t)
RELU_EXT_CAPI_1(relu_f8e4m3fn, uint8_t)
RELU_EXT_CAPI_1(relu_f16, uint16_t)
RELU_EXT_CAPI_1(relu_bf16, uint16_t)
RELU_EXT_CAPI_1(relu_f32, float)
RELU_EXT_CAPI_1(relu_f64, double)
RELU_EXT_CAPI_1(relu_longdouble, long double)
RELU_EXT_CAPI_2(relu_grad_f8e5m2, uint8_t)
RELU_EXT_CAPI_2(relu_grad_f8e4m3fn, uint8_t)
RELU_EXT_CAPI_2(relu_grad_f16, uint16_t)
RELU_EXT_CAPI_2(relu_grad_bf16, uint16_t)
RELU_EXT_CAPI_2(relu_grad_f32, float)
RELU_EXT_CAPI_2(relu_grad_f64, double)
RELU_EXT_CAPI_2(relu_grad_longdouble, long double)
RELU_EXT_CAPI_2P(leaky_relu_f16, uint16_t)
RELU_EXT_CAPI_2P(leaky_relu_bf16, uint16_t)
RELU_EXT_CAPI_2P(leaky_relu_f32, float)
RELU_EXT_CAPI_2P(leaky_relu_f64, double)
RELU_EXT_CAPI_3P(leaky_relu_grad_f16, uint16_t)
RELU_EXT_CAPI_3P(leaky_relu_grad_bf16, uint16_t)
RELU_EXT_CAPI_3P(leaky_relu_grad_f32, float)
RELU_EXT_CAPI_3P(leaky_relu_grad_f64, double)
RELU_EXT_CAPI_2P(clipped_relu_i8, int8_t)
RELU_EXT_CAPI_2P(clipped_relu_i16, int16_t)
RELU_EXT_CAPI_2P(clipped_relu_i32, int32_t)
RELU_EXT_CAPI_2P(clipped_relu_i64, int64_t)
RELU_EXT_CAPI_2P(clipped_relu_u8, uint8_t)
RELU_EXT_CAPI_2P(clipped_relu_u16, uint16_t)
RELU_EXT_CAPI_2P(clipped_relu_u32, uint32_t)
RELU_EXT_CAPI_2P(clipped_relu_u64, uint64_t)
RELU_EXT_CAPI_2P(clipped_relu_f8e5m2, uint8_t)
RELU_EXT_CAPI_2P(clipped_relu_f8e4m3fn, uint8_t)
RELU_EXT_CAPI_2P(clipped_relu_f16, uint16_t)
RELU_EXT_CAPI_2P(clipped_relu_bf16, uint16_t)
RELU_EXT_CAPI_2P(clipped_relu_f32, float)
RELU_EXT_CAPI_2P(clipped_relu_f64, double)
RELU_EXT_CAPI_2P(clipped_relu_longdouble, long double)
RELU_EXT_CAPI_3P(clipped_relu_grad_f8e5m2, uint8_t)
RELU_EXT_CAPI_3P(clipped_relu_grad_f8e4m3fn, uint8_t)
RELU_EXT_CAPI_3P(clipped_relu_grad_f16, uint16_t)
RELU_EXT_CAPI_3P(clipped_relu_grad_bf16, uint16_t)
RELU_EXT_CAPI_3P(clipped_relu_grad_f32, float)
RELU_EXT_CAPI_3P(clipped_relu_grad_f64, double)
RELU_EXT_CAPI_3P(clipped_relu_grad_longdouble, long double)
RELU_EXT_CAPI_2(add_relu_i8, int8_t)
RELU_EXT_CAPI_2(add_relu_i16, int16_t)
RELU_EXT_CAPI_2(add_relu_i32, int32_t)
RELU_EXT_CAPI_2(add_relu_i64, int64_t)
RELU_EXT_CAPI_2(add_relu_u8, uint8_t)
RELU_EXT_CAPI_2(add_relu_u16, uint16_t)
RELU_EXT_CAPI_2(add_relu_u32, uint32_t)
RELU_EXT_CAPI_2(add_relu_u64, uint64_t)
RELU_EXT_CAPI_2(add_relu_f16, uint16_t)
RELU_EXT_CAPI_2(add_relu_bf16, uint16_t)
RELU_EXT_CAPI_2(add_relu_f32, float)
RELU_EXT_CAPI_2(add_relu_f64, double)
#define RELU_EXT_CAPI_BITS(dtype, type)                                                \
    static inline void relu_bits_##dtype(const type *x, type *y, uint8_t *bits,        \
                                         size_t n)                                     \
    {                                                                                  \
        relu_ext_api->relu_bits_##dtype(x, y, bits, n);                                \
    }                                                                                  \
    static inline void relu_grad_bits_##dtype(const type *dy, const uint8_t *bits,     \
                                              type *dx, size_t n)                      \
    {                                                                                  \
        relu_ext_api->relu_grad_bits_##dtype(dy, bits, dx, n);                         \
    }
RELU_EXT_CAPI_BITS(f8e5m2, uint8_t)
RELU_EXT_CAPI_BITS(f8e4m3fn, uint8_t)
RELU_EXT_CAPI_BITS(f16, uint16_t)
RELU_EXT_CAPI_BITS(bf16, uint16_t)
RELU_EXT_CAPI_BITS(f32, float)
RELU_EXT_CAPI_BITS(f64, double)
RELU_EXT_CAPI_BITS(longdouble, long double)
#undef RELU_EXT_CAPI_BITS
#undef RELU_EXT_CAPI_1
#undef RELU_EXT_CAPI_2
#undef RELU_EXT_CAPI_2P
#undef RELU_EXT_CAPI_3P

#endif

#ifdef __cplusplus
}
#endif

#endif
