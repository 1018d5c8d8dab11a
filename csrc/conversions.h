/*
 * f16 from and to float, many at once, as numbers.h has it for one: to nearest, ties to
 * even, and the positive quiet NaN without payload stays what it is. Wants the
 * floating-point settings of float_env.h.
 *
 * CPUs have instructions for f16, which no compiler makes of plain C; for bf16 plain C
 * will do.
 */
#ifndef RELU_EXT_CONVERSIONS_H
#define RELU_EXT_CONVERSIONS_H

/* 16-bit floats at any address. */
typedef uint16_t half_bits RELU_EXT_ANY_POINTER;

/* An instruction set's own, of F16_GROUP floats. */
enum { F16_GROUP = 16 };
struct f16_conversions {
    void (*to_float)(float *to, const half_bits *from);
    void (*from_float)(half_bits *to, const float *from);
};

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

RELU_EXT_INLINE RELU_EXT_AVX512 void f16_to_float_avx512(float *to, const half_bits *from)
{
    _mm512_storeu_ps(to, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from)));
}

RELU_EXT_INLINE RELU_EXT_AVX512 void f16_from_float_avx512(half_bits *to, const float *from)
{
    _mm256_storeu_si256((__m256i *)to,
                        _mm512_cvtps_ph(_mm512_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT));
}

RELU_EXT_INLINE RELU_EXT_AVX2 void f16_to_float_avx2(float *to, const half_bits *from)
{
    for (size_t i = 0; i < F16_GROUP; i += 8)
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(
                                     (const __m128i *)(from + i))));
}

RELU_EXT_INLINE RELU_EXT_AVX2 void f16_from_float_avx2(half_bits *to, const float *from)
{
    for (size_t i = 0; i < F16_GROUP; i += 8)
        _mm_storeu_si128((__m128i *)(to + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
}
#endif

RELU_EXT_INLINE void f16_to_float_baseline(float *to, const half_bits *from)
{
    for (size_t i = 0; i < F16_GROUP; i++)
        to[i] = relu_ext_float_from_f16(from[i]);
}

RELU_EXT_INLINE void f16_from_float_baseline(half_bits *to, const float *from)
{
    for (size_t i = 0; i < F16_GROUP; i++)
        to[i] = relu_ext_f16_from_float(from[i]);
}

#define DEFINE_F16_CONVERSIONS(isa, target, supported)                                 \
    static const struct f16_conversions f16_##isa = {f16_to_float_##isa, f16_from_float_##isa};
RELU_EXT_ISAS(DEFINE_F16_CONVERSIONS)

/*
 * n of them. `floats` has room for whole groups, and floats_to_f16 reads them whole: all of
 * it has to be initialised.
 */
RELU_EXT_INLINE void floats_from_f16(float *floats, const void *from, size_t n,
                                     const struct f16_conversions *f16)
{
    const half_bits *x = from;
    const size_t rest = n % F16_GROUP, whole = n - rest;
    for (size_t i = 0; i < whole; i += F16_GROUP)
        f16->to_float(floats + i, x + i);
    if (rest > 0) {
        half_bits last[F16_GROUP] = {0};
        memcpy(last, x + whole, rest * sizeof *last);
        f16->to_float(floats + whole, last);
    }
}

RELU_EXT_INLINE void floats_to_f16(void *to, const float *floats, size_t n,
                                   const struct f16_conversions *f16)
{
    half_bits *y = to;
    const size_t rest = n % F16_GROUP, whole = n - rest;
    for (size_t i = 0; i < whole; i += F16_GROUP)
        f16->from_float(y + i, floats + i);
    if (rest > 0) {
        half_bits last[F16_GROUP];
        f16->from_float(last, floats + whole);
        memcpy(y + whole, last, rest * sizeof *last);
    }
}

#endif
