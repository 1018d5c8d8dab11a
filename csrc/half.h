/*
 * float from and to the 16-bit floats, on their bits: plain C, without a branch,
 * so that it becomes vectors on every instruction set and rounds alike on all.
 * To nearest, ties to even; a NaN becomes the positive quiet one without payload.
 * Wants the floating-point settings of float_env.h.
 */
#ifndef RELU_EXT_HALF_H
#define RELU_EXT_HALF_H

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

/* All of these are exact. NaNs keep their payload. */
RELU_EXT_INLINE float relu_ext_float_from_f16(uint16_t h)
{
    const uint32_t magnitude = h & 0x7FFF, sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t rebias = (uint32_t)(127 - 15) << 23;
    uint32_t normal = (magnitude << 13) + rebias;
    /* Infinity and NaN: the exponent has to be all ones again. */
    normal += magnitude >= 0x7C00 ? rebias : 0;
    /* By way of an integer: to read the bits as a subnormal float costs an exception inside. */
    uint32_t subnormal = relu_ext_float_bits((float)(int32_t)magnitude * 0x1p-24f);
    return relu_ext_bits_float(sign | (magnitude < 0x0400 ? subnormal : normal));
}

RELU_EXT_INLINE uint16_t relu_ext_f16_from_float(float x)
{
    const uint32_t bits = relu_ext_float_bits(x), magnitude = bits & 0x7FFFFFFF;
    const uint32_t rebias = (uint32_t)(127 - 15) << 23;
    /* Half of the last place that is kept, less one where that place is even. */
    uint32_t normal = (magnitude - rebias + 0xFFF + ((magnitude >> 13) & 1)) >> 13;
    normal = magnitude >= 0x477FF000 ? 0x7C00 : normal; /* rounds to 2^16 or more */
    normal = magnitude > 0x7F800000 ? 0x7E00 : normal;
    /* The last place of 0.5f is that of f16's subnormals: the addition rounds. */
    uint32_t subnormal = relu_ext_float_bits(relu_ext_bits_float(magnitude) + 0.5f) - 0x3F000000;
    uint32_t sign = magnitude > 0x7F800000 ? 0 : bits >> 16 & 0x8000;
    return (uint16_t)(sign | (magnitude < 0x38800000 ? subnormal : normal));
}

RELU_EXT_INLINE float relu_ext_float_from_bf16(uint16_t h)
{
    return relu_ext_bits_float((uint32_t)h << 16);
}

RELU_EXT_INLINE uint16_t relu_ext_bf16_from_float(float x)
{
    const uint32_t bits = relu_ext_float_bits(x);
    uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? 0x7FC0 : rounded);
}

#endif
