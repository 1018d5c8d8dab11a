/*
 * How much of the stack calls use: every public function on each instruction set, streaming and
 * not, and what helping threads run besides, each on a painted stack.
 *
 *     stack
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>

#include "oracle.h"
#include "python/count_kernels.h"
#include "python/strided.h"

/* What relu_ext.h promises; and how much the binding's own functions before counting take. */
enum { OF_DTYPE = 8 << 10, OF_ALL = 16 << 10, BEFORE_COUNTING = 4 << 10 };
enum { STACK = 256 << 10, PAINT = 0xA5, MOST = 600 * 651 * 8 };

static unsigned char x[MOST], y[MOST], bits[MOST / 8];
static char *stack;
static size_t index_, most;
static uint64_t calls;

static const size_t lengths[] = {0, 1, 3, 15, 64, 1000, 5001};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

static void *nothing(void *p)
{
    return p;
}

static void *row_call(void *p)
{
    const void *const in[] = {x, x};
    for (size_t i = 0; i < LENGTHS; i++)
        for (size_t at = 0; at < 2; at++)
            rows[index_].call(in, y + at, lengths[i]);
    return p;
}

#define BITS(dtype, type, ...)                                                         \
    static void *bits_call_##dtype(void *p)                                            \
    {                                                                                  \
        for (size_t i = 0; i < LENGTHS; i++) {                                         \
            relu_bits_##dtype((const type *)(const void *)x, (type *)(void *)y, bits,  \
                              lengths[i]);                                             \
            relu_grad_bits_##dtype((const type *)(const void *)x, bits,                \
                                   (type *)(void *)y, lengths[i]);                     \
        }                                                                              \
        return p;                                                                      \
    }
RELU_EXT_FLOATS(BITS, )

#define BITS_ROW(dtype, type, ...) {"relu_bits_" #dtype, bits_call_##dtype},
static const struct {
    const char *name;
    void *(*call)(void *);
} bits_calls[] = {RELU_EXT_FLOATS(BITS_ROW, )};

static const char *const xs[] = {"u8", "u16", "i8", "i16", "i32", "f16", "bf16", "f32", "f64"};
static const ptrdiff_t x_sizes[] = {1, 2, 1, 2, 4, 2, 2, 4, 8};
static const char *const ys[] = {"u8", "i8", "f16", "bf16", "f32", "f64"};
static const ptrdiff_t y_sizes[] = {1, 1, 2, 2, 4, 8};
enum { XS = sizeof xs / sizeof *xs, YS = sizeof ys / sizeof *ys };

/* Pixels by channels: in that order, channel by channel, and with a gap after each pixel. */
static void find_strides(int layout, ptrdiff_t size, const size_t *shape, ptrdiff_t *strides)
{
    strides[0] = layout == 1 ? size : size * (ptrdiff_t)(shape[1] + (layout == 2));
    strides[1] = layout == 1 ? size * (ptrdiff_t)shape[0] : size;
}

static void *scale_shift_call(void *p)
{
    static const size_t pixels[] = {1, 7, 600}, channels[] = {1, 3, 64, 512, 650};
    static const double factors[650];
    const size_t xi = index_ / YS, yi = index_ % YS;
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++)
        for (size_t k = 0; k < sizeof channels / sizeof *channels; k++)
            for (int layout = 0; layout < 9; layout++) {
                const size_t shape[] = {pixels[i], channels[k]};
                ptrdiff_t x_strides[2], y_strides[2];
                find_strides(layout % 3, x_sizes[xi], shape, x_strides);
                find_strides(layout / 3, y_sizes[yi], shape, y_strides);
                relu_ext_scale_shift(xs[xi], x, x_strides, ys[yi], y, y_strides, shape, 2, 1,
                                     factors, factors);
                relu_ext_scale_shift_relu(xs[xi], x, x_strides, ys[yi], y, y_strides, shape, 2, 1,
                                          factors, factors);
            }
    return p;
}

/* Transposed, which is copied, and as rows, which are not. */
static void *strided_call(void *p)
{
    const struct relu_ext_kernel *kernel = &relu_ext_kernels[index_];
    const ptrdiff_t size = (ptrdiff_t)kernel->size, side = 150;
    for (int transposed = 0; transposed < 2; transposed++) {
        struct relu_ext_strided s = {.out = (char *)y, .axis_count = 2};
        for (int axis = 0; axis < 2; axis++) {
            s.axes[axis].n = (size_t)side - 1;
            s.axes[axis].out = axis == 0 ? side * size : size;
            for (int k = 0; k < kernel->nin; k++) {
                s.in[k] = (const char *)x;
                s.axes[axis].in[k] = axis == transposed ? side * size : size;
            }
        }
        relu_ext_run_strided(kernel, &s);
    }
    return p;
}

static void *count_call(void *p)
{
    static const size_t sides[][2] = {{1, 90000}, {90000, 1}, {300, 300}, {30000, 3}, {3, 30000}};
    static const ptrdiff_t sizes[] = {1, 2, 4, 8, sizeof(long double)};
    static int64_t counts[90000];
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        for (int by_row = 0; by_row < 2; by_row++)
            for (int any = 0; any < 2; any++) {
                const size_t lines = sides[i][0], columns = sides[i][1];
                const ptrdiff_t size = sizes[index_] * ((ptrdiff_t)(i & 1) + 1);
                if (lines * columns * (size_t)size <= sizeof x)
                    relu_ext_count((enum relu_ext_lane)index_, by_row,
                                   &(struct counted){(const char *)x, lines, columns,
                                                     size * (ptrdiff_t)columns, size, counts, 1,
                                                     any},
                                   &(struct test){1, -1});
            }
    return p;
}

static size_t used(void *(*call)(void *))
{
    pthread_attr_t attributes;
    pthread_t thread;
    memset(stack, PAINT, STACK);
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack, STACK);
    if (pthread_create(&thread, &attributes, call, NULL) != 0) {
        fprintf(stderr, "no thread\n");
        exit(2);
    }
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    size_t untouched = 0;
    while (untouched < STACK && (unsigned char)stack[untouched] == PAINT)
        untouched++;
    return STACK - untouched;
}

static void measure(const char *name, void *(*call)(void *), size_t index, size_t limit)
{
    index_ = index;
    const size_t bytes = used(call) - used(nothing);
    calls++;
    most = bytes > most ? bytes : most;
    if (bytes >= limit) {
        fprintf(stderr, "%s (%s): %zu bytes of the stack, %zu or more\n", name, relu_ext_isa(),
                bytes, limit);
        exit(1);
    }
}

int main(void)
{
    const char *isa;
    stack = aligned_alloc(4096, STACK);
    if (stack == NULL)
        return 2;
    for (size_t stream_bytes = 0; stream_bytes < 2; stream_bytes++)
        for (size_t i = 0; (isa = relu_ext_available_isa(i)) != NULL; i++) {
            relu_ext_use_isa(isa);
            relu_ext_set_stream_bytes(stream_bytes);
            for (size_t r = 0; r < ROW_COUNT; r++) {
                measure(rows[r].name, row_call, r, OF_DTYPE);
                measure("strided", strided_call, r, OF_ALL);
            }
            for (size_t k = 0; k < sizeof bits_calls / sizeof *bits_calls; k++)
                measure(bits_calls[k].name, bits_calls[k].call, k, OF_DTYPE);
            for (size_t pair = 0; pair < XS * YS; pair++)
                measure("relu_ext_scale_shift", scale_shift_call, pair, OF_ALL);
            for (size_t lane = 0; lane < RELU_EXT_LANE_COUNT; lane++)
                measure("counting", count_call, lane, OF_ALL - BEFORE_COUNTING);
        }
    printf("%" PRIu64 " kinds of calls, %zu bytes of the stack at most\n", calls, most);
    return 0;
}
