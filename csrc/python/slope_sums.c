/* The gradient of PReLU's slopes. */
#include "functions.h"

#include <string.h>

#include "dtypes.h"
#include "relu_ext/float_env.h"
#include "relu_ext/numbers.h"
#include "threads.h"

typedef void slope_terms(const void *dy, const void *x, double *out, size_t n);

/* The numbers' bits, at any address, and what they are worth. */
typedef int16_t any_f16 RELU_EXT_ANY_POINTER;
typedef int16_t any_bf16 RELU_EXT_ANY_POINTER;
typedef int32_t any_f32 RELU_EXT_ANY_POINTER;
typedef int64_t any_f64 RELU_EXT_ANY_POINTER;
#define WORTH_f16(bits) relu_ext_float_from_f16((uint16_t)(bits))
#define WORTH_bf16(bits) relu_ext_float_from_bf16((uint16_t)(bits))
#define WORTH_f32(bits) relu_ext_bits_float((uint32_t)(bits))
#define WORTH_f64(bits) relu_ext_bits_double((uint64_t)(bits))

/*
 * slope_terms_f32_avx2, and so on: dy * x, in double and rounded there, where x is neither
 * positive nor a NaN; else 0.
 */
#define DEFINE_SLOPE_TERMS(dtype, type, lane, threshold, isa, target)                          \
    static target void slope_terms_##dtype##_##isa(const void *dy, const void *x, double *out, \
                                                   size_t n)                                   \
    {                                                                                          \
        const any_##dtype *a = dy, *b = x;                                                     \
        RELU_EXT_NO_OVERLAP                                                                    \
        for (size_t i = 0; i < n; i++) {                                                       \
            const double product = (double)WORTH_##dtype(a[i]) * (double)WORTH_##dtype(b[i]);  \
            const int64_t passes = ((b[i] > (threshold)) & (b[i] != 0)) ? -1 : 0;              \
            out[i] = relu_ext_bits_double(relu_ext_double_bits(product) & ~(uint64_t)passes);  \
        }                                                                                      \
    }
#define DEFINE_ALL_SLOPE_TERMS(isa, target, supported)                                 \
    RELU_EXT_NUMBERS(DEFINE_SLOPE_TERMS, isa, target)
RELU_EXT_ISAS(DEFINE_ALL_SLOPE_TERMS)

/* In the order of RELU_EXT_ISAS, by relu's kernel for the dtype. */
#define TERMS_POINTER(dtype, type, lane, threshold, isa)                               \
    [relu_ext_id_relu_##dtype] = slope_terms_##dtype##_##isa,
#define ISA_TERMS(isa, target, supported) {RELU_EXT_NUMBERS(TERMS_POINTER, isa)},
static slope_terms *const terms_of[][RELU_EXT_ID_COUNT] = {RELU_EXT_ISAS(ISA_TERMS)};

/* Terms worked out at a time: apart from the sums, as a compiler might fuse what it sees as one. */
enum { TERMS = 512, SUMS = 8 };

/* Contiguous arrays (outer, channels, inner), and the channels' gradients, of one dtype. */
struct slope_sums {
    enum relu_ext_id dtype; /* by relu's kernel */
    const char *dy, *x;
    char *grad;
    size_t size, outer, channels, inner;
};

/* All of a channel's elements are a few runs of `inner`: eight sums, taken in turn. */
static double sum_runs(const struct slope_sums *s, slope_terms *work_out, size_t channel)
{
    double sums[SUMS] = {0}, terms[TERMS];
    for (size_t o = 0; o < s->outer; o++)
        for (size_t i = 0; i < s->inner; i += TERMS) {
            const size_t at = ((o * s->channels + channel) * s->inner + i) * s->size;
            size_t n = s->inner - i < TERMS ? s->inner - i : TERMS;
            work_out(s->dy + at, s->x + at, terms, n);
            for (; n % SUMS; n++)
                terms[n] = 0;
            for (size_t k = 0; k < n; k += SUMS)
                for (size_t j = 0; j < SUMS; j++)
                    sums[j] += terms[k + j];
        }
    return ((sums[0] + sums[1]) + (sums[2] + sums[3]))
           + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

/* Rounded to the dtype, by way of float where it is shorter. */
static void store_sum(const struct slope_sums *s, double sum, size_t channel)
{
    const float rounded = (float)sum;
    const uint64_t f64 = relu_ext_double_result(sum);
    const uint32_t f32 = relu_ext_float_result(rounded);
    const uint16_t f16 = relu_ext_f16_from_float(rounded), bf16 = relu_ext_bf16_from_float(rounded);
    const void *from = s->dtype == relu_ext_id_relu_f16    ? (const void *)&f16
                       : s->dtype == relu_ext_id_relu_bf16 ? (const void *)&bf16
                       : s->dtype == relu_ext_id_relu_f32  ? (const void *)&f32
                                                           : (const void *)&f64;
    memcpy(s->grad + channel * s->size, from, s->size);
}

/*
 * The order of the sums depends on the three sizes only. Not to be inlined: arithmetic must
 * not move out from between the changes of settings.
 */
static RELU_EXT_NOINLINE void sum_channels(const struct slope_sums *s, size_t begin, size_t end)
{
    slope_terms *work_out = terms_of[relu_ext_isa_index()][s->dtype];

    for (size_t c = begin; c < end && s->inner != 1; c++)
        store_sum(s, sum_runs(s, work_out, c), c);
    /* Channels last: their sums side by side. */
    for (size_t c = begin; c < end && s->inner == 1; c += TERMS) {
        double terms[TERMS], sums[TERMS] = {0};
        const size_t n = end - c < TERMS ? end - c : TERMS;
        for (size_t o = 0; o < s->outer; o++) {
            const size_t at = (o * s->channels + c) * s->size;
            work_out(s->dy + at, s->x + at, terms, n);
            for (size_t k = 0; k < n; k++)
                sums[k] += terms[k];
        }
        for (size_t k = 0; k < n; k++)
            store_sum(s, sums[k], c + k);
    }
}

static void sum_part(void *context, size_t begin, size_t end)
{
    const relu_ext_float_env before = relu_ext_float_env_default();
    sum_channels(context, begin, end);
    relu_ext_float_env_restore(before);
}

PyObject *relu_ext_python_slope_sums(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    if (nargs != 5 || !PyArray_Check(args[0]) || !PyArray_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "slope_sums(dy, x, outer, channels, inner)");
        return NULL;
    }
    PyArrayObject *dy = (PyArrayObject *)args[0], *x = (PyArrayObject *)args[1];
    const struct dtype *dtype = relu_ext_dtype_of(x);
    if (dtype == NULL || terms_of[0][dtype->relu] == NULL) {
        PyErr_Format(PyExc_TypeError,
                     "x has dtype %S; it must be float16, bfloat16, float32 or float64",
                     PyArray_DESCR(x));
        return NULL;
    }
    struct slope_sums s = {
        .dtype = dtype->relu,
        .dy = PyArray_DATA(dy),
        .x = PyArray_DATA(x),
        .size = relu_ext_kernels[dtype->relu].size,
        .outer = PyLong_AsSize_t(args[2]),
        .channels = PyLong_AsSize_t(args[3]),
        .inner = PyLong_AsSize_t(args[4]),
    };
    if (PyErr_Occurred())
        return NULL;
    npy_intp channels = (npy_intp)s.channels;
    const size_t pixels = s.channels ? (size_t)PyArray_SIZE(x) / s.channels : 0;
    if (s.channels > 0 && s.inner > 0 && s.outer != pixels / s.inner) {
        PyErr_SetString(PyExc_ValueError, "x was changed by another thread during the call");
        return NULL;
    }
    const npy_intp size = (npy_intp)(s.outer * s.channels * s.inner);
    const size_t bytes = 2 * (size_t)size * s.size;
    if (!relu_ext_is_as_checked(x, "x", PyArray_TYPE(x), size, false)
        || !relu_ext_is_as_checked(dy, "dy", PyArray_TYPE(x), size, false))
        return NULL;
    Py_INCREF(PyArray_DESCR(x));
    PyObject *grad = PyArray_NewFromDescr(&PyArray_Type, PyArray_DESCR(x), 1, &channels, NULL, NULL,
                                          0, NULL);
    if (grad == NULL)
        return NULL;
    s.grad = PyArray_DATA((PyArrayObject *)grad);

    PyThreadState *thread = relu_ext_release_gil(bytes);
    relu_ext_parallel_for((struct relu_ext_parallel){
        .part = sum_part, .context = &s, .count = s.channels, .bytes = bytes});
    relu_ext_acquire_gil(thread);
    return grad;
}
