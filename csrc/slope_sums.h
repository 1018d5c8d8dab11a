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

void relu_ext_slope_sums(enum relu_ext_number dtype, const char *dy, const char *x, double *sums,
                         size_t outer, size_t channels, size_t inner, size_t begin, size_t end)
{
#define NUMBER_SIZE(dtype, type, ...) sizeof(type),
    static const size_t sizes[] = {RELU_EXT_NUMBERS(NUMBER_SIZE, )};
    const struct isa *isa = current_isa();
    const size_t size = sizes[dtype];
    const relu_ext_float_env before = relu_ext_float_env_default();

    for (size_t c = begin; c < end && inner > 1; c++)
        sums[c] = sum_runs(isa, dtype, dy + c * inner * size, x + c * inner * size, size, outer,
                           channels * inner, inner);
    /* Channels last: their sums side by side. */
    for (size_t c = begin; c < end && inner == 1; c += SLOPE_TERMS_BLOCK) {
        double terms[SLOPE_TERMS_BLOCK];
        const size_t n = end - c < SLOPE_TERMS_BLOCK ? end - c : SLOPE_TERMS_BLOCK;
        memset(sums + c, 0, n * sizeof *sums);
        for (size_t o = 0; o < outer; o++) {
            const size_t at = (o * channels + c) * size;
            isa->slope_terms[dtype](dy + at, x + at, terms, n);
            for (size_t k = 0; k < n; k++)
                sums[c + k] += terms[k];
        }
    }
    for (size_t c = begin; c < end; c++) {
        const uint64_t bits = relu_ext_double_result(inner == 0 ? 0 : sums[c]);
        sums[c] = relu_ext_bits_double(bits);
    }
    relu_ext_float_env_restore(before);
}

#endif
