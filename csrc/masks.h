/*
 * 64 bits from and to 64 bytes that are 0 or -1, which no compiler makes of plain C:
 * bit i % 8 of bits[i / 8] is that of masks[i]. Masks are on a 64-byte boundary.
 */
#ifndef RELU_EXT_MASKS_H
#define RELU_EXT_MASKS_H

typedef void pack_masks(const int8_t *masks, uint8_t *bits);
typedef void unpack_masks(const uint8_t *bits, int8_t *masks);

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

RELU_EXT_INLINE long long repeated(uint8_t byte)
{
    return (long long)(byte * 0x0101010101010101u);
}

/* A vector of so many elements: `pack` gives their bits, `unpack` is given the bits' address. */
#define DEFINE_MASKS(isa, target, vector, word, load, pack, store, unpack)             \
    RELU_EXT_INLINE target void pack_masks_##isa(const int8_t *masks, uint8_t *bits)     \
    {                                                                                  \
        for (size_t i = 0; i < 64; i += sizeof(vector)) {                              \
            word part = (word)pack(load((const vector *)(const void *)(masks + i)));   \
            memcpy(bits + i / 8, &part, sizeof part);                                  \
        }                                                                              \
    }                                                                                  \
    RELU_EXT_INLINE target void unpack_masks_##isa(const uint8_t *bits, int8_t *masks)   \
    {                                                                                  \
        for (size_t i = 0; i < 64; i += sizeof(vector)) {                              \
            word part;                                                                 \
            memcpy(&part, bits + i / 8, sizeof part);                                  \
            store((vector *)(void *)(masks + i), unpack(part));                        \
        }                                                                              \
    }

RELU_EXT_INLINE __m128i unpack_16(uint16_t part)
{
    const __m128i places = _mm_set1_epi64x((long long)0x8040201008040201u);
    __m128i spread = _mm_set_epi64x(repeated((uint8_t)(part >> 8)), repeated((uint8_t)part));
    return _mm_cmpeq_epi8(_mm_and_si128(spread, places), places);
}

RELU_EXT_INLINE RELU_EXT_AVX2 __m256i unpack_32(uint32_t part)
{
    const __m256i places = _mm256_set1_epi64x((long long)0x8040201008040201u);
    const __m256i from = _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202,
                                           0x0101010101010101, 0);
    __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32((int)part), from);
    return _mm256_cmpeq_epi8(_mm256_and_si256(spread, places), places);
}

DEFINE_MASKS(avx512, RELU_EXT_AVX512, __m512i, uint64_t, _mm512_load_si512,
             _mm512_movepi8_mask, _mm512_store_si512, _mm512_movm_epi8)
DEFINE_MASKS(avx2, RELU_EXT_AVX2, __m256i, uint32_t, _mm256_load_si256,
             _mm256_movemask_epi8, _mm256_store_si256, unpack_32)
DEFINE_MASKS(baseline, , __m128i, uint16_t, _mm_load_si128, _mm_movemask_epi8,
             _mm_store_si128, unpack_16)

#else
static const uint8_t mask_places[8] = {1, 2, 4, 8, 16, 32, 64, 128};

static inline void pack_masks_baseline(const int8_t *masks, uint8_t *bits)
{
    for (size_t k = 0; k < 8; k++) {
        unsigned byte = 0;
        for (size_t i = 0; i < 8; i++)
            byte |= (uint8_t)masks[8 * k + i] & mask_places[i];
        bits[k] = (uint8_t)byte;
    }
}

static inline void unpack_masks_baseline(const uint8_t *bits, int8_t *masks)
{
    for (size_t k = 0; k < 8; k++)
        for (size_t i = 0; i < 8; i++)
            masks[8 * k + i] = bits[k] & mask_places[i] ? -1 : 0;
}
#endif

#endif
