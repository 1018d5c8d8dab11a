/*
 * The kernels that multiply or add, for one dtype: include with FLOAT_NAME (nf16 nbf16
 * nf32 nf64), FLOAT_BITS and the conversions from and to what it is computed in,
 * FLOAT_FROM and FLOAT_TO, defined; or, for f16, FLOATS_FROM and FLOATS_TO for whole
 * tiles. They run under the settings of float_env.h.
 *
 * Sums and products of two 16-bit floats, computed in float, are rounded once: float
 * holds them exactly, or has so many more digits that rounding twice is the same. Only
 * bf16 products below float's own normal range are rounded there as well.
 *
 * A NaN that arithmetic makes is the positive quiet one without payload: what
 * processors make of it by themselves differs.
 */
#define NAME__(name, dtype) name##_##dtype
#define NAME_(name, dtype) NAME__(name, dtype)
#define NAME(name) NAME_(name, FLOAT_NAME)
#define LANE__(name, bits) name##_b##bits
#define LANE_(name, bits) LANE__(name, bits)
#define LANE(name) LANE_(name, FLOAT_BITS)
#define BITS__(bits) int##bits##_t
#define BITS_(bits) BITS__(bits)
#define BITS BITS_(FLOAT_BITS)

#ifdef FLOATS_FROM
/* What is done to floats and what to bits are loops of their own. */
#define CALCULATE(name, operator)                                                      \
    RELU_EXT_INLINE void NAME(name)(const LANE(any) *a, const LANE(any) *b, BITS *out, \
                                    const struct f16_conversions *f16)                 \
    {                                                                                  \
        float x[LANE(TILE)], y[LANE(TILE)];                                            \
        FLOATS_FROM(x, a, LANE(TILE), f16);                                            \
        FLOATS_FROM(y, b, LANE(TILE), f16);                                            \
        for (size_t i = 0; i < LANE(TILE); i++)                                        \
            x[i] = relu_ext_bits_float(relu_ext_float_result(x[i] operator y[i]));     \
        FLOATS_TO(out, x, LANE(TILE), f16);                                            \
    }
CALCULATE(multiply, *)
CALCULATE(add, +)

/* `passing` where x is positive or a NaN, else slope * factor. */
RELU_EXT_INLINE void NAME(leaky)(const LANE(any) *passing, const LANE(any) *x,
                                 const LANE(any) *factor, const LANE(any) *slope,
                                 LANE(any) *out, BITS T, const struct f16_conversions *f16)
{
    BITS product[LANE(TILE)];
    NAME(multiply)(slope, factor, product, f16);
    RELU_EXT_NO_OVERLAP
    for (size_t i = 0; i < LANE(TILE); i++) {
        const BITS mask = LANE(passes)(x[i], T);
        out[i] = (passing[i] & mask) | (product[i] & ~mask);
    }
}

RELU_EXT_INLINE void NAME(add_relu_tile)(const LANE(any) *a, const LANE(any) *b,
                                         const LANE(any) *c, LANE(any) *out, BITS T,
                                         const struct f16_conversions *f16)
{
    BITS sum[LANE(TILE)];
    (void)b;
    NAME(add)(a, c, sum, f16);
    for (size_t i = 0; i < LANE(TILE); i++)
        out[i] = LANE(relu_element)(sum[i], 0, 0, T);
}

#else
RELU_EXT_INLINE void NAME(leaky)(const LANE(any) *passing, const LANE(any) *x,
                                 const LANE(any) *factor, const LANE(any) *slope,
                                 LANE(any) *out, BITS T, const struct f16_conversions *f16)
{
    (void)T, (void)f16;
    RELU_EXT_NO_OVERLAP
    for (size_t i = 0; i < LANE(TILE); i++) {
        const BITS product = FLOAT_TO(FLOAT_FROM(slope[i]) * FLOAT_FROM(factor[i]));
        out[i] = FLOAT_FROM(x[i]) <= 0 ? product : passing[i];
    }
}

RELU_EXT_INLINE void NAME(add_relu_tile)(const LANE(any) *a, const LANE(any) *b,
                                         const LANE(any) *c, LANE(any) *out, BITS T,
                                         const struct f16_conversions *f16)
{
    (void)b, (void)f16;
    RELU_EXT_NO_OVERLAP
    for (size_t i = 0; i < LANE(TILE); i++)
        out[i] = LANE(relu_element)(FLOAT_TO(FLOAT_FROM(a[i]) + FLOAT_FROM(c[i])), 0, 0, T);
}
#endif

RELU_EXT_INLINE void NAME(leaky_relu_tile)(const LANE(any) *x, const LANE(any) *b,
                                           const LANE(any) *slope, LANE(any) *y, BITS T,
                                           const struct f16_conversions *f16)
{
    (void)b;
    NAME(leaky)(x, x, x, slope, y, T, f16);
}

RELU_EXT_INLINE void NAME(leaky_relu_grad_tile)(const LANE(any) *dy, const LANE(any) *x,
                                                const LANE(any) *slope, LANE(any) *dx, BITS T,
                                                const struct f16_conversions *f16)
{
    NAME(leaky)(dy, x, dy, slope, dx, T, f16);
}

#define BODY(name)                                                                     \
    RELU_EXT_INLINE void NAME(name)(const void *a, const void *b, const void *c,       \
                                    bool uniform, void *out, size_t n, BITS T,         \
                                    const struct f16_conversions *f16)                 \
    {                                                                                  \
        LANE(tiles)(NAME(name##_tile), a, b, c, uniform, out, n, T, f16);              \
    }
BODY(leaky_relu)
BODY(leaky_relu_grad)
BODY(add_relu)

/* dy * x, in double and rounded there, where x is neither positive nor a NaN; else 0. */
RELU_EXT_INLINE void NAME(slope_terms)(const void *dy, const void *x, double *out, size_t n, BITS T)
{
    const LANE(any) *a = dy, *b = x;
    RELU_EXT_NO_OVERLAP
    for (size_t i = 0; i < n; i++) {
        const double product = (double)FLOAT_FROM(a[i]) * (double)FLOAT_FROM(b[i]);
        const int64_t passes = LANE(passes)(b[i], T);
        out[i] = relu_ext_bits_double(relu_ext_double_bits(product) & ~(uint64_t)passes);
    }
}

#undef CALCULATE
#undef BODY
#undef NAME
#undef NAME_
#undef NAME__
#undef LANE
#undef LANE_
#undef LANE__
#undef BITS
#undef BITS_
#undef BITS__
#undef FLOAT_NAME
#undef FLOAT_BITS
#undef FLOAT_FROM
#undef FLOAT_TO
#undef FLOATS_FROM
#undef FLOATS_TO
