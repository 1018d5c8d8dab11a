/*
 * The kernels for long double, which differs by platform: x87's 80 bits in 12
 * or 16 bytes, IEEE binary128, binary64, or a pair of doubles. Only the bits are
 * looked at: a comparison of long doubles would raise a flag for a NaN. Unused
 * bytes are copied along with the number, and zeroed with it.
 */
#ifndef RELU_EXT_LONGDOUBLE_H
#define RELU_EXT_LONGDOUBLE_H

#include <float.h>

enum relu_ext_class { RELU_EXT_NOT_POSITIVE, RELU_EXT_POSITIVE, RELU_EXT_NAN };

RELU_EXT_INLINE enum relu_ext_class relu_ext_classify(const unsigned char *x)
{
#if LDBL_MANT_DIG == 64
    /* x87, little-endian: a significand with its leading 1 written out, then sign and exponent. */
    uint64_t significand;
    uint16_t top;
    memcpy(&significand, x, sizeof significand);
    memcpy(&top, x + 8, sizeof top);
    bool negative = top >> 15;
    bool zero = top << 1 == 0 && significand == 0;
    bool nan = (top & 0x7FFF) == 0x7FFF && significand << 1 != 0;
#elif LDBL_MANT_DIG == 113
    uint64_t half[2];
    memcpy(half, x, sizeof half);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    uint64_t high = half[0], low = half[1];
#else
    uint64_t high = half[1], low = half[0];
#endif
    uint64_t magnitude = high & INT64_MAX, infinity = 0x7FFF000000000000;
    bool negative = high >> 63;
    bool zero = (magnitude | low) == 0;
    bool nan = magnitude > infinity || (magnitude == infinity && low != 0);
#else
    /* binary64, or a pair of doubles, whose first has the sign and is the NaN. */
    uint64_t bits;
    memcpy(&bits, x, sizeof bits);
    uint64_t magnitude = bits & INT64_MAX;
    bool negative = bits >> 63;
    bool zero = magnitude == 0;
    bool nan = magnitude > 0x7FF0000000000000;
#endif
    if (nan)
        return RELU_EXT_NAN;
    return negative || zero ? RELU_EXT_NOT_POSITIVE : RELU_EXT_POSITIVE;
}

RELU_EXT_INLINE bool relu_ext_passes(const unsigned char *x)
{
    return relu_ext_classify(x) != RELU_EXT_NOT_POSITIVE;
}

RELU_EXT_INLINE void relu_grad_ld(const void *dy, const void *b, const void *x, bool uniform,
                                  void *dx, size_t n, int T,
                                  const struct f16_conversions *f16)
{
    const unsigned char *gradient = dy, *decides = x;
    unsigned char *to = dx;
    const size_t size = sizeof(long double);
    (void)b, (void)T, (void)f16;
    for (size_t i = 0; i < n * size; i += size) {
        if (relu_ext_passes(decides + (uniform ? 0 : i)))
            memmove(to + i, gradient + i, size);
        else
            memset(to + i, 0, size);
    }
}

/* x passes where x is a NaN or positive: the gradient's rule, applied to x itself. */
RELU_EXT_INLINE void relu_ld(const void *x, const void *b, const void *c, bool uniform, void *y,
                             size_t n, int T, const struct f16_conversions *f16)
{
    (void)c, (void)uniform;
    relu_grad_ld(x, b, x, false, y, n, T, f16);
}

/* a < b, of positive numbers: in the order of their bits, but for pairs of doubles. */
RELU_EXT_INLINE bool relu_ext_less(const unsigned char *a, const unsigned char *b)
{
#if LDBL_MANT_DIG == 106
    long double first, second;
    memcpy(&first, a, sizeof first);
    memcpy(&second, b, sizeof second);
    return first < second;
#else
#if LDBL_MANT_DIG == 64
    enum { HIGH = 2, LOW = 8, LOW_AT = 0 };
#elif LDBL_MANT_DIG == 113
    enum { HIGH = 8, LOW = 8, LOW_AT = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 8 : 0 };
#else
    enum { HIGH = 8, LOW = 0, LOW_AT = 0 };
#endif
    const size_t high_at = LOW > 0 ? LOW - LOW_AT : 0;
    uint64_t a_low = 0, b_low = 0;
    memcpy(&a_low, a + LOW_AT, LOW);
    memcpy(&b_low, b + LOW_AT, LOW);
#if LDBL_MANT_DIG == 64
    uint16_t a_high, b_high;
#else
    uint64_t a_high, b_high;
#endif
    memcpy(&a_high, a + high_at, HIGH);
    memcpy(&b_high, b + high_at, HIGH);
    return a_high < b_high || (a_high == b_high && a_low < b_low);
#endif
}

/*
 * A ceiling with a sign, -0.0 too, is below every result of ReLU. Passed by value it has
 * no unused bytes to pass on: there are zeros instead.
 */
RELU_EXT_INLINE void clipped_relu_ld(const void *x, const void *b, const void *ceiling,
                                     bool uniform, void *y, size_t n, int T,
                                     const struct f16_conversions *f16)
{
    const size_t size = sizeof(long double);
    (void)b, (void)T, (void)f16;
    for (size_t i = 0; i < n * size; i += size) {
        const unsigned char *from = (const unsigned char *)x + i, *limit = ceiling;
        unsigned char result[sizeof(long double)] = {0};
        limit += uniform ? 0 : i;
        if (relu_ext_passes(from))
            memcpy(result, from, size);
        if (relu_ext_classify(from) != RELU_EXT_NAN
            && (relu_ext_classify(limit) != RELU_EXT_POSITIVE
                || relu_ext_less(limit, result)))
            memcpy(memset(result, 0, size), limit, LDBL_MANT_DIG == 64 ? 10 : size);
        memcpy((unsigned char *)y + i, result, size);
    }
}

RELU_EXT_INLINE void clipped_relu_grad_ld(const void *dy, const void *x, const void *ceiling,
                                          bool uniform, void *dx, size_t n, int T,
                                          const struct f16_conversions *f16)
{
    const size_t size = sizeof(long double);
    (void)T, (void)f16;
    for (size_t i = 0; i < n * size; i += size) {
        const unsigned char *decides = (const unsigned char *)x + i, *limit = ceiling;
        limit += uniform ? 0 : i;
        if (relu_ext_classify(decides) == RELU_EXT_NAN
            || (relu_ext_classify(decides) == RELU_EXT_POSITIVE
                && relu_ext_classify(limit) == RELU_EXT_POSITIVE
                && relu_ext_less(decides, limit)))
            memmove((unsigned char *)dx + i, (const unsigned char *)dy + i, size);
        else
            memset((unsigned char *)dx + i, 0, size);
    }
}

RELU_EXT_INLINE void pack_ld(const void *from, uint8_t *bits, size_t n, int64_t T,
                             pack_masks *unused)
{
    const unsigned char *x = from;
    (void)T, (void)unused;
    for (size_t i = 0; i < n; i += 8) {
        unsigned byte = 0;
        for (size_t k = i; k < i + 8 && k < n; k++)
            byte |= (unsigned)relu_ext_passes(x + k * sizeof(long double)) << (k - i);
        bits[i / 8] = (uint8_t)byte;
    }
}

RELU_EXT_INLINE void grad_bits_ld(const void *from, const uint8_t *bits, void *to, size_t n,
                                  unpack_masks *unused)
{
    const unsigned char *dy = from;
    unsigned char *dx = to;
    const size_t size = sizeof(long double);
    (void)unused;
    for (size_t i = 0; i < n; i++, dy += size, dx += size) {
        if (bits[i / 8] >> i % 8 & 1)
            memmove(dx, dy, size);
        else
            memset(dx, 0, size);
    }
}

#ifdef RELU_EXT_MODULE
/* Either sign passes unless it is zero. */
RELU_EXT_INLINE int64_t counts_ld(const char *x, const struct relu_ext_test *test)
{
    if (relu_ext_passes((const unsigned char *)x))
        return 1;
    if (test->keep == -1)
        return 0;
    long double opposite;
    unsigned char bits[sizeof opposite];
    memcpy(&opposite, x, sizeof opposite);
    opposite = -opposite;
    memcpy(bits, &opposite, sizeof opposite);
    return relu_ext_passes(bits);
}

RELU_EXT_INLINE void count_columns_ld(const struct relu_ext_counted *c, bool any,
                                      const struct relu_ext_test *test)
{
    (void)any;
    for (size_t i = 0; i < c->rows; i++)
        for (size_t j = 0; j < c->columns; j++)
            c->counts[(ptrdiff_t)j * c->count_stride] += counts_ld(
                c->x + (ptrdiff_t)i * c->row_stride + (ptrdiff_t)j * c->column_stride, test);
}

RELU_EXT_INLINE void count_rows_ld(const struct relu_ext_counted *c, bool any,
                                   const struct relu_ext_test *test)
{
    (void)any;
    for (size_t i = 0; i < c->rows; i++)
        for (size_t j = 0; j < c->columns; j++)
            c->counts[(ptrdiff_t)i * c->count_stride] += counts_ld(
                c->x + (ptrdiff_t)i * c->row_stride + (ptrdiff_t)j * c->column_stride, test);
}
#endif

#endif
