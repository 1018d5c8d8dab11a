/*
 * The gradient of PReLU's slopes, as dispatch.h has it. relu_ext.c includes this, for the
 * Python module.
 */
#ifndef RELU_EXT_SLOPE_SUMS_H
#define RELU_EXT_SLOPE_SUMS_H

/* Terms worked out at a time: apart from the sums, as a compiler might fuse what it sees as one. */
enum { SLOPE_TERMS_BLOCK = 512, SLOPE_SUMS = 8 };

/* All of a channel's elements are a few runs of `inner`: eight sums, taken in turn. */
static double sum_runs(const struct isa *isa, enum relu_ext_number dtype, const char *dy,
                       const char *x, size_t size, size_t outer, size_t stride, size_t inner)
{
    double sums[SLOPE_SUMS] = {0}, terms[SLOPE_TERMS_BLOCK];
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < inner; i += SLOPE_TERMS_BLOCK) {
            const size_t at = (o * stride + i) * size;
            size_t n = inner - i < SLOPE_TERMS_BLOCK ? inner - i : SLOPE_TERMS_BLOCK;
            isa->slope_terms[dtype](dy + at, x + at, terms, n);
            for (; n % SLOPE_SUMS; n++)
                terms[n] = 0;
            for (size_t k = 0; k < n; k += SLOPE_SUMS)
                for (size_t s = 0; s < SLOPE_SUMS; s++)
                    sums[s] += terms[k + s];
        }
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

/* Rounded to the dtype, by way of float where it is shorter. */
static void store_slope_sum(enum relu_ext_number dtype, double sum, char *to)
{
    const float rounded = (float)sum;
    const uint64_t f64 = relu_ext_double_result(sum);
    const uint32_t f32 = relu_ext_float_result(rounded);
    const uint16_t f16 = relu_ext_f16_from_float(rounded), bf16 = relu_ext_bf16_from_float(rounded);

    switch (dtype) {
    case relu_ext_number_f16: memcpy(to, &f16, sizeof f16); break;
    case relu_ext_number_bf16: memcpy(to, &bf16, sizeof bf16); break;
    case relu_ext_number_f32: memcpy(to, &f32, sizeof f32); break;
    default: memcpy(to, &f64, sizeof f64);
    }
}

/* Not to be inlined: arithmetic must not move out from between the changes of settings. */
static RELU_EXT_NOINLINE void sum_slopes(enum relu_ext_number dtype, const char *dy,
                                         const char *x, char *grad, size_t outer,
                                         size_t channels, size_t inner, size_t begin, size_t end)
{
#define NUMBER_SIZE(dtype, type, ...) sizeof(type),
    static const size_t sizes[] = {RELU_EXT_NUMBERS(NUMBER_SIZE, )};
    const struct isa *isa = current_isa();
    const size_t size = sizes[dtype];

    for (size_t c = begin; c < end && inner != 1; c++)
        store_slope_sum(dtype, sum_runs(isa, dtype, dy + c * inner * size, x + c * inner * size,
                                        size, outer, channels * inner, inner),
                        grad + c * size);
    /* Channels last: their sums side by side. */
    for (size_t c = begin; c < end && inner == 1; c += SLOPE_TERMS_BLOCK) {
        double terms[SLOPE_TERMS_BLOCK], sums[SLOPE_TERMS_BLOCK] = {0};
        const size_t n = end - c < SLOPE_TERMS_BLOCK ? end - c : SLOPE_TERMS_BLOCK;
        for (size_t o = 0; o < outer; o++) {
            const size_t at = (o * channels + c) * size;
            isa->slope_terms[dtype](dy + at, x + at, terms, n);
            for (size_t k = 0; k < n; k++)
                sums[k] += terms[k];
        }
        for (size_t k = 0; k < n; k++)
            store_slope_sum(dtype, sums[k], grad + (c + k) * size);
    }
}

void relu_ext_slope_sums(enum relu_ext_number dtype, const char *dy, const char *x, char *grad,
                         size_t outer, size_t channels, size_t inner, size_t begin, size_t end)
{
    const relu_ext_float_env before = relu_ext_float_env_default();
    sum_slopes(dtype, dy, x, grad, outer, channels, inner, begin, end);
    relu_ext_float_env_restore(before);
}

#endif
