/* Python's and NumPy's headers, as each file that uses them must include them. */
#ifndef RELU_EXT_NUMPY_H
#define RELU_EXT_NUMPY_H

#include <Python.h>

#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION

/* One file imports NumPy's function table, the others share it. */
#define PY_ARRAY_UNIQUE_SYMBOL relu_ext_array_api
#define PY_UFUNC_UNIQUE_SYMBOL relu_ext_ufunc_api
#ifndef RELU_EXT_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#define NO_IMPORT_UFUNC
#endif
#include <numpy/arrayobject.h>
#include <numpy/ufuncobject.h>

/* Where letting go of the GIL begins to cost less than it is worth to other threads. */
#define RELU_EXT_KEEP_GIL_BYTES ((size_t)64 << 10)

#endif
