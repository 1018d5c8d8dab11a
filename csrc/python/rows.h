/* Whole operations over rows of contiguous elements, on threads where that is worth it. */
#ifndef RELU_EXT_ROWS_H
#define RELU_EXT_ROWS_H

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

void relu_ext_run_rows(enum relu_ext_id id, const struct relu_ext_rows *r);

#endif
