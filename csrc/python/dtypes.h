/* NumPy's types as the library's dtypes, and arrays that are what Python found them to be. */
#ifndef RELU_EXT_DTYPES_H
#define RELU_EXT_DTYPES_H

#include <stdbool.h>

#include "numpy.h"
#include "relu_ext/internal.h"

/* A dtype that relu knows. */
struct dtype {
    const char *name;      /* as in relu_ext.h */
    enum relu_ext_id relu; /* relu's kernel, for tables by dtype */
    enum relu_ext_lane lane;
    bool is_float;
};

/* The array's, or NULL. */
const struct dtype *relu_ext_dtype_of(PyArrayObject *array);

/* NumPy's type of that number has the dtype of that kernel of relu; of another's, nothing. */
void relu_ext_add_dtype(int type_num, enum relu_ext_id id);

/*
 * Whether an array still is what the Python package found it to be: in C order, of that type,
 * native, of so many elements, and writeable if it is written to; else an exception. A subclass
 * may misreport its shape or dtype, and another thread may change them. Check this last, and
 * hold the GIL until everything about the array has been copied.
 */
bool relu_ext_is_as_checked(PyArrayObject *array, const char *name, int type, npy_intp size,
                            bool written);

#endif
