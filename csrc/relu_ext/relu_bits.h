/*
 * relu with one bit an element for the gradient, and the gradient, as internal.h has them:
 * the kernels of bits_tmpl.h over whole arrays. relu_ext.c includes this.
 */
#ifndef RELU_EXT_RELU_BITS_H
#define RELU_EXT_RELU_BITS_H

/* The lane and threshold of the floats, by the number of relu's kernel. */
#define RELU_EXT_BITS_DTYPE(dtype, type, lane, threshold, ...)                         \
    [relu_ext_id_relu_##dtype] = {relu_ext_lane_##lane, threshold},
static const struct {
    enum relu_ext_lane lane;
    int64_t threshold;
} relu_ext_bits_dtypes[] = {RELU_EXT_FLOATS(RELU_EXT_BITS_DTYPE, )};

/* Streams one input to one output, if that is worth it; else false, with nothing done. */
static bool relu_ext_stream_bits(const struct relu_ext_isa_row *isa,
                                 const struct relu_ext_stream *s, size_t total)
{
    if (!relu_ext_worth_streaming(2 * total * s->size) || s->in_a == s->out
        || !relu_ext_can_stream(isa->stream_block, s->out, s->size, s->bytes))
        return false;
    relu_ext_stream_out(isa->stream_block, s);
    relu_ext_stream_end();
    return true;
}

/* Of n elements, the bits of `packed` are there: of whole bytes, until all are. */
struct relu_ext_packing {
    const struct relu_ext_isa_row *isa;
    enum relu_ext_id id;
    const char *x;
    uint8_t *bits;
    size_t n, packed;
};

/*
 * Twice over the same x, which is in L1 the second time. Where y is x, what is packed late
 * is ReLU's output, whose bits are the same.
 */
static void relu_ext_fill_and_pack(void *context, size_t at, char *y, size_t bytes)
{
    struct relu_ext_packing *run = context;
    const size_t size = relu_ext_kernels[run->id].size, end = (at + bytes) / size;
    const size_t more = end < run->n ? (end - run->packed) / 64 * 64 : run->n - run->packed;
    const char *x = run->x + at;

    run->isa->pack[relu_ext_bits_dtypes[run->id].lane](run->x + run->packed * size,
                                                       run->bits + run->packed / 8, more,
                                                       relu_ext_bits_dtypes[run->id].threshold);
    run->packed += more;
    run->isa->kernels[run->id](x, x, x, false, y, bytes / size);
}

RELU_EXT_INTERNAL void relu_ext_run_bits(enum relu_ext_id id, const void *x, void *y, uint8_t *bits,
                                         size_t n, size_t total)
{
    const size_t block = RELU_EXT_SHORT / 192 * 192; /* whole elements, of 12 bytes too */
    const size_t size = relu_ext_kernels[id].size, bytes = n * size;
    struct relu_ext_packing run = {relu_ext_current_isa(), id, x, bits, n, 0};
    char *to = y;

    if (n == 0) /* not even a pointer to step forward by nothing */
        return;
    if (!relu_ext_stream_bits(
            run.isa,
            &(struct relu_ext_stream){relu_ext_fill_and_pack, &run, x, x, size, to, size, bytes},
            total))
        for (size_t i = 0; i < bytes; i += block)
            relu_ext_fill_and_pack(&run, i, to + i, bytes - i < block ? bytes - i : block);
}

struct relu_ext_unpacking {
    const struct relu_ext_isa_row *isa;
    enum relu_ext_id id;
    const char *dy;
    const uint8_t *bits;
    size_t n;
};

static void relu_ext_fill_from_bits(void *context, size_t at, char *dx, size_t bytes)
{
    const struct relu_ext_unpacking *run = context;
    const size_t size = relu_ext_kernels[run->id].size, first = at / size, count = bytes / size;
    const size_t left = (run->n + 7) / 8 - first / 8, needed = (count + 7) / 8;
    const unsigned shift = (unsigned)(first % 8);
    const uint8_t *bits = run->bits + first / 8;
    uint8_t shifted[RELU_EXT_STREAM_BLOCK / 8];

    /* Streamed, a line of dx may begin within a byte of the bits. */
    if (shift != 0) {
        for (size_t i = 0; i < needed; i++) {
            const unsigned next = i + 1 < left ? bits[i + 1] : 0;
            shifted[i] = (uint8_t)(bits[i] >> shift | next << (8 - shift));
        }
        bits = shifted;
    }
    run->isa->grad_bits[relu_ext_bits_dtypes[run->id].lane](run->dy + at, bits, dx, count);
}

RELU_EXT_INTERNAL void relu_ext_run_grad_bits(enum relu_ext_id id, const void *dy,
                                              const uint8_t *bits, void *dx, size_t n, size_t total)
{
    const size_t size = relu_ext_kernels[id].size, bytes = n * size;
    struct relu_ext_unpacking run = {relu_ext_current_isa(), id, dy, bits, n};
    char *to = dx;

    if (n == 0)
        return;
    if (!relu_ext_stream_bits(
            run.isa,
            &(struct relu_ext_stream){relu_ext_fill_from_bits, &run, dy, dy, size, to, size, bytes},
            total))
        relu_ext_fill_from_bits(&run, 0, to, bytes);
}

#endif
