/*
 * relu_ext: ReLU, its family and their gradients over contiguous buffers, as plain C11.
 *
 *     float x[3] = {-1.0f, 0.5f, 2.0f}, y[3], dx[3];
 *     const float dy[3] = {1.0f, 1.0f, 1.0f};
 *     relu_f32(x, y, 3);             // y  = {0.0f, 0.5f, 2.0f}
 *     relu_grad_f32(dy, x, dx, 3);   // dx = {0.0f, 1.0f, 1.0f}
 *     relu_f32(x, x, 3);             // in place
 *
 * What holds for every function that ends in a dtype:
 *
 *   Length      n counts elements. With n = 0 nothing is read or written, and
 *               the pointers may be NULL.
 *   Bounds      Nothing outside the n elements of each buffer is read or written.
 *   Alignment   None is needed, not even the element's own.
 *   Aliasing    The output may be exactly one of the inputs (in place). It may
 *               not overlap an input in any other way.
 *   Bits        The result is the same, bit for bit, for every instruction set,
 *               length and alignment. No floating-point flag is raised, and no
 *               floating-point setting (flush-to-zero, rounding, ...) matters:
 *               floats are handled as the integers that their bits make, and
 *               where there is something to calculate, under IEEE 754's default
 *               settings.
 *   Threads     Any number of threads may call, also on the same inputs. The
 *               functions are serial, allocate nothing, and share only the two
 *               settings at the end of this file, which are atomic.
 *   Stack       Less than 8 KiB are used; by the functions of this file that do not
 *               end in a dtype, less than 16 KiB.
 *   Cost        One pass: each input is read once and the output written once.
 *   Errors      There are none to report.
 *
 * dtypes: i8 i16 i32 i64 u8 u16 u32 u64 are the integers of stdint.h; f32 is
 * float, f64 double and longdouble whatever the platform calls long double. f16
 * (IEEE binary16) and bf16 (bfloat16) are passed as the uint16_t that holds their
 * bits, f8e5m2 and f8e4m3fn (the 8-bit floats of OCP's OFP8; the latter has no
 * infinities) as uint8_t.
 *
 * To use it, add relu_ext.c to the sources of your program. It needs a C11 compiler, no option
 * but -O3, which is for speed alone, and no Python; it includes the other headers of this
 * directory. A C++ program links the object that a C compiler made of it. On 32-bit x86 add
 * -msse2 -mfpmath=sse; for processors other than x86-64, AArch64 and PowerPC, -lm. Never pass
 * -mavx or -march: the instruction set is chosen at run time; nor -ffast-math or a part of it.
 *
 * Two copies in one program do not clash if each is compiled, and this header
 * included, with one of these defined:
 *
 *   RELU_EXT_PREFIX=mine_   Every name gets that prefix: mine_relu_f32, and so on.
 *                           The header's names still work in what includes it.
 *   RELU_EXT_STATIC         Everything is static: include relu_ext.c itself into
 *                           the one file that uses it.
 */
#ifndef RELU_EXT_H
#define RELU_EXT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef RELU_EXT_PREFIX
#include "relu_ext/prefix.h"
#endif

#ifdef RELU_EXT_STATIC
#define RELU_EXT_API static inline
#else
#define RELU_EXT_API
#endif

/* From here to the closing line, prototypes only: the Python binding is made from them. */
/* [prototypes] */

/*
 * y[i] = max(x[i], 0)
 *
 *   x[i]                                       y[i]
 *   ----                                       ----
 *   float <= 0, among them -0.0 and -inf       +0.0, all bits zero
 *   float > 0, among them subnormals and +inf  x[i], bit for bit
 *   NaN, quiet or signalling, either sign      x[i], bit for bit
 *   signed integer                             max(x[i], 0)
 *   unsigned integer                           x[i]
 */
RELU_EXT_API void relu_i8(const int8_t *x, int8_t *y, size_t n);
RELU_EXT_API void relu_i16(const int16_t *x, int16_t *y, size_t n);
RELU_EXT_API void relu_i32(const int32_t *x, int32_t *y, size_t n);
RELU_EXT_API void relu_i64(const int64_t *x, int64_t *y, size_t n);
RELU_EXT_API void relu_u8(const uint8_t *x, uint8_t *y, size_t n);
RELU_EXT_API void relu_u16(const uint16_t *x, uint16_t *y, size_t n);
RELU_EXT_API void relu_u32(const uint32_t *x, uint32_t *y, size_t n);
RELU_EXT_API void relu_u64(const uint64_t *x, uint64_t *y, size_t n);
RELU_EXT_API void relu_f8e5m2(const uint8_t *x, uint8_t *y, size_t n);
RELU_EXT_API void relu_f8e4m3fn(const uint8_t *x, uint8_t *y, size_t n);
RELU_EXT_API void relu_f16(const uint16_t *x, uint16_t *y, size_t n);
RELU_EXT_API void relu_bf16(const uint16_t *x, uint16_t *y, size_t n);
RELU_EXT_API void relu_f32(const float *x, float *y, size_t n);
RELU_EXT_API void relu_f64(const double *x, double *y, size_t n);
RELU_EXT_API void relu_longdouble(const long double *x, long double *y, size_t n);

/*
 * dx[i] = dy[i], bit for bit, where x[i] > 0 or x[i] is a NaN, else +0.0
 *
 * The gradient of ReLU: dy is the gradient that arrives at its output, dx the
 * one that leaves through its input. At x = 0 it is 0. x may be what went into
 * relu or what came out, as both give the same dx: the forward pass may have
 * run in place.
 */
RELU_EXT_API void relu_grad_f8e5m2(const uint8_t *dy, const uint8_t *x, uint8_t *dx, size_t n);
RELU_EXT_API void relu_grad_f8e4m3fn(const uint8_t *dy, const uint8_t *x, uint8_t *dx, size_t n);
RELU_EXT_API void relu_grad_f16(const uint16_t *dy, const uint16_t *x, uint16_t *dx, size_t n);
RELU_EXT_API void relu_grad_bf16(const uint16_t *dy, const uint16_t *x, uint16_t *dx, size_t n);
RELU_EXT_API void relu_grad_f32(const float *dy, const float *x, float *dx, size_t n);
RELU_EXT_API void relu_grad_f64(const double *dy, const double *x, double *dx, size_t n);
RELU_EXT_API void relu_grad_longdouble(const long double *dy, const long double *x, long double *dx,
                                       size_t n);

/*
 * y[i] = x[i], bit for bit, where x[i] > 0 or x[i] is a NaN, else slope * x[i],
 * rounded to nearest; PReLU is the same, called once for each channel's slope.
 *
 * dx[i] = dy[i], bit for bit, where x[i] > 0 or x[i] is a NaN, else slope * dy[i]. With a
 * finite slope greater than 0, x may be the input or the output of leaky_relu.
 *
 * Where the multiplication gives a NaN, such as for 0 times infinity, the result is the
 * positive quiet NaN without payload. f16 and bf16 are multiplied as floats, and rounded once:
 * the product of two of them is exact in a float, unless it is a bf16 below 2^-126, where float
 * has fewer digits.
 */
RELU_EXT_API void leaky_relu_f16(const uint16_t *x, uint16_t slope, uint16_t *y, size_t n);
RELU_EXT_API void leaky_relu_bf16(const uint16_t *x, uint16_t slope, uint16_t *y, size_t n);
RELU_EXT_API void leaky_relu_f32(const float *x, float slope, float *y, size_t n);
RELU_EXT_API void leaky_relu_f64(const double *x, double slope, double *y, size_t n);
RELU_EXT_API void leaky_relu_grad_f16(const uint16_t *dy, const uint16_t *x, uint16_t slope,
                                      uint16_t *dx, size_t n);
RELU_EXT_API void leaky_relu_grad_bf16(const uint16_t *dy, const uint16_t *x, uint16_t slope,
                                       uint16_t *dx, size_t n);
RELU_EXT_API void leaky_relu_grad_f32(const float *dy, const float *x, float slope, float *dx,
                                      size_t n);
RELU_EXT_API void leaky_relu_grad_f64(const double *dy, const double *x, double slope, double *dx,
                                      size_t n);

/*
 * y[i] = min(max(x[i], 0), ceiling); with a ceiling of 6 it is ReLU6.
 *
 * A NaN in x stays as it is, bit for bit, and a ceiling that is a NaN is the result for every
 * other x. A ceiling below 0, or -0.0, is the result for every x that is not a NaN.
 *
 * dx[i] = dy[i], bit for bit, where 0 < x[i] < ceiling or x[i] is a NaN, else +0.0: at 0 and at
 * the ceiling the gradient is 0. x may be the input of clipped_relu or, unless the ceiling is a
 * NaN, its output.
 */
RELU_EXT_API void clipped_relu_i8(const int8_t *x, int8_t ceiling, int8_t *y, size_t n);
RELU_EXT_API void clipped_relu_i16(const int16_t *x, int16_t ceiling, int16_t *y, size_t n);
RELU_EXT_API void clipped_relu_i32(const int32_t *x, int32_t ceiling, int32_t *y, size_t n);
RELU_EXT_API void clipped_relu_i64(const int64_t *x, int64_t ceiling, int64_t *y, size_t n);
RELU_EXT_API void clipped_relu_u8(const uint8_t *x, uint8_t ceiling, uint8_t *y, size_t n);
RELU_EXT_API void clipped_relu_u16(const uint16_t *x, uint16_t ceiling, uint16_t *y, size_t n);
RELU_EXT_API void clipped_relu_u32(const uint32_t *x, uint32_t ceiling, uint32_t *y, size_t n);
RELU_EXT_API void clipped_relu_u64(const uint64_t *x, uint64_t ceiling, uint64_t *y, size_t n);
RELU_EXT_API void clipped_relu_f8e5m2(const uint8_t *x, uint8_t ceiling, uint8_t *y, size_t n);
RELU_EXT_API void clipped_relu_f8e4m3fn(const uint8_t *x, uint8_t ceiling, uint8_t *y, size_t n);
RELU_EXT_API void clipped_relu_f16(const uint16_t *x, uint16_t ceiling, uint16_t *y, size_t n);
RELU_EXT_API void clipped_relu_bf16(const uint16_t *x, uint16_t ceiling, uint16_t *y, size_t n);
RELU_EXT_API void clipped_relu_f32(const float *x, float ceiling, float *y, size_t n);
RELU_EXT_API void clipped_relu_f64(const double *x, double ceiling, double *y, size_t n);
RELU_EXT_API void clipped_relu_longdouble(const long double *x, long double ceiling, long double *y,
                                          size_t n);
RELU_EXT_API void clipped_relu_grad_f8e5m2(const uint8_t *dy, const uint8_t *x, uint8_t ceiling,
                                           uint8_t *dx, size_t n);
RELU_EXT_API void clipped_relu_grad_f8e4m3fn(const uint8_t *dy, const uint8_t *x, uint8_t ceiling,
                                             uint8_t *dx, size_t n);
RELU_EXT_API void clipped_relu_grad_f16(const uint16_t *dy, const uint16_t *x, uint16_t ceiling,
                                        uint16_t *dx, size_t n);
RELU_EXT_API void clipped_relu_grad_bf16(const uint16_t *dy, const uint16_t *x, uint16_t ceiling,
                                         uint16_t *dx, size_t n);
RELU_EXT_API void clipped_relu_grad_f32(const float *dy, const float *x, float ceiling, float *dx,
                                        size_t n);
RELU_EXT_API void clipped_relu_grad_f64(const double *dy, const double *x, double ceiling,
                                        double *dx, size_t n);
RELU_EXT_API void clipped_relu_grad_longdouble(const long double *dy, const long double *x,
                                               long double ceiling, long double *dx, size_t n);

/*
 * y[i] = max(a[i] + b[i], 0), the sum rounded once, to nearest; -0.0 becomes +0.0. A
 * sum that is a NaN is the positive quiet one without payload. Integers wrap around,
 * as they do in NumPy. Its gradient, for a and for b, is relu_grad of y.
 */
RELU_EXT_API void add_relu_i8(const int8_t *a, const int8_t *b, int8_t *y, size_t n);
RELU_EXT_API void add_relu_i16(const int16_t *a, const int16_t *b, int16_t *y, size_t n);
RELU_EXT_API void add_relu_i32(const int32_t *a, const int32_t *b, int32_t *y, size_t n);
RELU_EXT_API void add_relu_i64(const int64_t *a, const int64_t *b, int64_t *y, size_t n);
RELU_EXT_API void add_relu_u8(const uint8_t *a, const uint8_t *b, uint8_t *y, size_t n);
RELU_EXT_API void add_relu_u16(const uint16_t *a, const uint16_t *b, uint16_t *y, size_t n);
RELU_EXT_API void add_relu_u32(const uint32_t *a, const uint32_t *b, uint32_t *y, size_t n);
RELU_EXT_API void add_relu_u64(const uint64_t *a, const uint64_t *b, uint64_t *y, size_t n);
RELU_EXT_API void add_relu_f16(const uint16_t *a, const uint16_t *b, uint16_t *y, size_t n);
RELU_EXT_API void add_relu_bf16(const uint16_t *a, const uint16_t *b, uint16_t *y, size_t n);
RELU_EXT_API void add_relu_f32(const float *a, const float *b, float *y, size_t n);
RELU_EXT_API void add_relu_f64(const double *a, const double *b, double *y, size_t n);

/*
 * relu, and one bit for each element that says whether it passed: bit i % 8 of
 * bits[i / 8] is 1 where x[i] > 0 or x[i] is a NaN, which is all that the gradient
 * needs to know. bits has (n + 7) / 8 bytes, and must not overlap x or y; the bits
 * past the n-th are 0. y may be x.
 */
RELU_EXT_API void relu_bits_f8e5m2(const uint8_t *x, uint8_t *y, uint8_t *bits, size_t n);
RELU_EXT_API void relu_bits_f8e4m3fn(const uint8_t *x, uint8_t *y, uint8_t *bits, size_t n);
RELU_EXT_API void relu_bits_f16(const uint16_t *x, uint16_t *y, uint8_t *bits, size_t n);
RELU_EXT_API void relu_bits_bf16(const uint16_t *x, uint16_t *y, uint8_t *bits, size_t n);
RELU_EXT_API void relu_bits_f32(const float *x, float *y, uint8_t *bits, size_t n);
RELU_EXT_API void relu_bits_f64(const double *x, double *y, uint8_t *bits, size_t n);
RELU_EXT_API void relu_bits_longdouble(const long double *x, long double *y, uint8_t *bits,
                                       size_t n);

/*
 * dx[i] = dy[i], bit for bit, where bit i is 1, else +0.0: relu_grad from the bits of
 * relu_bits. dx may be dy. The bits past the n-th may have any value.
 */
RELU_EXT_API void relu_grad_bits_f8e5m2(const uint8_t *dy, const uint8_t *bits, uint8_t *dx,
                                        size_t n);
RELU_EXT_API void relu_grad_bits_f8e4m3fn(const uint8_t *dy, const uint8_t *bits, uint8_t *dx,
                                          size_t n);
RELU_EXT_API void relu_grad_bits_f16(const uint16_t *dy, const uint8_t *bits, uint16_t *dx,
                                     size_t n);
RELU_EXT_API void relu_grad_bits_bf16(const uint16_t *dy, const uint8_t *bits, uint16_t *dx,
                                      size_t n);
RELU_EXT_API void relu_grad_bits_f32(const float *dy, const uint8_t *bits, float *dx, size_t n);
RELU_EXT_API void relu_grad_bits_f64(const double *dy, const uint8_t *bits, double *dx, size_t n);
RELU_EXT_API void relu_grad_bits_longdouble(const long double *dy, const uint8_t *bits,
                                            long double *dx, size_t n);

/*
 * y = x * scale + shift, and max(that, 0), with a scale and a shift for each index of one axis:
 * the first to normalize what goes into a network or to dequantize, the second for a folded
 * batch normalization with its ReLU. One pass converts, computes and changes the layout, for
 * example from (H, W, C) to (C, H, W).
 *
 *   x_dtype       "u8" "u16" "i8" "i16" "i32" "f16" "bf16" "f32" "f64"
 *   y_dtype       "u8" "i8" "f16" "bf16" "f32" "f64"
 *   shape, ndim   of x and of y, whose axes are in the same order; ndim 1 to 64
 *   strides       in bytes, one an axis, of either sign
 *   axis          the channels': scale and shift have shape[axis] elements each. For one scale and
 *                 one shift an axis of a single element; add one if there is none
 *
 * Computed in double if x is i32 or f64, or y is f64, else in float, to which scale and shift
 * are rounded: one fused multiply-add, rounded once, to nearest. Then every NaN becomes the
 * positive quiet NaN without payload, and with ReLU what is <= 0 becomes +0.0; without, a zero
 * has the sign that IEEE 754 gives it: -0.0 only where both terms are, or where a negative
 * result is too small for a subnormal. Then the result is rounded once more if y's dtype is
 * shorter. To u8 and i8 that is to the nearest integer, ties to even; what lies outside the
 * range becomes its nearest end, and a NaN 0.
 *
 * The bits are the same everywhere, whatever the floating-point settings; no flags are left
 * raised. Bounds, alignment, threads and cost are as for the functions that end in a dtype. y may
 * be x itself if the dtypes' sizes and the strides are the same; otherwise they must not overlap.
 * Returns 0; or -1, with nothing written, if a dtype is NULL or not listed here, or ndim or axis is
 * out of range.
 */
RELU_EXT_API int relu_ext_scale_shift_relu(const char *x_dtype, const void *x,
                                           const ptrdiff_t *x_strides, const char *y_dtype, void *y,
                                           const ptrdiff_t *y_strides, const size_t *shape,
                                           size_t ndim, size_t axis, const double *scale,
                                           const double *shift);
RELU_EXT_API int relu_ext_scale_shift(const char *x_dtype, const void *x,
                                      const ptrdiff_t *x_strides, const char *y_dtype, void *y,
                                      const ptrdiff_t *y_strides, const size_t *shape, size_t ndim,
                                      size_t axis, const double *scale, const double *shift);

/*
 * The instruction set in use: "avx512", "avx2" or "baseline", which is SSE2 on
 * x86-64, NEON on AArch64 and elsewhere whatever the compiler targets. The best
 * that this CPU can run is chosen at the first call into the library.
 */
RELU_EXT_API const char *relu_ext_isa(void);

/*
 * The i-th of the instruction sets that this CPU can run, best first, or NULL
 * if there are no more than i.
 */
RELU_EXT_API const char *relu_ext_available_isa(size_t i);

/*
 * Use the instruction set of that name from now on, in all threads. Returns 0, or -1, with
 * nothing changed, for a name that relu_ext_available_isa does not list, and for NULL. Safe at
 * any time: a call in progress finishes with the set that it began with.
 */
RELU_EXT_API int relu_ext_use_isa(const char *name);

/*
 * An operation that is not in place is streamed if its inputs and output have at least this
 * many bytes together: the output is written past the caches, where the processor has such
 * stores. 0 restores the default, the size of the last-level cache but at most 64 MiB. It
 * changes the speed, never the result.
 *
 * Raise it where the output is read again at once, or written to in turns with ordinary stores:
 * between such stores, 64 MiB took 1.4 times as long streamed as not, and from 64 to 96 MiB on
 * it was no slower. Into pages that were never touched streaming took 1.6 times as long.
 */
RELU_EXT_API size_t relu_ext_get_stream_bytes(void);
RELU_EXT_API void relu_ext_set_stream_bytes(size_t bytes);

/* [end of prototypes] */

#ifdef __cplusplus
}
#endif

#endif
