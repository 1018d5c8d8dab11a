/*
 * Streaming: output that will not stay in the caches anyway is written past
 * them, which saves reading the lines about to be overwritten. Whatever the
 * operation, its ordinary kernels fill a block in L1, and stream_block_<isa>
 * copies the block out: stream_out has them take turns.
 */
#ifndef RELU_EXT_STREAM_H
#define RELU_EXT_STREAM_H

/*
 * Bytes. Short enough for the processor to begin reading the next block before
 * this one is out; at 4 KiB reads and writes take turns, a third slower.
 */
enum { STREAM_BLOCK = 1024 };

typedef void block_streamer(char *to, const char *block, const char *ahead_a, const char *ahead_b);

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

/*
 * `to` and `block` are on 64-byte boundaries. ahead_a and ahead_b will be read
 * next: fetched here, as the hardware's own prefetching loses track at the pauses.
 */
#define DEFINE_STREAM_BLOCK(isa, target, vector, load, store)                          \
    static target void stream_block_##isa(char *to, const char *block,                 \
                                          const char *ahead_a, const char *ahead_b)    \
    {                                                                                  \
        for (size_t line = 0; line < STREAM_BLOCK; line += 64) {                       \
            _mm_prefetch(ahead_a + line, _MM_HINT_T0);                                 \
            if (ahead_b != ahead_a)                                                    \
                _mm_prefetch(ahead_b + line, _MM_HINT_T0);                             \
            for (size_t i = line; i < line + 64; i += sizeof(vector))                  \
                store((vector *)(to + i), load((const vector *)(block + i)));          \
        }                                                                              \
    }
DEFINE_STREAM_BLOCK(avx512, RELU_EXT_AVX512, __m512i, _mm512_load_si512, _mm512_stream_si512)
DEFINE_STREAM_BLOCK(avx2, RELU_EXT_AVX2, __m256i, _mm256_load_si256, _mm256_stream_si256)
DEFINE_STREAM_BLOCK(baseline, , __m128i, _mm_load_si128, _mm_stream_si128)

/* Streaming stores become visible to other threads in any order, until this. */
static inline void stream_end(void)
{
    _mm_sfence();
}

#else
/* No compiler offers them for other architectures in a portable way. */
#define stream_block_baseline NULL
static inline void stream_end(void)
{
}
#endif

/* An output of so many bytes, in elements of `size`, and what it is made of. */
struct stream {
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
static inline bool can_stream(block_streamer *streamer, const char *out, size_t size, size_t bytes)
{
    return streamer && (uintptr_t)out % 64 % size == 0 && bytes > 2 * STREAM_BLOCK;
}

/* To be followed by stream_end, once for as many as there are. */
static inline void stream_out(block_streamer *streamer, const struct stream *s)
{
    _Alignas(64) char block[STREAM_BLOCK];
    const size_t first = -(uintptr_t)s->out % 64;
    size_t i;

    s->fill(s->context, 0, s->out, first);
    for (i = first; i + STREAM_BLOCK <= s->bytes; i += STREAM_BLOCK) {
        /* The last block has nothing ahead: look at itself again. */
        const size_t ahead = i + 2 * STREAM_BLOCK <= s->bytes ? i + STREAM_BLOCK : i;
        const size_t in_ahead = ahead / s->size * s->in_size;
        s->fill(s->context, i, block, STREAM_BLOCK);
        streamer(s->out + i, block, s->in_a + in_ahead, s->in_b + in_ahead);
    }
    s->fill(s->context, i, s->out + i, s->bytes - i);
}

#endif
