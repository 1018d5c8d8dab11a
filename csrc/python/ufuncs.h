/* The operations as ufuncs. */
#ifndef RELU_EXT_UFUNCS_H
#define RELU_EXT_UFUNCS_H

#include <stdbool.h>

#include "numpy.h"

/*
 * Puts them into a dictionary, with the docstrings that another one has by their names, and
 * with or without the shortcut of fast_call.h. Returns 0, or -1 with an exception.
 */
int relu_ext_add_ufuncs(PyObject *dict, PyObject *docs, bool fast);

/*
 * Gives each of them that has a kernel for the dtype ("bf16", ...) a loop for the NumPy type
 * of that number, which another package has added. Returns 0, or -1 if NumPy refuses.
 */
int relu_ext_add_type_to_ufuncs(PyObject *ufuncs, int type_num, const char *dtype);

#endif
