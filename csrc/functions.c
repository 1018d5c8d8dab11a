#include "functions.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "output_cache.h"
#include "parallel.h"
#include "settings.h"

/* relu's kernels come first, one for each dtype. */
#define DTYPE_COUNT ((int)relu_ext_id_relu_longdouble + 1)

/* Its name, and how its elements are counted: those that fire, and those that are not zero. */
struct dtype {
    const char *name;
    enum relu_ext_lane lane;
    struct relu_ext_test fires, nonzero;
};

#define LOWEST(type) (sizeof(type) < 8 ? -((int64_t)1 << ((8 * sizeof(type) - 1) & 31)) : INT64_MIN)
#define SIGNED(dtype, type, lane, T, ...)                                              \
    {#dtype, relu_ext_lane_##lane, {1, -1}, {LOWEST(type), -1}},
#define UNSIGNED(dtype, type, lane, T, ...)                                            \
    {#dtype, relu_ext_lane_##lane, {LOWEST(type), -1}, {LOWEST(type), -1}},
#define FLOAT(dtype, type, lane, T, ...)                                               \
    {#dtype, relu_ext_lane_##lane, {(T) + 1, -1}, {LOWEST(type), ~LOWEST(type)}},
static const struct dtype dtypes[DTYPE_COUNT] = {
    RELU_EXT_SIGNED(SIGNED, ) RELU_EXT_UNSIGNED(UNSIGNED, ) RELU_EXT_FLOATS(FLOAT, )
};

/* NumPy's types that have a kernel of relu; those that other packages add are found last. */
static struct {
    int type_num;
    enum relu_ext_id relu_id;
} types[64];
static size_t type_count;

void relu_ext_functions_type(int type_num, enum relu_ext_id relu_id)
{
    if ((int)relu_id < DTYPE_COUNT && type_count < sizeof types / sizeof *types) {
        types[type_count].type_num = type_num;
        types[type_count++].relu_id = relu_id;
    }
}

/* The number of relu's kernel for the array, or -1. */
static int relu_id(PyArrayObject *array)
{
    for (size_t i = 0; i < type_count; i++)
        if (types[i].type_num == PyArray_TYPE(array))
            return (int)types[i].relu_id;
    return -1;
}

/*
 * Whether an array still is what the Python package found it to be: in C order, of that type,
 * native, of so many elements, and writeable if it is written to. A subclass can tell lies
 * about itself, and another thread can give any array another shape or dtype. To be asked
 * last, with the GIL held until everything about the array is copied.
 */
static bool is_as_checked(PyArrayObject *array, const char *name, int type, npy_intp size,
                          bool written)
{
    if (PyArray_TYPE(array) == type && PyArray_ISNOTSWAPPED(array)
        && PyArray_IS_C_CONTIGUOUS(array) && PyArray_SIZE(array) == size
        && (!written || PyArray_ISWRITEABLE(array)))
        return true;
    PyErr_Format(PyExc_ValueError, "%s was changed by another thread during the call", name);
    return false;
}

/* Counting. */

/* The steps from one element to the next: in bytes of x, and in counts, 0 where they are summed. */
struct axis {
    size_t size;
    ptrdiff_t stride, count_stride;
};

struct count {
    const struct dtype *dtype;
    const struct relu_ext_test *test;
    bool any;
    /* The first element in the order of the axes, and where its count is among all of them. */
    const char *x;
    ptrdiff_t first_count;
    int64_t *counts;
    size_t total_counts;
    /* From the longest stride to the shortest; the last is `inner`. */
    int naxes;
    struct axis axes[NPY_MAXDIMS + 1];
    /* Split in so many slices along this axis; they have counts of their own where it is summed. */
    int split_axis;
    size_t slices;
    int64_t *slice_counts;
};

/* The axes of an array in the order of its memory, as few as there can be. */
static void find_axes(struct count *c, PyArrayObject *array, uint64_t summed)
{
    ptrdiff_t count_stride = 1;
    int n = 0;

    c->x = PyArray_BYTES(array);
    c->first_count = 0;
    for (int i = PyArray_NDIM(array) - 1; i >= 0; i--) {
        const bool sum = summed >> i & 1;
        struct axis a = {(size_t)PyArray_DIM(array, i), PyArray_STRIDE(array, i),
                         sum ? 0 : count_stride};
        const ptrdiff_t last = (ptrdiff_t)a.size - 1;
        if (!sum)
            count_stride *= (ptrdiff_t)a.size;
        if (a.size == 1)
            continue;
        if (a.stride < 0) {
            c->x += last * a.stride;
            c->first_count += last * a.count_stride;
            a.stride = -a.stride;
            a.count_stride = -a.count_stride;
        }
        int at = 0;
        while (at < n && c->axes[at].stride > a.stride)
            at++;
        memmove(&c->axes[at + 1], &c->axes[at], (size_t)(n++ - at) * sizeof a);
        c->axes[at] = a;
    }
    c->total_counts = (size_t)count_stride;

    c->naxes = 0;
    for (int i = 0; i < n; i++) {
        const struct axis a = c->axes[i];
        const ptrdiff_t size = (ptrdiff_t)a.size;
        struct axis *outer = &c->axes[c->naxes > 0 ? c->naxes - 1 : 0];
        if (c->naxes > 0 && outer->stride == size * a.stride
            && outer->count_stride == size * a.count_stride)
            *outer = (struct axis){outer->size * a.size, a.stride, a.count_stride};
        else
            c->axes[c->naxes++] = a;
    }
    if (c->naxes == 0)
        c->axes[c->naxes++] = (struct axis){1, PyArray_ITEMSIZE(array), 0};
}

/* Counts, with one of the axes cut. */
static void count_slice(const struct count *c, const struct axis *axes, const char *x,
                        int64_t *counts)
{
    const struct axis inner = axes[c->naxes - 1];
    const bool by_row = inner.count_stride == 0;
    /* Besides the innermost, the kernels walk the longest; columns are counted over rows. */
    int rows = -1;
    for (int i = 0; i < c->naxes - 1; i++)
        if ((by_row || axes[i].count_stride == 0) && (rows < 0 || axes[i].size > axes[rows].size))
            rows = i;
    const struct axis row = rows >= 0 ? axes[rows] : (struct axis){1, 0, 0};

    struct relu_ext_counted counted = {
        .x = x, .rows = row.size, .columns = inner.size, .row_stride = row.stride,
        .column_stride = inner.stride, .counts = counts,
        .count_stride = by_row ? row.count_stride : inner.count_stride, .any = c->any,
    };
    size_t index[NPY_MAXDIMS + 1];
    memset(index, 0, (size_t)c->naxes * sizeof *index);
    for (;;) {
        relu_ext_count(c->dtype->lane, by_row, &counted, c->test);
        int i = c->naxes - 2;
        for (; i >= 0; i--) {
            if (i == rows)
                continue;
            counted.x += axes[i].stride;
            counted.counts += axes[i].count_stride;
            if (++index[i] < axes[i].size)
                break;
            counted.x -= (ptrdiff_t)axes[i].size * axes[i].stride;
            counted.counts -= (ptrdiff_t)axes[i].size * axes[i].count_stride;
            index[i] = 0;
        }
        if (i < 0)
            return;
    }
}

/* Where slice s of an axis begins. */
static size_t slice_begin(const struct count *c, size_t s)
{
    const size_t size = c->axes[c->split_axis].size;
    return size / c->slices * s + size % c->slices * s / c->slices;
}

static void count_slices(void *context, size_t begin, size_t end)
{
    const struct count *c = context;
    for (size_t s = begin; s < end; s++) {
        const size_t first = slice_begin(c, s);
        struct axis axes[NPY_MAXDIMS + 1];
        memcpy(axes, c->axes, (size_t)c->naxes * sizeof *axes);
        struct axis *cut = &axes[c->split_axis];
        int64_t *counts = c->counts;
        if (cut->count_stride == 0 && s > 0)
            counts = c->slice_counts + (s - 1) * c->total_counts;
        cut->size = slice_begin(c, s + 1) - first;
        count_slice(c, axes, c->x + (ptrdiff_t)first * cut->stride,
                    counts + c->first_count + (ptrdiff_t)first * cut->count_stride);
    }
}

/*
 * The axis to cut for so many threads: one whose counts are kept if it is long
 * enough, so that no two threads count for the same; else the longest.
 */
static int find_split(const struct count *c, size_t threads)
{
    int longest = 0, kept = -1;
    for (int i = 0; i < c->naxes; i++) {
        const struct axis a = c->axes[i];
        const size_t together = a.stride > 0 && a.stride < 4096 ? 4096 / (size_t)a.stride : 1;
        if (a.count_stride != 0 && a.size / together >= 4 * threads
            && (kept < 0 || a.size > c->axes[kept].size))
            kept = i;
        if (a.size > c->axes[longest].size)
            longest = i;
    }
    return kept >= 0 ? kept : longest;
}

/* Counts everything. Returns 0, or -1 without memory. */
static int count_all(struct count *c, size_t bytes)
{
    size_t threads = 1;
    if (bytes >= relu_ext_get_parallel_bytes())
        threads = (size_t)relu_ext_get_num_threads();
    c->split_axis = find_split(c, threads);
    const struct axis split = c->axes[c->split_axis];
    c->slices = threads < split.size ? threads : split.size;
    c->slice_counts = NULL;

    const size_t more = split.count_stride == 0 ? (c->slices - 1) * c->total_counts : 0;
    if (more > 0 && (c->slice_counts = calloc(more, sizeof(int64_t))) == NULL)
        return -1;
    relu_ext_parallel_for(c->slices, bytes, count_slices, c);
    for (size_t i = 0; i < more; i++)
        c->counts[i % c->total_counts] += c->slice_counts[i];
    free(c->slice_counts);
    return 0;
}

enum counted { ZEROS, FIRING, NEVER_FIRING };

static double share(npy_intp part, npy_intp whole)
{
    if (whole == 0)
        return NPY_NAN;
    /* volatile: the division must stay between the changes of settings. */
    volatile double a = (double)part, b = (double)whole, quotient;
    struct relu_ext_settings before;
    relu_ext_settings_default(&before);
    quotient = a / b;
    relu_ext_settings_restore(&before);
    return quotient;
}

static const char count_doc[] =
    "count(array, what, axes): over the axes whose bits are set in `axes`. what = 0: the share\n"
    "of zeros, over all; 1: how many elements fire; 2: where none does.";

static PyObject *count(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self;
    if (nargs != 3 || !PyArray_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "count(array, what, axes)");
        return NULL;
    }
    PyArrayObject *array = (PyArrayObject *)args[0];
    const long what = PyLong_AsLong(args[1]);
    const uint64_t axes = PyLong_AsUnsignedLongLong(args[2]);
    const uint64_t summed = what == ZEROS ? UINT64_MAX : axes;
    if (PyErr_Occurred())
        return NULL;
    const int id = relu_id(array);
    if (id < 0) {
        PyErr_Format(PyExc_TypeError,
                     "the elements of an array of dtype %S cannot be counted: bool, the integers "
                     "and the floats that relu knows can", PyArray_DESCR(array));
        return NULL;
    }

    /* All that there is to know of the array, at once: others may give it another shape. */
    npy_intp shape[NPY_MAXDIMS + 1];
    int ndim = 0;
    for (int i = 0; i < PyArray_NDIM(array); i++)
        if (!(summed >> i & 1))
            shape[ndim++] = PyArray_DIM(array, i);
    const npy_intp size = PyArray_SIZE(array);
    const size_t bytes = (size_t)PyArray_NBYTES(array);
    PyObject *counts = NULL;
    int64_t in_all = 0;
    struct count c = {.dtype = &dtypes[id], .any = what == NEVER_FIRING, .counts = &in_all};

    c.test = what == ZEROS ? &c.dtype->nonzero : &c.dtype->fires;
    if (size > 0)
        find_axes(&c, array, summed);
    if (what != ZEROS) {
        counts = PyArray_ZEROS(ndim, shape, NPY_INT64, 0);
        if (counts == NULL)
            return NULL;
        c.counts = PyArray_DATA((PyArrayObject *)counts);
    }
    if (size > 0) {
        PyThreadState *thread = bytes > RELU_EXT_KEEP_GIL_BYTES ? PyEval_SaveThread() : NULL;
        int status = count_all(&c, bytes);
        if (thread != NULL)
            PyEval_RestoreThread(thread);
        if (status < 0) {
            Py_XDECREF(counts);
            return PyErr_NoMemory();
        }
    }
    if (what == ZEROS)
        return PyFloat_FromDouble(share(size - in_all, size));
    if (what == NEVER_FIRING) {
        PyObject *never = PyArray_SimpleNew(ndim, shape, NPY_BOOL);
        if (never != NULL) {
            npy_bool *to = PyArray_DATA((PyArrayObject *)never);
            for (npy_intp i = 0, n = PyArray_SIZE((PyArrayObject *)never); i < n; i++)
                to[i] = c.counts[i] == 0;
        }
        Py_DECREF(counts);
        counts = never;
    }
    return counts == NULL ? NULL : PyArray_Return((PyArrayObject *)counts);
}

/* The gradient of PReLU's slopes. */

struct slope_sums {
    enum relu_ext_number dtype;
    const char *dy, *x;
    char *grad;
    size_t outer, channels, inner;
};

static void sum_channels(void *context, size_t begin, size_t end)
{
    const struct slope_sums *s = context;
    relu_ext_slope_sums(s->dtype, s->dy, s->x, s->grad, s->outer, s->channels, s->inner, begin,
                        end);
}

/* The numbers that arithmetic.h calculates with, by relu's kernels, and -1 for other dtypes. */
static int number_of(int id)
{
    switch (id) {
#define NUMBER(dtype, ...)                                                             \
    case relu_ext_id_relu_##dtype: return relu_ext_number_##dtype;
    RELU_EXT_NUMBERS(NUMBER, )
    default: return -1;
    }
}

static const char slope_sums_doc[] =
    "slope_sums(dy, x, outer, channels, inner): of contiguous arrays of one dtype, which is the\n"
    "result's, too.";

static PyObject *slope_sums(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self;
    if (nargs != 5 || !PyArray_Check(args[0]) || !PyArray_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "slope_sums(dy, x, outer, channels, inner)");
        return NULL;
    }
    PyArrayObject *dy = (PyArrayObject *)args[0], *x = (PyArrayObject *)args[1];
    const int number = number_of(relu_id(x));
    if (number < 0) {
        PyErr_Format(PyExc_TypeError,
                     "x has dtype %S; it has to be float16, bfloat16, float32 or float64",
                     PyArray_DESCR(x));
        return NULL;
    }
    struct slope_sums s = {
        .dtype = (enum relu_ext_number)number, .dy = PyArray_DATA(dy), .x = PyArray_DATA(x),
        .outer = PyLong_AsSize_t(args[2]), .channels = PyLong_AsSize_t(args[3]),
        .inner = PyLong_AsSize_t(args[4]),
    };
    if (PyErr_Occurred())
        return NULL;
    npy_intp channels = (npy_intp)s.channels;
    const npy_intp size = (npy_intp)(s.outer * s.channels * s.inner);
    const size_t bytes = 2 * (size_t)PyArray_NBYTES(x);
    if (!is_as_checked(x, "x", PyArray_TYPE(x), size, false)
        || !is_as_checked(dy, "dy", PyArray_TYPE(x), size, false))
        return NULL;
    Py_INCREF(PyArray_DESCR(x));
    PyObject *grad = PyArray_NewFromDescr(&PyArray_Type, PyArray_DESCR(x), 1, &channels, NULL, NULL,
                                          0, NULL);
    if (grad == NULL)
        return NULL;
    s.grad = PyArray_DATA((PyArrayObject *)grad);

    PyThreadState *thread = PyEval_SaveThread();
    relu_ext_parallel_for(s.channels, bytes, sum_channels, &s);
    PyEval_RestoreThread(thread);
    return grad;
}

/* Bits. */

/* Elements to begin a thread's part at a multiple of: whole lines, of the bits too. */
enum { BITS_UNIT = 4096 };

struct bits {
    enum relu_ext_id id;
    bool gradient;
    const char *in;
    char *out;
    uint8_t *bits;
    size_t n, total; /* total: 0 where the output's pages are new, so as not to stream */
};

static void run_bits(void *context, size_t begin, size_t end)
{
    const struct bits *b = context;
    const size_t size = relu_ext_kernels[b->id].size, first = begin * BITS_UNIT;
    const size_t n = (end * BITS_UNIT < b->n ? end * BITS_UNIT : b->n) - first;
    const char *in = b->in + first * size;
    char *out = b->out + first * size;

    if (b->gradient)
        relu_ext_run_grad_bits(b->id, in, b->bits + first / 8, out, n, b->total);
    else
        relu_ext_run_bits(b->id, in, out, b->bits + first / 8, n, b->total);
}

/* Of arrays without gaps. */
static bool overlap(PyArrayObject *a, PyArrayObject *b)
{
    const char *a_first = PyArray_BYTES(a), *b_first = PyArray_BYTES(b);
    return a_first < b_first + PyArray_NBYTES(b) && b_first < a_first + PyArray_NBYTES(a);
}

static const char bits_doc[] =
    "bits(in, bits, out, gradient): relu of `in` and its bits, or the gradient from them;\n"
    "arrays in C order of the right sizes and one dtype. `out` may be None, and is returned.";

static PyObject *bits(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self;
    if (nargs != 4 || !PyArray_Check(args[0]) || !PyArray_Check(args[1])
        || !(args[2] == Py_None || PyArray_Check(args[2]))) {
        PyErr_SetString(PyExc_TypeError, "bits(in, bits, out, gradient)");
        return NULL;
    }
    PyArrayObject *in = (PyArrayObject *)args[0], *packed = (PyArrayObject *)args[1];
    const bool gradient = args[3] == Py_True;
    const int id = relu_id(in), type = PyArray_TYPE(in);
    if (id < (int)relu_ext_id_relu_f8e5m2)
        return PyErr_Format(PyExc_TypeError,
                            "arrays of dtype %S have no gradient: pass floats that relu_grad knows",
                            PyArray_DESCR(in));

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
    if (overlap(packed, out) || (!gradient && overlap(packed, in))) {
        Py_DECREF(out);
        return PyErr_Format(PyExc_ValueError,
                            "bits overlaps another array: pass memory of its own");
    }
    PyArrayObject *copy = NULL;
    if (overlap(in, out) && PyArray_DATA(in) != PyArray_DATA(out)) {
        copy = in = (PyArrayObject *)PyArray_NewCopy(in, NPY_CORDER);
        if (copy == NULL) {
            Py_DECREF(out);
            return NULL;
        }
    }
    const size_t n = (size_t)PyArray_SIZE(in), bytes = n * relu_ext_kernels[id].size;
    if (!is_as_checked(in, gradient ? "dy" : "x", type, (npy_intp)n, false)
        || !is_as_checked(out, "out", type, (npy_intp)n, true)
        || !is_as_checked(packed, "bits", NPY_UINT8, (npy_intp)((n + 7) / 8), !gradient)) {
        Py_XDECREF(copy);
        Py_DECREF(out);
        return NULL;
    }
    struct bits b = {
        .id = (enum relu_ext_id)id, .gradient = gradient, .in = PyArray_BYTES(in),
        .out = PyArray_BYTES(out), .bits = PyArray_DATA(packed), .n = n, .total = fresh ? 0 : n,
    };
    PyThreadState *thread = bytes > RELU_EXT_KEEP_GIL_BYTES ? PyEval_SaveThread() : NULL;
    relu_ext_parallel_for((n + BITS_UNIT - 1) / BITS_UNIT, 2 * bytes, run_bits, &b);
    if (thread != NULL)
        PyEval_RestoreThread(thread);
    Py_XDECREF(copy);
    return (PyObject *)out;
}

/* Scaling and shifting. */

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
        part.scale += begin;
        part.shift += begin;
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
            : enough ? Py_ABS(s->y_strides[k]) > Py_ABS(s->y_strides[best])
                     : n > s->shape[best])
            best = k;
    }
    return best;
}

static const char scale_shift_doc[] =
    "scale_shift(x, out, axis, scale, shift, fresh): native arrays of one shape; the parameters\n"
    "float64 in C order, one for each index of the axis; fresh: out's pages are new.";

static PyObject *scale_shift(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self;
    if (nargs != 6 || !PyArray_Check(args[0]) || !PyArray_Check(args[1])
        || !PyArray_Check(args[3]) || !PyArray_Check(args[4])) {
        PyErr_SetString(PyExc_TypeError, "scale_shift(x, out, axis, scale, shift, fresh)");
        return NULL;
    }
    PyArrayObject *x = (PyArrayObject *)args[0], *y = (PyArrayObject *)args[1];
    PyArrayObject *scale = (PyArrayObject *)args[3], *shift = (PyArrayObject *)args[4];
    const size_t axis = PyLong_AsSize_t(args[2]);
    if (PyErr_Occurred())
        return NULL;
    const int x_id = relu_id(x), y_id = relu_id(y), ndim = PyArray_NDIM(x);
    const npy_intp channels = axis < (size_t)ndim ? PyArray_DIM(x, (int)axis) : -1;
    if (x_id < 0 || y_id < 0 || channels < 0 || PyArray_NDIM(y) != ndim
        || !PyArray_CompareLists(PyArray_DIMS(x), PyArray_DIMS(y), ndim)
        || !PyArray_ISNOTSWAPPED(x) || !PyArray_ISNOTSWAPPED(y) || !PyArray_ISWRITEABLE(y)) {
        PyErr_SetString(PyExc_ValueError, "x or out was changed by another thread during the call");
        return NULL;
    }
    if (!is_as_checked(scale, "scale", NPY_DOUBLE, channels, false)
        || !is_as_checked(shift, "shift", NPY_DOUBLE, channels, false))
        return NULL;

    struct scale_shift s = {
        .call = {
            .x_dtype = dtypes[x_id].name, .x = PyArray_DATA(x), .x_strides = s.x_strides,
            .y_dtype = dtypes[y_id].name, .y = PyArray_DATA(y), .y_strides = s.y_strides,
            .shape = s.shape, .ndim = (size_t)ndim, .axis = axis,
            .scale = PyArray_DATA(scale), .shift = PyArray_DATA(shift),
        },
    };
    for (int k = 0; k < ndim; k++) {
        s.shape[k] = (size_t)PyArray_DIM(x, k);
        s.x_strides[k] = PyArray_STRIDE(x, k);
        s.y_strides[k] = PyArray_STRIDE(y, k);
    }
    const size_t bytes = (size_t)PyArray_NBYTES(x) + (size_t)PyArray_NBYTES(y);
    s.along = find_longest_step(&s);
    s.total = args[5] == Py_True ? 0 : (size_t)PyArray_SIZE(x);

    PyThreadState *thread = bytes > RELU_EXT_KEEP_GIL_BYTES ? PyEval_SaveThread() : NULL;
    relu_ext_parallel_for(s.shape[s.along], bytes, run_scale_shift, &s);
    if (thread != NULL)
        PyEval_RestoreThread(thread);
    Py_RETURN_NONE;
}

/* NumPy's arithmetic under settings that do not depend on the program's. */

static const char convert_doc[] =
    "convert(array, dtype): np.asarray(array, dtype, order=\"C\") under IEEE 754's default\n"
    "settings, whatever the program has set.";

static PyObject *convert(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self;
    PyArray_Descr *dtype;
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "convert(array, dtype)");
        return NULL;
    }
    if (!PyArray_DescrConverter(args[1], &dtype))
        return NULL;
    struct relu_ext_settings before;
    relu_ext_settings_default(&before);
    PyObject *array = PyArray_FromAny(args[0], dtype, 0, 0,
                                      NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_FORCECAST, NULL);
    relu_ext_settings_restore(&before);
    return array;
}

static PyMethodDef functions[] = {
    {"count", (PyCFunction)(void (*)(void))count, METH_FASTCALL, count_doc},
    {"slope_sums", (PyCFunction)(void (*)(void))slope_sums, METH_FASTCALL, slope_sums_doc},
    {"bits", (PyCFunction)(void (*)(void))bits, METH_FASTCALL, bits_doc},
    {"scale_shift", (PyCFunction)(void (*)(void))scale_shift, METH_FASTCALL, scale_shift_doc},
    {"convert", (PyCFunction)(void (*)(void))convert, METH_FASTCALL, convert_doc},
};

int relu_ext_add_functions(PyObject *dict)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        PyObject *function = PyCFunction_NewEx(&functions[i], NULL, NULL);
        if (function == NULL)
            return -1;
        int status = PyDict_SetItemString(dict, functions[i].ml_name, function);
        Py_DECREF(function);
        if (status < 0)
            return -1;
    }
    return 0;
}
