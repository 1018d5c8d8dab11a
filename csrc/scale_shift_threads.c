#include "scale_shift_threads.h"

#include <string.h>

#include "dispatch.h"
#include "parallel.h"

enum { DIMS_MAX = 64, WORTH_SPLITTING = 16 };

struct split {
    struct relu_ext_scale_shift call;
    size_t along, total;
};

static void run_part(void *context, size_t begin, size_t end)
{
    const struct split *split = context;
    struct relu_ext_scale_shift part = split->call;
    const size_t along = split->along;
    size_t shape[DIMS_MAX];

    memcpy(shape, part.shape, part.ndim * sizeof *shape);
    shape[along] = end - begin;
    part.shape = shape;
    part.x = (const char *)part.x + (ptrdiff_t)begin * part.x_strides[along];
    part.y = (char *)part.y + (ptrdiff_t)begin * part.y_strides[along];
    if (along == part.axis) {
        part.scale += begin;
        part.shift += begin;
    }
    relu_ext_run_scale_shift(&part, split->total);
}

static size_t magnitude(ptrdiff_t stride)
{
    return stride < 0 ? 0 - (size_t)stride : (size_t)stride;
}

void relu_ext_scale_shift_relu_arrays(const char *x_dtype, uintptr_t x, const char *y_dtype,
                                      uintptr_t y, size_t ndim, size_t axis,
                                      const ptrdiff_t *shape_and_strides,
                                      const double *scale, const double *shift,
                                      size_t bytes_moved, int fresh)
{
    const size_t *shape = (const size_t *)shape_and_strides;
    const ptrdiff_t *x_strides = shape_and_strides + ndim, *y_strides = x_strides + ndim;
    struct split split = {
        .call = {x_dtype, y_dtype, (const void *)x, (void *)y, x_strides, y_strides, shape,
                 ndim, axis, scale, shift},
        .total = fresh ? 0 : 1,
    };
    /* Cut where y's parts lie furthest apart, unless there is too little to share out. */
    for (size_t k = 0; k < ndim; k++) {
        const size_t best = split.along, n = shape[k];
        const int enough = n >= WORTH_SPLITTING, best_enough = shape[best] >= WORTH_SPLITTING;
        if (enough != best_enough ? enough
            : enough              ? magnitude(y_strides[k]) > magnitude(y_strides[best])
                                  : n > shape[best])
            split.along = k;
        split.total *= n;
    }
    relu_ext_parallel_for(shape[split.along], bytes_moved, run_part, &split);
}
