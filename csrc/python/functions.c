#include "functions.h"

#include "settings.h"

PyObject *relu_ext_python_convert(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    PyArray_Descr *dtype = NULL;
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "convert(array, dtype)");
        return NULL;
    }
    if (args[1] != Py_None && !PyArray_DescrConverter(args[1], &dtype))
        return NULL;
    struct relu_ext_settings before;
    relu_ext_settings_default(&before);
    const int as_given = NPY_ARRAY_ENSUREARRAY;
    const int converted = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_FORCECAST | NPY_ARRAY_ENSUREARRAY;
    PyObject *array = PyArray_FromAny(args[0], dtype, 0, 0, dtype == NULL ? as_given : converted,
                                      NULL);
    relu_ext_settings_restore(&before);
    return array;
}

#define BUILTIN(name, doc)                                                             \
    {#name, (PyCFunction)(void (*)(void))relu_ext_python_##name, METH_FASTCALL, doc}
static PyMethodDef functions[] = {
    BUILTIN(bits,
            "bits(in, bits, out, gradient): relu of `in` and its bits, or the gradient from\n"
            "them; arrays in C order of the right sizes and one dtype. `out` may be None, and\n"
            "is returned."),
    BUILTIN(convert,
            "convert(x, dtype): np.asarray(x, dtype, order=\"C\"), or np.asarray(x) if dtype is\n"
            "None, under IEEE 754's default settings, whatever the program has set."),
    BUILTIN(count,
            "count(array, what, axes): over the axes whose bits are set in `axes`. what = 0:\n"
            "the share of zeros, over all; 1: how many elements fire; 2: where none does."),
    BUILTIN(scale_shift,
            "scale_shift(x, out, axis, scale, shift, fresh, rectified): native arrays of one\n"
            "shape; the parameters float64 in C order, one for each index of the axis;\n"
            "fresh: out's pages are new; rectified: with ReLU."),
    BUILTIN(slope_sums, "slope_sums(dy, x, outer, channels, inner): of contiguous arrays of one\n"
                        "dtype, which is the result's, too."),
};

int relu_ext_add_functions(PyObject *dict)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        PyObject *function = PyCFunction_NewEx(&functions[i], NULL, NULL);
        if (function == NULL)
            return -1;
        relu_ext_share_among_threads(function);
        int status = PyDict_SetItemString(dict, functions[i].ml_name, function);
        Py_DECREF(function);
        if (status < 0)
            return -1;
    }
    return 0;
}
