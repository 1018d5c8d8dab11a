/*
 * The kernels that multiply or add, for one dtype: include with FLOAT_NAME (nf16 nbf16
 * nf32 nf64), FLOAT_BITS and the conversions from and to what it is computed in,
 * FLOAT_FROM and FLOAT_TO, defined. They run under the settings of float_env.h.
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

/* `passing` where x is positive or a NaN, else slope * x. */
RELU_EXT_INLINE BITS NAME(leaky)(BITS passing, BITS x, BITS factor, BITS slope, BITS T)
{
    BITS product = FLOAT_TO(FLOAT_FROM(slope) * FLOAT_FROM(factor)), mask = LANE(passes)(x, T);
    return (passing & mask) | (product & ~mask);
}

RELU_EXT_INLINE BITS NAME(leaky_relu_element)(BITS x, BITS b, BITS slope, BITS T)
{
    (void)b;
    return NAME(leaky)(x, x, x, slope, T);
}

RELU_EXT_INLINE BITS NAME(leaky_relu_grad_element)(BITS dy, BITS x, BITS slope, BITS T)
{
    return NAME(leaky)(dy, x, dy, slope, T);
}

RELU_EXT_INLINE BITS NAME(add_relu_element)(BITS a, BITS b, BITS c, BITS T)
{
    return LANE(relu_element)(FLOAT_TO(FLOAT_FROM(a) + FLOAT_FROM(c)), b, c, T);
}

#define BODY(name)                                                                     \
    RELU_EXT_INLINE void NAME(name)(const void *a, const void *b, const void *c,       \
                                    bool uniform, void *out, size_t n, BITS T)         \
    {                                                                                  \
        LANE(tiles)(NAME(name##_element), a, b, c, uniform, out, n, T);                  \
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
