/*
 * A shortcut into a ufunc for the calls that need none of its machinery. A small
 * array is done in less time than it takes NumPy to find out what to do with it.
 */
#ifndef RELU_EXT_FAST_CALL_H
#define RELU_EXT_FAST_CALL_H

#include "dispatch.h"
#include "numpy_api.h"

/*
 * Puts the shortcut in front of a ufunc whose loops take and give one type, and
 * whose data are struct relu_ext_kernel. The ufunc stays what it was: what the
 * shortcut does not take goes to NumPy's own entry. Where NumPy's struct is not
 * laid out as in the headers, nothing happens.
 *
 * Returns 0, or -1 with an exception.
 */
int relu_ext_add_fast_call(PyObject *ufunc);

/* The ufunc has got a loop for one more type since; without the shortcut nothing happens. */
void relu_ext_fast_call_type(PyObject *ufunc, int type_num, const struct relu_ext_kernel *kernel);

/* The number of ufuncs that have it. */
int relu_ext_fast_calls(void);

#endif
