/* What the Python package calls once it is imported. */
#ifndef RELU_EXT_MODULE_H
#define RELU_EXT_MODULE_H

/*
 * Call both with the GIL held, and not through cffi, which releases it: where there are several
 * interpreters, it might be taken back for another one.
 *
 * A new reference to a dictionary with the ufuncs, with or without the shortcut of
 * fast_call.h, the builtins of functions.h, the capsule of relu_ext_capi.h and those of
 * cython_capi.h; the same at every call. `docs` is a dictionary of the ufuncs' docstrings.
 * NULL with an exception where NumPy refuses, or another interpreter has them.
 */
void *relu_ext_register(int fast, void *docs);

/*
 * Gives every ufunc that has a kernel for the dtype ("bf16", ...) a loop for the
 * NumPy type of that number, which another package has added. Returns 0, or -1 if
 * NumPy refuses.
 */
int relu_ext_add_type(int type_num, const char *dtype);

#endif
