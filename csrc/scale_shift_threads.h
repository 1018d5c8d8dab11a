/* relu_ext_scale_shift_relu for NumPy's arrays: over threads where that is worth it. */
#ifndef RELU_EXT_SCALE_SHIFT_THREADS_H
#define RELU_EXT_SCALE_SHIFT_THREADS_H

#include <stddef.h>
#include <stdint.h>

/*
 * The arrays by their ids, that is their addresses: x and y of one shape, scale and shift
 * contiguous doubles. `fresh`: y's pages are new, see parallel.h.
 */
void relu_ext_scale_shift_relu_arrays(const char *x_dtype, uintptr_t x, const char *y_dtype,
                                      uintptr_t y, size_t axis, uintptr_t scale,
                                      uintptr_t shift, int fresh);

#endif
