/*
 * The functions that are no ufuncs, as builtins for the Python package to wrap. What they
 * are given is checked there; here only what would corrupt memory.
 */
#ifndef RELU_EXT_FUNCTIONS_H
#define RELU_EXT_FUNCTIONS_H

#include "numpy.h"

typedef PyObject *builtin(PyObject *module, PyObject *const *args, Py_ssize_t nargs);

builtin relu_ext_python_bits, relu_ext_python_convert, relu_ext_python_count,
    relu_ext_python_scale_shift, relu_ext_python_slope_sums;

/* Puts them into a dictionary. Returns 0, or -1 with an exception. */
int relu_ext_add_functions(PyObject *dict);

#endif
