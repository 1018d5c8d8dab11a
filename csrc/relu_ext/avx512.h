/*
 * Floats by AVX-512. Its arithmetic can do without flags and with a rounding of its own, so that
 * only whether subnormals are flushed matters, and reading and restoring the settings takes longer
 * than short arrays do; and one instruction replaces numbers by their class. Included by x86.h;
 * isa.h says what each function is.
 */
#ifndef RELU_EXT_AVX512_H
#define RELU_EXT_AVX512_H

#define RELU_EXT_QUIETLY (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

/* The least float plus nothing is zero, if subnormals are flushed as operands or as results. */
static RELU_EXT_AVX512 bool relu_ext_settings_matter_avx512(void)
{
    __m128 least = _mm_castsi128_ps(_mm_cvtsi32_si128(1));
    __asm__("" : "+x"(least));
    least = _mm_add_round_ss(least, _mm_setzero_ps(), RELU_EXT_QUIETLY);
    return _mm_cvtsi128_si32(_mm_castps_si128(least)) == 0;
}

RELU_EXT_POINTED_AT RELU_EXT_AVX512 void relu_ext_f16_to_float_avx512(float *to,
                                                                      const relu_ext_half *from)
{
    _mm512_storeu_ps(
        to, _mm512_cvt_roundph_ps(_mm256_loadu_si256((const __m256i *)from), _MM_FROUND_NO_EXC));
}

RELU_EXT_POINTED_AT RELU_EXT_AVX512 void relu_ext_f16_from_float_avx512(relu_ext_half *to,
                                                                        const float *from)
{
    __m256i rounded;
    /* To nearest. GCC before 13 cannot be told to raise no flags. */
    __asm__("vcvtps2ph {$0, %{sae%}, %1, %0|%0, %1, %{sae%}, 0}"
            : "=v"(rounded)
            : "v"(_mm512_loadu_ps(from)));
    _mm256_storeu_si256((__m256i *)to, rounded);
}

/*
 * x, but some numbers replaced by their class, which has four bits: 0 stands for the NaN given, 1
 * for x, 8 for zero. From the lowest on: quiet NaNs, others, zeros, 1, -inf, inf, the negative and
 * the positive numbers.
 */
#define RELU_EXT_BY_CLASS(ps, vector, integers, x, classes, nan_bits)                  \
    _mm512_fixupimm_round_##ps((vector)_mm512_set1_##integers(nan_bits), x,            \
                               _mm512_set1_##integers(classes), 0, _MM_FROUND_NO_EXC)
#define RELU_EXT_WITHOUT_NANS 0x11111100
#define RELU_EXT_RECTIFIED 0x18181800

/*
 * Where ReLU makes zero of x: 0, -0, -inf and the finite negative ones. Clang compares floats so
 * that NaNs raise a flag, whatever it is told.
 */
#define RELU_EXT_FAILS(ps, x) _mm512_fpclass_##ps##_mask(x, 0x02 | 0x04 | 0x10 | 0x40)

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
        _mm512_storeu_##ps(out, _mm512_mask_mov_##ps(pass, RELU_EXT_FAILS(ps, decides), y));       \
    }                                                                                              \
    RELU_EXT_POINTED_AT RELU_EXT_AVX512 void relu_ext_sum_##dtype##_avx512(                        \
        void *out, const void *a, const void *b)                                                   \
    {                                                                                              \
        _mm512_storeu_##ps(                                                                        \
            out, relu_ext_rectified_##dtype(_mm512_loadu_##ps(a), _mm512_loadu_##ps(b)));          \
    }
RELU_EXT_DEFINE_FLOAT_LINES(f32, ps, __m512, epi32, 0x7FC00000)
RELU_EXT_DEFINE_FLOAT_LINES(f64, pd, __m512d, epi64, 0x7FF8000000000000)

RELU_EXT_POINTED_AT RELU_EXT_AVX512 void relu_ext_product_f32_avx512(void *out, const void *a,
                                                                     const void *b, bool number)
{
    _mm512_storeu_ps(out, relu_ext_times_f32(_mm512_loadu_ps(a), _mm512_loadu_ps(b), number));
}

/* Half a line of bf16: their bits as integers of twice the width, and as the floats they are. */
RELU_EXT_INLINE RELU_EXT_AVX512 __m512i relu_ext_load_bf16(const relu_ext_half *from)
{
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from));
}

RELU_EXT_INLINE RELU_EXT_AVX512 __m512 relu_ext_widened_bf16(__m512i bits)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
}

/* As relu_ext_bf16_from_number has it; the only NaN, without payload, comes out right as well. */
RELU_EXT_INLINE RELU_EXT_AVX512 __m512i relu_ext_rounded_bf16(__m512 x)
{
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF));
    return _mm512_srli_epi32(_mm512_add_epi32(bits, half), 16);
}

RELU_EXT_INLINE RELU_EXT_AVX512 void relu_ext_store_bf16(relu_ext_half *to, __m512i bits)
{
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtepi32_epi16(bits));
}

RELU_EXT_POINTED_AT RELU_EXT_AVX512 void relu_ext_leaky_bf16_avx512(void *out, const void *passing,
                                                                    const void *x,
                                                                    const void *factor,
                                                                    const void *slope, bool number)
{
    for (size_t k = 0; k < 32; k += 16) {
        const __m512i a = relu_ext_load_bf16((const relu_ext_half *)slope + k);
        const __m512i b = relu_ext_load_bf16((const relu_ext_half *)factor + k);
        const __m512i decides = relu_ext_load_bf16((const relu_ext_half *)x + k);
        const __m512i pass = relu_ext_load_bf16((const relu_ext_half *)passing + k);
        const __m512 y = relu_ext_times_f32(relu_ext_widened_bf16(a), relu_ext_widened_bf16(b),
                                            number);
        relu_ext_store_bf16(
            (relu_ext_half *)out + k,
            _mm512_mask_mov_epi32(pass, RELU_EXT_FAILS(ps, relu_ext_widened_bf16(decides)),
                                  relu_ext_rounded_bf16(y)));
    }
}

RELU_EXT_POINTED_AT RELU_EXT_AVX512 void relu_ext_sum_bf16_avx512(void *out, const void *a,
                                                                  const void *b)
{
    for (size_t k = 0; k < 32; k += 16) {
        const __m512i left = relu_ext_load_bf16((const relu_ext_half *)a + k);
        const __m512i right = relu_ext_load_bf16((const relu_ext_half *)b + k);
        const __m512 y = relu_ext_rectified_f32(relu_ext_widened_bf16(left),
                                                relu_ext_widened_bf16(right));
        relu_ext_store_bf16((relu_ext_half *)out + k, relu_ext_rounded_bf16(y));
    }
}

#define RELU_EXT_FLOAT_LINES_avx512                                                        \
    .settings_matter = relu_ext_settings_matter_avx512,                                    \
    .product_f32 = relu_ext_product_f32_avx512, .leaky_bf16 = relu_ext_leaky_bf16_avx512,  \
    .leaky_f32 = relu_ext_leaky_f32_avx512, .leaky_f64 = relu_ext_leaky_f64_avx512,        \
    .sum_bf16 = relu_ext_sum_bf16_avx512, .sum_f32 = relu_ext_sum_f32_avx512,              \
    .sum_f64 = relu_ext_sum_f64_avx512

#endif
