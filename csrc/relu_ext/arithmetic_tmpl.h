/*
 * The kernels that multiply or add, for one dtype: a template, see compiler.h. Besides
 * RELU_EXT_BITS it wants RELU_EXT_NUMBER (nf16 nbf16 nf32 nf64) and the conversions from and
 * to what it is computed in, RELU_EXT_FLOAT_FROM and RELU_EXT_FLOAT_TO; or, for f16,
 * RELU_EXT_FLOATS_FROM and RELU_EXT_FLOATS_TO for a group. The kernels run under the settings
 * of float_env.h.
 *
 * Sums and products of two 16-bit floats, computed in float, are rounded once: float
 * holds them exactly, or has so many more digits that rounding twice is the same. Only
 * bf16 products below float's own normal range are rounded there as well.
 *
 * A NaN that arithmetic makes is the positive quiet one without payload: what
 * processors make of it by themselves differs.
 */
#define RELU_EXT_NUMBER_(name) RELU_EXT_NUMBER_NAME_(name, RELU_EXT_NUMBER)
#define RELU_EXT_NUMBER_NAME_(name, number) RELU_EXT_NUMBER_NAME__(name, number)
#define RELU_EXT_NUMBER_NAME__(name, number) relu_ext_##name##_##number

#ifdef RELU_EXT_FLOATS_FROM
/*
 * What is done to floats and what to bits are loops of their own, over as many elements as are
 * converted at a time: what one has stored, the next must be able to load in one piece.
 */
#define RELU_EXT_CALCULATE(name, operator)                                             \
    RELU_EXT_INLINE void RELU_EXT_NUMBER_(name)(                                       \
        const RELU_EXT_(any) *a, const RELU_EXT_(any) *b, RELU_EXT_INT *out,           \
        const struct relu_ext_f16 *f16)                                                \
    {                                                                                  \
        float x[RELU_EXT_F16_GROUP], y[RELU_EXT_F16_GROUP];                            \
        RELU_EXT_FLOATS_FROM(x, a, RELU_EXT_F16_GROUP, f16);                           \
        RELU_EXT_FLOATS_FROM(y, b, RELU_EXT_F16_GROUP, f16);                           \
        RELU_EXT_ONE_BLOCK                                                             \
        for (size_t i = 0; i < RELU_EXT_F16_GROUP; i++)                                \
            x[i] = relu_ext_bits_float(relu_ext_float_result(x[i] operator y[i]));     \
        RELU_EXT_FLOATS_TO(out, x, RELU_EXT_F16_GROUP, f16);                           \
    }
RELU_EXT_CALCULATE(multiply, *)
RELU_EXT_CALCULATE(add, +)

/* `passing` where x is positive or a NaN, else slope * factor. */
RELU_EXT_INLINE void RELU_EXT_NUMBER_(leaky)(const RELU_EXT_(any) *passing, const RELU_EXT_(any) *x,
                                             const RELU_EXT_(any) *factor,
                                             const RELU_EXT_(any) *slope, RELU_EXT_(any) *out,
                                             RELU_EXT_INT threshold, const struct relu_ext_f16 *f16)
{
    RELU_EXT_INT product[RELU_EXT_F16_GROUP];
    for (size_t k = 0; k < RELU_EXT_(LINE); k += RELU_EXT_F16_GROUP) {
        RELU_EXT_NUMBER_(multiply)(slope + k, factor + k, product, f16);
    RELU_EXT_ONE_BLOCK
        for (size_t i = 0; i < RELU_EXT_F16_GROUP; i++)
            out[k + i] = product[i] ^ ((product[i] ^ passing[k + i])
                                       & RELU_EXT_(passes)(x[k + i], threshold));
    }
}

RELU_EXT_INLINE void RELU_EXT_NUMBER_(add_relu_line)(const RELU_EXT_(any) *a,
                                                     const RELU_EXT_(any) *b,
                                                     const RELU_EXT_(any) *c, RELU_EXT_(any) *out,
                                                     RELU_EXT_INT threshold,
                                                     const struct relu_ext_f16 *f16)
{
    RELU_EXT_INT sum[RELU_EXT_F16_GROUP];
    (void)b;
    for (size_t k = 0; k < RELU_EXT_(LINE); k += RELU_EXT_F16_GROUP) {
        RELU_EXT_NUMBER_(add)(a + k, c + k, sum, f16);
        RELU_EXT_ONE_BLOCK
        for (size_t i = 0; i < RELU_EXT_F16_GROUP; i++)
            out[k + i] = RELU_EXT_(relu_element)(sum[i], 0, 0, threshold);
    }
}

#else
RELU_EXT_INLINE void RELU_EXT_NUMBER_(leaky)(const RELU_EXT_(any) *passing, const RELU_EXT_(any) *x,
                                             const RELU_EXT_(any) *factor,
                                             const RELU_EXT_(any) *slope, RELU_EXT_(any) *out,
                                             RELU_EXT_INT threshold, const struct relu_ext_f16 *f16)
{
    (void)threshold, (void)f16;
    RELU_EXT_ONE_BLOCK
    for (size_t i = 0; i < RELU_EXT_(LINE); i++) {
        const RELU_EXT_INT product =
            RELU_EXT_FLOAT_TO(RELU_EXT_FLOAT_FROM(slope[i]) * RELU_EXT_FLOAT_FROM(factor[i]));
        out[i] = RELU_EXT_FLOAT_FROM(x[i]) <= 0 ? product : passing[i];
    }
}

RELU_EXT_INLINE void RELU_EXT_NUMBER_(add_relu_line)(const RELU_EXT_(any) *a,
                                                     const RELU_EXT_(any) *b,
                                                     const RELU_EXT_(any) *c, RELU_EXT_(any) *out,
                                                     RELU_EXT_INT threshold,
                                                     const struct relu_ext_f16 *f16)
{
    (void)b, (void)f16;
    RELU_EXT_ONE_BLOCK
    for (size_t i = 0; i < RELU_EXT_(LINE); i++)
        out[i] = RELU_EXT_(relu_element)(
            RELU_EXT_FLOAT_TO(RELU_EXT_FLOAT_FROM(a[i]) + RELU_EXT_FLOAT_FROM(c[i])), 0, 0,
            threshold);
}
#endif

RELU_EXT_INLINE void RELU_EXT_NUMBER_(leaky_relu_line)(const RELU_EXT_(any) *x,
                                                       const RELU_EXT_(any) *b,
                                                       const RELU_EXT_(any) *slope,
                                                       RELU_EXT_(any) *y, RELU_EXT_INT threshold,
                                                       const struct relu_ext_f16 *f16)
{
    (void)b;
    RELU_EXT_NUMBER_(leaky)(x, x, x, slope, y, threshold, f16);
}

RELU_EXT_INLINE void RELU_EXT_NUMBER_(leaky_relu_grad_line)(const RELU_EXT_(any) *dy,
                                                            const RELU_EXT_(any) *x,
                                                            const RELU_EXT_(any) *slope,
                                                            RELU_EXT_(any) *dx,
                                                            RELU_EXT_INT threshold,
                                                            const struct relu_ext_f16 *f16)
{
    RELU_EXT_NUMBER_(leaky)(dy, x, dy, slope, dx, threshold, f16);
}

#define RELU_EXT_BODY(name)                                                                        \
    RELU_EXT_INLINE void RELU_EXT_NUMBER_(name)(const void *a, const void *b, const void *c,       \
                                    bool uniform, void *out, size_t n, RELU_EXT_INT threshold,     \
                                    const struct relu_ext_f16 *f16)                                \
    {                                                                                              \
        RELU_EXT_(lines)(RELU_EXT_NUMBER_(name##_line), a, b, c, uniform, out, n, threshold, f16); \
    }
RELU_EXT_BODY(leaky_relu)
RELU_EXT_BODY(leaky_relu_grad)
RELU_EXT_BODY(add_relu)

#undef RELU_EXT_CALCULATE
#undef RELU_EXT_BODY
#undef RELU_EXT_NUMBER_
#undef RELU_EXT_NUMBER_NAME_
#undef RELU_EXT_NUMBER_NAME__
#undef RELU_EXT_NUMBER
#undef RELU_EXT_BITS
#undef RELU_EXT_FLOAT_FROM
#undef RELU_EXT_FLOAT_TO
#undef RELU_EXT_FLOATS_FROM
#undef RELU_EXT_FLOATS_TO
