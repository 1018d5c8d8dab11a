/*
 * One bit an element: packing which elements ReLU lets through, and the gradient
 * from these bits, for one lane. Included by kernels_tmpl.h.
 *
 * Comparisons and lanes are the compiler's, in blocks of 64 elements; between a
 * block's lanes and its bits are 64 bytes that are 0 or -1, for isa.h's functions.
 */
RELU_EXT_INLINE void RELU_EXT_(pack_block)(const RELU_EXT_(any) *x, int8_t *masks, size_t n,
                                           RELU_EXT_INT threshold)
{
    RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
    for (size_t i = 0; i < n; i++)
        masks[i] = ((x[i] > threshold) & (x[i] != 0)) ? -1 : 0;
}

RELU_EXT_INLINE void RELU_EXT_(pack)(const void *from, uint8_t *bits, size_t n,
                                     RELU_EXT_INT threshold, relu_ext_pack_masks *pack)
{
    const RELU_EXT_(any) *x = from;
    _Alignas(64) int8_t masks[64];

    for (; n >= 64; n -= 64, x += 64, bits += 8) {
        RELU_EXT_(pack_block)(x, masks, 64, threshold);
        pack(masks, bits);
    }
    if (n > 0) {
        uint8_t last[8];
        memset(masks, 0, sizeof masks);
        RELU_EXT_(pack_block)(x, masks, n, threshold);
        pack(masks, last);
        memcpy(bits, last, (n + 7) / 8);
    }
}

RELU_EXT_INLINE void RELU_EXT_(mask_block)(const RELU_EXT_(any) *dy, const int8_t *masks,
                                           RELU_EXT_(any) *dx, size_t n)
{
    RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
    for (size_t i = 0; i < n; i++)
        dx[i] = (RELU_EXT_INT)(dy[i] & (RELU_EXT_INT)masks[i]);
}

RELU_EXT_INLINE void RELU_EXT_(grad_bits)(const void *from, const uint8_t *bits, void *to, size_t n,
                                          relu_ext_unpack_masks *unpack)
{
    const RELU_EXT_(any) *dy = from;
    RELU_EXT_(any) *dx = to;
    _Alignas(64) int8_t masks[64];

    for (; n >= 64; n -= 64, dy += 64, dx += 64, bits += 8) {
        unpack(bits, masks);
        RELU_EXT_(mask_block)(dy, masks, dx, 64);
    }
    if (n > 0) {
        uint8_t last[8] = {0};
        memcpy(last, bits, (n + 7) / 8);
        unpack(last, masks);
        RELU_EXT_(mask_block)(dy, masks, dx, n);
    }
}
