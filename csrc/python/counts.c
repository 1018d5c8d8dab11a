#include "functions.h"

#include <stdlib.h>
#include <string.h>

#include "count_kernels.h"
#include "dtypes.h"
#include "relu_ext/axes.h"
#include "settings.h"
#include "threads.h"

/* Elements that fire, and those that are not zero, by relu's kernel for the dtype. */
#define LOWEST(type) (sizeof(type) < 8 ? -((int64_t)1 << ((8 * sizeof(type) - 1) & 31)) : INT64_MIN)
#define SIGNED(dtype, type, ...)                                                       \
    [relu_ext_id_relu_##dtype] = {{1, -1}, {LOWEST(type), -1}},
#define UNSIGNED(dtype, type, ...)                                                     \
    [relu_ext_id_relu_##dtype] = {{LOWEST(type), -1}, {LOWEST(type), -1}},
#define FLOAT(dtype, type, lane, threshold, ...)                                       \
    [relu_ext_id_relu_##dtype] = {{(threshold) + 1, -1}, {LOWEST(type), ~LOWEST(type)}},
static const struct {
    struct test fires, nonzero;
} tests[] = {RELU_EXT_SIGNED(SIGNED, ) RELU_EXT_UNSIGNED(UNSIGNED, ) RELU_EXT_FLOATS(FLOAT, )};

struct counting {
    enum relu_ext_lane lane;
    const struct test *test;
    bool any;
    /* The first element in the order of the axes, and where its count is among all of them. */
    const char *x;
    ptrdiff_t first_count;
    int64_t *counts;
    size_t total_counts;
    /* In bytes of x, and in counts: 0 where they are summed. The last is `inner`. */
    size_t naxes;
    struct relu_ext_axis axes[NPY_MAXDIMS];
    /* Split in so many slices along this axis; they have counts of their own where it is summed. */
    size_t split_axis;
    size_t slices;
    int64_t *slice_counts;
};

/* The axes of an array in the order of its memory, as few as there can be. */
static void find_axes(struct counting *c, PyArrayObject *array, uint64_t summed)
{
    ptrdiff_t count_stride = 1, first;
    size_t n = (size_t)PyArray_NDIM(array);

    /* The counts are in C order: their strides are known from the last axis on. */
    for (size_t i = n; i-- > 0;) {
        const size_t size = (size_t)PyArray_DIM(array, (int)i);
        const bool sum = summed >> i & 1;
        c->axes[i] = (struct relu_ext_axis){size, PyArray_STRIDE(array, (int)i),
                                            sum ? 0 : count_stride};
        if (!sum)
            count_stride *= (ptrdiff_t)size;
    }
    c->total_counts = (size_t)count_stride;
    c->naxes = relu_ext_sort_axes(c->axes, n, &first, &c->first_count);
    c->x = PyArray_BYTES(array) + first;
}

/* Counts, with one of the axes cut. */
static void count_slice(const struct counting *c, const struct relu_ext_axis *axes, const char *x,
                        int64_t *counts)
{
    const struct relu_ext_axis inner = axes[c->naxes - 1];
    const bool by_row = inner.other == 0;
    struct relu_ext_axis row = {1, 0, 0}, others[NPY_MAXDIMS];
    size_t row_axis = c->naxes, count = 0, index[NPY_MAXDIMS];
    ptrdiff_t at = 0, count_at = 0;

    /* Besides the innermost, the kernels walk the longest; columns are counted over rows. */
    for (size_t i = 0; i + 1 < c->naxes; i++)
        if ((by_row || axes[i].other == 0) && (row_axis == c->naxes || axes[i].n > row.n)) {
            row = axes[i];
            row_axis = i;
        }
    for (size_t i = 0; i + 1 < c->naxes; i++)
        if (i != row_axis)
            others[count++] = axes[i];
    memset(index, 0, count * sizeof *index);
    do {
        const struct counted counted = {
            .x = x + at,
            .rows = row.n,
            .columns = inner.n,
            .row_stride = row.step,
            .column_stride = inner.step,
            .counts = counts + count_at,
            .count_stride = by_row ? row.other : inner.other,
            .any = c->any,
        };
        relu_ext_count(c->lane, by_row, &counted, c->test);
    } while (relu_ext_next_index(others, count, index, &at, &count_at));
}

/* Where slice s of an axis begins. */
static size_t slice_begin(const struct counting *c, size_t s)
{
    const size_t size = c->axes[c->split_axis].n;
    return size / c->slices * s + size % c->slices * s / c->slices;
}

static void count_slices(void *context, size_t begin, size_t end)
{
    const struct counting *c = context;
    for (size_t s = begin; s < end; s++) {
        const size_t first = slice_begin(c, s);
        struct relu_ext_axis axes[NPY_MAXDIMS];
        memcpy(axes, c->axes, c->naxes * sizeof *axes);
        struct relu_ext_axis *cut = &axes[c->split_axis];
        int64_t *counts = c->counts;
        if (cut->other == 0 && s > 0)
            counts = c->slice_counts + (s - 1) * c->total_counts;
        cut->n = slice_begin(c, s + 1) - first;
        count_slice(c, axes, c->x + (ptrdiff_t)first * cut->step,
                    counts + c->first_count + (ptrdiff_t)first * cut->other);
    }
}

/*
 * The axis to split over so many threads: one that is not summed, if it is long enough, so that
 * no two threads add to the same count; else the longest.
 */
static size_t find_split(const struct counting *c, size_t threads)
{
    size_t longest = 0, kept = c->naxes;
    for (size_t i = 0; i < c->naxes; i++) {
        const struct relu_ext_axis a = c->axes[i];
        const size_t together = a.step > 0 && a.step < 4096 ? 4096 / (size_t)a.step : 1;
        if (a.other != 0 && a.n / together >= 4 * threads
            && (kept == c->naxes || a.n > c->axes[kept].n))
            kept = i;
        if (a.n > c->axes[longest].n)
            longest = i;
    }
    return kept < c->naxes ? kept : longest;
}

/* Counts everything. Returns 0, or -1 without memory. */
static int count_all(struct counting *c, size_t bytes)
{
    size_t threads = 1;
    if (bytes >= relu_ext_get_parallel_bytes())
        threads = (size_t)relu_ext_get_num_threads();
    c->split_axis = find_split(c, threads);
    const struct relu_ext_axis split = c->axes[c->split_axis];
    c->slices = threads < split.n ? threads : split.n;
    c->slice_counts = NULL;

    const size_t more = split.other == 0 ? (c->slices - 1) * c->total_counts : 0;
    if (more > 0 && (c->slice_counts = calloc(more, sizeof(int64_t))) == NULL)
        return -1;
    relu_ext_parallel_for((struct relu_ext_parallel){
        .part = count_slices, .context = c, .count = c->slices, .bytes = bytes});
    for (size_t i = 0; i < more; i++)
        c->counts[i % c->total_counts] += c->slice_counts[i];
    free(c->slice_counts);
    return 0;
}

enum { ZEROS, FIRING, NEVER_FIRING };

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

PyObject *relu_ext_python_count(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
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
    const struct dtype *dtype = relu_ext_dtype_of(array);
    if (dtype == NULL) {
        PyErr_Format(PyExc_TypeError,
                     "y has dtype %S; it must be one that relu takes: bool, an integer or a float",
                     PyArray_DESCR(array));
        return NULL;
    }

    /* Read everything about the array at once: other threads may change its shape. */
    npy_intp shape[NPY_MAXDIMS];
    int ndim = 0;
    for (int i = 0; i < PyArray_NDIM(array); i++)
        if (!(summed >> i & 1))
            shape[ndim++] = PyArray_DIM(array, i);
    const npy_intp size = PyArray_SIZE(array);
    const size_t bytes = (size_t)PyArray_NBYTES(array);
    PyObject *counts = NULL;
    int64_t in_all = 0;
    struct counting c = {
        .lane = dtype->lane,
        .any = what == NEVER_FIRING,
        .counts = &in_all,
        .test = what == ZEROS ? &tests[dtype->relu].nonzero : &tests[dtype->relu].fires,
    };

    if (size > 0)
        find_axes(&c, array, summed);
    if (what != ZEROS) {
        counts = PyArray_ZEROS(ndim, shape, NPY_INT64, 0);
        if (counts == NULL)
            return NULL;
        c.counts = PyArray_DATA((PyArrayObject *)counts);
    }
    if (size > 0) {
        PyThreadState *thread = relu_ext_release_gil(bytes);
        int status = count_all(&c, bytes);
        relu_ext_acquire_gil(thread);
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
