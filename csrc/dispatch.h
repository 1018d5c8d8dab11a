/*
 * What the rest of the library asks of relu_ext.c: any kernel by number, with one
 * signature for all of them, so that whoever walks arrays or splits ranges does
 * it once for every operation and dtype.
 */
#ifndef RELU_EXT_DISPATCH_H
#define RELU_EXT_DISPATCH_H

#include <stddef.h>

#include "tables.h"

/* Shared among the files of the Python module, which defines this; else for relu_ext.c alone. */
#ifdef RELU_EXT_MODULE
#define RELU_EXT_INTERNAL extern
#else
#define RELU_EXT_INTERNAL static
#endif

/* relu_ext_id_relu_f32, and so on: one for each row of RELU_EXT_KERNELS. */
#define RELU_EXT_ID(dtype, type, lane, T, op, ...) relu_ext_id_##op##_##dtype,
enum relu_ext_id { RELU_EXT_KERNELS(RELU_EXT_ID, ) RELU_EXT_ID_COUNT };
#undef RELU_EXT_ID

/* What there is to know of each, in that order; size is an element's, in bytes. */
#define RELU_EXT_FACTS(dtype, type, lane, T, op, body, nin, ...)                       \
    {relu_ext_id_##op##_##dtype, nin, sizeof(type)},
static const struct relu_ext_kernel {
    enum relu_ext_id id;
    int nin;
    size_t size;
} relu_ext_kernels[] = {RELU_EXT_KERNELS(RELU_EXT_FACTS, )};
#undef RELU_EXT_FACTS

/*
 * Runs one kernel over n contiguous elements, which may be a part of an operation
 * over `total`: how long the whole is decides whether it streams. An operation
 * with one input ignores b.
 */
RELU_EXT_INTERNAL void relu_ext_run(enum relu_ext_id id, const void *a, const void *b, void *out,
                                    size_t n, size_t total);

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
