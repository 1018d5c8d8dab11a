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

#endif
