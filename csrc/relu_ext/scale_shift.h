/*
 * relu_ext_scale_shift: y = x * scale + shift, channel by channel, between dtypes and layouts;
 * and relu_ext_scale_shift_relu: max(y, 0). relu_ext.c includes this and compiles it once for
 * each instruction set.
 *
 * The kernels go over contiguous elements that are in the order of y: channel by
 * channel with one scale and shift each, or interleaved, with as many scales and
 * shifts as elements. x that is in another order is copied into that order
 * first, a block in L1 at a time, and so is y afterwards.
 */
#ifndef RELU_EXT_SCALE_SHIFT_H
#define RELU_EXT_SCALE_SHIFT_H

#include <math.h>

#include "axes.h"

typedef int8_t relu_ext_scale_shift_i8 RELU_EXT_ANY_POINTER;
typedef int16_t relu_ext_scale_shift_i16 RELU_EXT_ANY_POINTER;
typedef int32_t relu_ext_scale_shift_i32 RELU_EXT_ANY_POINTER;
typedef uint8_t relu_ext_scale_shift_u8 RELU_EXT_ANY_POINTER;
typedef uint16_t relu_ext_scale_shift_u16 RELU_EXT_ANY_POINTER;
typedef uint16_t relu_ext_scale_shift_f16 RELU_EXT_ANY_POINTER;
typedef uint16_t relu_ext_scale_shift_bf16 RELU_EXT_ANY_POINTER;
typedef float relu_ext_scale_shift_f32 RELU_EXT_ANY_POINTER;
typedef double relu_ext_scale_shift_f64 RELU_EXT_ANY_POINTER;

/* Without optimization compilers make a call of it, to the mathematical library. */
#ifdef __OPTIMIZE__
#define RELU_EXT_HARDWARE_FMA
#endif

/*
 * a * b + c, rounded once. `hardware` is a constant; without it the same bits are
 * made of what there is, since a * b + c written out would be rounded twice.
 */
RELU_EXT_INLINE float relu_ext_scale_shift_fma_f32(float a, float b, float c, bool hardware)
{
#ifdef RELU_EXT_HARDWARE_FMA
    if (hardware)
        return __builtin_fmaf(a, b, c);
#endif
    (void)hardware;
    /*
     * The product of two floats is exact in double. The sum is not, but to double it
     * may be rounded to odd: to the neighbour whose last bit is 1, unless it is exact.
     * With 29 bits more than a float, its rounding to float is that of the exact sum.
     */
    double product = (double)a * b, addend = c;
    double sum = product + addend;
    double back = sum - product;
    double error = (product - (sum - back)) + (addend - back); /* exact; NaN if sum is not finite */
    /* On bits, as not every instruction set compares 64-bit lanes. */
    uint64_t bits = relu_ext_double_bits(sum), error_bits = relu_ext_double_bits(error);
    uint64_t magnitude = error_bits << 1;
    uint64_t inexact = (magnitude | -magnitude) >> 63;
    uint64_t infinite = ((bits & 0x7FF0000000000000) + 0x0010000000000000) >> 63;
    uint64_t to_odd = inexact & ~infinite & ~bits, less = (error_bits ^ bits) >> 63;
    return (float)relu_ext_bits_double(bits + to_odd - 2 * (to_odd & less));
}

#if defined(__SIZEOF_INT128__)
/* The bits of |x| as significand * 2^exponent, with bit 52 of the significand set; x != 0. */
static uint64_t relu_ext_scale_shift_significand(double x, int *exponent)
{
    uint64_t bits = relu_ext_double_bits(x) & INT64_MAX;
    int biased = (int)(bits >> 52), zeros;
    if (biased > 0) {
        *exponent = biased - 1075;
        return (bits & 0xFFFFFFFFFFFFF) | 0x10000000000000;
    }
    zeros = __builtin_clzll(bits) - 11;
    *exponent = -1074 - zeros;
    return bits << zeros;
}

__extension__ typedef unsigned __int128 relu_ext_scale_shift_u128;

/* x / 2^n, whose last bit also stands for all that was shifted out. */
static relu_ext_scale_shift_u128 relu_ext_scale_shift_jam(relu_ext_scale_shift_u128 x, int n)
{
    if (n >= 128)
        return x != 0;
    return n == 0 ? x : x >> n | ((x << (128 - n)) != 0);
}

/* In integers; C's own fma would need the mathematical library to be linked. */
static double relu_ext_scale_shift_soft_fma(double a, double b, double c)
{
    /* Rounded only once as they are: what is not finite, and where one of the terms is zero. */
    const bool finite = a - a == 0 && b - b == 0;
    if (finite && !(c - c == 0))
        return c + c;
    if (!finite || a == 0 || b == 0)
        return a * b + c;
    if (c == 0)
        return a * b;

    int a_exponent, b_exponent, c_exponent;
    uint64_t a_bits = relu_ext_scale_shift_significand(a, &a_exponent);
    uint64_t b_bits = relu_ext_scale_shift_significand(b, &b_exponent);
    uint64_t c_bits = relu_ext_scale_shift_significand(c, &c_exponent);
    uint64_t sign = (relu_ext_double_bits(a) ^ relu_ext_double_bits(b)) >> 63;
    uint64_t c_sign = relu_ext_double_bits(c) >> 63;
    /* Both with their first bit at or next to bit 124, and room for a carry. */
    relu_ext_scale_shift_u128 product = (relu_ext_scale_shift_u128)a_bits * b_bits << 19;
    relu_ext_scale_shift_u128 addend = (relu_ext_scale_shift_u128)c_bits << 72, sum;
    int exponent = a_exponent + b_exponent - 19;
    c_exponent -= 72;
    if (exponent >= c_exponent)
        addend = relu_ext_scale_shift_jam(addend, exponent - c_exponent);
    else {
        product = relu_ext_scale_shift_jam(product, c_exponent - exponent);
        exponent = c_exponent;
    }
    if (sign == c_sign)
        sum = product + addend;
    else if (product >= addend)
        sum = product - addend;
    else {
        sum = addend - product;
        sign = c_sign;
    }
    if (sum == 0)
        return 0;

    uint64_t high = (uint64_t)(sum >> 64);
    int zeros = high ? __builtin_clzll(high) : 64 + __builtin_clzll((uint64_t)sum);
    sum <<= zeros;
    exponent += 127 - zeros; /* of the first bit */
    if (exponent > 1023)
        return relu_ext_bits_double(sign << 63 | 0x7FF0000000000000);
    uint64_t before = 0;
    if (exponent < -1022)
        sum = relu_ext_scale_shift_jam(sum, -1022 - exponent);
    else
        before = (uint64_t)(exponent + 1022) << 52; /* one less: bit 52 below adds it */
    const relu_ext_scale_shift_u128 half = (relu_ext_scale_shift_u128)1 << 74,
                                    rest = sum & (2 * half - 1);
    uint64_t kept = (uint64_t)(sum >> 75);
    kept += rest > half || (rest == half && (kept & 1));
    return relu_ext_bits_double(sign << 63 | (before + kept));
}
#else
#define relu_ext_scale_shift_soft_fma fma
#endif

RELU_EXT_INLINE double relu_ext_scale_shift_fma_f64(double a, double b, double c, bool hardware)
{
#ifdef RELU_EXT_HARDWARE_FMA
    if (hardware)
        return __builtin_fma(a, b, c);
#endif
    (void)hardware;
    return relu_ext_scale_shift_soft_fma(a, b, c);
}

/*
 * relu's rule if `rectified`, and for a NaN the one that is the same on every machine. That a
 * flag decides costs nothing and halves the kernels: it only changes the constant that the bits
 * are compared or masked with. From double by masks, as the result may be calculated with, to be
 * rounded again: see relu_ext_select.
 */
RELU_EXT_INLINE float relu_ext_scale_shift_result_f32(float x, bool rectified)
{
    const int32_t bits = (int32_t)relu_ext_float_bits(x), least = rectified ? 0 : INT32_MIN;
    const int32_t kept = bits > least ? bits : least;
    return relu_ext_bits_float(x != x ? 0x7FC00000 : (uint32_t)kept);
}

RELU_EXT_INLINE double relu_ext_scale_shift_result_f64(double x, bool rectified)
{
    const uint64_t bits = relu_ext_double_bits(x), sign = (uint64_t)rectified << 63;
    const uint64_t zero = 0 - ((bits & sign) >> 63);
    const uint64_t nan = 0 - (uint64_t)(x != x);
    return relu_ext_bits_double((bits & ~zero & ~nan) | (nan & 0x7FF8000000000000));
}

/* Elements in the type that is computed in. All of these are exact. */
#define RELU_EXT_LOAD_f32_i8(x) ((float)(int32_t)(x))
#define RELU_EXT_LOAD_f32_i16(x) ((float)(int32_t)(x))
#define RELU_EXT_LOAD_f32_u8(x) ((float)(int32_t)(x))
#define RELU_EXT_LOAD_f32_u16(x) ((float)(int32_t)(x))
#define RELU_EXT_LOAD_f32_bf16(x) relu_ext_float_from_bf16(x)
#define RELU_EXT_LOAD_f32_f32(x) (x)
#define RELU_EXT_LOAD_f64_i16(x) ((double)(int32_t)(x))
#define RELU_EXT_LOAD_f64_i32(x) ((double)(x))
#define RELU_EXT_LOAD_f64_u8(x) ((double)(int32_t)(x))
#define RELU_EXT_LOAD_f64_bf16(x) ((double)relu_ext_float_from_bf16(x))
#define RELU_EXT_LOAD_f64_f32(x) ((double)(x))
#define RELU_EXT_LOAD_f64_f64(x) (x)

/* To float, rounded to odd, to be rounded to fewer bits afterwards; a NaN stays one. */
RELU_EXT_INLINE float relu_ext_scale_shift_to_odd(double x)
{
    float y = (float)x;
    uint32_t bits = relu_ext_float_bits(y);
    uint64_t exact = relu_ext_double_bits(x), rounded = relu_ext_double_bits((double)y);
    uint64_t even = ~bits & 1;
    uint64_t up = (rounded - exact) >> 63, down = (exact - rounded) >> 63;
    return relu_ext_bits_float(bits + (uint32_t)((up - down) & (0 - even)));
}

/*
 * To the nearest integer, to even, from -least to most, and NaN to 0: in the last bits of the
 * sum with a number whose last place is 1, which every instruction set can do. NaN and the ends
 * of the range by bits and masks, as compilers would make branches of comparisons.
 */
RELU_EXT_INLINE uint8_t relu_ext_scale_shift_f32_to_8(float x, float least, float most)
{
    const uint32_t bits = relu_ext_float_bits(x), sign = bits & 0x80000000;
    const uint32_t negative = (uint32_t)((int32_t)bits >> 31);
    const uint32_t limit = (relu_ext_float_bits(least) & negative)
                           | (relu_ext_float_bits(most) & ~negative);
    const int32_t magnitude = (int32_t)(bits ^ sign), end = (int32_t)limit;
    const uint32_t clipped = (uint32_t)(magnitude < end ? magnitude : end);
    const uint32_t number = (uint32_t)((magnitude - 0x7F800001) >> 31);
    return (uint8_t)relu_ext_float_bits(relu_ext_bits_float(sign | (clipped & number)) + 0x1.8p23f);
}

/* The sum as an element of y. To 8 bits by way of a float, which has enough more of them. */
#define RELU_EXT_STORE_f32_i8(x, rectified)                                            \
    (int8_t)relu_ext_scale_shift_f32_to_8(x, rectified ? 0 : 128, 127)
#define RELU_EXT_STORE_f32_u8(x, rectified)                                            \
    ((void)(rectified), relu_ext_scale_shift_f32_to_8(x, 0, 255))
#define RELU_EXT_STORE_f32_bf16(x, rectified)                                          \
    relu_ext_bf16_from_float(relu_ext_scale_shift_result_f32(x, rectified))
#define RELU_EXT_STORE_f32_f32(x, rectified) relu_ext_scale_shift_result_f32(x, rectified)
#define RELU_EXT_STORE_f64_i8(x, rectified)                                            \
    RELU_EXT_STORE_f32_i8(relu_ext_scale_shift_to_odd(x), rectified)
#define RELU_EXT_STORE_f64_u8(x, rectified)                                            \
    RELU_EXT_STORE_f32_u8(relu_ext_scale_shift_to_odd(x), rectified)
#define RELU_EXT_STORE_f64_f16(x, rectified)                                           \
    relu_ext_f16_from_float(                                                           \
        relu_ext_scale_shift_to_odd(relu_ext_scale_shift_result_f64(x, rectified)))
#define RELU_EXT_STORE_f64_bf16(x, rectified)                                          \
    relu_ext_bf16_from_float(                                                          \
        relu_ext_scale_shift_to_odd(relu_ext_scale_shift_result_f64(x, rectified)))
#define RELU_EXT_STORE_f64_f32(x, rectified)                                           \
    ((float)relu_ext_scale_shift_result_f64(x, rectified))
#define RELU_EXT_STORE_f64_f64(x, rectified) relu_ext_scale_shift_result_f64(x, rectified)

/*
 * dtypes of x and y, and of what is computed in: X(x, y, compute). Those that are asked for most
 * are made in one loop; the others in two, by way of what the first of them leaves in L1. f16 is
 * converted by the instructions of isa.h.
 */
#define RELU_EXT_SCALE_SHIFT_IN_ONE(X, ...)                                            \
    X(u8, u8, f32, __VA_ARGS__)                                                        \
    X(u8, i8, f32, __VA_ARGS__)                                                        \
    X(u8, bf16, f32, __VA_ARGS__)                                                      \
    X(u8, f32, f32, __VA_ARGS__)                                                       \
    X(u8, f64, f64, __VA_ARGS__)                                                       \
    X(u16, f32, f32, __VA_ARGS__)                                                      \
    X(i8, f32, f32, __VA_ARGS__)                                                       \
    X(i16, bf16, f32, __VA_ARGS__)                                                     \
    X(i16, f32, f32, __VA_ARGS__)                                                      \
    X(i16, f64, f64, __VA_ARGS__)                                                      \
    X(i32, f32, f64, __VA_ARGS__)                                                      \
    X(bf16, bf16, f32, __VA_ARGS__)                                                    \
    X(bf16, f32, f32, __VA_ARGS__)                                                     \
    X(bf16, f64, f64, __VA_ARGS__)                                                     \
    X(f32, i8, f32, __VA_ARGS__)                                                       \
    X(f32, u8, f32, __VA_ARGS__)                                                       \
    X(f32, bf16, f32, __VA_ARGS__)                                                     \
    X(f32, f32, f32, __VA_ARGS__)                                                      \
    X(f32, f64, f64, __VA_ARGS__)                                                      \
    X(f64, i8, f64, __VA_ARGS__)                                                       \
    X(f64, u8, f64, __VA_ARGS__)                                                       \
    X(f64, f16, f64, __VA_ARGS__)                                                      \
    X(f64, bf16, f64, __VA_ARGS__)                                                     \
    X(f64, f32, f64, __VA_ARGS__)                                                      \
    X(f64, f64, f64, __VA_ARGS__)
/* x to f32, and that to f16. */
#define RELU_EXT_SCALE_SHIFT_TO_F16(X, ...)                                            \
    X(u8, f16, f32, __VA_ARGS__)                                                       \
    X(u16, f16, f32, __VA_ARGS__)                                                      \
    X(i8, f16, f32, __VA_ARGS__)                                                       \
    X(i16, f16, f32, __VA_ARGS__)                                                      \
    X(bf16, f16, f32, __VA_ARGS__)                                                     \
    X(f32, f16, f32, __VA_ARGS__)
/* The numbers of x as they are, in f32, or in f64 for i32, and from those to y. */
#define RELU_EXT_SCALE_SHIFT_CONVERTED(X, ...)                                         \
    X(u16, u8, f32, __VA_ARGS__)                                                       \
    X(u16, i8, f32, __VA_ARGS__)                                                       \
    X(u16, bf16, f32, __VA_ARGS__)                                                     \
    X(u16, f64, f64, __VA_ARGS__)                                                      \
    X(i8, u8, f32, __VA_ARGS__)                                                        \
    X(i8, i8, f32, __VA_ARGS__)                                                        \
    X(i8, bf16, f32, __VA_ARGS__)                                                      \
    X(i8, f64, f64, __VA_ARGS__)                                                       \
    X(i16, u8, f32, __VA_ARGS__)                                                       \
    X(i16, i8, f32, __VA_ARGS__)                                                       \
    X(i32, u8, f64, __VA_ARGS__)                                                       \
    X(i32, i8, f64, __VA_ARGS__)                                                       \
    X(i32, f16, f64, __VA_ARGS__)                                                      \
    X(i32, bf16, f64, __VA_ARGS__)                                                     \
    X(i32, f64, f64, __VA_ARGS__)                                                      \
    X(bf16, u8, f32, __VA_ARGS__)                                                      \
    X(bf16, i8, f32, __VA_ARGS__)                                                      \
    X(f16, u8, f32, __VA_ARGS__)                                                       \
    X(f16, i8, f32, __VA_ARGS__)                                                       \
    X(f16, f16, f32, __VA_ARGS__)                                                      \
    X(f16, bf16, f32, __VA_ARGS__)                                                     \
    X(f16, f32, f32, __VA_ARGS__)                                                      \
    X(f16, f64, f64, __VA_ARGS__)
#define RELU_EXT_SCALE_SHIFT_PAIRS(X, ...)                                                      \
    RELU_EXT_SCALE_SHIFT_IN_ONE(X, __VA_ARGS__)                                                 \
    RELU_EXT_SCALE_SHIFT_TO_F16(X, __VA_ARGS__)                                                 \
    RELU_EXT_SCALE_SHIFT_CONVERTED(X, __VA_ARGS__)

/* n elements; `each`: a scale and a shift for every one of them, else one for all. */
typedef void relu_ext_scale_shift_kernel(const void *x, const void *scale, const void *shift,
                                         void *y, size_t n, bool each, bool rectified);

#define RELU_EXT_SCALE_SHIFT_ELEMENT(x, y, compute, hardware, scale, shift)               \
    RELU_EXT_STORE_##compute##_##y(                                                       \
        relu_ext_scale_shift_fma_##compute(RELU_EXT_LOAD_##compute##_##x(from[i]), scale, \
                                           shift, hardware), rectified)
#define RELU_EXT_DEFINE_SCALE_SHIFT(x, y, compute, isa, target, hardware)                  \
    static target void relu_ext_scale_shift_##x##_##y##_##isa(                             \
        const void *in, const void *scale, const void *shift, void *out, size_t n,         \
        bool each, bool rectified)                                                         \
    {                                                                                      \
        const relu_ext_scale_shift_##x *from = in;                                         \
        const relu_ext_scale_shift_##compute *scales = scale, *shifts = shift;             \
        relu_ext_scale_shift_##y *to = out;                                                \
        if (each)                                                                          \
            RELU_EXT_NO_OVERLAP                                                            \
            for (size_t i = 0; i < n; i++)                                                 \
                to[i] = RELU_EXT_SCALE_SHIFT_ELEMENT(x, y, compute, hardware, scales[i],   \
                                            shifts[i]);                                    \
        else {                                                                             \
            const relu_ext_scale_shift_##compute one_scale = *scales, one_shift = *shifts; \
            RELU_EXT_NO_OVERLAP                                                            \
            for (size_t i = 0; i < n; i++)                                                 \
                to[i] = RELU_EXT_SCALE_SHIFT_ELEMENT(x, y, compute, hardware, one_scale,   \
                                            one_shift);                                    \
        }                                                                                  \
    }

/* Part by part, which stays in L1. */
enum { RELU_EXT_PART_ELEMENTS = 256 };
#define RELU_EXT_DEFINE_SCALE_SHIFT_TO_F16(x, y, compute, isa, target, hardware)                \
    static target void relu_ext_scale_shift_##x##_##y##_##isa(                                  \
        const void *in, const void *scale, const void *shift, void *out, size_t n,              \
        bool each, bool rectified)                                                              \
    {                                                                                           \
        const relu_ext_scale_shift_##x *from = in;                                              \
        const float *scales = scale, *shifts = shift;                                           \
        relu_ext_scale_shift_f16 *to = out;                                                     \
        float part[RELU_EXT_PART_ELEMENTS] = {0};                                               \
        for (size_t i = 0; i < n; i += RELU_EXT_PART_ELEMENTS) {                                \
            const size_t now = n - i < RELU_EXT_PART_ELEMENTS ? n - i : RELU_EXT_PART_ELEMENTS; \
            const size_t parameter = each ? i : 0;                                              \
            relu_ext_scale_shift_##x##_f32_##isa(from + i, scales + parameter,                  \
                                        shifts + parameter, part, now, each, rectified);        \
            relu_ext_floats_to_f16(to + i, part, now, &relu_ext_ops_##isa);                     \
        }                                                                                       \
    }

/* What the numbers of x are converted to. */
#define RELU_EXT_SCALE_SHIFT_WAY_u16 f32
#define RELU_EXT_SCALE_SHIFT_WAY_i8 f32
#define RELU_EXT_SCALE_SHIFT_WAY_i16 f32
#define RELU_EXT_SCALE_SHIFT_WAY_i32 f64
#define RELU_EXT_SCALE_SHIFT_WAY_bf16 f32
#define RELU_EXT_SCALE_SHIFT_WAY_f16 f32
#define RELU_EXT_DEFINE_SCALE_SHIFT_LOAD(x, way, isa, target)                          \
    static target void relu_ext_scale_shift_load_##x##_##isa(                          \
        relu_ext_scale_shift_##way *to, const void *in, size_t n)                      \
    {                                                                                  \
        const relu_ext_scale_shift_##x *from = in;                                     \
        RELU_EXT_NO_OVERLAP                                                            \
        for (size_t i = 0; i < n; i++)                                                 \
            to[i] = RELU_EXT_LOAD_##way##_##x(from[i]);                                \
    }
#define RELU_EXT_DEFINE_SCALE_SHIFT_LOADS(isa, target)                                 \
    RELU_EXT_DEFINE_SCALE_SHIFT_LOAD(u16, f32, isa, target)                            \
    RELU_EXT_DEFINE_SCALE_SHIFT_LOAD(i8, f32, isa, target)                             \
    RELU_EXT_DEFINE_SCALE_SHIFT_LOAD(i16, f32, isa, target)                            \
    RELU_EXT_DEFINE_SCALE_SHIFT_LOAD(i32, f64, isa, target)                            \
    RELU_EXT_DEFINE_SCALE_SHIFT_LOAD(bf16, f32, isa, target)                           \
    static target void relu_ext_scale_shift_load_f16_##isa(                            \
        relu_ext_scale_shift_f32 *to, const void *in, size_t n)                        \
    {                                                                                  \
        relu_ext_floats_from_f16((float *)to, in, n, &relu_ext_ops_##isa);             \
    }
#define RELU_EXT_DEFINE_SCALE_SHIFT_CONVERTED(x, y, compute, isa, target, hardware)    \
    RELU_EXT_DEFINE_SCALE_SHIFT_BY_WAY_OF(RELU_EXT_SCALE_SHIFT_WAY_##x, x, y, compute, isa, target)
#define RELU_EXT_DEFINE_SCALE_SHIFT_BY_WAY_OF(...)                                     \
    RELU_EXT_DEFINE_SCALE_SHIFT_BY_WAY_OF_(__VA_ARGS__)
#define RELU_EXT_DEFINE_SCALE_SHIFT_BY_WAY_OF_(way, x, y, compute, isa, target)            \
    static target void relu_ext_scale_shift_##x##_##y##_##isa(                             \
        const void *in, const void *scale, const void *shift, void *out, size_t n,         \
        bool each, bool rectified)                                                         \
    {                                                                                      \
        const relu_ext_scale_shift_##x *from = in;                                         \
        const relu_ext_scale_shift_##compute *scales = scale, *shifts = shift;             \
        relu_ext_scale_shift_##y *to = out;                                                \
        enum { most = 1024 / sizeof(relu_ext_scale_shift_##way) };                         \
        _Alignas(64) char memory[most * sizeof(relu_ext_scale_shift_##way)];               \
        relu_ext_scale_shift_##way *part = (relu_ext_scale_shift_##way *)memory;           \
        for (size_t i = 0; i < n; i += most) {                                             \
            const size_t now = n - i < most ? n - i : most;                                \
            const size_t parameter = each ? i : 0;                                         \
            relu_ext_scale_shift_load_##x##_##isa(part, from + i, now);                    \
            relu_ext_scale_shift_##way##_##y##_##isa(part, scales + parameter,             \
                                        shifts + parameter, to + i, now, each, rectified); \
        }                                                                                  \
    }

/*
 * Copies of channels x n elements between any two layouts; strides in bytes. Interleaved
 * channels of those numbers that images have are taken apart and put together in vectors:
 * compilers have patterns for groups of constant length.
 */
typedef void relu_ext_scale_shift_copy(char *to, ptrdiff_t to_channel, ptrdiff_t to_next,
                                       const char *from, ptrdiff_t from_channel,
                                       ptrdiff_t from_next, size_t channels, size_t n);

typedef uint32_t relu_ext_scale_shift_b32 RELU_EXT_ANY_POINTER;
typedef uint64_t relu_ext_scale_shift_b64 RELU_EXT_ANY_POINTER;
#define relu_ext_scale_shift_b8 relu_ext_scale_shift_u8
#define relu_ext_scale_shift_b16 relu_ext_scale_shift_f16

#define RELU_EXT_SCALE_SHIFT_SPLIT_2(k) a[i] = in[k * i], b[i] = in[k * i + 1]
#define RELU_EXT_SCALE_SHIFT_SPLIT_3(k) RELU_EXT_SCALE_SHIFT_SPLIT_2(k), c[i] = in[k * i + 2]
#define RELU_EXT_SCALE_SHIFT_SPLIT_4(k) RELU_EXT_SCALE_SHIFT_SPLIT_3(k), d[i] = in[k * i + 3]
#define RELU_EXT_SCALE_SHIFT_JOIN_2(k) out[k * i] = a[i], out[k * i + 1] = b[i]
#define RELU_EXT_SCALE_SHIFT_JOIN_3(k) RELU_EXT_SCALE_SHIFT_JOIN_2(k), out[k * i + 2] = c[i]
#define RELU_EXT_SCALE_SHIFT_JOIN_4(k) RELU_EXT_SCALE_SHIFT_JOIN_3(k), out[k * i + 3] = d[i]
#define RELU_EXT_SCALE_SHIFT_SPLIT(count, k)                                           \
    if (channels == count && from_next == k * size) {                                  \
        RELU_EXT_NO_OVERLAP                                                            \
        for (size_t i = 0; i < n; i++)                                                 \
            RELU_EXT_SCALE_SHIFT_SPLIT_##count(k);                                     \
        return;                                                                        \
    }
#define RELU_EXT_SCALE_SHIFT_JOIN(count)                                               \
    if (channels == count && to_next == count * size) {                                \
        RELU_EXT_NO_OVERLAP                                                            \
        for (size_t i = 0; i < n; i++)                                                 \
            RELU_EXT_SCALE_SHIFT_JOIN_##count(count);                                  \
        return;                                                                        \
    }
#define RELU_EXT_DEFINE_SCALE_SHIFT_COPY(lane, isa, target)                               \
    static target void relu_ext_scale_shift_copy_##lane##_##isa(                          \
        char *to, ptrdiff_t to_channel, ptrdiff_t to_next, const char *from,              \
        ptrdiff_t from_channel, ptrdiff_t from_next, size_t channels, size_t n)           \
    {                                                                                     \
        typedef relu_ext_scale_shift_##lane lane;                                         \
        const ptrdiff_t size = sizeof(lane);                                              \
        if (to_next == size && from_channel == size) {                                    \
            const lane *in = (const lane *)from;                                          \
            lane *a = (lane *)to, *b = (lane *)(to + to_channel);                         \
            lane *c = (lane *)(to + 2 * to_channel), *d = (lane *)(to + 3 * to_channel);  \
            RELU_EXT_SCALE_SHIFT_SPLIT(2, 2)                                              \
            RELU_EXT_SCALE_SHIFT_SPLIT(3, 3)                                              \
            RELU_EXT_SCALE_SHIFT_SPLIT(3, 4)                                              \
            RELU_EXT_SCALE_SHIFT_SPLIT(4, 4)                                              \
        }                                                                                 \
        if (from_next == size && to_channel == size) {                                    \
            lane *out = (lane *)to;                                                       \
            const lane *a = (const lane *)from, *b = (const lane *)(from + from_channel); \
            const lane *c = (const lane *)(from + 2 * from_channel);                      \
            const lane *d = (const lane *)(from + 3 * from_channel);                      \
            RELU_EXT_SCALE_SHIFT_JOIN(2)                                                  \
            RELU_EXT_SCALE_SHIFT_JOIN(3)                                                  \
            RELU_EXT_SCALE_SHIFT_JOIN(4)                                                  \
        }                                                                                 \
        for (size_t channel = 0; channel < channels; channel++) {                         \
            char *out = to;                                                               \
            const char *in = from;                                                        \
            for (size_t i = 0; i < n; i++, out += to_next, in += from_next)               \
                *(lane *)out = *(const lane *)in;                                         \
            to += to_channel;                                                             \
            from += from_channel;                                                         \
        }                                                                                 \
    }

#define RELU_EXT_DEFINE_SCALE_SHIFTS(isa, target, condition)                                  \
    RELU_EXT_SCALE_SHIFT_IN_ONE(RELU_EXT_DEFINE_SCALE_SHIFT, isa, target, RELU_EXT_FMA_##isa) \
    RELU_EXT_SCALE_SHIFT_TO_F16(RELU_EXT_DEFINE_SCALE_SHIFT_TO_F16, isa, target, )            \
    RELU_EXT_DEFINE_SCALE_SHIFT_LOADS(isa, target)                                            \
    RELU_EXT_SCALE_SHIFT_CONVERTED(RELU_EXT_DEFINE_SCALE_SHIFT_CONVERTED, isa, target, )      \
    RELU_EXT_DEFINE_SCALE_SHIFT_COPY(b8, isa, target)                                         \
    RELU_EXT_DEFINE_SCALE_SHIFT_COPY(b16, isa, target)                                        \
    RELU_EXT_DEFINE_SCALE_SHIFT_COPY(b32, isa, target)                                        \
    RELU_EXT_DEFINE_SCALE_SHIFT_COPY(b64, isa, target)
RELU_EXT_ISAS(RELU_EXT_DEFINE_SCALE_SHIFTS)

/* One row for each of RELU_EXT_SCALE_SHIFT_PAIRS. */
static const struct relu_ext_scale_shift_pair {
    const char *x, *y;
    size_t x_size, y_size;
    bool in_f64; /* what is computed in; else float */
} relu_ext_scale_shift_pairs[] = {
#define RELU_EXT_SCALE_SHIFT_IN_f32 false
#define RELU_EXT_SCALE_SHIFT_IN_f64 true
#define RELU_EXT_SCALE_SHIFT_FACTS(x, y, compute, ...)                                 \
    {#x, #y, sizeof(relu_ext_scale_shift_##x), sizeof(relu_ext_scale_shift_##y),       \
     RELU_EXT_SCALE_SHIFT_IN_##compute},
    RELU_EXT_SCALE_SHIFT_PAIRS(RELU_EXT_SCALE_SHIFT_FACTS, )};
enum {
    RELU_EXT_SCALE_SHIFT_COUNT = sizeof relu_ext_scale_shift_pairs
    / sizeof *relu_ext_scale_shift_pairs
};

/* NULL where there is none. */
static const struct relu_ext_scale_shift_pair *relu_ext_scale_shift_find(const char *x_dtype,
                                                                         const char *y_dtype)
{
    const bool named = x_dtype != NULL && y_dtype != NULL;
    for (size_t i = 0; named && i < RELU_EXT_SCALE_SHIFT_COUNT; i++)
        if (strcmp(relu_ext_scale_shift_pairs[i].x, x_dtype) == 0
            && strcmp(relu_ext_scale_shift_pairs[i].y, y_dtype) == 0)
            return &relu_ext_scale_shift_pairs[i];
    return NULL;
}

struct relu_ext_scale_shift_isa {
    relu_ext_scale_shift_kernel *kernels[RELU_EXT_SCALE_SHIFT_COUNT];
    relu_ext_scale_shift_copy *copies[4]; /* of elements of 1, 2, 4, 8 bytes */
};

#define RELU_EXT_SCALE_SHIFT_POINTER(x, y, compute, isa) relu_ext_scale_shift_##x##_##y##_##isa,
#define RELU_EXT_DEFINE_SCALE_SHIFT_ISA(isa, target, condition)                        \
    static const struct relu_ext_scale_shift_isa relu_ext_scale_shift_##isa = {        \
        {RELU_EXT_SCALE_SHIFT_PAIRS(RELU_EXT_SCALE_SHIFT_POINTER, isa)},               \
        {relu_ext_scale_shift_copy_b8_##isa, relu_ext_scale_shift_copy_b16_##isa,      \
         relu_ext_scale_shift_copy_b32_##isa, relu_ext_scale_shift_copy_b64_##isa}};
RELU_EXT_ISAS(RELU_EXT_DEFINE_SCALE_SHIFT_ISA)

enum {
    RELU_EXT_SCALE_SHIFT_DIMS = 64, /* as many as NumPy has */
    /*
     * Bytes for the parameters, which come first, and the blocks on their way from or to another
     * layout, which take the rest.
     */
    RELU_EXT_SCALE_SHIFT_MEMORY = 9 << 10,
    /* At a time, in the type that is computed in. */
    RELU_EXT_SCALE_SHIFT_CHANNEL_BYTES = 2048,
    /*
     * Parameters of as many bytes belong to the elements that are worked on at a time, where it
     * is not rows. With floats, these are not 4096 bytes of y: the stores of y and the loads of
     * the parameters would then be at the same places of their pages, and processors tell such
     * addresses apart late. With 16-bit elements these are too few to stream.
     */
    RELU_EXT_SCALE_SHIFT_BLOCK_BYTES = 2560,
    /*
     * Elements of all channels that are worked on at a time, channel by channel. With fewer, planes
     * that are not in a cache take longer.
     */
    RELU_EXT_SCALE_SHIFT_PIXELS = 2880,
    RELU_EXT_SCALE_SHIFT_PLANES = 32, /* channels of such a block at most, channel by channel */
    RELU_EXT_SCALE_SHIFT_MANY = 64,   /* channels, whose elements are worth a call of the kernel */
};

/* A call on its way: what does not change from one run of pixels to the next. */
struct relu_ext_scale_shift_walk {
    const struct relu_ext_scale_shift_pair *pair;
    relu_ext_scale_shift_kernel *kernel;
    relu_ext_scale_shift_copy *copy_x, *copy_y;
    relu_ext_block_streamer *stream_block; /* NULL where not to stream */
    /* Of one pixel's channels, and from pixel to pixel, in bytes. */
    ptrdiff_t x_channel, x_next, y_channel, y_next;
    bool interleaved; /* the order of the work; else channel by channel */
    bool rectified;
    bool x_flat, y_flat; /* whether it is in the order of the work */
    size_t channels, pixels;
    /* Of what is computed in; relu_ext_repeated if interleaved. */
    char *scale, *shift;
    size_t parameter_size;
    char *blocks;    /* memory for what is on its way from or to another layout */
    size_t elements; /* at a time, where it is not rows or planes */
};

/* A run of contiguous elements: of x and y, and the parameters of the first. */
struct relu_ext_scale_shift_run {
    const struct relu_ext_scale_shift_walk *w;
    const char *x, *scale, *shift;
};

static void relu_ext_scale_shift_part(void *context, size_t at, char *y, size_t bytes)
{
    const struct relu_ext_scale_shift_run *run = context;
    const struct relu_ext_scale_shift_walk *w = run->w;
    const size_t i = at / w->pair->y_size, parameter = w->interleaved ? i * w->parameter_size : 0;
    w->kernel(run->x + i * w->pair->x_size, run->scale + parameter, run->shift + parameter, y,
              bytes / w->pair->y_size, w->interleaved, w->rectified);
}

/*
 * n contiguous elements, the first of which has the parameters at that index. `whole`: of
 * arrays as they lie, not of a block on its way to another layout, too short to stream.
 */
static void relu_ext_scale_shift_run(const struct relu_ext_scale_shift_walk *w, const char *x,
                                     char *y, size_t parameter, size_t n, bool whole)
{
    const size_t size = w->pair->y_size, bytes = n * size;
    struct relu_ext_scale_shift_run run = {w, x, w->scale + parameter * w->parameter_size,
                                           w->shift + parameter * w->parameter_size};

    if (whole && relu_ext_can_stream(w->stream_block, y, size, bytes))
        relu_ext_stream_out(w->stream_block,
                            &(struct relu_ext_stream){relu_ext_scale_shift_part, &run, x, x,
                                                      w->pair->x_size, y, size, bytes});
    else
        relu_ext_scale_shift_part(&run, 0, y, bytes);
}

/* All channels of a run of pixels. */
static void relu_ext_scale_shift_pixels(const struct relu_ext_scale_shift_walk *w, const char *x,
                                        char *y)
{
    const ptrdiff_t x_size = (ptrdiff_t)w->pair->x_size, y_size = (ptrdiff_t)w->pair->y_size;
    const ptrdiff_t channels = (ptrdiff_t)w->channels;
    const bool x_flat = w->x_flat, y_flat = w->y_flat;
    char *x_block = w->blocks;

    if (w->interleaved) {
        if (x_flat && y_flat) {
            const size_t total = w->channels * w->pixels;
            /* The first step takes y to a boundary of 64 bytes, the others stay there. */
            size_t n = -(uintptr_t)y % 64 / w->pair->y_size;
            for (size_t i = 0; i < total; i += n, n = w->elements) {
                n = n < total - i ? n : total - i;
                relu_ext_scale_shift_run(w, x + i * w->pair->x_size, y + i * w->pair->y_size,
                                         i % w->channels, n, true);
            }
            return;
        }
        if (w->x_channel == x_size && w->y_channel == y_size
            && channels >= RELU_EXT_SCALE_SHIFT_MANY) {
            for (size_t i = 0; i < w->pixels; i++, x += w->x_next, y += w->y_next)
                relu_ext_scale_shift_run(w, x, y, 0, w->channels, false);
            return;
        }
        size_t step = w->elements / w->channels;
        step = step > 16 ? step / 16 * 16 : step;
        char *y_block = w->blocks + (x_flat ? 0 : step * w->channels * w->pair->x_size);
        for (size_t i = 0, n; i < w->pixels; i += n) {
            n = step < w->pixels - i ? step : w->pixels - i;
            const char *from = x_flat ? x : x_block;
            char *to = y_flat ? y : y_block;
            if (!x_flat)
                w->copy_x(x_block, x_size, channels * x_size, x, w->x_channel, w->x_next,
                          w->channels, n);
            relu_ext_scale_shift_run(w, from, to, 0, n * w->channels, false);
            if (!y_flat)
                w->copy_y(y, w->y_channel, w->y_next, y_block, y_size, channels * y_size,
                          w->channels, n);
            x += (ptrdiff_t)n * w->x_next;
            y += (ptrdiff_t)n * w->y_next;
        }
        return;
    }

    for (size_t first = 0, planes; first < w->channels; first += planes) {
        planes = w->channels - first;
        if (!(x_flat && y_flat) && planes > RELU_EXT_SCALE_SHIFT_PLANES)
            planes = RELU_EXT_SCALE_SHIFT_PLANES;
        const char *x_first = x + (ptrdiff_t)first * w->x_channel;
        char *y_first = y + (ptrdiff_t)first * w->y_channel;
        const size_t fitting = w->elements / planes;
        const size_t step = x_flat && y_flat ? w->pixels
                                             : (fitting > 16 ? fitting / 16 * 16 : fitting);
        char *y_block = w->blocks + (x_flat ? 0 : step * planes * w->pair->x_size);
        for (size_t i = 0, n; i < w->pixels; i += n) {
            n = step < w->pixels - i ? step : w->pixels - i;
            const char *from = x_first + (ptrdiff_t)i * w->x_next;
            char *to = y_first + (ptrdiff_t)i * w->y_next, *y_from = to;
            ptrdiff_t from_plane = w->x_channel, to_plane = w->y_channel;
            if (!x_flat) {
                from_plane = (ptrdiff_t)step * x_size;
                w->copy_x(x_block, from_plane, x_size, from, w->x_channel, w->x_next, planes, n);
                from = x_block;
            }
            if (!y_flat) {
                to_plane = (ptrdiff_t)step * y_size;
                to = y_block;
            }
            for (size_t c = 0; c < planes; c++)
                relu_ext_scale_shift_run(w, from + (ptrdiff_t)c * from_plane,
                                         to + (ptrdiff_t)c * to_plane, first + c, n,
                                         x_flat && y_flat);
            if (!y_flat)
                w->copy_y(y_from, w->y_channel, w->y_next, y_block, to_plane, y_size, planes, n);
        }
    }
}

/* The parameters of `channels` channels, rounded, and again and again up to n of them. */
static void relu_ext_scale_shift_parameters(char *to, bool in_f64, const double *from,
                                            ptrdiff_t step, size_t channels, size_t n)
{
    const size_t size = in_f64 ? sizeof(double) : sizeof(float);
    for (size_t i = 0; i < channels; i++, from += step) {
        const float rounded = (float)*from;
        memcpy(to + i * size, in_f64 ? (const void *)from : &rounded, size);
    }
    for (size_t i = channels, more; i < n; i += more) {
        more = i < n - i ? i : n - i;
        memcpy(to + i * size, to, more * size);
    }
}

/* Whether x and y have their axes in the same order in memory. */
static bool relu_ext_scale_shift_in_one_order(const struct relu_ext_scale_shift *call)
{
    const ptrdiff_t *x = call->x_strides, *y = call->y_strides;
    for (size_t j = 0; j < call->ndim; j++)
        for (size_t k = 0; k < j; k++)
            if (call->shape[j] > 1 && call->shape[k] > 1
                && (relu_ext_distance(x[j]) < relu_ext_distance(x[k]))
                       != (relu_ext_distance(y[j]) < relu_ext_distance(y[k])))
                return false;
    return true;
}

/* Not to be inlined: arithmetic must not move out from between the changes of settings. */
static RELU_EXT_NOINLINE void relu_ext_scale_shift_walk(const struct relu_ext_scale_shift_isa *isa,
                                                        relu_ext_block_streamer *streamer,
                                                        size_t pair_index,
                                                        const struct relu_ext_scale_shift *call)
{
    const struct relu_ext_scale_shift_pair *pair = &relu_ext_scale_shift_pairs[pair_index];
    const ptrdiff_t x_size = (ptrdiff_t)pair->x_size, y_size = (ptrdiff_t)pair->y_size;
    static const unsigned char log2_size[] = {0, 0, 1, 0, 2, 0, 0, 0, 3};
    const size_t parameter_size = pair->in_f64 ? sizeof(double) : sizeof(float);
    const size_t most_channels = RELU_EXT_SCALE_SHIFT_CHANNEL_BYTES / parameter_size;
    const size_t block = RELU_EXT_SCALE_SHIFT_BLOCK_BYTES / parameter_size;
    _Alignas(64) char memory[RELU_EXT_SCALE_SHIFT_MEMORY];
    /*
     * Many channels with the same parameters are a row of one channel. Few stay, as such rows would
     * be short where pixels have gaps between them; and between two layouts, as theirs is the axis
     * that is moved.
     */
    const bool one_channel = call->next_parameter == 0
                             && call->shape[call->axis] >= RELU_EXT_SCALE_SHIFT_MANY
                             && relu_ext_scale_shift_in_one_order(call);
    /* In the order of y, without the channels'. */
    struct relu_ext_axis axes[RELU_EXT_SCALE_SHIFT_DIMS];
    size_t count = 0;
    ptrdiff_t x_at, y_at;
    for (size_t k = 0; k < call->ndim; k++)
        if (one_channel || k != call->axis)
            axes[count++] = (struct relu_ext_axis){call->shape[k], call->y_strides[k],
                                                   call->x_strides[k]};
    count = relu_ext_sort_axes(axes, count, &y_at, &x_at);
    const char *x = (const char *)call->x + x_at;
    char *y = (char *)call->y + y_at;
    const size_t channels = one_channel ? 1 : call->shape[call->axis];
    const struct relu_ext_axis inner = axes[count - 1];
    ptrdiff_t x_channel = one_channel ? 0 : call->x_strides[call->axis];
    ptrdiff_t y_channel = one_channel ? 0 : call->y_strides[call->axis];

    const bool y_planar = channels == 1 || (inner.step == y_size && inner.n > 1);
    const bool y_interleaved = !y_planar && y_channel == y_size
                               && (inner.step == (ptrdiff_t)channels * y_size || inner.n == 1
                                   || channels >= RELU_EXT_SCALE_SHIFT_MANY);
    const bool x_interleaved = x_channel == x_size && inner.other == (ptrdiff_t)channels * x_size;
    struct relu_ext_scale_shift_walk w = {
        .pair = pair,
        .kernel = isa->kernels[pair_index],
        .copy_x = isa->copies[log2_size[pair->x_size]],
        .copy_y = isa->copies[log2_size[pair->y_size]],
        .stream_block = streamer,
        .interleaved = y_interleaved || (!y_planar && x_interleaved),
        .rectified = call->rectified,
        .scale = memory,
        .parameter_size = parameter_size,
        .x_next = inner.other,
        .y_next = inner.step,
        .pixels = inner.n,
    };
    /*
     * Channel by channel, the order of the channels is free; with it, x still counts as
     * interleaved from BGR to RGB.
     */
    const bool reversed = !w.interleaved && x_channel < 0;
    if (reversed) {
        x += (ptrdiff_t)(channels - 1) * x_channel;
        y += (ptrdiff_t)(channels - 1) * y_channel;
        x_channel = -x_channel;
        y_channel = -y_channel;
    }
    w.x_channel = x_channel;
    w.y_channel = y_channel;

    for (size_t first = 0; first < channels; first += w.channels) {
        const size_t from = reversed ? channels - 1 - first : first;
        w.channels = channels - first < most_channels ? channels - first : most_channels;
        const ptrdiff_t next = w.interleaved ? (ptrdiff_t)w.channels : 1;
        w.x_flat = inner.other == next * x_size && (!w.interleaved || x_channel == x_size);
        w.y_flat = inner.step == next * y_size && (!w.interleaved || y_channel == y_size);

        size_t needed = w.channels, fixed = 2 * w.channels * parameter_size, each = 0;
        w.elements = RELU_EXT_SCALE_SHIFT_PIXELS;
        if (w.interleaved) {
            w.elements = block;
            each = 2 * parameter_size;
            fixed = 0;
        }
        const size_t moved = (w.x_flat ? 0 : pair->x_size) + (w.y_flat ? 0 : pair->y_size);
        if (moved > 0) {
            const size_t room = (sizeof memory - 128 - fixed) / (moved + each);
            w.elements = w.elements < room ? w.elements : room;
        }
        if (w.interleaved && w.channels < w.elements / inner.n)
            needed *= inner.n;
        else if (w.interleaved) /* all begin with the first channel, unless there are no blocks */
            needed = w.elements + (moved > 0 ? 0 : w.channels);
        const size_t parameter_bytes = (needed * parameter_size + 63) / 64 * 64;
        w.shift = w.scale + parameter_bytes;
        w.blocks = w.shift + parameter_bytes;
        const ptrdiff_t next_parameter = reversed ? -call->next_parameter : call->next_parameter;
        const ptrdiff_t from_parameter = (ptrdiff_t)from * call->next_parameter;
        relu_ext_scale_shift_parameters(w.scale, pair->in_f64, call->scale + from_parameter,
                                        next_parameter, w.channels, needed);
        relu_ext_scale_shift_parameters(w.shift, pair->in_f64, call->shift + from_parameter,
                                        next_parameter, w.channels, needed);

        const char *x_first = x + (ptrdiff_t)first * x_channel;
        char *y_first = y + (ptrdiff_t)first * y_channel;
        size_t index[RELU_EXT_SCALE_SHIFT_DIMS] = {0};
        x_at = y_at = 0;
        do
            relu_ext_scale_shift_pixels(&w, x_first + x_at, y_first + y_at);
        while (relu_ext_next_index(axes, count - 1, index, &y_at, &x_at));
    }
    if (streamer)
        relu_ext_stream_end();
}

#endif
