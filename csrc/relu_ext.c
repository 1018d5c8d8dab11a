/*
 * The kernels instantiated, the instruction set chosen, and the public entry
 * points.
 */
#include "relu_ext.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

#include "dispatch.h"

#if defined(__x86_64__) && defined(__AVX__)
#error "relu_ext chooses AVX at run time: drop the global -mavx* or -march= option"
#endif
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "relu_ext keeps NaNs: drop -ffast-math, -Ofast or -ffinite-math-only"
#endif

#if defined(__GNUC__) || defined(__clang__)
#define RELU_EXT_INLINE static inline __attribute__((always_inline))
#define RELU_EXT_ANY_POINTER __attribute__((may_alias, aligned(1)))
#else
#define RELU_EXT_INLINE static inline
#define RELU_EXT_ANY_POINTER
#endif

/*
 * RELU_EXT_NO_OVERLAP: what an iteration stores, no later one loads. True of
 * disjoint buffers and in place; compilers cannot know it.
 * RELU_EXT_UNROLL, RELU_EXT_NO_UNROLL: whether to work on several vectors at once.
 * In L1 that is a quarter faster; from memory, in place, it is an eighth slower.
 * RELU_EXT_ONE_BLOCK: keeps compilers from unrolling a loop of constant length
 * into scalars before it could become a vector.
 */
#if defined(__clang__)
#if defined(__arm__)
/* NEON of 32-bit ARM flushes subnormals, whatever the settings: asked, Clang would use it. */
#define RELU_EXT_NO_OVERLAP
#else
#define RELU_EXT_NO_OVERLAP _Pragma("clang loop vectorize(assume_safety)")
#endif
#define RELU_EXT_UNROLL
#define RELU_EXT_NO_UNROLL _Pragma("clang loop interleave(disable) unroll(disable)")
#define RELU_EXT_ONE_BLOCK _Pragma("clang loop vectorize(enable) unroll(disable)")
#elif defined(__GNUC__)
#define RELU_EXT_NO_OVERLAP _Pragma("GCC ivdep")
#define RELU_EXT_UNROLL _Pragma("GCC unroll 4")
#define RELU_EXT_NO_UNROLL _Pragma("GCC unroll 1")
#define RELU_EXT_ONE_BLOCK RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
#else
#define RELU_EXT_NO_OVERLAP
#define RELU_EXT_UNROLL
#define RELU_EXT_NO_UNROLL
#define RELU_EXT_ONE_BLOCK
#endif

/* Bytes that are sure to be in L1 when they are used again. */
#define RELU_EXT_SHORT (16 << 10)

#include "float_env.h"
#include "masks.h"
#include "numbers.h"
#include "conversions.h"

#define LANE_BITS 8
#include "kernels.h"
#define LANE_BITS 16
#include "kernels.h"
#define LANE_BITS 32
#include "kernels.h"
#define LANE_BITS 64
#include "kernels.h"
#include "longdouble.h"

#define FLOAT_NAME nf16
#define FLOAT_BITS 16
#define FLOAT_FROM(bits) relu_ext_float_from_f16((uint16_t)(bits))
#define FLOATS_FROM floats_from_f16
#define FLOATS_TO floats_to_f16
#include "arithmetic.h"
#define FLOAT_NAME nbf16
#define FLOAT_BITS 16
#define FLOAT_FROM(bits) relu_ext_float_from_bf16((uint16_t)(bits))
#define FLOAT_TO(x) (int16_t)relu_ext_bf16_from_float(x)
#include "arithmetic.h"
#define FLOAT_NAME nf32
#define FLOAT_BITS 32
#define FLOAT_FROM(bits) relu_ext_bits_float((uint32_t)(bits))
#define FLOAT_TO(x) (int32_t)relu_ext_float_result(x)
#include "arithmetic.h"
#define FLOAT_NAME nf64
#define FLOAT_BITS 64
#define FLOAT_FROM(bits) relu_ext_bits_double((uint64_t)(bits))
#define FLOAT_TO(x) (int64_t)relu_ext_double_result(x)
#include "arithmetic.h"

#include "stream.h"
#include "scale_shift.h"

/* relu_f32_avx2, and so on. */
typedef void relu_ext_function(const void *a, const void *b, const void *c, bool uniform, void *out,
                               size_t n);
#define DEFINE_KERNEL(dtype, type, lane, T, op, body, signature, isa, target)          \
    static target void op##_##dtype##_##isa(const void *a, const void *b, const void *c, \
                                            bool uniform, void *out, size_t n)         \
    {                                                                                  \
        body##_##lane(a, b, c, RELU_EXT_NIN_##signature > 1 && uniform, out, n, T,     \
                      &f16_##isa);                                                     \
    }
#define DEFINE_KERNELS(isa, target, supported) RELU_EXT_KERNELS(DEFINE_KERNEL, isa, target)
RELU_EXT_ISAS(DEFINE_KERNELS)

/* pack_b32_avx2 and grad_bits_b32_avx2, and so on. The lane of T is the kernel's. */
typedef void packer(const void *x, uint8_t *bits, size_t n, int64_t T);
typedef void bits_gradient(const void *dy, const uint8_t *bits, void *dx, size_t n);
#define LANE_T_b8 (int8_t)
#define LANE_T_b16 (int16_t)
#define LANE_T_b32 (int32_t)
#define LANE_T_b64
#define LANE_T_ld
#define DEFINE_BITS(lane, isa, target)                                                 \
    static target void pack_##lane##_##isa(const void *x, uint8_t *bits, size_t n,     \
                                           int64_t T)                                  \
    {                                                                                  \
        pack_##lane(x, bits, n, LANE_T_##lane T, pack_masks_##isa);                    \
    }                                                                                  \
    static target void grad_bits_##lane##_##isa(const void *dy, const uint8_t *bits,   \
                                                void *dx, size_t n)                    \
    {                                                                                  \
        grad_bits_##lane(dy, bits, dx, n, unpack_masks_##isa);                         \
    }
#define DEFINE_ALL_BITS(isa, target, supported) RELU_EXT_LANES(DEFINE_BITS, isa, target)
RELU_EXT_ISAS(DEFINE_ALL_BITS)
#define PACK_POINTER(lane, isa) pack_##lane##_##isa,
#define GRAD_BITS_POINTER(lane, isa) grad_bits_##lane##_##isa,

#ifdef RELU_EXT_MODULE
#define DEFINE_SLOPE_TERMS(dtype, type, lane, T, isa, target)                          \
    static target void slope_terms_##dtype##_##isa(const void *dy, const void *x, double *out, \
                                                   size_t n)                           \
    {                                                                                  \
        slope_terms_##lane(dy, x, out, n, T);                                          \
    }
#define DEFINE_ALL_SLOPE_TERMS(isa, target, supported)                                 \
    RELU_EXT_NUMBERS(DEFINE_SLOPE_TERMS, isa, target)
RELU_EXT_ISAS(DEFINE_ALL_SLOPE_TERMS)
#define SLOPE_TERMS_POINTER(dtype, type, lane, T, isa) slope_terms_##dtype##_##isa,
#define ISA_SLOPE_TERMS(isa) {RELU_EXT_NUMBERS(SLOPE_TERMS_POINTER, isa)},

typedef void counter(const struct relu_ext_counted *c, const struct relu_ext_test *test);
#define DEFINE_COUNTER(lane, isa, target)                                              \
    static target void count_columns_##lane##_##isa(const struct relu_ext_counted *c,  \
                                                    const struct relu_ext_test *test)  \
    {                                                                                  \
        if (c->any)                                                                    \
            count_columns_##lane(c, true, test);                                       \
        else                                                                           \
            count_columns_##lane(c, false, test);                                      \
    }                                                                                  \
    static target void count_rows_##lane##_##isa(const struct relu_ext_counted *c,     \
                                                 const struct relu_ext_test *test)     \
    {                                                                                  \
        if (c->any)                                                                    \
            count_rows_##lane(c, true, test);                                          \
        else                                                                           \
            count_rows_##lane(c, false, test);                                         \
    }
#define DEFINE_COUNTERS(isa, target, supported) RELU_EXT_LANES(DEFINE_COUNTER, isa, target)
RELU_EXT_ISAS(DEFINE_COUNTERS)
#define COUNTER_POINTERS(lane, isa) {count_columns_##lane##_##isa, count_rows_##lane##_##isa},
#define ISA_COUNTERS(isa) {RELU_EXT_LANES(COUNTER_POINTERS, isa)},
#else
#define ISA_SLOPE_TERMS(isa)
#define ISA_COUNTERS(isa)
#endif

struct isa {
    const char *name;
    bool (*supported)(void);
    block_streamer *stream_block;
    const struct scale_shift_isa *scale_shift;
    relu_ext_function *kernels[RELU_EXT_ID_COUNT];
    packer *pack[RELU_EXT_LANE_COUNT];
    bits_gradient *grad_bits[RELU_EXT_LANE_COUNT];
#ifdef RELU_EXT_MODULE
    void (*slope_terms[RELU_EXT_NUMBER_COUNT])(const void *dy, const void *x, double *out, size_t n);
    counter *counters[RELU_EXT_LANE_COUNT][2];
#endif
};

#define DEFINE_SUPPORTED(isa, target, condition)                                       \
    static bool isa##_supported(void)                                                  \
    {                                                                                  \
        return condition;                                                              \
    }
RELU_EXT_ISAS(DEFINE_SUPPORTED)

#define KERNEL_POINTER(dtype, type, lane, T, op, body, signature, isa) op##_##dtype##_##isa,
#define ISA_ENTRY(isa, target, condition)                                              \
    {#isa, isa##_supported, stream_block_##isa, &scale_shift_##isa,                    \
     {RELU_EXT_KERNELS(KERNEL_POINTER, isa)}, {RELU_EXT_LANES(PACK_POINTER, isa)},     \
     {RELU_EXT_LANES(GRAD_BITS_POINTER, isa)}, ISA_SLOPE_TERMS(isa) ISA_COUNTERS(isa)},
static const struct isa isas[] = {RELU_EXT_ISAS(ISA_ENTRY)};
enum { ISA_COUNT = sizeof isas / sizeof *isas };

/*
 * The only state. Threads that find it unset at the same moment all store the
 * same pointer, to a constant: no order is needed among them.
 */
static _Atomic(const struct isa *) isa_in_use;

static const struct isa *available_isa(size_t index)
{
    for (size_t i = 0; i < ISA_COUNT; i++)
        if (isas[i].supported() && index-- == 0)
            return &isas[i];
    return NULL;
}

static const struct isa *current_isa(void)
{
    const struct isa *isa = atomic_load_explicit(&isa_in_use, memory_order_relaxed);
    if (isa == NULL) {
        isa = available_isa(0);
        const struct isa *unset = NULL;
        /* Not a plain store: relu_ext_use_isa may have come in between. */
        if (!atomic_compare_exchange_strong(&isa_in_use, &unset, isa))
            isa = unset;
    }
    return isa;
}

const char *relu_ext_isa(void)
{
    return current_isa()->name;
}

const char *relu_ext_available_isa(size_t i)
{
    const struct isa *isa = available_isa(i);
    return isa ? isa->name : NULL;
}

int relu_ext_use_isa(const char *name)
{
    const struct isa *isa;
    for (size_t i = 0; (isa = available_isa(i)) != NULL; i++)
        if (strcmp(isa->name, name) == 0) {
            atomic_store(&isa_in_use, isa);
            return 0;
        }
    return -1;
}

/*
 * The last-level cache, as far as one process can count on it: a virtual machine
 * is told the size of a whole socket's cache and shares it with strangers. From
 * here on streaming costs nothing measurable; at half of it, where a cache of 32 MiB
 * begins to overflow, one thread gains a tenth by it and two lose half.
 */
#define STREAM_BYTES_MAX ((size_t)64 << 20)

static size_t default_stream_bytes(void)
{
    long cache = 0;
#if defined(_SC_LEVEL3_CACHE_SIZE)
    cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    if (cache <= 0)
        cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return cache <= 0 || (size_t)cache > STREAM_BYTES_MAX ? STREAM_BYTES_MAX : (size_t)cache;
}

/* Like isa_in_use: found once, the same whoever finds it. */
static _Atomic(size_t) stream_bytes;

size_t relu_ext_get_stream_bytes(void)
{
    size_t bytes = atomic_load_explicit(&stream_bytes, memory_order_relaxed);
    if (bytes == 0) {
        size_t unset = 0;
        bytes = default_stream_bytes();
        if (!atomic_compare_exchange_strong(&stream_bytes, &unset, bytes))
            bytes = unset;
    }
    return bytes;
}

void relu_ext_set_stream_bytes(size_t bytes)
{
    atomic_store_explicit(&stream_bytes, bytes, memory_order_relaxed);
}

/* An operation on its way. */
struct run {
    const struct isa *isa;
    const struct relu_ext_kernel *kernel;
    const char *const *in;
    bool uniform;
};

/* The inputs as the kernels want them, `at` bytes in; a uniform one stays where it is. */
static void run_part(void *context, size_t at, char *out, size_t bytes)
{
    const struct run *run = context;
    const int nin = run->kernel->nin;
    const char *a = run->in[0] + at, *b = nin == 3 ? run->in[1] + at : a;
    const char *c = run->in[nin - 1] + (run->uniform ? 0 : at);
    run->isa->kernels[run->kernel->id](a, b, c, run->uniform, out, bytes / run->kernel->size);
}

/* Whether so many bytes, moved by an operation from and to other memory, are worth it. */
static bool worth_streaming(size_t bytes)
{
    return bytes >= relu_ext_get_stream_bytes();
}

RELU_EXT_INTERNAL void relu_ext_run(enum relu_ext_id id, const char *const *in, bool uniform,
                                    char *out, size_t n, size_t total)
{
    const struct relu_ext_kernel *kernel = &relu_ext_kernels[id];
    struct run run = {current_isa(), kernel, in, uniform};
    const size_t bytes = n * kernel->size;
    const int nin = kernel->nin;
    relu_ext_float_env before = {0};

    if (n == 0) /* not even a pointer to step forward by nothing */
        return;
    bool stream = worth_streaming(total * kernel->size * (size_t)(nin + 1 - uniform))
                  && can_stream(run.isa->stream_block, out, kernel->size, bytes);
    for (int k = 0; k < nin && stream; k++)
        stream = in[k] != out;
    if (kernel->calculates)
        before = relu_ext_float_env_default();
    if (stream) {
        stream_out(run.isa->stream_block, &(struct stream){
            run_part, &run, in[0], in[nin - 1 - uniform], kernel->size, out, kernel->size, bytes});
        stream_end();
    }
    else
        run_part(&run, 0, out, bytes);
    if (kernel->calculates)
        relu_ext_float_env_restore(before);
}

#include "run_bits.h"
#ifdef RELU_EXT_MODULE
#include "slope_sums.h"

void relu_ext_count(enum relu_ext_lane lane, bool by_row, const struct relu_ext_counted *c,
                    const struct relu_ext_test *test)
{
    current_isa()->counters[lane][by_row](c, test);
}
#endif

/* The public entry points. */
#define RUN(op, dtype, uniform, out, ...)                                              \
    relu_ext_run(relu_ext_id_##op##_##dtype, (const char *const[]){__VA_ARGS__}, uniform, \
                 (char *)(out), n, n)
#define ENTRY_1(op, dtype, type)                                                       \
    void op##_##dtype(const type *x, type *y, size_t n)                                \
    {                                                                                  \
        RUN(op, dtype, false, y, (const char *)x);                                     \
    }
#define ENTRY_2(op, dtype, type)                                                       \
    void op##_##dtype(const type *dy, const type *x, type *dx, size_t n)               \
    {                                                                                  \
        RUN(op, dtype, false, dx, (const char *)dy, (const char *)x);                  \
    }
#define ENTRY_2P(op, dtype, type)                                                      \
    void op##_##dtype(const type *x, type parameter, type *y, size_t n)                \
    {                                                                                  \
        RUN(op, dtype, true, y, (const char *)x, (const char *)&parameter);            \
    }
#define ENTRY_3P(op, dtype, type)                                                      \
    void op##_##dtype(const type *dy, const type *x, type parameter, type *dx, size_t n) \
    {                                                                                  \
        RUN(op, dtype, true, dx, (const char *)dy, (const char *)x,                    \
            (const char *)&parameter);                                                 \
    }
#define ENTRY(dtype, type, lane, T, op, body, signature, ...) ENTRY_##signature(op, dtype, type)
RELU_EXT_KERNELS(ENTRY, )

#define BITS_ENTRY(dtype, type, ...)                                                   \
    void relu_bits_##dtype(const type *x, type *y, uint8_t *bits, size_t n)            \
    {                                                                                  \
        relu_ext_run_bits(relu_ext_id_relu_##dtype, x, y, bits, n, n);                 \
    }                                                                                  \
    void relu_grad_bits_##dtype(const type *dy, const uint8_t *bits, type *dx,         \
                                size_t n)                                              \
    {                                                                                  \
        relu_ext_run_grad_bits(relu_ext_id_relu_##dtype, dy, bits, dx, n, n);          \
    }
RELU_EXT_FLOATS(BITS_ENTRY, )

RELU_EXT_INTERNAL int relu_ext_run_scale_shift(const struct relu_ext_scale_shift *call,
                                               size_t total)
{
    const struct isa *isa = current_isa();
    const struct scale_shift_pair *pair = scale_shift_pairs, *end = pair + SCALE_SHIFT_COUNT;

    while (pair < end && (strcmp(pair->x, call->x_dtype) || strcmp(pair->y, call->y_dtype)))
        pair++;
    if (pair == end || call->ndim > SCALE_SHIFT_DIMS || call->axis >= call->ndim)
        return -1;
    for (size_t k = 0; k < call->ndim; k++)
        if (call->shape[k] == 0)
            return 0;
    const bool stream = worth_streaming(total * (pair->x_size + pair->y_size))
        && call->x != call->y;
    relu_ext_float_env before = relu_ext_float_env_default();
    scale_shift_walk(isa->scale_shift, stream ? isa->stream_block : NULL,
                     (size_t)(pair - scale_shift_pairs), call);
    relu_ext_float_env_restore(before);
    return 0;
}

int relu_ext_scale_shift_relu(const char *x_dtype, const void *x, const ptrdiff_t *x_strides,
                              const char *y_dtype, void *y, const ptrdiff_t *y_strides,
                              const size_t *shape, size_t ndim, size_t axis,
                              const double *scale, const double *shift)
{
    const struct relu_ext_scale_shift call = {x_dtype, y_dtype, x, y, x_strides, y_strides,
                                              shape, ndim, axis, scale, shift};
    size_t total = 1;
    for (size_t k = 0; ndim <= SCALE_SHIFT_DIMS && k < ndim; k++)
        total *= shape[k];
    return relu_ext_run_scale_shift(&call, total);
}
