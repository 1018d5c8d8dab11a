/*
 * What relu_ext.c offers, beyond relu_ext.h, to files that are built together with it: each
 * kernel by number, all with one signature, so that code that walks arrays or splits ranges is
 * written once for every operation and dtype. See RELU_EXT_INTERNAL.
 */
#ifndef RELU_EXT_INTERNAL_H
#define RELU_EXT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "compiler.h"
#include "tables.h"

/* relu_ext_id_relu_f32, and so on: one for each row of RELU_EXT_KERNELS. */
#define RELU_EXT_ID(dtype, type, lane, threshold, op, ...) relu_ext_id_##op##_##dtype,
enum relu_ext_id { RELU_EXT_KERNELS(RELU_EXT_ID, ) RELU_EXT_ID_COUNT };
#undef RELU_EXT_ID

/* X(lane): the lanes, of kernels_tmpl.h and longdouble.h. */
#define RELU_EXT_LANES(X, ...)                                                         \
    X(b8, __VA_ARGS__) X(b16, __VA_ARGS__) X(b32, __VA_ARGS__) X(b64, __VA_ARGS__)     \
    X(ld, __VA_ARGS__)
#define RELU_EXT_LANE(lane, ...) relu_ext_lane_##lane,
enum relu_ext_lane { RELU_EXT_LANES(RELU_EXT_LANE, ) RELU_EXT_LANE_COUNT };
#undef RELU_EXT_LANE

/* Whether the kernels of a lane calculate, and want float_env.h's settings where they matter. */
enum {
    relu_ext_calculates_b8,
    relu_ext_calculates_b16 = 0,
    relu_ext_calculates_b32 = 0,
    relu_ext_calculates_b64 = 0,
    relu_ext_calculates_ld = 0,
    relu_ext_calculates_nf16 = 1,
    relu_ext_calculates_nbf16 = 1,
    relu_ext_calculates_nf32 = 1,
    relu_ext_calculates_nf64 = 1
};

/* Whether a body works on whole lines of 64 bytes, and wants one at least. */
enum {
    relu_ext_lines_relu,
    relu_ext_lines_relu_grad = 0,
    relu_ext_lines_copy = 0,
    relu_ext_lines_leaky_relu = 1,
    relu_ext_lines_leaky_relu_grad = 1,
    relu_ext_lines_clipped_relu = 1,
    relu_ext_lines_clipped_relu_grad = 1,
    relu_ext_lines_minimum = 1,
    relu_ext_lines_add_relu = 1,
    relu_ext_lines_add = 1
};

/*
 * What there is to know of each kernel, by number; size is an element's, in bytes, and least how
 * many elements it wants, at least one, so that none is asked for nothing: long doubles are not
 * worked on by lines.
 */
#define RELU_EXT_FACTS(dtype, type, lane, threshold, op, body, signature, ...)         \
    {relu_ext_id_##op##_##dtype, RELU_EXT_NIN_##signature, relu_ext_calculates_##lane, \
     sizeof(type), relu_ext_lines_##body && sizeof(type) <= 8 ? 64 / sizeof(type) : 1},
static const struct relu_ext_kernel {
    enum relu_ext_id id;
    int nin;
    int calculates;
    size_t size, least;
} relu_ext_kernels[] = {RELU_EXT_KERNELS(RELU_EXT_FACTS, )};
#undef RELU_EXT_FACTS

/*
 * Runs one kernel over n contiguous elements, which may be a part of an operation
 * over `total`: how long the whole is decides whether it streams. The last of
 * several inputs may be one element for all: `uniform`.
 */
RELU_EXT_INTERNAL void relu_ext_run(enum relu_ext_id id, const char *const *in, bool uniform,
                                    char *out, size_t n, size_t total);

/*
 * relu, and the bits of what it lets through; and the gradient from these bits. `id` is
 * relu's for a float's dtype. Bits of a part begin with those of its first element.
 */
RELU_EXT_INTERNAL void relu_ext_run_bits(enum relu_ext_id id, const void *x, void *y, uint8_t *bits,
                                         size_t n, size_t total);
RELU_EXT_INTERNAL void relu_ext_run_grad_bits(enum relu_ext_id id, const void *dy,
                                              const uint8_t *bits, void *dx, size_t n,
                                              size_t total);

/* A call of relu_ext_scale_shift or, if `rectified`, of its _relu: see relu_ext.h. */
struct relu_ext_scale_shift {
    const char *x_dtype, *y_dtype;
    const void *x;
    void *y;
    const ptrdiff_t *x_strides, *y_strides;
    const size_t *shape;
    size_t ndim, axis;
    const double *scale, *shift;
    ptrdiff_t next_parameter; /* from one channel's to the next: 1, or 0 if all have the same */
    bool rectified;
};

/* Whether there is a kernel from the one dtype to the other. */
RELU_EXT_INTERNAL bool relu_ext_can_scale_shift(const char *x_dtype, const char *y_dtype);

/* It may be a part of an operation over `total` elements, as above. */
RELU_EXT_INTERNAL int relu_ext_run_scale_shift(const struct relu_ext_scale_shift *call,
                                               size_t total);

/* Which row of RELU_EXT_ISAS is in use, for tables of others' own kernels. */
RELU_EXT_INTERNAL size_t relu_ext_isa_index(void);

#endif
