/* The kernels that count elements, over rows and columns. */
#ifndef RELU_EXT_COUNT_KERNELS_H
#define RELU_EXT_COUNT_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relu_ext/internal.h"

/*
 * What elements to count, by their bits x as a signed integer: x >= least and
 * (x & keep) != 0. keep is all ones, or all but the sign of a float.
 */
struct test {
    int64_t least, keep;
};

/* Elements to count: strides in bytes, of the counts in counts. */
struct counted {
    const char *x;
    size_t rows, columns;
    ptrdiff_t row_stride, column_stride;
    int64_t *counts;
    ptrdiff_t count_stride;
    /* Whether a count is above 0 is all that is asked, with keep = -1: those may stay short. */
    bool any;
};

/* Adds to the counts: one for each column, or one for each row. */
void relu_ext_count(enum relu_ext_lane lane, bool by_row, const struct counted *c,
                    const struct test *test);

#endif
