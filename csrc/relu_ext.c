/*
 * The kernels instantiated, the instruction set chosen, and the public entry
 * points.
 */
#ifdef __cplusplus
#error "relu_ext.c is C: type `cc -O3 -c relu_ext.c`, and link relu_ext.o to your C++ program"
#else

/* Whatever optimizations are off, the results are the same: no need to warn. */
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

#include "relu_ext.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

#include "relu_ext/compiler.h"
#include "relu_ext/internal.h"

#include "relu_ext/float_env.h"
#include "relu_ext/numbers.h"
#include "relu_ext/isa.h"

#define RELU_EXT_BITS 8
#include "relu_ext/kernels_tmpl.h"
#define RELU_EXT_BITS 16
#include "relu_ext/kernels_tmpl.h"
#define RELU_EXT_BITS 32
#include "relu_ext/kernels_tmpl.h"
#define RELU_EXT_BITS 64
#include "relu_ext/kernels_tmpl.h"
#include "relu_ext/longdouble.h"

#define RELU_EXT_NUMBER nf16
#define RELU_EXT_BITS 16
#include "relu_ext/arithmetic_tmpl.h"
#define RELU_EXT_NUMBER nbf16
#define RELU_EXT_BITS 16
#define RELU_EXT_REAL float
#define RELU_EXT_REAL_FROM(bits) relu_ext_float_from_bf16((uint16_t)(bits))
#define RELU_EXT_REAL_TO(x) (int16_t)relu_ext_bf16_from_number(x)
#define RELU_EXT_NAN_BITS 0x7FC0
#define RELU_EXT_LEAKY leaky_bf16
#define RELU_EXT_SUM sum_bf16
#include "relu_ext/arithmetic_tmpl.h"
#define RELU_EXT_NUMBER nf32
#define RELU_EXT_BITS 32
#define RELU_EXT_REAL float
#define RELU_EXT_REAL_FROM(bits) relu_ext_bits_float((uint32_t)(bits))
#define RELU_EXT_REAL_TO(x) (int32_t)relu_ext_float_bits(x)
#define RELU_EXT_NAN_BITS 0x7FC00000
#define RELU_EXT_LEAKY leaky_f32
#define RELU_EXT_SUM sum_f32
#include "relu_ext/arithmetic_tmpl.h"
#define RELU_EXT_NUMBER nf64
#define RELU_EXT_BITS 64
#define RELU_EXT_REAL double
#define RELU_EXT_REAL_FROM(bits) relu_ext_bits_double((uint64_t)(bits))
#define RELU_EXT_REAL_TO(x) (int64_t)relu_ext_double_bits(x)
#define RELU_EXT_NAN_BITS 0x7FF8000000000000
#define RELU_EXT_LEAKY leaky_f64
#define RELU_EXT_SUM sum_f64
#include "relu_ext/arithmetic_tmpl.h"

#include "relu_ext/stream.h"
#include "relu_ext/scale_shift.h"

#include "relu_ext/parts.h"

typedef void relu_ext_function(const void *a, const void *b, const void *c, bool uniform, void *out,
                               size_t n);

static RELU_EXT_NOINLINE void relu_ext_run_under_settings(relu_ext_function *function,
                                                          const void *a, const void *b,
                                                          const void *c, bool uniform, void *out,
                                                          size_t n)
{
    const relu_ext_float_env before = relu_ext_float_env_default();
    function(a, b, c, uniform, out, n);
    relu_ext_float_env_restore(before);
}

/*
 * relu_f32_avx2, and so on. Where settings matter, it begins again under ours: compilers would move
 * arithmetic from one side to the other of what changes them.
 */
#define RELU_EXT_DEFINE_KERNEL(dtype, type, lane, threshold, op, body, signature, isa, target)  \
    static target void relu_ext_##op##_##dtype##_##isa(                                         \
        const void *a, const void *b, const void *c, bool uniform, void *out, size_t n)         \
    {                                                                                           \
        if (relu_ext_calculates_##lane && relu_ext_settings_matter_##isa())                     \
            relu_ext_run_under_settings(relu_ext_##op##_##dtype##_##isa, a, b, c, uniform, out, \
                                        n);                                                     \
        else                                                                                    \
            relu_ext_##body##_##lane(a, b, c, RELU_EXT_NIN_##signature > 1 && uniform, out, n,  \
                                     threshold, &relu_ext_ops_##isa);                           \
    }
#define RELU_EXT_DEFINE_KERNELS(isa, target, supported)                                \
    RELU_EXT_KERNELS(RELU_EXT_DEFINE_KERNEL, isa, target)
RELU_EXT_ISAS(RELU_EXT_DEFINE_KERNELS)

/* pack_b32_avx2 and grad_bits_b32_avx2, and so on. The lane of threshold is the kernel's. */
typedef void relu_ext_packer(const void *x, uint8_t *bits, size_t n, int64_t threshold);
typedef void relu_ext_bits_gradient(const void *dy, const uint8_t *bits, void *dx, size_t n);
#define RELU_EXT_THRESHOLD_b8 (int8_t)
#define RELU_EXT_THRESHOLD_b16 (int16_t)
#define RELU_EXT_THRESHOLD_b32 (int32_t)
#define RELU_EXT_THRESHOLD_b64
#define RELU_EXT_THRESHOLD_ld
#define RELU_EXT_DEFINE_BITS(lane, isa, target)                                               \
    static target void relu_ext_pack_##lane##_##isa(const void *x, uint8_t *bits, size_t n,   \
                                                    int64_t threshold)                        \
    {                                                                                         \
        relu_ext_pack_##lane(x, bits, n, RELU_EXT_THRESHOLD_##lane threshold,                 \
                             relu_ext_pack_masks_##isa);                                      \
    }                                                                                         \
    static target void relu_ext_grad_bits_##lane##_##isa(const void *dy, const uint8_t *bits, \
                                                         void *dx, size_t n)                  \
    {                                                                                         \
        relu_ext_grad_bits_##lane(dy, bits, dx, n, relu_ext_unpack_masks_##isa);              \
    }
#define RELU_EXT_DEFINE_ALL_BITS(isa, target, supported)                               \
    RELU_EXT_LANES(RELU_EXT_DEFINE_BITS, isa, target)
RELU_EXT_ISAS(RELU_EXT_DEFINE_ALL_BITS)
#define RELU_EXT_PACK_POINTER(lane, isa) relu_ext_pack_##lane##_##isa,
#define RELU_EXT_GRAD_BITS_POINTER(lane, isa) relu_ext_grad_bits_##lane##_##isa,

/*
 * For fewer elements than the kernel wants, which is a line: as many, of which only these are the
 * caller's.
 */
typedef void relu_ext_part_runner(const struct relu_ext_kernel *kernel, relu_ext_function *function,
                                  const char *a, const char *b, const char *c, bool uniform,
                                  char *out, size_t n);
#define RELU_EXT_DEFINE_RUN_PART(isa, target, supported)                                         \
    static target void relu_ext_run_part_##isa(                                                  \
        const struct relu_ext_kernel *kernel, relu_ext_function *function, const char *a,        \
        const char *b, const char *c, bool uniform, char *out, size_t n)                         \
    {                                                                                            \
        _Alignas(64) char part_a[64], part_b[64], part_c[64], result[64];                        \
        const size_t bytes = n * kernel->size;                                                   \
                                                                                                 \
        relu_ext_load_part_##isa(part_a, a, bytes);                                              \
        if (b != a)                                                                              \
            relu_ext_load_part_##isa(part_b, b, bytes);                                          \
        if (!uniform)                                                                            \
            relu_ext_load_part_##isa(part_c, c, bytes);                                          \
        function(part_a, b != a ? part_b : part_a, uniform ? c : part_c, uniform, result,        \
                 kernel->least);                                                                 \
        relu_ext_store_part_##isa(out, result, bytes);                                           \
    }
RELU_EXT_ISAS(RELU_EXT_DEFINE_RUN_PART)

struct relu_ext_isa_row {
    const char *name;
    bool (*supported)(void);
    const struct relu_ext_ops *ops;
    relu_ext_part_runner *run_part;
    relu_ext_block_streamer *stream_block;
    const struct relu_ext_scale_shift_isa *scale_shift;
    relu_ext_function *kernels[RELU_EXT_ID_COUNT];
    relu_ext_packer *pack[RELU_EXT_LANE_COUNT];
    relu_ext_bits_gradient *grad_bits[RELU_EXT_LANE_COUNT];
};

#define RELU_EXT_DEFINE_SUPPORTED(isa, target, condition)                              \
    static bool relu_ext_##isa##_supported(void)                                       \
    {                                                                                  \
        return condition;                                                              \
    }
RELU_EXT_ISAS(RELU_EXT_DEFINE_SUPPORTED)

#define RELU_EXT_KERNEL_POINTER(dtype, type, lane, threshold, op, body, signature, isa) \
    relu_ext_##op##_##dtype##_##isa,
#define RELU_EXT_ISA_ROW(isa, target, condition)                                       \
    {#isa, relu_ext_##isa##_supported, &relu_ext_ops_##isa,                            \
     relu_ext_run_part_##isa, relu_ext_stream_block_##isa,                             \
     &relu_ext_scale_shift_##isa, {RELU_EXT_KERNELS(RELU_EXT_KERNEL_POINTER, isa)},    \
     {RELU_EXT_LANES(RELU_EXT_PACK_POINTER, isa)},                                     \
     {RELU_EXT_LANES(RELU_EXT_GRAD_BITS_POINTER, isa)}},
static const struct relu_ext_isa_row relu_ext_isas[] = {RELU_EXT_ISAS(RELU_EXT_ISA_ROW)};
enum { RELU_EXT_ISA_COUNT = sizeof relu_ext_isas / sizeof *relu_ext_isas };

/*
 * The only state. Threads that find it unset at the same moment all store the
 * same pointer, to a constant: no order is needed among them.
 */
static _Atomic(const struct relu_ext_isa_row *) relu_ext_isa_in_use;

static const struct relu_ext_isa_row *relu_ext_find_isa(size_t index)
{
    for (size_t i = 0; i < RELU_EXT_ISA_COUNT; i++)
        if (relu_ext_isas[i].supported() && index-- == 0)
            return &relu_ext_isas[i];
    return NULL;
}

static RELU_EXT_NOINLINE const struct relu_ext_isa_row *relu_ext_choose_isa(void)
{
    const struct relu_ext_isa_row *isa = relu_ext_find_isa(0), *unset = NULL;
    /* Not a plain store: relu_ext_use_isa may have come in between. */
    return atomic_compare_exchange_strong(&relu_ext_isa_in_use, &unset, isa) ? isa : unset;
}

RELU_EXT_INLINE const struct relu_ext_isa_row *relu_ext_current_isa(void)
{
    const struct relu_ext_isa_row *isa = atomic_load_explicit(&relu_ext_isa_in_use,
                                                              memory_order_relaxed);
    return isa != NULL ? isa : relu_ext_choose_isa();
}

RELU_EXT_INTERNAL size_t relu_ext_isa_index(void)
{
    return (size_t)(relu_ext_current_isa() - relu_ext_isas);
}

const char *relu_ext_isa(void)
{
    return relu_ext_current_isa()->name;
}

const char *relu_ext_available_isa(size_t i)
{
    const struct relu_ext_isa_row *isa = relu_ext_find_isa(i);
    return isa ? isa->name : NULL;
}

int relu_ext_use_isa(const char *name)
{
    const struct relu_ext_isa_row *isa;
    for (size_t i = 0; name != NULL && (isa = relu_ext_find_isa(i)) != NULL; i++)
        if (strcmp(isa->name, name) == 0) {
            atomic_store(&relu_ext_isa_in_use, isa);
            return 0;
        }
    return -1;
}

/*
 * The last-level cache, as far as one process can count on it: a virtual machine is told the
 * size of a whole socket's cache and shares it with strangers. From this size on streaming
 * never costs measurable time. At half the size, where a 32 MiB cache begins to overflow, it
 * makes one thread a tenth faster and two threads half as fast.
 */
#define RELU_EXT_STREAM_BYTES_MAX ((size_t)64 << 20)

static size_t relu_ext_default_stream_bytes(void)
{
    long cache = 0;
#if defined(_SC_LEVEL3_CACHE_SIZE)
    cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    if (cache <= 0)
        cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return cache <= 0 || (size_t)cache > RELU_EXT_STREAM_BYTES_MAX ? RELU_EXT_STREAM_BYTES_MAX
                                                                   : (size_t)cache;
}

/* Like relu_ext_isa_in_use: found once, the same whoever finds it. */
static _Atomic(size_t) relu_ext_stream_bytes;

size_t relu_ext_get_stream_bytes(void)
{
    size_t bytes = atomic_load_explicit(&relu_ext_stream_bytes, memory_order_relaxed);
    if (bytes == 0) {
        size_t unset = 0;
        bytes = relu_ext_default_stream_bytes();
        if (!atomic_compare_exchange_strong(&relu_ext_stream_bytes, &unset, bytes))
            bytes = unset;
    }
    return bytes;
}

void relu_ext_set_stream_bytes(size_t bytes)
{
    atomic_store_explicit(&relu_ext_stream_bytes, bytes, memory_order_relaxed);
}

/* a, b and c are the inputs as the kernels want them. */
RELU_EXT_INLINE void relu_ext_run_kernel(const struct relu_ext_isa_row *isa,
                                         const struct relu_ext_kernel *kernel, const char *a,
                                         const char *b, const char *c, bool uniform, char *out,
                                         size_t n)
{
    if (n < kernel->least) {
        if (n == 0) /* not even a pointer to step forward by nothing */
            return;
        /*
         * The shortest vectors: to load a longer one, of pieces that were just stored, would wait
         * for them. But conversions of 16-bit floats and comparisons of 64 bits take longer there.
         */
        if (!isa->ops->masks && (kernel->calculates ? kernel->size > 2 : kernel->size < 8))
            isa = &relu_ext_isas[RELU_EXT_ISA_COUNT - 1];
        isa->run_part(kernel, isa->kernels[kernel->id], a, b, c, uniform, out, n);
    }
    else
        isa->kernels[kernel->id](a, b, c, uniform, out, n);
}

/* An operation on its way past the caches. */
struct relu_ext_call {
    const struct relu_ext_isa_row *isa;
    const struct relu_ext_kernel *kernel;
    const char *a, *b, *c;
    bool uniform;
};

/* From `at` bytes on; a uniform input stays where it is. */
static void relu_ext_fill(void *context, size_t at, char *out, size_t bytes)
{
    const struct relu_ext_call *run = context;
    relu_ext_run_kernel(run->isa, run->kernel, run->a + at, run->b + at,
                        run->c + (run->uniform ? 0 : at), run->uniform, out,
                        bytes / run->kernel->size);
}

/* Whether so many bytes, moved by an operation from and to other memory, are worth it. */
static bool relu_ext_worth_streaming(size_t bytes)
{
    return bytes >= relu_ext_get_stream_bytes();
}

/* Streams, if that can be done; else false, with nothing done. */
static bool relu_ext_stream(struct relu_ext_call *run, char *out, size_t bytes)
{
    const size_t size = run->kernel->size;
    const char *last = run->uniform ? run->b : run->c;

    if (run->a == out || run->b == out || run->c == out
        || !relu_ext_can_stream(run->isa->stream_block, out, size, bytes))
        return false;
    relu_ext_stream_out(
        run->isa->stream_block,
        &(struct relu_ext_stream){relu_ext_fill, run, run->a, last, size, out, size, bytes});
    relu_ext_stream_end();
    return true;
}

/*
 * What may stream or wants settings made: out of the way of all else, which need save no registers.
 */
static RELU_EXT_NOINLINE void relu_ext_run_with_care(struct relu_ext_call *run, char *out, size_t n,
                                                     size_t total_bytes)
{
    const bool settings = run->kernel->calculates;
    relu_ext_float_env before = {0};

    if (settings)
        before = relu_ext_float_env_default();
    if (!relu_ext_worth_streaming(total_bytes) || !relu_ext_stream(run, out, n * run->kernel->size))
        relu_ext_run_kernel(run->isa, run->kernel, run->a, run->b, run->c, run->uniform, out, n);
    if (settings)
        relu_ext_float_env_restore(before);
}

/*
 * relu_ext_run, inlined where the kernel is known. Not yet set, relu_ext_stream_bytes is 0: what
 * it is by default is found out of the way of short arrays.
 */
RELU_EXT_INLINE void relu_ext_run_inputs(const struct relu_ext_kernel *kernel, const char *a,
                                         const char *b, const char *c, bool uniform, char *out,
                                         size_t n, size_t total)
{
    const struct relu_ext_isa_row *isa = relu_ext_current_isa();
    const size_t total_bytes = total * kernel->size * (size_t)(kernel->nin + 1 - uniform);

    if ((!kernel->calculates || isa->ops->asks)
        && total_bytes < atomic_load_explicit(&relu_ext_stream_bytes, memory_order_relaxed))
        relu_ext_run_kernel(isa, kernel, a, b, c, uniform, out, n);
    else
        relu_ext_run_with_care(&(struct relu_ext_call){isa, kernel, a, b, c, uniform}, out, n,
                               total_bytes);
}

RELU_EXT_INTERNAL void relu_ext_run(enum relu_ext_id id, const char *const *in, bool uniform,
                                    char *out, size_t n, size_t total)
{
    const struct relu_ext_kernel *kernel = &relu_ext_kernels[id];
    const char *a = in[0], *b = kernel->nin == 3 ? in[1] : a, *c = in[kernel->nin - 1];
    relu_ext_run_inputs(kernel, a, b, c, uniform, out, n, total);
}

#include "relu_ext/relu_bits.h"

/* The public entry points. */
#define RELU_EXT_RUN(op, dtype, a, b, c, uniform, out)                                    \
    relu_ext_run_inputs(&relu_ext_kernels[relu_ext_id_##op##_##dtype], (const char *)(a), \
                        (const char *)(b), (const char *)(c), uniform, (char *)(out), n, n)
#define RELU_EXT_ENTRY_1(op, dtype, type)                                              \
    void op##_##dtype(const type *x, type *y, size_t n)                                \
    {                                                                                  \
        RELU_EXT_RUN(op, dtype, x, x, x, false, y);                                    \
    }
#define RELU_EXT_ENTRY_2(op, dtype, type)                                              \
    void op##_##dtype(const type *dy, const type *x, type *dx, size_t n)               \
    {                                                                                  \
        RELU_EXT_RUN(op, dtype, dy, dy, x, false, dx);                                 \
    }
#define RELU_EXT_ENTRY_2P(op, dtype, type)                                             \
    void op##_##dtype(const type *x, type parameter, type *y, size_t n)                \
    {                                                                                  \
        RELU_EXT_RUN(op, dtype, x, x, &parameter, true, y);                            \
    }
#define RELU_EXT_ENTRY_3P(op, dtype, type)                                               \
    void op##_##dtype(const type *dy, const type *x, type parameter, type *dx, size_t n) \
    {                                                                                    \
        RELU_EXT_RUN(op, dtype, dy, x, &parameter, true, dx);                            \
    }
#define RELU_EXT_ENTRY(dtype, type, lane, threshold, op, body, signature, ...)         \
    RELU_EXT_ENTRY_##signature(op, dtype, type)
RELU_EXT_KERNELS(RELU_EXT_ENTRY, )

#define RELU_EXT_BITS_ENTRY(dtype, type, ...)                                          \
    void relu_bits_##dtype(const type *x, type *y, uint8_t *bits, size_t n)            \
    {                                                                                  \
        relu_ext_run_bits(relu_ext_id_relu_##dtype, x, y, bits, n, n);                 \
    }                                                                                  \
    void relu_grad_bits_##dtype(const type *dy, const uint8_t *bits, type *dx,         \
                                size_t n)                                              \
    {                                                                                  \
        relu_ext_run_grad_bits(relu_ext_id_relu_##dtype, dy, bits, dx, n, n);          \
    }
RELU_EXT_FLOATS(RELU_EXT_BITS_ENTRY, )

RELU_EXT_INTERNAL bool relu_ext_can_scale_shift(const char *x_dtype, const char *y_dtype)
{
    return relu_ext_scale_shift_find(x_dtype, y_dtype) != NULL;
}

RELU_EXT_INTERNAL int relu_ext_run_scale_shift(const struct relu_ext_scale_shift *call,
                                               size_t total)
{
    const struct relu_ext_isa_row *isa = relu_ext_current_isa();
    const struct relu_ext_scale_shift_pair *pair = relu_ext_scale_shift_find(call->x_dtype,
                                                                             call->y_dtype);

    if (pair == NULL || call->ndim > RELU_EXT_SCALE_SHIFT_DIMS || call->axis >= call->ndim)
        return -1;
    for (size_t k = 0; k < call->ndim; k++)
        if (call->shape[k] == 0)
            return 0;
    const bool stream = relu_ext_worth_streaming(total * (pair->x_size + pair->y_size))
                        && call->x != call->y;
    relu_ext_float_env before = relu_ext_float_env_default();
    relu_ext_scale_shift_walk(isa->scale_shift, stream ? isa->stream_block : NULL,
                              (size_t)(pair - relu_ext_scale_shift_pairs), call);
    relu_ext_float_env_restore(before);
    return 0;
}

/* All of an operation. */
static int relu_ext_start_scale_shift(const struct relu_ext_scale_shift *call)
{
    size_t total = 1;
    for (size_t k = 0; call->ndim <= RELU_EXT_SCALE_SHIFT_DIMS && k < call->ndim; k++)
        total *= call->shape[k];
    return relu_ext_run_scale_shift(call, total);
}

int relu_ext_scale_shift_relu(const char *x_dtype, const void *x, const ptrdiff_t *x_strides,
                              const char *y_dtype, void *y, const ptrdiff_t *y_strides,
                              const size_t *shape, size_t ndim, size_t axis, const double *scale,
                              const double *shift)
{
    return relu_ext_start_scale_shift(&(struct relu_ext_scale_shift){
        x_dtype, y_dtype, x, y, x_strides, y_strides, shape, ndim, axis, scale, shift, 1, true});
}

int relu_ext_scale_shift(const char *x_dtype, const void *x, const ptrdiff_t *x_strides,
                         const char *y_dtype, void *y, const ptrdiff_t *y_strides,
                         const size_t *shape, size_t ndim, size_t axis, const double *scale,
                         const double *shift)
{
    return relu_ext_start_scale_shift(&(struct relu_ext_scale_shift){
        x_dtype, y_dtype, x, y, x_strides, y_strides, shape, ndim, axis, scale, shift, 1, false});
}

#ifdef __clang__
#pragma clang diagnostic pop
#endif

#endif
