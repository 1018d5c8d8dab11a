/*
 * What the rest of the library asks of relu_ext.c: any kernel by number, with one
 * signature for all of them, so that whoever walks arrays or splits ranges does
 * it once for every operation and dtype.
 */
#ifndef RELU_EXT_DISPATCH_H
#define RELU_EXT_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "tables.h"

/* Shared among the files of the Python module, which defines this; else for relu_ext.c alone. */
#ifdef RELU_EXT_MODULE
#define RELU_EXT_INTERNAL extern
#else
#define RELU_EXT_INTERNAL static
#endif

#if defined(__GNUC__) || defined(__clang__)
#define RELU_EXT_NOINLINE __attribute__((noinline))
#elif defined(_MSC_VER)
#define RELU_EXT_NOINLINE __declspec(noinline)
#else
#define RELU_EXT_NOINLINE
#endif

/* relu_ext_id_relu_f32, and so on: one for each row of RELU_EXT_KERNELS. */
#define RELU_EXT_ID(dtype, type, lane, T, op, ...) relu_ext_id_##op##_##dtype,
enum relu_ext_id { RELU_EXT_KERNELS(RELU_EXT_ID, ) RELU_EXT_ID_COUNT };
#undef RELU_EXT_ID

/* Whether the kernels of a lane calculate, and want the settings of float_env.h. */
enum {
    relu_ext_calculates_b8, relu_ext_calculates_b16 = 0, relu_ext_calculates_b32 = 0,
    relu_ext_calculates_b64 = 0, relu_ext_calculates_ld = 0,
    relu_ext_calculates_nf16 = 1, relu_ext_calculates_nbf16 = 1, relu_ext_calculates_nf32 = 1,
    relu_ext_calculates_nf64 = 1
};

/* What there is to know of each, in that order; size is an element's, in bytes. */
#define RELU_EXT_FACTS(dtype, type, lane, T, op, body, signature, ...)                 \
    {relu_ext_id_##op##_##dtype, RELU_EXT_NIN_##signature, relu_ext_calculates_##lane, sizeof(type)},
static const struct relu_ext_kernel {
    enum relu_ext_id id;
    int nin;
    int calculates;
    size_t size;
} relu_ext_kernels[] = {RELU_EXT_KERNELS(RELU_EXT_FACTS, )};
#undef RELU_EXT_FACTS

/*
 * Runs one kernel over n contiguous elements, which may be a part of an operation
 * over `total`: how long the whole is decides whether it streams. The last of
 * several inputs may be one element for all: `uniform`.
 */
RELU_EXT_INTERNAL void relu_ext_run(enum relu_ext_id id, const char *const *in, bool uniform,
                                    char *out, size_t n, size_t total);

#ifdef RELU_EXT_MODULE
/* The dtypes of RELU_EXT_NUMBERS, numbered. */
#define RELU_EXT_NUMBER(dtype, ...) relu_ext_number_##dtype,
enum relu_ext_number { RELU_EXT_NUMBERS(RELU_EXT_NUMBER, ) RELU_EXT_NUMBER_COUNT };
#undef RELU_EXT_NUMBER

/*
 * The gradient of PReLU's slopes, for channels `begin` to `end` of contiguous arrays
 * (outer, channels, inner), as numbers of their dtype. The sums are in double, in an order
 * that depends on the three sizes only.
 */
extern void relu_ext_slope_sums(enum relu_ext_number dtype, const char *dy, const char *x,
                                char *grad, size_t outer, size_t channels, size_t inner,
                                size_t begin, size_t end);
#endif

/*
 * relu, and the bits of what it lets through; and the gradient from these bits. `id` is
 * relu's for a float's dtype. Bits of a part begin with those of its first element.
 */
RELU_EXT_INTERNAL void relu_ext_run_bits(enum relu_ext_id id, const void *x, void *y,
                                         uint8_t *bits, size_t n, size_t total);
RELU_EXT_INTERNAL void relu_ext_run_grad_bits(enum relu_ext_id id, const void *dy,
                                              const uint8_t *bits, void *dx, size_t n,
                                              size_t total);

/* X(lane): the lanes, of kernels.h and longdouble.h. */
#define RELU_EXT_LANES(X, ...)                                                         \
    X(b8, __VA_ARGS__) X(b16, __VA_ARGS__) X(b32, __VA_ARGS__) X(b64, __VA_ARGS__)     \
    X(ld, __VA_ARGS__)
#define RELU_EXT_LANE(lane, ...) relu_ext_lane_##lane,
enum relu_ext_lane { RELU_EXT_LANES(RELU_EXT_LANE, ) RELU_EXT_LANE_COUNT };
#undef RELU_EXT_LANE

#ifdef RELU_EXT_MODULE
#include <stdbool.h>

/*
 * What elements to count, by their bits x as a signed integer: x >= least and
 * (x & keep) != 0. keep is all ones, or all but the sign of a float.
 */
struct relu_ext_test {
    int64_t least, keep;
};

/* Elements to count: strides in bytes, of the counts in counts. */
struct relu_ext_counted {
    const char *x;
    size_t rows, columns;
    ptrdiff_t row_stride, column_stride;
    int64_t *counts;
    ptrdiff_t count_stride;
    /* Whether a count is above 0 is all that is asked, with keep = -1: those may stay short. */
    bool any;
};

/* Adds to the counts: one for each column, or one for each row. */
extern void relu_ext_count(enum relu_ext_lane lane, bool by_row, const struct relu_ext_counted *c,
                           const struct relu_ext_test *test);
#endif

/* A call of relu_ext_scale_shift_relu: see relu_ext.h. */
struct relu_ext_scale_shift {
    const char *x_dtype, *y_dtype;
    const void *x;
    void *y;
    const ptrdiff_t *x_strides, *y_strides;
    const size_t *shape;
    size_t ndim, axis;
    const double *scale, *shift;
};

/* It may be a part of an operation over `total` elements, as above. */
RELU_EXT_INTERNAL int relu_ext_run_scale_shift(const struct relu_ext_scale_shift *call,
                                               size_t total);

#endif
