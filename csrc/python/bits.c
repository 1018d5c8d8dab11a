#include "functions.h"

#include "dtypes.h"
#include "output_cache.h"
#include "overlap.h"
#include "threads.h"

/* Elements to begin a thread's part at a multiple of: whole lines, of the bits too. */
enum { UNIT = 4096 };

struct bits_call {
    enum relu_ext_id id;
    bool gradient;
    const char *in;
    char *out;
    uint8_t *bits;
    size_t n, total; /* total: 0 where the output's pages are new, so as not to stream */
};

static void run_bits(void *context, size_t begin, size_t end)
{
    const struct bits_call *b = context;
    const size_t size = relu_ext_kernels[b->id].size, first = begin * UNIT;
    const size_t n = (end * UNIT < b->n ? end * UNIT : b->n) - first;
    const char *in = b->in + first * size;
    char *out = b->out + first * size;

    if (b->gradient)
        relu_ext_run_grad_bits(b->id, in, b->bits + first / 8, out, n, b->total);
    else
        relu_ext_run_bits(b->id, in, out, b->bits + first / 8, n, b->total);
}

static struct span contiguous(PyArrayObject *array)
{
    return span_of(PyArray_DATA(array), (size_t)PyArray_NBYTES(array));
}

PyObject *relu_ext_python_bits(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    if (nargs != 4 || !PyArray_Check(args[0]) || !PyArray_Check(args[1])
        || !(args[2] == Py_None || PyArray_Check(args[2]))) {
        PyErr_SetString(PyExc_TypeError, "bits(in, bits, out, gradient)");
        return NULL;
    }
    PyArrayObject *in = (PyArrayObject *)args[0], *packed = (PyArrayObject *)args[1];
    const bool gradient = args[3] == Py_True;
    const struct dtype *dtype = relu_ext_dtype_of(in);
    const int type = PyArray_TYPE(in);
    if (dtype == NULL || !dtype->is_float)
        return PyErr_Format(PyExc_TypeError,
                            "%s has dtype %S; it must be a float that relu_grad takes",
                            gradient ? "dy" : "x", PyArray_DESCR(in));

    bool fresh = false;
    PyArrayObject *out;
    if (args[2] == Py_None)
        out = relu_ext_new_output(in, false, &fresh);
    else {
        out = (PyArrayObject *)args[2];
        Py_INCREF(out);
    }
    if (out == NULL)
        return NULL;
    if (overlap(contiguous(packed), contiguous(out))
        || (!gradient && overlap(contiguous(packed), contiguous(in)))) {
        Py_DECREF(out);
        return PyErr_Format(PyExc_ValueError,
                            "bits overlaps another array: pass memory of its own");
    }
    PyArrayObject *copy = NULL;
    if (overlap(contiguous(in), contiguous(out)) && PyArray_DATA(in) != PyArray_DATA(out)) {
        copy = in = (PyArrayObject *)PyArray_NewCopy(in, NPY_CORDER);
        if (copy == NULL) {
            Py_DECREF(out);
            return NULL;
        }
    }
    const size_t n = (size_t)PyArray_SIZE(in), bytes = n * relu_ext_kernels[dtype->relu].size;
    if (!relu_ext_is_as_checked(in, gradient ? "dy" : "x", type, (npy_intp)n, false)
        || !relu_ext_is_as_checked(out, "out", type, (npy_intp)n, true)
        || !relu_ext_is_as_checked(packed, "bits", NPY_UINT8, (npy_intp)((n + 7) / 8), !gradient)) {
        Py_XDECREF(copy);
        Py_DECREF(out);
        return NULL;
    }
    struct bits_call b = {
        .id = dtype->relu,
        .gradient = gradient,
        .in = PyArray_BYTES(in),
        .out = PyArray_BYTES(out),
        .bits = PyArray_DATA(packed),
        .n = n,
        .total = fresh ? 0 : n,
    };
    PyThreadState *thread = relu_ext_release_gil(bytes);
    relu_ext_parallel_for((struct relu_ext_parallel){
        .part = run_bits, .context = &b, .count = (n + UNIT - 1) / UNIT, .bytes = 2 * bytes});
    relu_ext_acquire_gil(thread);
    Py_XDECREF(copy);
    return (PyObject *)out;
}
