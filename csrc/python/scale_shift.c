#include "functions.h"

#include <string.h>

#include "dtypes.h"
#include "overlap.h"
#include "threads.h"

enum { WORTH_SPLITTING = 16 };

/* The call, with shape and strides of its own: the arrays' may change meanwhile. */
struct scale_shift {
    struct relu_ext_scale_shift call;
    size_t shape[NPY_MAXDIMS];
    ptrdiff_t x_strides[NPY_MAXDIMS], y_strides[NPY_MAXDIMS];
    size_t along, total; /* total: 0 where the output's pages are new, so as not to stream */
};

static void run_scale_shift(void *context, size_t begin, size_t end)
{
    const struct scale_shift *whole = context;
    struct relu_ext_scale_shift part = whole->call;
    const size_t along = whole->along;
    size_t shape[NPY_MAXDIMS];

    memcpy(shape, part.shape, part.ndim * sizeof *shape);
    shape[along] = end - begin;
    part.shape = shape;
    part.x = (const char *)part.x + (ptrdiff_t)begin * part.x_strides[along];
    part.y = (char *)part.y + (ptrdiff_t)begin * part.y_strides[along];
    if (along == part.axis) {
        part.scale += (ptrdiff_t)begin * part.next_parameter;
        part.shift += (ptrdiff_t)begin * part.next_parameter;
    }
    relu_ext_run_scale_shift(&part, whole->total);
}

/* The axis to cut: where y's parts lie furthest apart, unless there is too little to share out. */
static size_t find_longest_step(const struct scale_shift *s)
{
    size_t best = 0;
    for (size_t k = 1; k < s->call.ndim; k++) {
        const size_t n = s->shape[k];
        const bool enough = n >= WORTH_SPLITTING, best_enough = s->shape[best] >= WORTH_SPLITTING;
        if (enough != best_enough ? enough
            : enough              ? Py_ABS(s->y_strides[k]) > Py_ABS(s->y_strides[best])
                                  : n > s->shape[best])
            best = k;
    }
    return best;
}

/* Copies what the arrays say of themselves. */
static bool look_at(struct scale_shift *s, PyArrayObject *x, PyArrayObject *y)
{
    const int ndim = PyArray_NDIM(x);
    if (PyArray_NDIM(y) != ndim || !PyArray_CompareLists(PyArray_DIMS(x), PyArray_DIMS(y), ndim)
        || !PyArray_ISNOTSWAPPED(x) || !PyArray_ISNOTSWAPPED(y) || !PyArray_ISWRITEABLE(y)) {
        PyErr_SetString(PyExc_ValueError, "x or out was changed by another thread during the call");
        return false;
    }
    for (int k = 0; k < ndim; k++) {
        s->shape[k] = (size_t)PyArray_DIM(x, k);
        s->x_strides[k] = PyArray_STRIDE(x, k);
        s->y_strides[k] = PyArray_STRIDE(y, k);
    }
    s->call.x = PyArray_DATA(x);
    s->call.y = PyArray_DATA(y);
    s->call.ndim = (size_t)ndim;
    return true;
}

/* Where an array of that shape lies, from its first byte to its last. */
static struct span span_of_array(const void *data, const struct scale_shift *s,
                                 const ptrdiff_t *strides, size_t size)
{
    struct span span = span_of(data, size);
    for (size_t k = 0; k < s->call.ndim; k++)
        span = span_along(span, strides[k], s->shape[k]);
    return span;
}

/* Whether x lies in y's memory without being in each element's place. */
static bool overlaps(const struct scale_shift *s, size_t x_size, size_t y_size)
{
    const bool same = x_size == y_size && s->call.x == s->call.y
                      && memcmp(s->x_strides, s->y_strides, s->call.ndim * sizeof *s->x_strides)
                             == 0;
    return !same
           && overlap(span_of_array(s->call.x, s, s->x_strides, x_size),
                      span_of_array(s->call.y, s, s->y_strides, y_size));
}

PyObject *relu_ext_python_scale_shift(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    if (nargs != 7 || !PyArray_Check(args[0]) || !PyArray_Check(args[1]) || !PyArray_Check(args[3])
        || !PyArray_Check(args[4])) {
        PyErr_SetString(PyExc_TypeError,
                        "scale_shift(x, out, axis, scale, shift, fresh, rectified)");
        return NULL;
    }
    PyArrayObject *x = (PyArrayObject *)args[0], *y = (PyArrayObject *)args[1], *copy = NULL;
    PyArrayObject *scale = (PyArrayObject *)args[3], *shift = (PyArrayObject *)args[4];
    const size_t axis = PyLong_AsSize_t(args[2]);
    if (PyErr_Occurred())
        return NULL;
    const struct dtype *from = relu_ext_dtype_of(x), *to = relu_ext_dtype_of(y);
    if (from == NULL || !relu_ext_can_scale_shift(from->name, "f32"))
        return PyErr_Format(
            PyExc_TypeError,
            "x has dtype %S; it must be bool, uint8, uint16, int8, int16, int32, float16, "
            "bfloat16, float32 or float64",
            PyArray_DESCR(x));
    if (to == NULL || PyArray_ISBOOL(y) || !relu_ext_can_scale_shift("f32", to->name))
        return PyErr_Format(PyExc_TypeError,
                            "%s %S; it must be uint8, int8, float16, bfloat16, float32 or "
                            "float64",
                            args[5] == Py_True ? "dtype is" : "out has dtype", PyArray_DESCR(y));

    struct scale_shift s = {
        .call =
            {
                .x_dtype = from->name,
                .x_strides = s.x_strides,
                .y_dtype = to->name,
                .y_strides = s.y_strides,
                .shape = s.shape,
                .axis = axis,
                .scale = PyArray_DATA(scale),
                .shift = PyArray_DATA(shift),
                .rectified = args[6] == Py_True,
            },
    };
    const size_t x_size = relu_ext_kernels[from->relu].size;
    const size_t y_size = relu_ext_kernels[to->relu].size;
    if (!look_at(&s, x, y))
        return NULL;
    size_t total = 1;
    for (size_t k = 0; k < s.call.ndim; k++)
        total *= s.shape[k];
    if (total > 0 && overlaps(&s, x_size, y_size)) {
        x = copy = (PyArrayObject *)PyArray_NewCopy(x, NPY_KEEPORDER);
        if (copy == NULL || !look_at(&s, x, y)) {
            Py_XDECREF(copy);
            return NULL;
        }
    }
    const bool one_for_all = PyArray_SIZE(scale) == 1 && PyArray_SIZE(shift) == 1;
    const npy_intp channels = axis >= s.call.ndim ? -1 : one_for_all ? 1 : (npy_intp)s.shape[axis];
    if (!relu_ext_is_as_checked(scale, "scale", NPY_DOUBLE, channels, false)
        || !relu_ext_is_as_checked(shift, "shift", NPY_DOUBLE, channels, false)) {
        Py_XDECREF(copy);
        return NULL;
    }
    s.call.next_parameter = one_for_all ? 0 : 1;
    const size_t bytes = total * (x_size + y_size);
    s.along = find_longest_step(&s);
    s.total = args[5] == Py_True ? 0 : total;

    PyThreadState *thread = relu_ext_release_gil(bytes);
    relu_ext_parallel_for((struct relu_ext_parallel){
        .part = run_scale_shift, .context = &s, .count = s.shape[s.along], .bytes = bytes});
    relu_ext_acquire_gil(thread);
    Py_XDECREF(copy);
    Py_RETURN_NONE;
}
