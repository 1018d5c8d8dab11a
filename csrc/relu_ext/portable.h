/*
 * The baseline in plain C, for processors that x86.h is not for. Included by isa.h, which
 * says what each function is.
 */
#ifndef RELU_EXT_PORTABLE_H
#define RELU_EXT_PORTABLE_H

/* Stores past the caches. */

/* No compiler offers them for other architectures in a portable way. */
#define relu_ext_stream_block_baseline NULL
static inline void relu_ext_stream_end(void)
{
}

/* Masks. */

static const uint8_t relu_ext_mask_places[8] = {1, 2, 4, 8, 16, 32, 64, 128};

static inline void relu_ext_pack_masks_baseline(const int8_t *masks, uint8_t *bits)
{
    for (size_t k = 0; k < 8; k++) {
        unsigned byte = 0;
        for (size_t i = 0; i < 8; i++)
            byte |= (uint8_t)masks[8 * k + i] & relu_ext_mask_places[i];
        bits[k] = (uint8_t)byte;
    }
}

static inline void relu_ext_unpack_masks_baseline(const uint8_t *bits, int8_t *masks)
{
    for (size_t k = 0; k < 8; k++)
        for (size_t i = 0; i < 8; i++)
            masks[8 * k + i] = bits[k] & relu_ext_mask_places[i] ? -1 : 0;
}

/* Whether there is a fused multiply-add. */
#if (defined(__FP_FAST_FMA) && defined(__FP_FAST_FMAF)) || defined(__aarch64__)
#define RELU_EXT_FMA_baseline true
#else
#define RELU_EXT_FMA_baseline false
#endif

#endif
