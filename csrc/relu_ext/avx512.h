/*
 * Floats by AVX-512. Its arithmetic raises no flags and has a rounding of its own, if it is told
 * so: of float_env.h's settings only flushed subnormals matter. To read and restore them takes
 * longer than a short array. Included by x86.h; isa.h says what each function is.
 */
#ifndef RELU_EXT_AVX512_H
#define RELU_EXT_AVX512_H

#define RELU_EXT_QUIETLY (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

/* The least float plus nothing is zero, if subnormals are flushed as operands or as results. */
RELU_EXT_INLINE RELU_EXT_AVX512 bool relu_ext_settings_matter_avx512(void)
{
    __m128 least = _mm_castsi128_ps(_mm_cvtsi32_si128(1));
    /* volatile: or it might be asked once for all settings. */
    __asm__ volatile("" : "+x"(least));
    least = _mm_add_round_ss(least, _mm_setzero_ps(), RELU_EXT_QUIETLY);
    return _mm_cvtsi128_si32(_mm_castps_si128(least)) == 0;
}

/*
 * x, but some classes of numbers replaced. Each class has four bits: 0 for the NaN given, 1 for x,
 * 8 for zero. From the lowest on: quiet NaNs, others, zeros, 1, -inf, inf, the negative and the
 * positive numbers.
 */
#define RELU_EXT_BY_CLASS(ps, vector, integers, x, classes, nan_bits)                  \
    _mm512_fixupimm_round_##ps((vector)_mm512_set1_##integers(nan_bits), x,            \
                               _mm512_set1_##integers(classes), 0, _MM_FROUND_NO_EXC)
#define RELU_EXT_WITHOUT_NANS 0x11111100
#define RELU_EXT_RECTIFIED 0x18181800

/*
 * Where ReLU makes zero of x: 0, -0, -inf and the finite negative ones. Clang compares floats so
 * that NaNs raise a flag, whatever it is told; and older GCC's _mm512_fpclass_ps_mask, at -O0, sees
 * half of a vector.
 */
#define RELU_EXT_FAILS (0x02 | 0x04 | 0x10 | 0x40)
#define RELU_EXT_FAILS_ps(x)                                                           \
    (__mmask16) __builtin_ia32_fpclassps512_mask((__v16sf)(x), RELU_EXT_FAILS, (__mmask16)-1)
#define RELU_EXT_FAILS_pd(x)                                                           \
    (__mmask8) __builtin_ia32_fpclasspd512_mask((__v8df)(x), RELU_EXT_FAILS, (__mmask8)-1)

#define RELU_EXT_DEFINE_FLOAT_LINES(dtype, ps, vector, integers, nan_bits)                         \
    RELU_EXT_INLINE RELU_EXT_AVX512 vector relu_ext_times_##dtype(vector a, vector b, bool number) \
    {                                                                                              \
        const vector y = _mm512_mul_round_##ps(a, b, RELU_EXT_QUIETLY);                            \
        return number ? y : RELU_EXT_BY_CLASS(ps, vector, integers, y, RELU_EXT_WITHOUT_NANS,      \
                                              nan_bits);                                           \
    }                                                                                              \
    RELU_EXT_INLINE RELU_EXT_AVX512 vector relu_ext_rectified_##dtype(vector a, vector b)          \
    {                                                                                              \
        const vector y = _mm512_add_round_##ps(a, b, RELU_EXT_QUIETLY);                            \
        return RELU_EXT_BY_CLASS(ps, vector, integers, y, RELU_EXT_RECTIFIED, nan_bits);           \
    }                                                                                              \
    RELU_EXT_POINTED_AT RELU_EXT_AVX512 void relu_ext_leaky_##dtype##_avx512(                      \
        void *out, const void *passing, const void *x, const void *factor, const void *slope,      \
        bool number)                                                                               \
    {                                                                                              \
        const vector y = relu_ext_times_##dtype(_mm512_loadu_##ps(slope),                          \
                                                _mm512_loadu_##ps(factor), number);                \
        const vector pass = _mm512_loadu_##ps(passing), decides = _mm512_loadu_##ps(x);            \
        _mm512_storeu_##ps(out, _mm512_mask_mov_##ps(pass, RELU_EXT_FAILS_##ps(decides), y));      \
    }                                                                                              \
    RELU_EXT_POINTED_AT RELU_EXT_AVX512 void relu_ext_sum_##dtype##_avx512(                        \
        void *out, const void *a, const void *b)                                                   \
    {                                                                                              \
        _mm512_storeu_##ps(                                                                        \
            out, relu_ext_rectified_##dtype(_mm512_loadu_##ps(a), _mm512_loadu_##ps(b)));          \
    }
RELU_EXT_DEFINE_FLOAT_LINES(f32, ps, __m512, epi32, 0x7FC00000)
RELU_EXT_DEFINE_FLOAT_LINES(f64, pd, __m512d, epi64, 0x7FF8000000000000)

/* Half a line of 16-bit floats, as floats and back: to nearest, under whatever settings. */

RELU_EXT_INLINE RELU_EXT_AVX512 __m512 relu_ext_widened_f16(__m256i half)
{
    return _mm512_cvt_roundph_ps(half, _MM_FROUND_NO_EXC);
}

RELU_EXT_INLINE RELU_EXT_AVX512 __m256i relu_ext_narrowed_f16(__m512 x)
{
    __m256i half;
    /* Not every compiler can be told to raise no flags. */
    __asm__("vcvtps2ph {$0, %{sae%}, %1, %0|%0, %1, %{sae%}, 0}" : "=v"(half) : "v"(x));
    return half;
}

RELU_EXT_INLINE RELU_EXT_AVX512 __m512 relu_ext_widened_bf16(__m256i half)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* As relu_ext_bf16_from_number has it; the only NaN, without payload, comes out right as well. */
RELU_EXT_INLINE RELU_EXT_AVX512 __m256i relu_ext_narrowed_bf16(__m512 x)
{
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_add_epi32(bits, half), 16));
}

RELU_EXT_INLINE RELU_EXT_AVX512 __m256i relu_ext_load_half(const void *line, size_t k)
{
    return _mm256_loadu_si256((const __m256i *)line + k);
}

RELU_EXT_INLINE RELU_EXT_AVX512 void relu_ext_store_half(void *line, size_t k, __m256i half)
{
    _mm256_storeu_si256((__m256i *)line + k, half);
}

#define RELU_EXT_DEFINE_HALF_LINES(dtype)                                                       \
    RELU_EXT_POINTED_AT RELU_EXT_AVX512 void relu_ext_leaky_##dtype##_avx512(                   \
        void *out, const void *passing, const void *x, const void *factor, const void *slope,   \
        bool number)                                                                            \
    {                                                                                           \
        for (size_t k = 0; k < 2; k++) {                                                        \
            const __m512 y = relu_ext_times_f32(                                                \
                relu_ext_widened_##dtype(relu_ext_load_half(slope, k)),                         \
                relu_ext_widened_##dtype(relu_ext_load_half(factor, k)), number);               \
            const __m512 decides = relu_ext_widened_##dtype(relu_ext_load_half(x, k));          \
            const __m256i pass = relu_ext_load_half(passing, k);                                \
            relu_ext_store_half(out, k, _mm256_mask_mov_epi16(pass, RELU_EXT_FAILS_ps(decides), \
                                                     relu_ext_narrowed_##dtype(y)));            \
        }                                                                                       \
    }                                                                                           \
    RELU_EXT_POINTED_AT RELU_EXT_AVX512 void relu_ext_sum_##dtype##_avx512(                     \
        void *out, const void *a, const void *b)                                                \
    {                                                                                           \
        for (size_t k = 0; k < 2; k++) {                                                        \
            const __m512 y = relu_ext_rectified_f32(                                            \
                relu_ext_widened_##dtype(relu_ext_load_half(a, k)),                             \
                relu_ext_widened_##dtype(relu_ext_load_half(b, k)));                            \
            relu_ext_store_half(out, k, relu_ext_narrowed_##dtype(y));                          \
        }                                                                                       \
    }
RELU_EXT_DEFINE_HALF_LINES(f16)
RELU_EXT_DEFINE_HALF_LINES(bf16)

RELU_EXT_POINTED_AT RELU_EXT_AVX512 void relu_ext_f16_to_float_avx512(float *to,
                                                                      const relu_ext_half *from)
{
    _mm512_storeu_ps(to, relu_ext_widened_f16(relu_ext_load_half(from, 0)));
}

RELU_EXT_POINTED_AT RELU_EXT_AVX512 void relu_ext_f16_from_float_avx512(relu_ext_half *to,
                                                                        const float *from)
{
    relu_ext_store_half(to, 0, relu_ext_narrowed_f16(_mm512_loadu_ps(from)));
}

#define RELU_EXT_OPS_avx512                                                                    \
    .masks = true, .asks = true,                                                               \
    .leaky_f16 = relu_ext_leaky_f16_avx512, .leaky_bf16 = relu_ext_leaky_bf16_avx512,          \
    .leaky_f32 = relu_ext_leaky_f32_avx512, .leaky_f64 = relu_ext_leaky_f64_avx512,            \
    .sum_f16 = relu_ext_sum_f16_avx512, .sum_bf16 = relu_ext_sum_bf16_avx512,                  \
    .sum_f32 = relu_ext_sum_f32_avx512, .sum_f64 = relu_ext_sum_f64_avx512

#endif
