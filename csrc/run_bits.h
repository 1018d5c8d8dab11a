/*
 * relu with one bit an element for the gradient, and the gradient, as dispatch.h has them:
 * the kernels of bits.h over whole arrays. relu_ext.c includes this.
 */
#ifndef RELU_EXT_RUN_BITS_H
#define RELU_EXT_RUN_BITS_H

/* The lane and T of the floats, by the number of relu's kernel. */
#define BITS_DTYPE(dtype, type, lane, T, ...)                                          \
    [relu_ext_id_relu_##dtype] = {relu_ext_lane_##lane, T},
static const struct {
    enum relu_ext_lane lane;
    int64_t T;
} bits_dtypes[] = {RELU_EXT_FLOATS(BITS_DTYPE, )};

/* Streams one input to one output, if that is worth it; else false, with nothing done. */
static bool stream_bits(const struct isa *isa, const struct stream *s, size_t total)
{
    if (!worth_streaming(2 * total * s->size) || s->in_a == s->out
        || !can_stream(isa->stream_block, s->out, s->size, s->bytes))
        return false;
    stream_out(isa->stream_block, s);
    stream_end();
    return true;
}

/* Of n elements, the bits of `packed` are there: of whole bytes, until all are. */
struct pack_run {
    const struct isa *isa;
    enum relu_ext_id id;
    const char *x;
    uint8_t *bits;
    size_t n, packed;
};

/*
 * Twice over the same x, which is in L1 the second time. Where y is x, what is packed late
 * is ReLU's output, whose bits are the same.
 */
static void run_pack(void *context, size_t at, char *y, size_t bytes)
{
    struct pack_run *run = context;
    const size_t size = relu_ext_kernels[run->id].size, end = (at + bytes) / size;
    const size_t more = end < run->n ? (end - run->packed) / 64 * 64 : run->n - run->packed;
    const char *x = run->x + at;

    run->isa->pack[bits_dtypes[run->id].lane](run->x + run->packed * size,
                                              run->bits + run->packed / 8, more,
                                              bits_dtypes[run->id].T);
    run->packed += more;
    run->isa->kernels[run->id](x, x, x, false, y, bytes / size);
}

RELU_EXT_INTERNAL void relu_ext_run_bits(enum relu_ext_id id, const void *x, void *y,
                                         uint8_t *bits, size_t n, size_t total)
{
    enum { BLOCK = RELU_EXT_SHORT / 192 * 192 }; /* whole elements, of 12 bytes too */
    const size_t size = relu_ext_kernels[id].size, bytes = n * size;
    struct pack_run run = {current_isa(), id, x, bits, n, 0};
    char *to = y;

    if (n == 0) /* not even a pointer to step forward by nothing */
        return;
    if (!stream_bits(run.isa, &(struct stream){run_pack, &run, x, x, size, to, size, bytes}, total))
        for (size_t i = 0; i < bytes; i += BLOCK)
            run_pack(&run, i, to + i, bytes - i < BLOCK ? bytes - i : BLOCK);
}

struct grad_bits_run {
    const struct isa *isa;
    enum relu_ext_id id;
    const char *dy;
    const uint8_t *bits;
    size_t n;
};

static void run_grad_bits(void *context, size_t at, char *dx, size_t bytes)
{
    const struct grad_bits_run *run = context;
    const size_t size = relu_ext_kernels[run->id].size, first = at / size, count = bytes / size;
    const size_t left = (run->n + 7) / 8 - first / 8, needed = (count + 7) / 8;
    const unsigned shift = (unsigned)(first % 8);
    const uint8_t *bits = run->bits + first / 8;
    uint8_t shifted[STREAM_BLOCK / 8];

    /* Streamed, a line of dx may begin within a byte of the bits. */
    if (shift != 0) {
        for (size_t i = 0; i < needed; i++) {
            const unsigned next = i + 1 < left ? bits[i + 1] : 0;
            shifted[i] = (uint8_t)(bits[i] >> shift | next << (8 - shift));
        }
        bits = shifted;
    }
    run->isa->grad_bits[bits_dtypes[run->id].lane](run->dy + at, bits, dx, count);
}

RELU_EXT_INTERNAL void relu_ext_run_grad_bits(enum relu_ext_id id, const void *dy,
                                              const uint8_t *bits, void *dx, size_t n,
                                              size_t total)
{
    const size_t size = relu_ext_kernels[id].size, bytes = n * size;
    struct grad_bits_run run = {current_isa(), id, dy, bits, n};
    char *to = dx;

    if (n == 0)
        return;
    if (!stream_bits(run.isa, &(struct stream){run_grad_bits, &run, dy, dy, size, to, size, bytes},
                     total))
        run_grad_bits(&run, 0, to, bytes);
}

#endif
