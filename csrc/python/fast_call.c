#include "fast_call.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "output_cache.h"
#include "overlap.h"
#include "rows.h"
#include "settings.h"
#include "strided.h"

/* As in CPython's headers, which leave them out of the limited API before 3.12. */
typedef PyObject *(*vectorcall)(PyObject *callable, PyObject *const *args, size_t nargsf,
                                PyObject *kwnames);
static const size_t ARGUMENTS_OFFSET = (size_t)1 << (8 * sizeof(size_t) - 1);

/*
 * NumPy numbers its own types from 0, and those of other packages from NPY_USERDEF in the order
 * of their registration. The first few of these have places, too.
 */
enum { BUILTIN_TYPES = NPY_HALF + 1, ADDED_TYPES = 32 };

/* A type's place in the tables below, or -1. */
static int type_index(int type_num)
{
    if (type_num >= 0 && type_num < BUILTIN_TYPES)
        return type_num;
    if (type_num >= NPY_USERDEF && type_num < NPY_USERDEF + ADDED_TYPES)
        return type_num - NPY_USERDEF + BUILTIN_TYPES;
    return -1;
}

/* NumPy's private flag of broadcast arrays, which makes the first write give a warning. */
static const int WARN_ON_WRITE = (int)(1u << 31);

struct fast_call {
    PyObject *ufunc;
    vectorcall original;
    int nin;
    const struct relu_ext_kernel *kernels[BUILTIN_TYPES + ADDED_TYPES];
};

static struct fast_call fast_calls[8];
static int fast_call_count;
static bool shortcut;
static PyObject *out_keyword;

/* The array, if it is one without surprises. */
static PyArrayObject *plain_array(PyObject *object)
{
    if (Py_TYPE(object) != &PyArray_Type)
        return NULL;
    PyArrayObject *array = (PyArrayObject *)object;
    const char order = PyArray_DESCR(array)->byteorder;
    bool native = order == NPY_NATIVE || order == NPY_IGNORE;
    return native && PyArray_ISALIGNED(array) ? array : NULL;
}

/* The same of an output, if it may be written to without a word. */
static PyArrayObject *plain_output(PyObject *object)
{
    PyArrayObject *out = plain_array(object);
    return out && PyArray_ISWRITEABLE(out) && !(PyArray_FLAGS(out) & WARN_ON_WRITE) ? out : NULL;
}

static bool same_type_and_shape(PyArrayObject *a, PyArrayObject *b)
{
    int ndim = PyArray_NDIM(a);
    if (PyArray_TYPE(b) != PyArray_TYPE(a) || PyArray_NDIM(b) != ndim)
        return false;
    for (int i = 0; i < ndim; i++)
        if (PyArray_DIM(a, i) != PyArray_DIM(b, i))
            return false;
    return true;
}

/* Whether an array of the output's shape is the same memory in the same order, or shares none. */
static bool same_or_disjoint(const char *in, ptrdiff_t stride, const struct relu_ext_rows *r,
                             size_t size)
{
    const size_t row = r->columns * size;
    return (in == r->out && stride == r->out_stride)
           || !overlap(span_of_steps(in, stride, r->rows, row),
                       span_of_steps(r->out, r->out_stride, r->rows, row));
}

/* Rows of contiguous elements that do not overlap, as a[:, :k] has them; no mere column. */
static bool has_rows(PyArrayObject *array, ptrdiff_t *stride)
{
    *stride = PyArray_STRIDE(array, 0);
    return PyArray_DIM(array, 1) > 1 && PyArray_STRIDE(array, 1) == PyArray_ITEMSIZE(array)
           && *stride >= PyArray_DIM(array, 1) * PyArray_ITEMSIZE(array);
}

/*
 * Describes the operation on `count` arrays, but for fresh_out and a uniform input;
 * false if it is one for NumPy.
 */
static bool find_rows(PyArrayObject *const *arrays, int count, PyArrayObject *out,
                      struct relu_ext_rows *r)
{
    const size_t size = (size_t)PyArray_ITEMSIZE(out);
    const npy_intp *shape = PyArray_DIMS(out);
    int common = PyArray_FLAGS(out) & (NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_F_CONTIGUOUS);

    r->out = PyArray_BYTES(out);
    r->out_stride = 0;
    for (int k = 0; k < count; k++) {
        common &= PyArray_FLAGS(arrays[k]);
        r->in[k] = PyArray_BYTES(arrays[k]);
        r->in_stride[k] = 0;
    }
    if (common) {
        r->rows = 1;
        /* Of an array with one dimension NumPy need not be asked. */
        r->columns = (size_t)(PyArray_NDIM(out) == 1 ? shape[0] : PyArray_SIZE(out));
    }
    else if (PyArray_NDIM(out) == 2 && shape[0] > 0 && has_rows(out, &r->out_stride)) {
        for (int k = 0; k < count; k++)
            if (!has_rows(arrays[k], &r->in_stride[k]))
                return false;
        r->rows = (size_t)shape[0];
        r->columns = (size_t)shape[1];
    }
    else
        return false;
    for (int k = 0; k < count; k++)
        if (!same_or_disjoint(r->in[k], r->in_stride[k], r, size))
            return false;
    return true;
}

/* A parameter given as a Python number, as NumPy would convert it. */
union parameter {
    float f32;
    double f64;
};

static bool read_parameter(PyObject *object, int type, union parameter *value)
{
    double number;
    if (PyFloat_CheckExact(object))
        number = PyFloat_AsDouble(object);
    else if (PyLong_CheckExact(object)) {
        int overflow;
        const long whole = PyLong_AsLongAndOverflow(object, &overflow);
        /* Beyond, a float may not hold it, and it matters how that is rounded. */
        if (overflow || whole > 1 << 24 || whole < -(1 << 24))
            return false;
        number = (double)whole;
    }
    else
        return false;
    if (type == NPY_DOUBLE) {
        value->f64 = number;
        return true;
    }
    /* Under other settings the conversion below is another; and NumPy warns of too large a one. */
    if (!relu_ext_float_env_is_default())
        return false;
    value->f32 = (float)number;
    return type == NPY_FLOAT && (isinf(number) || !isinf(value->f32));
}

/* The k-th input's steps along the axes; false if it has others. */
static bool find_steps(PyArrayObject *array, struct relu_ext_strided *s, int k)
{
    const int missing = (int)s->axis_count - PyArray_NDIM(array);
    if (missing < 0)
        return false;
    for (int i = 0; i < (int)s->axis_count; i++) {
        const size_t n = i < missing ? 1 : (size_t)PyArray_DIM(array, i - missing);
        if (n != s->axes[i].n && n != 1)
            return false;
        s->axes[i].in[k] = n == 1 ? 0 : PyArray_STRIDE(array, i - missing);
    }
    s->in[k] = PyArray_BYTES(array);
    return true;
}

/* The memory order of a new output, where it is obvious; else NPY_KEEPORDER. */
static NPY_ORDER find_order(const struct relu_ext_strided *s, int count)
{
    bool c = true, fortran = true;
    for (int k = 0; k < count; k++) {
        npy_intp before = 0;
        for (size_t i = 0; i < s->axis_count; i++) {
            const npy_intp step = Py_ABS(s->axes[i].in[k]);
            fortran &= step > before;
            if (step != 0) {
                c &= step <= before || before == 0;
                before = step;
            }
        }
    }
    return c ? NPY_CORDER : fortran ? NPY_FORTRANORDER : NPY_KEEPORDER;
}

/*
 * Arrays of any strides, broadcast if need be: NumPy would call the loop for a line at a time.
 * NULL without an exception if it is an operation for NumPy. `given` is the output or NULL.
 */
static PyObject *call_strided(const struct relu_ext_kernel *kernel, PyArrayObject *a,
                              PyObject *const *args, PyObject *given)
{
    const int type = PyArray_TYPE(a);
    PyArrayObject *out = given == NULL ? NULL : plain_output(given);
    PyArrayObject *shaped = given == NULL ? a : out;
    struct relu_ext_strided s;
    union parameter value;

    if (given != NULL && (out == NULL || PyArray_TYPE(out) != type))
        return NULL;
    s.axis_count = (size_t)PyArray_NDIM(shaped);
    if (s.axis_count == 0)
        return NULL;
    for (size_t i = 0; i < s.axis_count; i++) {
        s.axes[i].n = (size_t)PyArray_DIM(shaped, (int)i);
        if (s.axes[i].n == 0)
            return NULL;
    }
    int count = 0; /* of arrays among the inputs */
    for (PyArrayObject *array; count < kernel->nin; count++) {
        array = plain_array(args[count]);
        if (array == NULL)
            break;
        if (PyArray_TYPE(array) != type || !find_steps(array, &s, count))
            return NULL;
    }
    if (count < kernel->nin) {
        if (count < kernel->nin - 1 || !read_parameter(args[count], type, &value))
            return NULL;
        s.in[count] = (const char *)&value;
        for (size_t i = 0; i < s.axis_count; i++)
            s.axes[i].in[count] = 0;
    }
    s.fresh_out = s.in_order = false;
    if (given == NULL) {
        const NPY_ORDER order = find_order(&s, count);
        if (order == NPY_KEEPORDER)
            return NULL;
        out = relu_ext_new_output(a, order == NPY_FORTRANORDER, &s.fresh_out);
        if (out == NULL)
            return NULL;
    }
    else
        Py_INCREF(out);
    s.out = PyArray_BYTES(out);
    for (size_t i = 0; i < s.axis_count; i++)
        s.axes[i].out = PyArray_STRIDE(out, (int)i);
    if (!relu_ext_sort_strided(kernel, &s)) {
        Py_DECREF(out);
        return NULL;
    }
    const size_t bytes = (size_t)PyArray_NBYTES(out);
    PyThreadState *thread = relu_ext_release_gil(bytes);
    relu_ext_run_strided(kernel, &s);
    relu_ext_acquire_gil(thread);
    return (PyObject *)out;
}

static const struct fast_call *find_fast_call(PyObject *callable)
{
    const struct fast_call *f = fast_calls;
    while (f->ufunc != callable)
        f++;
    return f;
}

/* The argument `out` and its place, if it is memory of another library's; else NULL. */
static PyObject *find_foreign_out(size_t nin, PyObject *const *args, size_t nargs,
                                  PyObject *kwnames, size_t *place)
{
    PyObject *out = nargs == nin + 1 ? args[nin] : Py_None;
    *place = nin;
    const size_t named = kwnames == NULL || nargs != nin ? 0 : (size_t)PyTuple_Size(kwnames);
    for (size_t i = 0; i < named; i++)
        if (PyUnicode_Compare(PyTuple_GetItem(kwnames, (npy_intp)i), out_keyword) == 0) {
            *place = nargs + i;
            out = args[*place];
        }
    if (*place >= nargs && PyTuple_CheckExact(out) && PyTuple_Size(out) == 1)
        out = PyTuple_GetItem(out, 0);
    return out == Py_None || PyArray_Check(out) || PyTuple_Check(out)
                   || PyObject_HasAttrString((PyObject *)Py_TYPE(out), "__array_ufunc__")
               ? NULL
               : out;
}

/* A new array over such memory. */
static PyObject *array_over(PyObject *out)
{
    PyObject *module = PyImport_ImportModule("relu_ext._foreign");
    if (module == NULL)
        return NULL;
    PyObject *array = PyObject_CallMethod(module, "overwritable", "Oss", out, "out",
                                          "the call without out");
    Py_DECREF(module);
    return array;
}

/*
 * NumPy's own entry. What it converts on the way, parameters that are Python numbers and
 * operands of mixed dtypes, is arithmetic, too: under the default settings it gives the
 * same bits.
 */
static PyObject *call_numpy(PyObject *callable, PyObject *const *args, size_t nargsf,
                            PyObject *kwnames)
{
    const struct fast_call *f = find_fast_call(callable);
    const size_t nargs = nargsf & ~ARGUMENTS_OFFSET;
    size_t place;
    PyObject *out = find_foreign_out((size_t)f->nin, args, nargs, kwnames, &place);
    PyObject *array = NULL, *replaced[RELU_EXT_MAX_NIN + 16]; /* there are fewer keywords */
    if (out != NULL) {
        const size_t count = nargs + (kwnames == NULL ? 0 : (size_t)PyTuple_Size(kwnames));
        if (count > sizeof replaced / sizeof *replaced) {
            PyErr_SetString(PyExc_TypeError, "too many keywords");
            return NULL;
        }
        if ((array = array_over(out)) == NULL)
            return NULL;
        memcpy(replaced, args, count * sizeof *args);
        replaced[place] = array;
        args = replaced;
        nargsf = nargs;
    }

    struct relu_ext_settings before;
    relu_ext_settings_default(&before);
    PyObject *result = f->original(callable, args, nargsf, kwnames);
    relu_ext_settings_restore(&before);
    /* What is returned is what was given. */
    if (array != NULL && result == array) {
        Py_INCREF(out);
        Py_DECREF(result);
        result = out;
    }
    Py_XDECREF(array);
    return result;
}

/* What CPython calls when the ufunc is called. */
static PyObject *call_shortcut(PyObject *callable, PyObject *const *args, size_t nargsf,
                               PyObject *kwnames)
{
    const struct fast_call *f = find_fast_call(callable);

    const size_t nargs = nargsf & ~ARGUMENTS_OFFSET, nin = (size_t)f->nin;
    const bool out_positional = nargs == nin + 1 && kwnames == NULL;
    const bool out_named = nargs == nin && kwnames != NULL && PyTuple_Size(kwnames) == 1
                           && PyTuple_GetItem(kwnames, 0) == out_keyword;
    if (!(out_positional || out_named || (nargs == nin && kwnames == NULL)))
        goto numpy;

    PyArrayObject *arrays[RELU_EXT_MAX_NIN], *a = plain_array(args[0]);
    int count = 1; /* of arrays among the inputs */
    struct relu_ext_rows rows;
    rows.fresh_out = rows.uniform = false;
    union parameter value;
    if (a == NULL)
        goto numpy;
    const int type = type_index(PyArray_TYPE(a));
    const struct relu_ext_kernel *kernel = type >= 0 ? f->kernels[type] : NULL;
    /* Without dimensions and without `out` the result is a scalar. */
    if (kernel == NULL || PyArray_NDIM(a) == 0)
        goto numpy;
    arrays[0] = a;
    for (; count < f->nin; count++) {
        arrays[count] = plain_array(args[count]);
        if (arrays[count] == NULL || !same_type_and_shape(a, arrays[count]))
            break;
    }
    if (count < f->nin) {
        rows.uniform = count == f->nin - 1 && read_parameter(args[count], PyArray_TYPE(a), &value);
        if (!rows.uniform)
            goto strided;
    }

    PyArrayObject *out;
    if (out_positional || out_named) {
        out = plain_output(args[nin]);
        if (out == NULL || !same_type_and_shape(a, out) || !find_rows(arrays, count, out, &rows))
            goto strided;
        Py_INCREF(out);
    }
    else {
        /*
         * NumPy keeps the memory order of the inputs; where that order is not obvious, leave it
         * to NumPy.
         */
        int both = PyArray_FLAGS(a);
        ptrdiff_t stride;
        bool matrices = true;
        for (int k = 0; k < count; k++) {
            both &= PyArray_FLAGS(arrays[k]);
            matrices &= PyArray_NDIM(a) == 2 && has_rows(arrays[k], &stride);
        }
        const bool fortran = (both & (NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_F_CONTIGUOUS))
                             == NPY_ARRAY_F_CONTIGUOUS;
        if (!(both & NPY_ARRAY_C_CONTIGUOUS) && !fortran && !matrices)
            goto strided;
        out = relu_ext_new_output(a, fortran, &rows.fresh_out);
        if (out == NULL)
            return NULL;
        if (!find_rows(arrays, count, out, &rows)) {
            Py_DECREF(out);
            goto strided;
        }
    }
    if (rows.uniform) {
        rows.in[count] = (const char *)&value;
        rows.in_stride[count] = 0;
    }
    PyThreadState *thread = relu_ext_release_gil(rows.rows * rows.columns * kernel->size);
    relu_ext_run_rows(kernel->id, &rows);
    relu_ext_acquire_gil(thread);
    return (PyObject *)out;

strided:;
    PyObject *result = call_strided(kernel, a, args,
                                    out_positional || out_named ? args[nin] : NULL);
    if (result != NULL || PyErr_Occurred())
        return result;

numpy:
    return call_numpy(callable, args, nargsf, kwnames);
}

/* Stands in for a ufunc's entry for one call, to see that it is one. */
static bool probe_was_called;

static PyObject *probe(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    (void)callable, (void)args, (void)nargsf, (void)kwnames;
    probe_was_called = true;
    return PyLong_FromLong(0);
}

/*
 * Whether ufunc->vectorcall is where CPython finds the function that it calls:
 * inside the object, one and the same in two ufuncs, and called when the ufunc is.
 */
static int entry_is_as_declared(PyUFuncObject *ufunc)
{
    PyObject *basicsize = PyObject_GetAttrString((PyObject *)Py_TYPE(ufunc), "__basicsize__");
    if (basicsize == NULL)
        return -1;
    size_t object_size = PyLong_AsSize_t(basicsize);
    Py_DECREF(basicsize);
    if (object_size < offsetof(PyUFuncObject, vectorcall) + sizeof ufunc->vectorcall)
        return 0;

    PyObject *numpy = PyImport_ImportModule("numpy");
    PyObject *maximum = numpy ? PyObject_GetAttrString(numpy, "maximum") : NULL;
    Py_XDECREF(numpy);
    if (maximum == NULL)
        return -1;
    vectorcall original, other, entry = probe;
    memcpy(&original, &ufunc->vectorcall, sizeof original);
    memcpy(&other, &((PyUFuncObject *)maximum)->vectorcall, sizeof other);
    bool shared = original != NULL && original == other && Py_TYPE(maximum) == Py_TYPE(ufunc);
    Py_DECREF(maximum);
    if (!shared)
        return 0;

    memcpy(&ufunc->vectorcall, &entry, sizeof entry);
    probe_was_called = false;
    PyObject *result = PyObject_CallObject((PyObject *)ufunc, NULL);
    memcpy(&ufunc->vectorcall, &original, sizeof original);
    Py_XDECREF(result);
    PyErr_Clear();
    return probe_was_called;
}

void relu_ext_fast_call_type(PyObject *ufunc, int type_num, const struct relu_ext_kernel *kernel)
{
    for (int i = 0; i < fast_call_count; i++)
        if (fast_calls[i].ufunc == ufunc && type_index(type_num) >= 0)
            fast_calls[i].kernels[type_index(type_num)] = kernel;
}

int relu_ext_fast_calls(void)
{
    return shortcut ? fast_call_count : 0;
}

int relu_ext_add_fast_call(PyObject *object, bool fast)
{
    PyUFuncObject *ufunc = (PyUFuncObject *)object;
    int usable = entry_is_as_declared(ufunc);
    if (usable <= 0)
        return usable;
    if (fast_call_count == sizeof fast_calls / sizeof *fast_calls) {
        PyErr_SetString(PyExc_SystemError, "fast_call.c has no room for another ufunc");
        return -1;
    }
    if (out_keyword == NULL && (out_keyword = PyUnicode_InternFromString("out")) == NULL)
        return -1;

    struct fast_call *f = &fast_calls[fast_call_count++];
    f->ufunc = object;
    f->nin = ufunc->nin;
    for (int i = 0; i < ufunc->ntypes; i++)
        f->kernels[(int)ufunc->types[i * ufunc->nargs]] = ufunc->data[i];
    vectorcall entry = fast ? call_shortcut : call_numpy;
    shortcut = fast;
    memcpy(&f->original, &ufunc->vectorcall, sizeof f->original);
    memcpy(&ufunc->vectorcall, &entry, sizeof entry);
    /* The table refers to it for ever. */
    Py_INCREF(object);
    return 0;
}
