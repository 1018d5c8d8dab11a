/*
 * What runs before a ufunc's own entry: a shortcut for calls that need none of NumPy's
 * machinery, which takes longer to decide what to do with a small array than the kernel takes
 * to do it, and goes through large strided ones line by line on one thread; for all other calls,
 * the default floating-point settings.
 */
#ifndef RELU_EXT_FAST_CALL_H
#define RELU_EXT_FAST_CALL_H

#include <stdbool.h>

#include "numpy.h"
#include "relu_ext/internal.h"

/*
 * Puts it, with `fast` the shortcut too, before a ufunc whose loops take and give one
 * type, and whose data are struct relu_ext_kernel. The ufunc stays what it was: what the
 * shortcut does not take goes to NumPy's own entry. Where NumPy's struct is not laid out
 * as in the headers, nothing happens.
 *
 * Returns 0, or -1 with an exception.
 */
int relu_ext_add_fast_call(PyObject *ufunc, bool fast);

/* The ufunc has got a loop for one more type since; without the shortcut nothing happens. */
void relu_ext_fast_call_type(PyObject *ufunc, int type_num, const struct relu_ext_kernel *kernel);

/* The number of ufuncs that have the shortcut. */
int relu_ext_fast_calls(void);

#endif
