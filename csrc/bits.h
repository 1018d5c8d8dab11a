/*
 * One bit an element: packing which elements ReLU lets through, and the gradient
 * from these bits, for one lane. Included by kernels.h.
 *
 * Comparisons and lanes are the compiler's, in blocks of 64 elements; between a
 * block's lanes and its bits are 64 bytes that are 0 or -1, for masks.h.
 */
RELU_EXT_INLINE void NAME(pack_block)(const NAME(any) *x, int8_t *masks, size_t n, LANE_INT T)
{
    RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
    for (size_t i = 0; i < n; i++)
        masks[i] = ((x[i] > T) & (x[i] != 0)) ? -1 : 0;
}

RELU_EXT_INLINE void NAME(pack)(const void *from, uint8_t *bits, size_t n, LANE_INT T,
                                pack_masks *pack)
{
    const NAME(any) *x = from;
    _Alignas(64) int8_t masks[64];

    for (; n >= 64; n -= 64, x += 64, bits += 8) {
        NAME(pack_block)(x, masks, 64, T);
        pack(masks, bits);
    }
    if (n > 0) {
        uint8_t last[8];
        memset(masks, 0, sizeof masks);
        NAME(pack_block)(x, masks, n, T);
        pack(masks, last);
        memcpy(bits, last, (n + 7) / 8);
    }
}

RELU_EXT_INLINE void NAME(mask_block)(const NAME(any) *dy, const int8_t *masks, NAME(any) *dx,
                                      size_t n)
{
    RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
    for (size_t i = 0; i < n; i++)
        dx[i] = (LANE_INT)(dy[i] & (LANE_INT)masks[i]);
}

RELU_EXT_INLINE void NAME(grad_bits)(const void *from, const uint8_t *bits, void *to, size_t n,
                                     unpack_masks *unpack)
{
    const NAME(any) *dy = from;
    NAME(any) *dx = to;
    _Alignas(64) int8_t masks[64];

    for (; n >= 64; n -= 64, dy += 64, dx += 64, bits += 8) {
        unpack(bits, masks);
        NAME(mask_block)(dy, masks, dx, 64);
    }
    if (n > 0) {
        uint8_t last[8] = {0};
        memcpy(last, bits, (n + 7) / 8);
        unpack(last, masks);
        NAME(mask_block)(dy, masks, dx, n);
    }
}
