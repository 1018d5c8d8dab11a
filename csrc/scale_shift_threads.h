/* relu_ext_scale_shift_relu for arrays of Python's: over threads where that is worth it. */
#ifndef RELU_EXT_SCALE_SHIFT_THREADS_H
#define RELU_EXT_SCALE_SHIFT_THREADS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Addresses as numbers, which is what Python has. shape_and_strides: the shape, the strides of
 * x and those of y, ndim of each. `fresh`: y's pages are new, see parallel.h.
 */
void relu_ext_scale_shift_relu_arrays(const char *x_dtype, uintptr_t x, const char *y_dtype,
                                      uintptr_t y, size_t ndim, size_t axis,
                                      const ptrdiff_t *shape_and_strides,
                                      const double *scale, const double *shift,
                                      size_t bytes_moved, int fresh);

#endif
