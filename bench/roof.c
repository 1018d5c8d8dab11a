/*
 * What the memory allows: passes that move arrays and compute next to nothing.
 *
 *   copy      out[i] = a[i]            bound of the forward pass
 *   touch     out[i] = out[i] ^ 0      bound of the pass in place
 *   combine   out[i] = a[i] ^ b[i]     bound of the gradient
 *
 * Each with plain stores and, on x86, with streaming (non-temporal) ones, which
 * spare the read of the output's cache lines before they are overwritten. Stores
 * are aligned to 64 bytes; threads get equal chunks that start on pages.
 *
 * Compiled when the benchmark starts; roof.py takes the prototypes from the
 * definitions of the functions named roof_.
 */
#include <stdint.h>
#include <string.h>

#if defined __x86_64__
#include <immintrin.h>
#define TARGET(isa) __attribute__((target(isa)))
#else
#define TARGET(isa)
#endif

/* The compiler does not know its value. */
static volatile unsigned char zero;

typedef void run(char *out, const char *a, const char *b, size_t n);

#define COPY(a, b) (a)
#define TOUCH(a, b) ((a) ^ key)
#define COMBINE(a, b) ((a) ^ (b))
#define PLAIN(vec, to, value) (*(vec *)(to) = (value))

/*
 * One pass with vectors of `width` bytes. Where there is no second input, b is a, and
 * the compiler drops it. The ends are done without alignment and overlap the middle:
 * to do bytes twice does not matter here, not even in place.
 */
#define PASS(name, target, width, op, store, finish)                                    \
    TARGET(target) static void name(char *out, const char *a, const char *b, size_t n)  \
    {                                                                                   \
        typedef unsigned char vec __attribute__((vector_size(width), may_alias));       \
        typedef vec loose __attribute__((aligned(1)));                                  \
        const unsigned char key = zero;                                                 \
        (void)key, (void)b;                                                             \
        if (n < 256) {                                                                  \
            for (size_t i = 0; i < n; i++)                                              \
                out[i] = (char)op(a[i], b[i]);                                          \
            return;                                                                     \
        }                                                                               \
        for (size_t i = 0; i < 64; i += width)                                          \
            *(loose *)(out + i) = op(*(const loose *)(a + i), *(const loose *)(b + i)); \
        size_t i = -(uintptr_t)out & 63;                                                \
        for (; i + 4 * width <= n; i += 4 * width) {                                    \
            vec v[4];                                                                   \
            for (int k = 0; k < 4; k++)                                                 \
                v[k] = op(*(const loose *)(a + i + k * width),                          \
                          *(const loose *)(b + i + k * width));                         \
            for (int k = 0; k < 4; k++)                                                 \
                store(vec, out + i + k * width, v[k]);                                  \
        }                                                                               \
        for (; i < n; i += width) {                                                     \
            i = i + width > n ? n - width : i;                                          \
            *(loose *)(out + i) = op(*(const loose *)(a + i), *(const loose *)(b + i)); \
        }                                                                               \
        finish;                                                                         \
    }

#define PASSES(isa, target, width, store, finish)                                      \
    PASS(copy_##isa, target, width, COPY, store, finish)                               \
    PASS(touch_##isa, target, width, TOUCH, store, finish)                             \
    PASS(combine_##isa, target, width, COMBINE, store, finish)                         \
    static run *const isa[] = {copy_##isa, touch_##isa, combine_##isa};

#if defined __x86_64__

#define STREAM_512(vec, to, value) _mm512_stream_si512((__m512i *)(to), (__m512i)(value))
#define STREAM_256(vec, to, value) _mm256_stream_si256((__m256i *)(to), (__m256i)(value))
#define STREAM_128(vec, to, value) _mm_stream_si128((__m128i *)(to), (__m128i)(value))
PASSES(plain_avx512, "avx512f", 64, PLAIN, )
PASSES(plain_avx2, "avx2", 32, PLAIN, )
PASSES(plain_sse2, "sse2", 16, PLAIN, )
PASSES(stream_avx512, "avx512f", 64, STREAM_512, _mm_sfence())
PASSES(stream_avx2, "avx2", 32, STREAM_256, _mm_sfence())
PASSES(stream_sse2, "sse2", 16, STREAM_128, _mm_sfence())

static run *choose(int pass, int streaming)
{
    if (__builtin_cpu_supports("avx512f"))
        return (streaming ? stream_avx512 : plain_avx512)[pass];
    if (__builtin_cpu_supports("avx2"))
        return (streaming ? stream_avx2 : plain_avx2)[pass];
    return (streaming ? stream_sse2 : plain_sse2)[pass];
}

int roof_can_stream(void)
{
    return 1;
}

int roof_flush(const void *start, size_t n)
{
    for (size_t i = 0; i < n; i += 64)
        _mm_clflush((const char *)start + i);
    _mm_mfence();
    return 1;
}

#else

PASSES(plain, "", 16, PLAIN, )

static run *choose(int pass, int streaming)
{
    (void)streaming;
    return plain[pass];
}

int roof_can_stream(void)
{
    return 0;
}

#if defined __aarch64__
int roof_flush(const void *start, size_t n)
{
    for (size_t i = 0; i < n; i += 64)
        __asm__ volatile("dc civac, %0" : : "r"((const char *)start + i) : "memory");
    __asm__ volatile("dsb sy" : : : "memory");
    return 1;
}
#else
int roof_flush(const void *start, size_t n)
{
    (void)start, (void)n;
    return 0;
}
#endif
#endif

static void memcpy_run(char *out, const char *a, const char *b, size_t n)
{
    (void)b;
    memcpy(out, a, n);
}

int roof_has_threads(void)
{
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

const char *roof_compiler(void)
{
    return __VERSION__;
}

/* Where part t of n bytes begins: on a page of the output. */
static size_t part_begin(const char *out, size_t n, int t, int parts)
{
    const size_t page = 4096, even = n / parts * t;
    const size_t on_page = even + (page - ((uintptr_t)out + even) % page) % page;
    return t == 0 ? 0 : t == parts || on_page > n ? n : on_page;
}

static void split(run *pass, char *out, const char *a, const char *b, size_t n, int threads)
{
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static)
#endif
    for (int t = 0; t < threads; t++) {
        const size_t begin = part_begin(out, n, t, threads);
        pass(out + begin, a + begin, b + begin, part_begin(out, n, t + 1, threads) - begin);
    }
}

/* `times` over, so that one call from Python can be spread over many passes. */
static void loop(run *pass, char *out, const void *a, const void *b, size_t n, int threads,
                 int times)
{
    for (int i = 0; i < times; i++) {
        if (threads == 1)
            pass(out, a, b, n);
        else
            split(pass, out, a, b, n, threads);
    }
}

void roof_copy(void *out, const void *a, size_t n, int threads, int streaming, int times)
{
    loop(choose(0, streaming), out, a, a, n, threads, times);
}

void roof_touch(void *out, size_t n, int threads, int streaming, int times)
{
    loop(choose(1, streaming), out, out, out, n, threads, times);
}

void roof_combine(void *out, const void *a, const void *b, size_t n, int threads, int streaming,
                  int times)
{
    loop(choose(2, streaming), out, a, b, n, threads, times);
}

void roof_memcpy(void *out, const void *a, size_t n, int threads, int times)
{
    loop(memcpy_run, out, a, a, n, threads, times);
}

/* One of relu_ext's kernels by its address, `times` over: what its call costs without Python. */
void roof_kernel_1(void *kernel, const void *x, void *out, size_t n, int times)
{
    void (*function)(const void *, void *, size_t);
    memcpy(&function, &kernel, sizeof function);
    for (int i = 0; i < times; i++)
        function(x, out, n);
}

void roof_kernel_2(void *kernel, const void *dy, const void *x, void *out, size_t n, int times)
{
    void (*function)(const void *, const void *, void *, size_t);
    memcpy(&function, &kernel, sizeof function);
    for (int i = 0; i < times; i++)
        function(dy, x, out, n);
}

/*
 * Pictures of uint8 as float, with no arithmetic but the conversion: as they lie, and from
 * interleaved to three planes, which are plane_step elements apart.
 */
#define CONVERSIONS(isa, target)                                                        \
    TARGET(target)                                                                      \
    static void convert_##isa(float *restrict out, const uint8_t *restrict a, size_t n) \
    {                                                                                   \
        for (size_t i = 0; i < n; i++)                                                  \
            out[i] = a[i];                                                              \
    }                                                                                   \
    TARGET(target)                                                                      \
    static void planes_##isa(float *restrict out, size_t plane_step,                    \
                             const uint8_t *restrict a, size_t n)                       \
    {                                                                                   \
        enum { BLOCK = 1024 };                                                          \
        uint8_t r[BLOCK], g[BLOCK], b[BLOCK];                                           \
        for (size_t at = 0; at < n; at += BLOCK) {                                      \
            const size_t now = n - at < BLOCK ? n - at : BLOCK;                         \
            for (size_t i = 0; i < now; i++) {                                          \
                r[i] = a[3 * (at + i)];                                                 \
                g[i] = a[3 * (at + i) + 1];                                             \
                b[i] = a[3 * (at + i) + 2];                                             \
            }                                                                           \
            convert_##isa(out + at, r, now);                                            \
            convert_##isa(out + at + plane_step, g, now);                               \
            convert_##isa(out + at + 2 * plane_step, b, now);                           \
        }                                                                               \
    }
CONVERSIONS(plain, "sse2")
#if defined __x86_64__
CONVERSIONS(avx2, "avx2")
CONVERSIONS(avx512, "avx512f,avx512bw,avx512vl")
#endif

static int best_isa(void)
{
#if defined __x86_64__
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return 2;
    return __builtin_cpu_supports("avx2") != 0;
#else
    return 0;
#endif
}

/* n elements; planes: of interleaved pictures of so many pixels each, else 0. */
void roof_convert(void *out, const void *a, size_t n, size_t planes, int threads)
{
    const int isa = best_isa();
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int t = 0; t < threads; t++) {
        /* Whole pictures where there are enough of them, else parts of one. */
        const size_t unit = planes ? planes : n;
        const size_t pictures = planes ? n / (3 * planes) : 1;
        for (size_t p = 0; p < pictures; p++) {
            const size_t begin = unit * (size_t)t / (size_t)threads / 64 * 64;
            const size_t end = t + 1 == threads
                                   ? unit
                                   : unit * (size_t)(t + 1) / (size_t)threads / 64 * 64;
            float *to = (float *)out + (planes ? 3 * planes * p : 0) + begin;
            const uint8_t *from = (const uint8_t *)a + (planes ? 3 * (planes * p + begin) : begin);
#if defined __x86_64__
            if (isa == 2)
                planes ? planes_avx512(to, planes, from, end - begin)
                       : convert_avx512(to, from, end - begin);
            else if (isa == 1)
                planes ? planes_avx2(to, planes, from, end - begin)
                       : convert_avx2(to, from, end - begin);
            else
#endif
                planes ? planes_plain(to, planes, from, end - begin)
                       : convert_plain(to, from, end - begin);
        }
    }
    (void)isa;
}
