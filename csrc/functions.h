/*
 * The functions that are no ufuncs, as builtins for the Python package to wrap:
 * what they are given is checked there.
 */
#ifndef RELU_EXT_FUNCTIONS_H
#define RELU_EXT_FUNCTIONS_H

#include "dispatch.h"
#include "numpy_api.h"

/* Puts them into a dictionary. Returns 0, or -1 with an exception. */
int relu_ext_add_functions(PyObject *dict);

/* NumPy's type of that number has the dtype of that kernel of relu. */
void relu_ext_functions_type(int type_num, enum relu_ext_id relu_id);

#endif
