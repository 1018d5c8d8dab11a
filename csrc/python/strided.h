/* Whole operations over arrays of any strides, on threads where that is worth it. */
#ifndef RELU_EXT_STRIDED_H
#define RELU_EXT_STRIDED_H

#include <stdbool.h>
#include <stddef.h>

#include "relu_ext/internal.h"

enum { RELU_EXT_MAX_AXES = 64 };

/*
 * One operation over n elements along each of the axes. The steps from one to the next are in
 * bytes; 0 in inputs that are the same all along.
 */
struct relu_ext_strided {
    const char *in[RELU_EXT_MAX_NIN];
    char *out;
    size_t axis_count; /* 1 at least */
    struct relu_ext_strided_axis {
        size_t n;
        ptrdiff_t in[RELU_EXT_MAX_NIN], out;
    } axes[RELU_EXT_MAX_AXES];
    bool fresh_out; /* as in rows.h */
    /* An output may lie on inputs before it: go from first to last, and read each block first. */
    bool in_order;
};

/*
 * Puts the axes in the order of the output's memory, forwards, as few as there can be. False if
 * an element of the output is written more than once, or lies on an input's other than its own,
 * or if NumPy would be faster.
 */
bool relu_ext_sort_strided(const struct relu_ext_kernel *kernel, struct relu_ext_strided *s);

/* Sorted as above, or along a single axis. No axis may have length 0. */
void relu_ext_run_strided(const struct relu_ext_kernel *kernel, const struct relu_ext_strided *s);

#endif
