#include "dtypes.h"

#define DTYPE(dtype, lane, is_float)                                                   \
    [relu_ext_id_relu_##dtype] = {#dtype, relu_ext_id_relu_##dtype, relu_ext_lane_##lane, is_float},
#define INTEGER(dtype, type, lane, ...) DTYPE(dtype, lane, false)
#define FLOAT(dtype, type, lane, ...) DTYPE(dtype, lane, true)
static const struct dtype dtypes[RELU_EXT_ID_COUNT] = {
    RELU_EXT_SIGNED(INTEGER, ) RELU_EXT_UNSIGNED(INTEGER, ) RELU_EXT_FLOATS(FLOAT, )};

/* Types that other packages add are found last. */
static struct {
    int type_num;
    const struct dtype *dtype;
} types[64];
static size_t type_count;

void relu_ext_add_dtype(int type_num, enum relu_ext_id id)
{
    if (dtypes[id].name != NULL && type_count < sizeof types / sizeof *types) {
        types[type_count].type_num = type_num;
        types[type_count++].dtype = &dtypes[id];
    }
}

const struct dtype *relu_ext_dtype_of(PyArrayObject *array)
{
    for (size_t i = 0; i < type_count; i++)
        if (types[i].type_num == PyArray_TYPE(array))
            return types[i].dtype;
    return NULL;
}

bool relu_ext_is_as_checked(PyArrayObject *array, const char *name, int type, npy_intp size,
                            bool written)
{
    if (PyArray_TYPE(array) == type && PyArray_ISNOTSWAPPED(array) && PyArray_IS_C_CONTIGUOUS(array)
        && PyArray_SIZE(array) == size && (!written || PyArray_ISWRITEABLE(array)))
        return true;
    PyErr_Format(PyExc_ValueError, "%s was changed by another thread during the call", name);
    return false;
}
