/*
 * Memory for large results. Touching a page for the first time costs more than
 * ReLU over it does, and an array as large as that is a new mapping every time.
 * So a few of these mappings are kept when their arrays die and used again. They
 * are marked as free to the operating system, which takes them back when it is
 * short of memory.
 *
 * Linux only; elsewhere, and where the program has chosen a memory handler of its
 * own, NumPy allocates.
 */
#ifndef RELU_EXT_POOL_H
#define RELU_EXT_POOL_H

#include "numpy_api.h"

#include <stdbool.h>

/* To be called once, first. Returns 0, or -1 with an exception. */
int relu_ext_pool_init(void);

/*
 * An uninitialised array like `like`, of its shape, dtype and memory order, where
 * it is contiguous in C or Fortran order. *fresh says whether its pages are
 * probably new. NULL with an exception on failure.
 */
PyArrayObject *relu_ext_pool_array(PyArrayObject *like, bool fortran, bool *fresh);

/* The most that the pool keeps, in bytes; with 0 it keeps nothing. */
void relu_ext_set_pool_bytes(size_t bytes);

#endif
