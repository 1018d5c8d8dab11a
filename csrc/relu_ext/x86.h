/*
 * What x86-64's instruction sets do that no compiler makes of plain C: stores past the
 * caches, parts of a line, masks from and to bits, floats. Included by isa.h, which says what each
 * is.
 */
#ifndef RELU_EXT_X86_H
#define RELU_EXT_X86_H

#include <immintrin.h>

/* Stores past the caches. */

/*
 * `to` and `block` are on 64-byte boundaries. ahead_a and ahead_b will be read
 * next: fetched here, as the hardware's own prefetching loses track at the pauses.
 */
#define RELU_EXT_DEFINE_STREAM_BLOCK(isa, target, vector, load, store)                 \
    static target void relu_ext_stream_block_##isa(char *to, const char *block,        \
                                          const char *ahead_a, const char *ahead_b)    \
    {                                                                                  \
        for (size_t line = 0; line < RELU_EXT_STREAM_BLOCK; line += 64) {              \
            _mm_prefetch(ahead_a + line, _MM_HINT_T0);                                 \
            if (ahead_b != ahead_a)                                                    \
                _mm_prefetch(ahead_b + line, _MM_HINT_T0);                             \
            for (size_t i = line; i < line + 64; i += sizeof(vector))                  \
                store((vector *)(to + i), load((const vector *)(block + i)));          \
        }                                                                              \
    }
RELU_EXT_DEFINE_STREAM_BLOCK(avx512, RELU_EXT_AVX512, __m512i, _mm512_load_si512,
                             _mm512_stream_si512)
RELU_EXT_DEFINE_STREAM_BLOCK(avx2, RELU_EXT_AVX2, __m256i, _mm256_load_si256, _mm256_stream_si256)
RELU_EXT_DEFINE_STREAM_BLOCK(baseline, , __m128i, _mm_load_si128, _mm_stream_si128)

/* Streaming stores become visible to other threads in any order, until this. */
static inline void relu_ext_stream_end(void)
{
    _mm_sfence();
}

/* Parts of a line. AVX2 masks no bytes: parts.h is its. */

/* Whether a line from here on ends in the next page: where that is not present, masks take long. */
RELU_EXT_INLINE bool relu_ext_meets_page(const void *at)
{
    return (uintptr_t)at % 4096 > 4096 - 64;
}

RELU_EXT_INLINE RELU_EXT_AVX512 void relu_ext_load_part_avx512(char *to, const char *from,
                                                               size_t bytes)
{
    const __mmask64 mask = ((__mmask64)1 << bytes) - 1;
    if (relu_ext_meets_page(from)) {
        _mm512_store_si512(to, _mm512_setzero_si512());
        memcpy(to, from, bytes);
    }
    else
        _mm512_store_si512(to, _mm512_maskz_loadu_epi8(mask, from));
}

RELU_EXT_INLINE RELU_EXT_AVX512 void relu_ext_store_part_avx512(char *to, const char *from,
                                                                size_t bytes)
{
    const __mmask64 mask = ((__mmask64)1 << bytes) - 1;
    if (relu_ext_meets_page(to))
        memcpy(to, from, bytes);
    else
        _mm512_mask_storeu_epi8(to, mask, _mm512_load_si512(from));
}

#define relu_ext_load_part_avx2 relu_ext_load_part_baseline
#define relu_ext_store_part_avx2 relu_ext_store_part_baseline

/* Masks. */

RELU_EXT_INLINE long long relu_ext_repeated(uint8_t byte)
{
    return (long long)(byte * 0x0101010101010101u);
}

/* A vector of so many elements: `pack` gives their bits, `unpack` is given the bits' address. */
#define RELU_EXT_DEFINE_MASKS(isa, target, vector, word, load, pack, store, unpack)             \
    RELU_EXT_INLINE target void relu_ext_pack_masks_##isa(const int8_t *masks, uint8_t *bits)   \
    {                                                                                           \
        for (size_t i = 0; i < 64; i += sizeof(vector)) {                                       \
            word part = (word)pack(load((const vector *)(const void *)(masks + i)));            \
            memcpy(bits + i / 8, &part, sizeof part);                                           \
        }                                                                                       \
    }                                                                                           \
    RELU_EXT_INLINE target void relu_ext_unpack_masks_##isa(const uint8_t *bits, int8_t *masks) \
    {                                                                                           \
        for (size_t i = 0; i < 64; i += sizeof(vector)) {                                       \
            word part;                                                                          \
            memcpy(&part, bits + i / 8, sizeof part);                                           \
            store((vector *)(void *)(masks + i), unpack(part));                                 \
        }                                                                                       \
    }

RELU_EXT_INLINE __m128i relu_ext_unpack_16(uint16_t part)
{
    const __m128i places = _mm_set1_epi64x((long long)0x8040201008040201u);
    __m128i spread = _mm_set_epi64x(relu_ext_repeated((uint8_t)(part >> 8)),
                                    relu_ext_repeated((uint8_t)part));
    return _mm_cmpeq_epi8(_mm_and_si128(spread, places), places);
}

RELU_EXT_INLINE RELU_EXT_AVX2 __m256i relu_ext_unpack_32(uint32_t part)
{
    const __m256i places = _mm256_set1_epi64x((long long)0x8040201008040201u);
    const __m256i from = _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202,
                                           0x0101010101010101, 0);
    __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32((int)part), from);
    return _mm256_cmpeq_epi8(_mm256_and_si256(spread, places), places);
}

RELU_EXT_DEFINE_MASKS(avx512, RELU_EXT_AVX512, __m512i, uint64_t, _mm512_load_si512,
                      _mm512_movepi8_mask, _mm512_store_si512, _mm512_movm_epi8)
RELU_EXT_DEFINE_MASKS(avx2, RELU_EXT_AVX2, __m256i, uint32_t, _mm256_load_si256,
                      _mm256_movemask_epi8, _mm256_store_si256, relu_ext_unpack_32)
RELU_EXT_DEFINE_MASKS(baseline, , __m128i, uint16_t, _mm_load_si128, _mm_movemask_epi8,
                      _mm_store_si128, relu_ext_unpack_16)

/* Floats. The baseline has no instructions for f16: isa.h's conversion is its. */

RELU_EXT_POINTED_AT RELU_EXT_AVX2 void relu_ext_f16_to_float_avx2(float *to,
                                                                  const relu_ext_half *from)
{
    for (size_t i = 0; i < RELU_EXT_F16_GROUP; i += 8)
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from + i))));
}

RELU_EXT_POINTED_AT RELU_EXT_AVX2 void relu_ext_f16_from_float_avx2(relu_ext_half *to,
                                                                    const float *from)
{
    const __m128i low = _mm256_cvtps_ph(_mm256_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT);
    const __m128i high = _mm256_cvtps_ph(_mm256_loadu_ps(from + 8), _MM_FROUND_TO_NEAREST_INT);
    __m256i both = _mm256_set_m128i(high, low);
    /* Clang would store the halves, and who loads them at once would wait for both. */
    __asm__("" : "+x"(both));
    _mm256_storeu_si256((__m256i *)to, both);
}

#define RELU_EXT_OPS_avx2 RELU_EXT_OPS_baseline
#define relu_ext_settings_matter_avx2 relu_ext_settings_matter_baseline
#include "avx512.h"

/* Whether it has a fused multiply-add. */
#define RELU_EXT_FMA_avx512 true
#define RELU_EXT_FMA_avx2 true
#define RELU_EXT_FMA_baseline false

#endif
