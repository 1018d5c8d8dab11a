/*
 * What a long double is, which differs by platform: x87's 80 bits in 12 or 16 bytes, IEEE
 * binary128, binary64, or a pair of doubles. Only the bits are looked at: a comparison of
 * long doubles would raise a flag for a NaN.
 */
#ifndef RELU_EXT_LONGDOUBLE_BITS_H
#define RELU_EXT_LONGDOUBLE_BITS_H

#include <float.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

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
    enum { RELU_EXT_HIGH = 2, RELU_EXT_LOW = 8, RELU_EXT_LOW_AT = 0 };
#elif LDBL_MANT_DIG == 113
    enum {
        RELU_EXT_HIGH = 8,
        RELU_EXT_LOW = 8,
        RELU_EXT_LOW_AT = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 8 : 0
    };
#else
    enum { RELU_EXT_HIGH = 8, RELU_EXT_LOW = 0, RELU_EXT_LOW_AT = 0 };
#endif
    const size_t high_at = RELU_EXT_LOW > 0 ? RELU_EXT_LOW - RELU_EXT_LOW_AT : 0;
    uint64_t a_low = 0, b_low = 0;
    memcpy(&a_low, a + RELU_EXT_LOW_AT, RELU_EXT_LOW);
    memcpy(&b_low, b + RELU_EXT_LOW_AT, RELU_EXT_LOW);
#if LDBL_MANT_DIG == 64
    uint16_t a_high, b_high;
#else
    uint64_t a_high, b_high;
#endif
    memcpy(&a_high, a + high_at, RELU_EXT_HIGH);
    memcpy(&b_high, b + high_at, RELU_EXT_HIGH);
    return a_high < b_high || (a_high == b_high && a_low < b_low);
#endif
}

#endif
