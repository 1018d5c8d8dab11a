/* Reads the arrays' fields only, for which it needs no GIL: who calls holds on to them. */
#include "numpy_api.h"

#include <string.h>

#include "dispatch.h"
#include "parallel.h"
#include "scale_shift_threads.h"

enum { WORTH_SPLITTING = 16 };

struct split {
    struct relu_ext_scale_shift call;
    size_t along, total;
};

static void run_part(void *context, size_t begin, size_t end)
{
    const struct split *split = context;
    struct relu_ext_scale_shift part = split->call;
    const size_t along = split->along;
    size_t shape[NPY_MAXDIMS];

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

void relu_ext_scale_shift_relu_arrays(const char *x_dtype, uintptr_t x, const char *y_dtype,
                                      uintptr_t y, size_t axis, uintptr_t scale,
                                      uintptr_t shift, int fresh)
{
    PyArrayObject *const from = (PyArrayObject *)x, *const to = (PyArrayObject *)y;
    const size_t ndim = (size_t)PyArray_NDIM(to);
    const npy_intp *strides = PyArray_STRIDES(to);
    const size_t *shape = (const size_t *)PyArray_DIMS(to);
    struct split split = {
        .call = {
            .x_dtype = x_dtype, .x = PyArray_DATA(from), .x_strides = PyArray_STRIDES(from),
            .y_dtype = y_dtype, .y = PyArray_DATA(to), .y_strides = strides,
            .shape = shape, .ndim = ndim, .axis = axis,
            .scale = PyArray_DATA((PyArrayObject *)scale),
            .shift = PyArray_DATA((PyArrayObject *)shift),
        },
    };
    size_t total = 1;
    /* Cut where y's parts lie furthest apart, unless there is too little to share out. */
    for (size_t k = 0; k < ndim; k++) {
        const size_t best = split.along, n = shape[k];
        const int enough = n >= WORTH_SPLITTING, best_enough = shape[best] >= WORTH_SPLITTING;
        if (enough != best_enough ? enough
            : enough              ? Py_ABS(strides[k]) > Py_ABS(strides[best])
                                  : n > shape[best])
            split.along = k;
        total *= n;
    }
    split.total = fresh ? 0 : total;
    relu_ext_parallel_for(shape[split.along],
                          total * (size_t)(PyArray_ITEMSIZE(from) + PyArray_ITEMSIZE(to)),
                          run_part, &split);
}
