/*
 * Memory for large results. Touching a page for the first time costs more than
 * ReLU over it does, and an array as large as that is a new mapping every time.
 * So a few of these mappings are kept when their arrays die and used again. They
 * are marked as free to the operating system, which takes them back when it is
 * short of memory.
 *
 * Linux only; elsewhere NumPy allocates.
 */
#ifndef RELU_EXT_POOL_H
#define RELU_EXT_POOL_H

#include "numpy_api.h"

#include <stdbool.h>

/*
 * An uninitialised array of a built-in type, `bytes` long, in C or Fortran order.
 * *fresh says whether its pages are probably new. NULL with an exception on failure.
 */
PyArrayObject *relu_ext_pool_array(int ndim, const npy_intp *shape, int type_num, bool fortran,
                                   size_t bytes, bool *fresh);

/* The most that the pool keeps, in bytes; 0 turns it off. */
void relu_ext_set_pool_bytes(size_t bytes);

#endif
