/*
 * What the rest of the library asks of relu_ext.c: any kernel by number, with one
 * signature for all of them, so that whoever walks arrays or splits ranges does
 * it once for every operation and dtype.
 */
#ifndef RELU_EXT_DISPATCH_H
#define RELU_EXT_DISPATCH_H

#include <stddef.h>

#include "tables.h"

/* relu_ext_id_relu_f32, and so on: one for each row of RELU_EXT_KERNELS. */
#define RELU_EXT_ID(dtype, type, lane, T, op, ...) relu_ext_id_##op##_##dtype,
enum relu_ext_id { RELU_EXT_KERNELS(RELU_EXT_ID, ) RELU_EXT_ID_COUNT };
#undef RELU_EXT_ID

/* One for each id, in its order; size is an element's, in bytes. */
struct relu_ext_kernel {
    enum relu_ext_id id;
    int nin;
    size_t size;
};
extern const struct relu_ext_kernel relu_ext_kernels[RELU_EXT_ID_COUNT];

/*
 * Runs one kernel over n contiguous elements, which may be a part of an operation
 * over `total`: how long the whole is decides whether it streams. An operation
 * with one input ignores b.
 */
void relu_ext_run(enum relu_ext_id id, const void *a, const void *b, void *out, size_t n,
                  size_t total);

/*
 * Out of place, inputs and output of at least this many bytes together are
 * streamed. Set 0 to go back to the default: the last-level cache.
 */
size_t relu_ext_get_stream_bytes(void);
void relu_ext_set_stream_bytes(size_t bytes);

#endif
