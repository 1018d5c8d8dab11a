/*
 * The axes of two arrays of one shape that are gone through together, whatever their
 * strides: in the order of the memory of one of them, as few as there can be.
 */
#ifndef RELU_EXT_AXES_H
#define RELU_EXT_AXES_H

#include <stdbool.h>
#include <stddef.h>

/* The steps from one element to the next: in the array whose order counts, and in the other. */
struct relu_ext_axis {
    size_t n;
    ptrdiff_t step, other;
};

static inline ptrdiff_t relu_ext_distance(ptrdiff_t step)
{
    return step < 0 ? -step : step;
}

/*
 * Sorts the axes by step, the longest first, and leaves out those of length 1 and those that
 * another one can stand for. All steps are positive afterwards: *first and *other_first are
 * how far the first element in that order lies from the one with all indices 0. Returns how
 * many axes are left, at least one. No axis may have length 0.
 */
static inline size_t relu_ext_sort_axes(struct relu_ext_axis *axes, size_t count, ptrdiff_t *first,
                                        ptrdiff_t *other_first)
{
    size_t sorted = 0, kept = 0;
    *first = *other_first = 0;
    for (size_t i = 0; i < count; i++) {
        struct relu_ext_axis axis = axes[i];
        const ptrdiff_t last = (ptrdiff_t)axis.n - 1;
        if (last == 0)
            continue;
        if (axis.step < 0) {
            *first += last * axis.step;
            *other_first += last * axis.other;
            axis.step = -axis.step;
            axis.other = -axis.other;
        }
        size_t at = sorted++;
        for (; at > 0 && axes[at - 1].step < axis.step; at--)
            axes[at] = axes[at - 1];
        axes[at] = axis;
    }
    if (sorted == 0)
        axes[sorted++] = (struct relu_ext_axis){1, 0, 0};
    for (size_t i = 1; i < sorted; i++) {
        struct relu_ext_axis *outer = &axes[kept], inner = axes[i];
        const ptrdiff_t n = (ptrdiff_t)inner.n;
        if (outer->step == n * inner.step && outer->other == n * inner.other)
            *outer = (struct relu_ext_axis){outer->n * inner.n, inner.step, inner.other};
        else
            axes[++kept] = inner;
    }
    return kept + 1;
}

/*
 * Moves on to the next index, the last axis fastest, and *at and *other_at with it; all are 0
 * at the beginning. Returns false, with all at 0 again, after the last one.
 */
static inline bool relu_ext_next_index(const struct relu_ext_axis *axes, size_t count,
                                       size_t *index, ptrdiff_t *at, ptrdiff_t *other_at)
{
    for (size_t i = count; i-- > 0;) {
        *at += axes[i].step;
        *other_at += axes[i].other;
        if (++index[i] < axes[i].n)
            return true;
        *at -= (ptrdiff_t)axes[i].n * axes[i].step;
        *other_at -= (ptrdiff_t)axes[i].n * axes[i].other;
        index[i] = 0;
    }
    return false;
}

#endif
