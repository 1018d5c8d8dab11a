/*
 * The kernels that multiply or add, for one dtype: a template, see compiler.h. Besides
 * RELU_EXT_BITS it wants RELU_EXT_NUMBER (nf16 nbf16 nf32 nf64) and, but for f16, which is
 * converted in groups: RELU_EXT_REAL, which it is computed in, the conversions from it and to it,
 * RELU_EXT_REAL_FROM and, of what is not a NaN, RELU_EXT_REAL_TO; RELU_EXT_NAN_BITS, of the
 * positive quiet NaN without payload; and what isa.h may have for a line, RELU_EXT_LEAKY and
 * RELU_EXT_SUM. The kernels run under the settings of float_env.h, where these matter.
 *
 * Sums and products of two 16-bit floats, computed in float, are rounded once: float
 * holds them exactly, or has so many more digits that rounding twice is the same. Only
 * bf16 products below float's own normal range are rounded there as well.
 *
 * A NaN that arithmetic makes is the positive quiet one without payload: what
 * processors make of it by themselves differs. With `number`, no product that counts is a NaN,
 * and none is looked for.
 */
#define RELU_EXT_NUMBER_(name) RELU_EXT_NUMBER_NAME_(name, RELU_EXT_NUMBER)
#define RELU_EXT_NUMBER_NAME_(name, number) RELU_EXT_NUMBER_NAME__(name, number)
#define RELU_EXT_NUMBER_NAME__(name, number) relu_ext_##name##_##number

#ifndef RELU_EXT_REAL
/*
 * What is done to floats and what to bits are loops of their own, over as many elements as are
 * converted at a time: what one has stored, the next must be able to load in one piece.
 */

/* `passing` where x is positive or a NaN, else slope * factor. */
RELU_EXT_INLINE void RELU_EXT_NUMBER_(leaky)(const RELU_EXT_(any) *passing, const RELU_EXT_(any) *x,
                                             const RELU_EXT_(any) *factor,
                                             const RELU_EXT_(any) *slope, bool number,
                                             RELU_EXT_(any) *out, RELU_EXT_INT threshold,
                                             const struct relu_ext_ops *ops)
{
    float left[RELU_EXT_F16_GROUP], right[RELU_EXT_F16_GROUP];
    RELU_EXT_INT product[RELU_EXT_F16_GROUP];
    const float by = relu_ext_float_from_f16((uint16_t)*slope); /* by the `number` */
    const size_t group = relu_ext_late(RELU_EXT_F16_GROUP, x);

    if (ops->leaky_f16 != NULL) {
        ops->leaky_f16(out, passing, x, factor, slope, number);
        return;
    }
    RELU_EXT_GROUP_LOOP
    for (size_t k = 0; k < RELU_EXT_(per_line); k += RELU_EXT_F16_GROUP) {
        if (!number)
            relu_ext_floats_from_f16(left, slope + k, RELU_EXT_F16_GROUP, ops);
        relu_ext_floats_from_f16(right, factor + k, RELU_EXT_F16_GROUP, ops);
        RELU_EXT_FLOAT_LOOP
        for (size_t i = 0; i < group; i++) {
            left[i] = (number ? by : left[i]) * right[i];
            if (!number)
                left[i] = relu_ext_bits_float(relu_ext_float_result(left[i]));
        }
        relu_ext_floats_to_f16(product, left, RELU_EXT_F16_GROUP, ops);
        RELU_EXT_FLOAT_LOOP
        for (size_t i = 0; i < group; i++)
            out[k + i] = product[i]
                         ^ ((product[i] ^ passing[k + i]) & RELU_EXT_(passes)(x[k + i], threshold));
    }
}

RELU_EXT_INLINE void RELU_EXT_NUMBER_(add_relu_line)(const RELU_EXT_(any) *a,
                                                     const RELU_EXT_(any) *b,
                                                     const RELU_EXT_(any) *c, RELU_EXT_(any) *out,
                                                     RELU_EXT_INT threshold,
                                                     const struct relu_ext_ops *ops)
{
    float left[RELU_EXT_F16_GROUP], right[RELU_EXT_F16_GROUP];
    const size_t group = relu_ext_late(RELU_EXT_F16_GROUP, a);

    (void)b, (void)threshold;
    if (ops->sum_f16 != NULL) {
        ops->sum_f16(out, a, c);
        return;
    }
    RELU_EXT_GROUP_LOOP
    for (size_t k = 0; k < RELU_EXT_(per_line); k += RELU_EXT_F16_GROUP) {
        relu_ext_floats_from_f16(left, a + k, RELU_EXT_F16_GROUP, ops);
        relu_ext_floats_from_f16(right, c + k, RELU_EXT_F16_GROUP, ops);
        RELU_EXT_FLOAT_LOOP
        for (size_t i = 0; i < group; i++) {
            const float sum = left[i] + right[i], relu = sum > 0 ? sum : 0;
            left[i] = sum != sum ? relu_ext_bits_float(0x7FC00000) : relu;
        }
        relu_ext_floats_to_f16(out + k, left, RELU_EXT_F16_GROUP, ops);
    }
}

#else
RELU_EXT_INLINE void RELU_EXT_NUMBER_(leaky)(const RELU_EXT_(any) *passing, const RELU_EXT_(any) *x,
                                             const RELU_EXT_(any) *factor,
                                             const RELU_EXT_(any) *slope, bool number,
                                             RELU_EXT_(any) *out, RELU_EXT_INT threshold,
                                             const struct relu_ext_ops *ops)
{
    RELU_EXT_REAL product[RELU_EXT_(per_line)];
    const size_t length = relu_ext_late(RELU_EXT_(per_line), x);

    (void)threshold;
    if (ops->RELU_EXT_LEAKY != NULL) {
        ops->RELU_EXT_LEAKY(out, passing, x, factor, slope, number);
        return;
    }
#ifdef __clang__
    /* If it knew that this is x, Clang would multiply by 1, and make signalling NaNs quiet. */
    __asm__("" : "+r"(passing));
#endif
    RELU_EXT_FLOAT_LOOP
    for (size_t i = 0; i < length; i++) {
        const RELU_EXT_REAL y = RELU_EXT_REAL_FROM(slope[i]) * RELU_EXT_REAL_FROM(factor[i]);
        product[i] = !number && y != y ? RELU_EXT_REAL_FROM(RELU_EXT_NAN_BITS) : y;
#ifndef __clang__
    }
    /* In one loop GCC would branch around the product, and leave it a loop of scalars. */
    RELU_EXT_FLOAT_LOOP
    for (size_t i = 0; i < length; i++) {
#endif
        /* Loaded in any case, or Clang would choose between addresses. */
        const RELU_EXT_INT pass = passing[i], other = RELU_EXT_REAL_TO(product[i]);
        out[i] = RELU_EXT_REAL_FROM(x[i]) <= 0 ? other : pass;
    }
}

RELU_EXT_INLINE void RELU_EXT_NUMBER_(add_relu_line)(const RELU_EXT_(any) *a,
                                                     const RELU_EXT_(any) *b,
                                                     const RELU_EXT_(any) *c, RELU_EXT_(any) *out,
                                                     RELU_EXT_INT threshold,
                                                     const struct relu_ext_ops *ops)
{
    const size_t length = relu_ext_late(RELU_EXT_(per_line), a);

    (void)b, (void)threshold;
    if (ops->RELU_EXT_SUM != NULL) {
        ops->RELU_EXT_SUM(out, a, c);
        return;
    }
    RELU_EXT_FLOAT_LOOP
    for (size_t i = 0; i < length; i++) {
        const RELU_EXT_REAL sum = RELU_EXT_REAL_FROM(a[i]) + RELU_EXT_REAL_FROM(c[i]);
        const RELU_EXT_REAL relu = sum > 0 ? sum : 0;
        out[i] = sum != sum ? RELU_EXT_NAN_BITS : RELU_EXT_REAL_TO(relu);
    }
}
#endif

#define RELU_EXT_LEAKY_LINE(name, passing, x, factor, number)                          \
    RELU_EXT_INLINE void RELU_EXT_NUMBER_(name)(                                       \
        const RELU_EXT_(any) *a, const RELU_EXT_(any) *b, const RELU_EXT_(any) *c,     \
        RELU_EXT_(any) *out, RELU_EXT_INT threshold, const struct relu_ext_ops *ops)   \
    {                                                                                  \
        (void)b;                                                                       \
        RELU_EXT_NUMBER_(leaky)(passing, x, factor, c, number, out, threshold, ops);   \
    }
RELU_EXT_LEAKY_LINE(leaky_relu_line, a, a, a, false)
RELU_EXT_LEAKY_LINE(leaky_by_number_line, a, a, a, true)
RELU_EXT_LEAKY_LINE(leaky_relu_grad_line, a, b, a, false)

#define RELU_EXT_BODY_HEAD(name)                                                               \
    RELU_EXT_INLINE void RELU_EXT_NUMBER_(name)(const void *a, const void *b, const void *c,   \
                                    bool uniform, void *out, size_t n, RELU_EXT_INT threshold, \
                                    const struct relu_ext_ops *ops)
#define RELU_EXT_BODY(name)                                                                        \
    RELU_EXT_BODY_HEAD(name)                                                                       \
    {                                                                                              \
        RELU_EXT_(lines)(RELU_EXT_NUMBER_(name##_line), a, b, c, uniform, out, n, threshold, ops); \
    }
RELU_EXT_BODY(leaky_relu_grad)
RELU_EXT_BODY(add_relu)

/* Times a number, unless that is 0 or infinite, no number is a NaN. */
RELU_EXT_BODY_HEAD(leaky_relu)
{
    const RELU_EXT_(any) *slope = c;
    const RELU_EXT_INT magnitude = *slope & RELU_EXT_INT_MAX;
    if (uniform && magnitude > 0 && magnitude < RELU_EXT_(infinity)(threshold))
        RELU_EXT_(lines)(RELU_EXT_NUMBER_(leaky_by_number_line), a, b, c, true, out, n, threshold,
                         ops);
    else
        RELU_EXT_(lines)(RELU_EXT_NUMBER_(leaky_relu_line), a, b, c, uniform, out, n, threshold,
                         ops);
}

#undef RELU_EXT_LEAKY_LINE
#undef RELU_EXT_BODY_HEAD
#undef RELU_EXT_BODY
#undef RELU_EXT_NUMBER_
#undef RELU_EXT_NUMBER_NAME_
#undef RELU_EXT_NUMBER_NAME__
#undef RELU_EXT_NUMBER
#undef RELU_EXT_BITS
#undef RELU_EXT_REAL
#undef RELU_EXT_REAL_FROM
#undef RELU_EXT_REAL_TO
#undef RELU_EXT_NAN_BITS
#undef RELU_EXT_LEAKY
#undef RELU_EXT_SUM
