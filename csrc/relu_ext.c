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

#if defined(__GNUC__) || defined(__clang__)
#define RELU_EXT_INLINE static inline __attribute__((always_inline))
#define RELU_EXT_ANY_POINTER __attribute__((may_alias, aligned(1)))
#define RELU_EXT_NOINLINE __attribute__((noinline))
#else
#define RELU_EXT_INLINE static inline
#define RELU_EXT_ANY_POINTER
#define RELU_EXT_NOINLINE
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
#define RELU_EXT_NO_OVERLAP _Pragma("clang loop vectorize(assume_safety)")
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
#include "half.h"

#define LANE b8
#define LANE_INT int8_t
#include "kernels.h"
#define LANE b16
#define LANE_INT int16_t
#include "kernels.h"
#define LANE b32
#define LANE_INT int32_t
#include "kernels.h"
#define LANE b64
#define LANE_INT int64_t
#include "kernels.h"
#include "longdouble.h"
#include "stream.h"
#include "scale_shift.h"

/* relu_f32_avx2, and so on. */
#define DEFINE_KERNEL(dtype, type, lane, T, op, body, nin, isa, target)                \
    static target void op##_##dtype##_##isa(const void *a, const void *b, void *out,   \
                                            size_t n)                                  \
    {                                                                                  \
        body##_##lane(a, b, out, n, T);                                                \
    }
#define DEFINE_KERNELS(isa, target, supported) RELU_EXT_KERNELS(DEFINE_KERNEL, isa, target)
RELU_EXT_ISAS(DEFINE_KERNELS)

struct isa {
    const char *name;
    bool (*supported)(void);
    void (*stream_block)(char *to, const char *block, const char *ahead_a, const char *ahead_b);
    const struct scale_shift_isa *scale_shift;
    void (*kernels[RELU_EXT_ID_COUNT])(const void *a, const void *b, void *out, size_t n);
};

#define DEFINE_SUPPORTED(isa, target, condition)                                       \
    static bool isa##_supported(void)                                                  \
    {                                                                                  \
        return condition;                                                              \
    }
RELU_EXT_ISAS(DEFINE_SUPPORTED)

#define KERNEL_POINTER(dtype, type, lane, T, op, body, nin, isa) op##_##dtype##_##isa,
#define ISA_ENTRY(isa, target, condition)                                              \
    {#isa, isa##_supported, stream_block_##isa, &scale_shift_##isa,                   \
     {RELU_EXT_KERNELS(KERNEL_POINTER, isa)}},
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
 * is told the size of a whole socket's cache and shares it with strangers, and
 * streaming costs nothing measurable from here on.
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

static void run_streaming(const struct isa *isa, const struct relu_ext_kernel *kernel,
                          const char *a, const char *b, char *out, size_t n)
{
    _Alignas(64) char block[STREAM_BLOCK];
    const size_t bytes = n * kernel->size, first = -(uintptr_t)out % 64;
    size_t i;

    isa->kernels[kernel->id](a, b, out, first / kernel->size);
    for (i = first; i + STREAM_BLOCK <= bytes; i += STREAM_BLOCK) {
        /* The last block has nothing ahead: look at itself again. */
        size_t ahead = i + 2 * STREAM_BLOCK <= bytes ? i + STREAM_BLOCK : i;
        isa->kernels[kernel->id](a + i, b + i, block, STREAM_BLOCK / kernel->size);
        isa->stream_block(out + i, block, a + ahead, b + ahead);
    }
    stream_end();
    isa->kernels[kernel->id](a + i, b + i, out + i, (bytes - i) / kernel->size);
}

RELU_EXT_INTERNAL void relu_ext_run(enum relu_ext_id id, const void *a, const void *b, void *out,
                                    size_t n, size_t total)
{
    const struct isa *isa = current_isa();
    const struct relu_ext_kernel *kernel = &relu_ext_kernels[id];
    size_t moved = total * kernel->size * (size_t)(kernel->nin + 1);

    /* An output off its own alignment never gets to a 64-byte boundary. */
    if (moved >= relu_ext_get_stream_bytes() && isa->stream_block && out != a && out != b
        && (uintptr_t)out % 64 % kernel->size == 0 && n * kernel->size > 2 * STREAM_BLOCK)
        run_streaming(isa, kernel, a, kernel->nin == 2 ? b : a, out, n);
    else
        isa->kernels[id](a, b, out, n);
}

/* The public entry points. */
#define ENTRY_1(op, dtype, type)                                                       \
    void op##_##dtype(const type *x, type *y, size_t n)                                \
    {                                                                                  \
        relu_ext_run(relu_ext_id_##op##_##dtype, x, NULL, y, n, n);                      \
    }
#define ENTRY_2(op, dtype, type)                                                       \
    void op##_##dtype(const type *dy, const type *x, type *dx, size_t n)               \
    {                                                                                  \
        relu_ext_run(relu_ext_id_##op##_##dtype, dy, x, dx, n, n);                        \
    }
#define ENTRY(dtype, type, lane, T, op, body, nin, ...) ENTRY_##nin(op, dtype, type)
RELU_EXT_KERNELS(ENTRY, )

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
    const bool stream = total * (pair->x_size + pair->y_size) >= relu_ext_get_stream_bytes()
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
    for (size_t k = 0; k < ndim; k++)
        total *= shape[k];
    return relu_ext_run_scale_shift(&call, total);
}
