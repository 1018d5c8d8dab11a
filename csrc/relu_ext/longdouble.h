/*
 * The kernels for long double. Unused bytes are copied along with the number, and zeroed
 * with it.
 */
#ifndef RELU_EXT_LONGDOUBLE_H
#define RELU_EXT_LONGDOUBLE_H

#include "longdouble_bits.h"

RELU_EXT_INLINE void relu_ext_relu_grad_ld(const void *dy, const void *b, const void *x,
                                           bool uniform, void *dx, size_t n, int threshold,
                                           const struct relu_ext_ops *ops)
{
    const unsigned char *gradient = dy, *decides = x;
    unsigned char *to = dx;
    const size_t size = sizeof(long double);
    (void)b, (void)threshold, (void)ops;
    for (size_t i = 0; i < n * size; i += size) {
        if (relu_ext_passes(decides + (uniform ? 0 : i)))
            memmove(to + i, gradient + i, size);
        else
            memset(to + i, 0, size);
    }
}

/* x passes where x is a NaN or positive: the gradient's rule, applied to x itself. */
RELU_EXT_INLINE void relu_ext_relu_ld(const void *x, const void *b, const void *c, bool uniform,
                                      void *y, size_t n, int threshold,
                                      const struct relu_ext_ops *ops)
{
    (void)c, (void)uniform;
    relu_ext_relu_grad_ld(x, b, x, false, y, n, threshold, ops);
}

/*
 * A ceiling with a sign, -0.0 too, is below every result of ReLU. Passed by value it has
 * no unused bytes to pass on: there are zeros instead.
 */
RELU_EXT_INLINE void relu_ext_clipped_relu_ld(const void *x, const void *b, const void *ceiling,
                                              bool uniform, void *y, size_t n, int threshold,
                                              const struct relu_ext_ops *ops)
{
    const size_t size = sizeof(long double);
    (void)b, (void)threshold, (void)ops;
    for (size_t i = 0; i < n * size; i += size) {
        const unsigned char *from = (const unsigned char *)x + i, *limit = ceiling;
        unsigned char result[sizeof(long double)] = {0};
        limit += uniform ? 0 : i;
        if (relu_ext_passes(from))
            memcpy(result, from, size);
        if (relu_ext_classify(from) != RELU_EXT_NAN
            && (relu_ext_classify(limit) != RELU_EXT_POSITIVE || relu_ext_less(limit, result)))
            memcpy(memset(result, 0, size), limit, LDBL_MANT_DIG == 64 ? 10 : size);
        memcpy((unsigned char *)y + i, result, size);
    }
}

RELU_EXT_INLINE void relu_ext_clipped_relu_grad_ld(const void *dy, const void *x,
                                                   const void *ceiling, bool uniform, void *dx,
                                                   size_t n, int threshold,
                                                   const struct relu_ext_ops *ops)
{
    const size_t size = sizeof(long double);
    (void)threshold, (void)ops;
    for (size_t i = 0; i < n * size; i += size) {
        const unsigned char *decides = (const unsigned char *)x + i, *limit = ceiling;
        limit += uniform ? 0 : i;
        if (relu_ext_classify(decides) == RELU_EXT_NAN
            || (relu_ext_classify(decides) == RELU_EXT_POSITIVE
                && relu_ext_classify(limit) == RELU_EXT_POSITIVE && relu_ext_less(decides, limit)))
            memmove((unsigned char *)dx + i, (const unsigned char *)dy + i, size);
        else
            memset((unsigned char *)dx + i, 0, size);
    }
}

RELU_EXT_INLINE void relu_ext_pack_ld(const void *from, uint8_t *bits, size_t n, int64_t threshold,
                                      relu_ext_pack_masks *unused)
{
    const unsigned char *x = from;
    (void)threshold, (void)unused;
    for (size_t i = 0; i < n; i += 8) {
        unsigned byte = 0;
        for (size_t k = i; k < i + 8 && k < n; k++)
            byte |= (unsigned)relu_ext_passes(x + k * sizeof(long double)) << (k - i);
        bits[i / 8] = (uint8_t)byte;
    }
}

RELU_EXT_INLINE void relu_ext_grad_bits_ld(const void *from, const uint8_t *bits, void *to,
                                           size_t n, relu_ext_unpack_masks *unused)
{
    const unsigned char *dy = from;
    unsigned char *dx = to;
    const size_t size = sizeof(long double);
    (void)unused;
    for (size_t i = 0; i < n; i++, dy += size, dx += size) {
        if (bits[i / 8] >> i % 8 & 1)
            memmove(dx, dy, size);
        else
            memset(dx, 0, size);
    }
}

#endif
