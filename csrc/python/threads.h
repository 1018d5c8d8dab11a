/*
 * Splitting a long operation over threads. The only file besides its .c that
 * knows of OpenMP; without OpenMP everything here is serial.
 */
#ifndef RELU_EXT_THREADS_H
#define RELU_EXT_THREADS_H

#include <stdbool.h>
#include <stddef.h>

#include "relu_ext/internal.h"

/*
 * One operation over `rows` runs of `columns` contiguous elements each. From one
 * row to the next it is that many bytes. With `uniform`, the last of several inputs
 * is one element, the same for the whole row.
 */
struct relu_ext_rows {
    const char *in[RELU_EXT_MAX_NIN];
    char *out;
    ptrdiff_t in_stride[RELU_EXT_MAX_NIN], out_stride;
    size_t rows, columns;
    bool uniform;
    /*
     * The output's pages are new: the operating system is about to clear them,
     * through the caches, so that storing past the caches would only add to it.
     */
    bool fresh_out;
};

/* Serially, or over threads where that is worth it. */
void relu_ext_run_rows(enum relu_ext_id id, const struct relu_ext_rows *r);

/*
 * part(context, begin, end) for ranges that make up 0 to count: one range, or one for each
 * thread if moving so many bytes is worth it. No range is empty.
 */
void relu_ext_parallel_for(size_t count, size_t bytes_moved,
                           void (*part)(void *context, size_t begin, size_t end), void *context);

/*
 * The number of threads that a long operation called from here would run on: the
 * number set below, but never more than OpenMP would use (OMP_NUM_THREADS, CPU
 * affinity, threadpoolctl), and 1 in a forked child and inside a parallel region.
 */
int relu_ext_get_num_threads(void);

/* At least 1; INT_MAX at first. Holds for the whole process, from the next operation on. */
void relu_ext_set_num_threads(int n);
int relu_ext_get_num_threads_asked(void);

/*
 * Operations that move at least this many bytes are split; 0 for the default.
 * A split costs a few microseconds, whatever the length.
 */
size_t relu_ext_get_parallel_bytes(void);
void relu_ext_set_parallel_bytes(size_t bytes);

/* To be called once, before any operation. */
void relu_ext_parallel_init(void);

/* The OpenMP version as its _OPENMP date, 0 when built without. */
int relu_ext_openmp(void);

#endif
