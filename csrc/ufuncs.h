/* What the Python package calls when it is imported. */
#ifndef RELU_EXT_UFUNCS_H
#define RELU_EXT_UFUNCS_H

/*
 * Puts the ufuncs, with or without the shortcut of fast_call.h, and the capsule of
 * relu_ext_capi.h into a dictionary, given by its address. Returns 0, or -1 with
 * the exception that says why under the key "error".
 */
int relu_ext_register(void *dict, int fast);

/*
 * Gives every ufunc that has a kernel for the dtype ("bf16", ...) a loop for the
 * NumPy type of that number, which another package has added. Returns 0, or -1 if
 * NumPy refuses.
 */
int relu_ext_add_type(int type_num, const char *dtype);

#endif
