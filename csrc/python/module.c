/* Everything that the Python package takes from C, made at its import. */
#define RELU_EXT_IMPORTS_NUMPY
#include "numpy.h"

#include <stdbool.h>

#include "cython_capi.h"
#include "functions.h"
#include "module.h"
#include "output_cache.h"
#include "relu_ext.h"
#include "relu_ext/internal.h"
#include "relu_ext_capi.h"
#include "threads.h"
#include "ufuncs.h"
#include "xla_ffi.h"

/* What other extensions borrow; the order is the header's. */
static int add_capi(PyObject *dict)
{
    static const relu_ext_capi capi = {
        .version = RELU_EXT_CAPI_VERSION,
        .isa = relu_ext_isa,
#define CAPI_ENTRY(dtype, type, lane, threshold, op, ...) .op##_##dtype = op##_##dtype,
        RELU_EXT_KERNELS(CAPI_ENTRY, )
#define CAPI_BITS(dtype, ...)                                                          \
        .relu_bits_##dtype = relu_bits_##dtype,                                        \
        .relu_grad_bits_##dtype = relu_grad_bits_##dtype,
            RELU_EXT_FLOATS(CAPI_BITS, )
                .scale_shift_relu = relu_ext_scale_shift_relu,
        .scale_shift = relu_ext_scale_shift,
    };
    PyObject *capsule = PyCapsule_New((void *)&capi, "relu_ext._C_API", NULL);
    if (capsule == NULL)
        return -1;
    int status = PyDict_SetItemString(dict, "_C_API", capsule);
    Py_DECREF(capsule);
    return status;
}

/* A new dictionary in that one, which owns it; NULL if there can be none. */
static PyObject *add_dict(PyObject *dict, const char *key)
{
    PyObject *added = PyDict_New();
    int status = added ? PyDict_SetItemString(dict, key, added) : -1;
    Py_XDECREF(added);
    return status == 0 ? added : NULL;
}

typedef void any_function(void);

static int add_capsule(PyObject *capsules, const char *key, any_function *function,
                       const char *capsule_name)
{
    /* C has no cast from a pointer to a function. */
    const union {
        any_function *function;
        void *pointer;
    } address = {function};
    PyObject *capsule = PyCapsule_New(address.pointer, capsule_name, NULL);
    int status = capsule ? PyDict_SetItemString(capsules, key, capsule) : -1;
    Py_XDECREF(capsule);
    return status;
}

/* What Cython's `cimport` borrows, SciPy's LowLevelCallable and Numba: a capsule a function. */
static int add_cython_capi(PyObject *dict)
{
    PyObject *capsules = add_dict(dict, "__pyx_capi__");
    int status = capsules ? 0 : -1;
    for (size_t i = 0; i < sizeof cython_capi / sizeof *cython_capi && status == 0; i++)
        status = add_capsule(capsules, cython_capi[i].name, cython_capi[i].function,
                             cython_capi[i].signature);
    return status;
}

/* What JAX registers with XLA, by the names that it is called by. */
static int add_xla_handlers(PyObject *dict)
{
    PyObject *capsules = add_dict(dict, "xla_handlers");
    int status = capsules ? 0 : -1;
    for (size_t i = 0; i < relu_ext_xla_handler_count && status == 0; i++)
        status = add_capsule(capsules, relu_ext_xla_handlers[i].name,
                             (any_function *)relu_ext_xla_handlers[i].handler, NULL);
    return status;
}

/* Made once, however often the package is imported. */
static PyObject *make_all(bool fast, PyObject *docs)
{
    PyObject *dict = PyDict_New();
    if (dict == NULL || PyArray_ImportNumPyAPI() < 0 || PyUFunc_ImportUFuncAPI() < 0
        || relu_ext_output_cache_init() < 0 || relu_ext_add_ufuncs(dict, docs, fast) < 0
        || relu_ext_add_functions(dict) < 0 || add_capi(dict) < 0 || add_cython_capi(dict) < 0
        || add_xla_handlers(dict) < 0) {
        Py_XDECREF(dict);
        return NULL;
    }
    relu_ext_threads_init();
    return dict;
}

static PyObject *made;

void *relu_ext_register(int fast, void *docs)
{
    static int64_t made_in;
    const int64_t here = PyInterpreterState_GetID(PyInterpreterState_Get());
    if (made == NULL) {
        made = make_all(fast, docs);
        made_in = here;
    }
    else if (here != made_in) {
        /* Neither CPython nor NumPy lets interpreters share objects. */
        PyErr_SetString(
            PyExc_ImportError,
            "another interpreter of this process has imported relu_ext, which, like NumPy, "
            "works in one only: use processes instead");
        return NULL;
    }
    Py_XINCREF(made);
    return made;
}

int relu_ext_add_type(int type_num, const char *dtype)
{
    return relu_ext_add_type_to_ufuncs(made, type_num, dtype);
}
