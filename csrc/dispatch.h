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
 * (outer, channels, inner). The sums are in double, in an order that depends on the
 * three sizes only.
 */
extern void relu_ext_slope_sums(enum relu_ext_number dtype, const char *dy, const char *x,
                                double *sums, size_t outer, size_t channels, size_t inner,
                                size_t begin, size_t end);
#endif

#endif
