/*
 * Numbers from and to their bits. float from and to the 16-bit floats: plain C, without a branch,
 * so that it becomes vectors on every instruction set and rounds alike on all.
 * To nearest, ties to even; a NaN becomes the positive quiet one without payload.
 * Wants the floating-point settings of float_env.h, but for what is exact.
 */
#ifndef RELU_EXT_NUMBERS_H
#define RELU_EXT_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

RELU_EXT_INLINE uint32_t relu_ext_float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

RELU_EXT_INLINE float relu_ext_bits_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

RELU_EXT_INLINE uint64_t relu_ext_double_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

RELU_EXT_INLINE double relu_ext_bits_double(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/*
 * yes if the condition holds, else no, by a mask. With `?:` GCC makes a branch where an
 * alternative is floating-point arithmetic, as arithmetic could trap.
 */
RELU_EXT_INLINE uint32_t relu_ext_select(bool condition, uint32_t yes, uint32_t no)
{
    const uint32_t mask = -(uint32_t)condition;
    return (yes & mask) | (no & ~mask);
}

/* The bits of what arithmetic gave. */
RELU_EXT_INLINE uint32_t relu_ext_float_result(float x)
{
    return x != x ? 0x7FC00000 : relu_ext_float_bits(x);
}

RELU_EXT_INLINE uint64_t relu_ext_double_result(double x)
{
    return x != x ? 0x7FF8000000000000 : relu_ext_double_bits(x);
}

/* These two are exact. NaNs keep their payload. */
RELU_EXT_INLINE float relu_ext_float_from_f16(uint16_t h)
{
    const uint32_t magnitude = h & 0x7FFF, sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t rebias = (uint32_t)(127 - 15) << 23;
    /* Infinity and NaN: the exponent must be all ones again. */
    uint32_t again = relu_ext_select(magnitude >= 0x7C00, rebias, 0);
    uint32_t normal = (magnitude << 13) + rebias + again;
    /* By way of an integer: to read the bits as a subnormal float costs an exception inside. */
    uint32_t subnormal = relu_ext_float_bits((float)(int32_t)magnitude * 0x1p-24f);
    return relu_ext_bits_float(sign | relu_ext_select(magnitude < 0x0400, subnormal, normal));
}

RELU_EXT_INLINE float relu_ext_float_from_bf16(uint16_t h)
{
    return relu_ext_bits_float((uint32_t)h << 16);
}

RELU_EXT_INLINE uint16_t relu_ext_f16_from_float(float x)
{
    const uint32_t bits = relu_ext_float_bits(x), magnitude = bits & 0x7FFFFFFF;
    const uint32_t rebias = (uint32_t)(127 - 15) << 23, sign = bits >> 16 & 0x8000;
    /* Half of the last place that is kept, less one where that place is even. */
    uint32_t normal = (magnitude - rebias + 0xFFF + ((magnitude >> 13) & 1)) >> 13;
    /* The last place of 0.5f is that of f16's subnormals: the addition rounds. */
    uint32_t subnormal = relu_ext_float_bits(relu_ext_bits_float(magnitude) + 0.5f) - 0x3F000000;
    uint32_t result = relu_ext_select(magnitude < 0x38800000, subnormal, normal);
    /* Rounds to 2^16 or more. */
    result = sign | relu_ext_select(magnitude >= 0x477FF000, 0x7C00, result);
    return (uint16_t)relu_ext_select(magnitude > 0x7F800000, 0x7E00, result);
}

/* x is not a NaN. */
RELU_EXT_INLINE uint16_t relu_ext_bf16_from_number(float x)
{
    const uint32_t bits = relu_ext_float_bits(x);
    return (uint16_t)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

RELU_EXT_INLINE uint16_t relu_ext_bf16_from_float(float x)
{
    return (uint16_t)(x != x ? 0x7FC0 : relu_ext_bf16_from_number(x));
}

#endif
