/*
 * The operations as ufuncs.
 *
 * NumPy resolves types, allocates, broadcasts, buffers what is unaligned or
 * byte-swapped, and hands one-dimensional strided runs to the loop below.
 */
#include "ufuncs.h"

#include <stdbool.h>
#include <string.h>

#include "dtypes.h"
#include "fast_call.h"
#include "overlap.h"
#include "rows.h"
#include "strided.h"

/* How an input lies to the output. */
enum relation {
    APART,  /* no byte in common */
    SAME,   /* element on element */
    AHEAD,  /* no output overwrites an input that comes after it: blocks, read first, will do */
    BEHIND, /* element by element only */
};

static enum relation relate(const char *in, npy_intp in_step, const char *out, npy_intp out_step,
                            npy_intp n, npy_intp size)
{
    if (n == 0
        || !overlap(span_of_steps(in, in_step, (size_t)n, (size_t)size),
                    span_of_steps(out, out_step, (size_t)n, (size_t)size)))
        return APART;
    const npy_intp distance = in - out, step = Py_ABS(out_step);
    if (in_step == out_step && step >= size) {
        const npy_intp between = Py_ABS(distance) % step;
        if (distance == 0)
            return SAME;
        /* Interleaved, as two columns of one array are. */
        if (between >= size && between <= step - size)
            return APART;
    }
    /* Ahead from the start, and never caught up with. */
    if (out_step > 0 && distance >= 0 && in_step >= out_step && in_step >= size)
        return AHEAD;
    if (out_step < 0 && distance <= 0 && in_step <= out_step && in_step <= -size)
        return AHEAD;
    return BEHIND;
}

/*
 * The inner loop of every ufunc here: PyUFuncGenericFunction.
 *
 * NumPy copies operands that overlap, except where processing them in order is correct without
 * a copy, and in reductions, whose inputs are earlier outputs.
 */
static void loop(char **args, npy_intp const *dimensions, npy_intp const *steps, void *data)
{
    const struct relu_ext_kernel *kernel = data;
    const npy_intp n = dimensions[0], size = (npy_intp)kernel->size;
    const int nin = kernel->nin, last = nin - 1;
    char *out = args[nin];
    const npy_intp out_step = steps[nin];
    const char *in[RELU_EXT_MAX_NIN];

    bool contiguous = out_step == size, in_order = false, ahead = false, uniform = false;
    for (int k = 0; k < nin; k++) {
        const enum relation relation = relate(args[k], steps[k], out, out_step, n, size);
        in[k] = args[k];
        if (k == last && k > 0 && steps[k] == 0 && relation == APART) {
            uniform = true;
            continue;
        }
        contiguous &= steps[k] == size;
        in_order |= relation == BEHIND;
        ahead |= relation == AHEAD;
    }

    if (in_order)
        for (npy_intp i = 0; i < n; i++) {
            relu_ext_run(kernel->id, in, false, out, 1, 1);
            for (int k = 0; k < nin; k++)
                in[k] += steps[k];
            out += out_step;
        }
    else if (contiguous && !ahead) {
        struct relu_ext_rows rows = {
            .out = out, .rows = 1, .columns = (size_t)n, .uniform = uniform};
        memcpy(rows.in, in, (size_t)nin * sizeof *in);
        relu_ext_run_rows(kernel->id, &rows);
    }
    else if (n > 0) {
        struct relu_ext_strided s;
        memcpy(s.in, in, sizeof in);
        s.out = out;
        s.axis_count = 1;
        s.axes[0].n = (size_t)n;
        memcpy(s.axes[0].in, steps, (size_t)nin * sizeof *steps);
        s.axes[0].out = out_step;
        s.fresh_out = false;
        /* In any order, unless an element may be needed after it, or another, is written. */
        s.in_order = ahead || Py_ABS(out_step) < size;
        relu_ext_run_strided(kernel, &s);
    }
}

#if NPY_SIZEOF_LONG == 8
#define LONG_KERNEL i64
#define ULONG_KERNEL u64
#else
#define LONG_KERNEL i32
#define ULONG_KERNEL u32
#endif

/*
 * NumPy's types and the dtypes of our kernels, in the order in which NumPy looks
 * for one that the input casts to safely.
 */
#define NUMBER_TYPES(X, op)                                                            \
    X(op, NPY_HALF, f16)                                                               \
    X(op, NPY_FLOAT, f32)                                                              \
    X(op, NPY_DOUBLE, f64)

#define FLOAT_TYPES(X, op)                                                             \
    NUMBER_TYPES(X, op)                                                                \
    X(op, NPY_LONGDOUBLE, longdouble)

#define INTEGER_TYPES(X, op)                                                           \
    X(op, NPY_BYTE, i8)                                                                \
    X(op, NPY_UBYTE, u8)                                                               \
    X(op, NPY_SHORT, i16)                                                              \
    X(op, NPY_USHORT, u16)                                                             \
    X(op, NPY_INT, i32)                                                                \
    X(op, NPY_UINT, u32)                                                               \
    X(op, NPY_LONG, LONG_KERNEL)                                                       \
    X(op, NPY_ULONG, ULONG_KERNEL)                                                     \
    X(op, NPY_LONGLONG, i64)                                                           \
    X(op, NPY_ULONGLONG, u64)

#define ALL_TYPES(X, op)                                                               \
    X(op, NPY_BOOL, u8)                                                                \
    INTEGER_TYPES(X, op)                                                               \
    FLOAT_TYPES(X, op)

#define SUM_TYPES(X, op)                                                               \
    INTEGER_TYPES(X, op)                                                               \
    NUMBER_TYPES(X, op)

/* The ufuncs: X(name, its types, number of inputs). */
#define UFUNCS(X)                                                                      \
    X(relu, ALL_TYPES, 1)                                                              \
    X(relu_grad, FLOAT_TYPES, 2)                                                       \
    X(leaky_relu, NUMBER_TYPES, 2)                                                     \
    X(leaky_relu_grad, NUMBER_TYPES, 3)                                                \
    X(clipped_relu, ALL_TYPES, 2)                                                      \
    X(clipped_relu_grad, FLOAT_TYPES, 3)                                               \
    X(add_relu, SUM_TYPES, 2)

/* NumPy keeps the pointers it is given: all of these live as long as the process. */
#define LOOP(op, type, dtype) loop,
#define DATA_(op, dtype) (void *)&relu_ext_kernels[relu_ext_id_##op##_##dtype],
#define DATA(op, type, dtype) DATA_(op, dtype)
#define TYPES_1(op, type, dtype) type, type,
#define TYPES_2(op, type, dtype) type, type, type,
#define TYPES_3(op, type, dtype) type, type, type, type,
#define UFUNC_TABLES(op, list, nin)                                                    \
    static PyUFuncGenericFunction op##_loops[] = {list(LOOP, op)};                     \
    static void *const op##_data[] = {list(DATA, op)};                                 \
    static const char op##_types[] = {list(TYPES_##nin, op)};
UFUNCS(UFUNC_TABLES)

/* NumPy keeps the pointer to the docstring, too: `kept` holds what it points into. */
static int add_ufunc(PyObject *dict, PyObject *docs, PyObject *kept, bool fast, const char *name,
                     PyUFuncGenericFunction *loops, void *const *data, const char *types,
                     size_t ntypes, int nin)
{
    PyObject *text = PyDict_GetItemString(docs, name);
    PyObject *doc = text == NULL ? NULL : PyUnicode_AsUTF8String(text);
    if (doc == NULL) {
        if (text == NULL)
            PyErr_Format(PyExc_SystemError, "%s has no docstring", name);
        return -1;
    }
    int status = PyList_Append(kept, doc);
    Py_DECREF(doc);
    if (status < 0)
        return -1;
    PyObject *ufunc = PyUFunc_FromFuncAndData(loops, data, types, (int)ntypes, nin, 1, PyUFunc_None,
                                              name, PyBytes_AsString(doc), 0);
    if (ufunc == NULL)
        return -1;
    relu_ext_share_among_threads(ufunc);
    status = PyDict_SetItemString(dict, name, ufunc);
    if (status == 0)
        status = relu_ext_add_fast_call(ufunc, fast);
    Py_DECREF(ufunc);
    return status;
}

#define ADD_UFUNC(op, list, nin)                                                       \
    || add_ufunc(dict, docs, kept, fast, #op, op##_loops, op##_data, op##_types,       \
                 sizeof op##_data / sizeof *op##_data, nin) < 0

int relu_ext_add_ufuncs(PyObject *dict, PyObject *docs, bool fast)
{
    static PyObject *kept; /* never released: fast_call.c keeps the ufuncs, too */
    if (kept == NULL && (kept = PyList_New(0)) == NULL)
        return -1;
    if (false UFUNCS(ADD_UFUNC))
        return -1;
    for (size_t i = 0; i < sizeof relu_data / sizeof *relu_data; i++)
        relu_ext_add_dtype(relu_types[2 * i], ((const struct relu_ext_kernel *)relu_data[i])->id);
    return 0;
}

int relu_ext_add_type_to_ufuncs(PyObject *ufuncs, int type_num, const char *dtype)
{
#define NAMES(dtype, type, lane, threshold, op, ...) {#op, #dtype},
    static const char *const names[][2] = {RELU_EXT_KERNELS(NAMES, )};
    int status = 0;
    for (int id = 0; id < RELU_EXT_ID_COUNT && status == 0; id++)
        if (strcmp(names[id][1], dtype) == 0) {
            PyObject *ufunc = PyDict_GetItemString(ufuncs, names[id][0]);
            const struct relu_ext_kernel *kernel = &relu_ext_kernels[id];
            status = PyUFunc_RegisterLoopForType((PyUFuncObject *)ufunc, type_num, loop, NULL,
                                                 (void *)kernel);
            if (status == 0) {
                relu_ext_fast_call_type(ufunc, type_num, kernel);
                relu_ext_add_dtype(type_num, kernel->id);
            }
        }
    if (status < 0)
        PyErr_Clear();
    return status;
}
