/*
 * Memory for large results. Touching a page for the first time costs more than ReLU over it
 * does, and an array as large as that is new pages time and again. So the memory of deleted
 * results is kept for a while, up to a limit, and used again for results of about the same
 * size.
 *
 * Linux only; elsewhere, and where the program has chosen a memory handler of its
 * own, NumPy allocates.
 */
#ifndef RELU_EXT_OUTPUT_CACHE_H
#define RELU_EXT_OUTPUT_CACHE_H

#include "numpy.h"

#include <stdbool.h>

/* To be called once, first. Returns 0, or -1 with an exception. */
int relu_ext_output_cache_init(void);

/*
 * An uninitialised array like `like`, of its shape, dtype and memory order, where
 * it is contiguous in C or Fortran order. *fresh says whether its pages are
 * probably new. NULL with an exception on failure.
 */
PyArrayObject *relu_ext_new_output(PyArrayObject *like, bool fortran, bool *fresh);

/*
 * The most bytes that are kept; what is more goes back to the system at once. 0 at
 * first, with which nothing is kept and nothing counted.
 */
void relu_ext_set_output_cache(size_t limit);

/*
 * Bytes kept at the most and at the moment; large results in memory that had been
 * kept, and in new memory. In a forked child, of the child alone.
 */
void relu_ext_get_output_cache(size_t *limit, size_t *held, size_t *hits, size_t *misses);

#endif
