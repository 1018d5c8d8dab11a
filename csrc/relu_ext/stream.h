/*
 * Streaming: output that will not stay in the caches anyway is written past
 * them, which saves reading the lines about to be overwritten. Whatever the
 * operation, its ordinary kernels fill a block in L1, and stream_block_<isa>
 * copies the block out: relu_ext_stream_out has them take turns.
 */
#ifndef RELU_EXT_STREAM_H
#define RELU_EXT_STREAM_H

/* An output of so many bytes, in elements of `size`, and what it is made of. */
struct relu_ext_stream {
    /* Makes `bytes` bytes of output from `at` on; called in order, for whole elements. */
    void (*fill)(void *context, size_t at, char *to, size_t bytes);
    void *context;
    /* Two inputs, or one twice, in elements of in_size. */
    const char *in_a, *in_b;
    size_t in_size;
    char *out;
    size_t size, bytes;
};

/* Whether the output is long enough, and ever gets to a 64-byte boundary. */
static inline bool relu_ext_can_stream(relu_ext_block_streamer *streamer, const char *out,
                                       size_t size, size_t bytes)
{
    return streamer && (uintptr_t)out % 64 % size == 0 && bytes > 2 * RELU_EXT_STREAM_BLOCK;
}

/* To be followed by relu_ext_stream_end, once for as many as there are. */
static inline void relu_ext_stream_out(relu_ext_block_streamer *streamer,
                                       const struct relu_ext_stream *s)
{
    _Alignas(64) char block[RELU_EXT_STREAM_BLOCK];
    const size_t first = -(uintptr_t)s->out % 64;
    size_t i;

    s->fill(s->context, 0, s->out, first);
    for (i = first; i + RELU_EXT_STREAM_BLOCK <= s->bytes; i += RELU_EXT_STREAM_BLOCK) {
        /* The last block has nothing ahead: look at itself again. */
        const size_t ahead = i + 2 * RELU_EXT_STREAM_BLOCK <= s->bytes ? i + RELU_EXT_STREAM_BLOCK
                                                                       : i;
        const size_t in_ahead = ahead / s->size * s->in_size;
        s->fill(s->context, i, block, RELU_EXT_STREAM_BLOCK);
        streamer(s->out + i, block, s->in_a + in_ahead, s->in_b + in_ahead);
    }
    s->fill(s->context, i, s->out + i, s->bytes - i);
}

#endif
