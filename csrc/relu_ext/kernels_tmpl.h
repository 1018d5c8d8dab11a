/*
 * The kernels that look at bits only, for one lane: include with RELU_EXT_BITS (8, 16,
 * 32, 64) defined. RELU_EXT_(relu) is then relu_b32, and so on.
 *
 * What an operation does to one element is a function of lanes, without a
 * branch. How elements are walked is written apart from it. Everything is
 * inlined into wrappers that relu_ext.c compiles once for each instruction set;
 * the compiler makes the vectors.
 */
/* Callers' pointers: any alignment, any type underneath. */
typedef RELU_EXT_INT RELU_EXT_(any) RELU_EXT_ANY_POINTER;

/* Elements in a cache line. */
enum { RELU_EXT_(per_line) = 64 / sizeof(RELU_EXT_INT) };

/* c is an operation's last input; b is its second where there are three, a its first. */
typedef RELU_EXT_INT RELU_EXT_(element)(RELU_EXT_INT a, RELU_EXT_INT b, RELU_EXT_INT c,
                                        RELU_EXT_INT threshold);

/*
 * A mask and not `x > threshold ? x : 0`: the same vectors, but where an instruction set
 * cannot compare 64-bit lanes, GCC would make a branch of the latter, five times
 * slower on mixed signs. Shorter integers have a maximum.
 */
RELU_EXT_INLINE RELU_EXT_INT RELU_EXT_(relu_element)(RELU_EXT_INT x, RELU_EXT_INT b, RELU_EXT_INT c,
                                                     RELU_EXT_INT threshold)
{
    (void)b, (void)c;
    if (threshold == 0 && RELU_EXT_BITS < 64)
        return x > 0 ? x : 0;
    RELU_EXT_INT mask = x > threshold ? -1 : 0;
    return x & mask;
}

/*
 * All ones where x passes ReLU, else 0. threshold < x < 0: the NaNs with a sign. x > 0: the
 * positive numbers and the other NaNs.
 */
RELU_EXT_INLINE RELU_EXT_INT RELU_EXT_(passes)(RELU_EXT_INT x, RELU_EXT_INT threshold)
{
    return ((x > threshold) & (x != 0)) ? -1 : 0;
}

RELU_EXT_INLINE RELU_EXT_INT RELU_EXT_(relu_grad_element)(RELU_EXT_INT dy, RELU_EXT_INT b,
                                                          RELU_EXT_INT x, RELU_EXT_INT threshold)
{
    (void)b;
    return dy & RELU_EXT_(passes)(x, threshold);
}

/*
 * The same, mask by mask. Of one condition GCC makes an instruction more, to invert x == 0, and
 * twice as many where 64-bit lanes cannot be compared. Registers for masks do better with that.
 */
RELU_EXT_INLINE RELU_EXT_INT RELU_EXT_(relu_grad_in_turn_element)(RELU_EXT_INT dy, RELU_EXT_INT b,
                                                                  RELU_EXT_INT x,
                                                                  RELU_EXT_INT threshold)
{
    (void)b;
    const RELU_EXT_INT dx = dy & (x > threshold ? -1 : 0);
    return dx & (x != 0 ? -1 : 0);
}

/* The bits of +inf, above which only positive NaNs lie; integers have none. */
RELU_EXT_INLINE RELU_EXT_INT RELU_EXT_(infinity)(RELU_EXT_INT threshold)
{
    const RELU_EXT_INT most = RELU_EXT_INT_MAX;
    return threshold < 0 ? (RELU_EXT_INT)(threshold & most) : most;
}

/* A ceiling below zero is below everything; both it and what it is compared with may be NaN. */
RELU_EXT_INLINE RELU_EXT_INT RELU_EXT_(clipped_relu_element)(RELU_EXT_INT x, RELU_EXT_INT b,
                                                             RELU_EXT_INT ceiling,
                                                             RELU_EXT_INT threshold)
{
    (void)b;
    const RELU_EXT_INT infinity = RELU_EXT_(infinity)(threshold), y = x & (x > threshold ? -1 : 0);
    RELU_EXT_INT keep = ((y > infinity) | (y < 0)) ? -1 : 0;
    RELU_EXT_INT clip = ((y > ceiling) | (ceiling > infinity)) ? -1 : 0;
    clip &= ~keep;
    return (ceiling & clip) | (y & ~clip);
}

/*
 * Bytes are unsigned here, the others signed: SSE2 has a minimum of bytes and of 16 bits, and
 * compares 32.
 */
RELU_EXT_INLINE RELU_EXT_INT RELU_EXT_(lesser)(RELU_EXT_INT a, RELU_EXT_INT b)
{
    const RELU_EXT_UINT left = (RELU_EXT_UINT)a, right = (RELU_EXT_UINT)b;
    if (RELU_EXT_BITS == 8)
        return (RELU_EXT_INT)(left < right ? left : right);
    return a < b ? a : b;
}

/*
 * The same for a ceiling from +0.0 to +inf. Counted from infinity + 1 on, the bits of floats are in
 * this order: positive NaNs, negative numbers, negative NaNs, and last zero to infinity. So the
 * lesser of x and the ceiling is x in the first three; negative numbers become zero after that.
 */
RELU_EXT_INLINE RELU_EXT_INT RELU_EXT_(clip_at_number_element)(RELU_EXT_INT x, RELU_EXT_INT b,
                                                               RELU_EXT_INT ceiling,
                                                               RELU_EXT_INT threshold)
{
    (void)b;
    if (threshold == 0 && RELU_EXT_BITS < 64)
        return RELU_EXT_(lesser)(x > 0 ? x : 0, ceiling);
    const RELU_EXT_INT last = RELU_EXT_(infinity)(threshold);
    const RELU_EXT_UINT lowest = RELU_EXT_BITS == 8 ? 0 : (RELU_EXT_UINT)RELU_EXT_INT_MAX + 1u;
    const RELU_EXT_UINT first = (RELU_EXT_UINT)((RELU_EXT_UINT)last + 1u - lowest);
    const RELU_EXT_INT clipped = RELU_EXT_(lesser)(
        (RELU_EXT_INT)(RELU_EXT_UINT)((RELU_EXT_UINT)x - first),
        (RELU_EXT_INT)(RELU_EXT_UINT)((RELU_EXT_UINT)ceiling - first));
    return (RELU_EXT_INT)(RELU_EXT_UINT)((RELU_EXT_UINT)clipped + first) & (x > threshold ? -1 : 0);
}

RELU_EXT_INLINE RELU_EXT_INT RELU_EXT_(clipped_relu_grad_element)(RELU_EXT_INT dy, RELU_EXT_INT x,
                                                                  RELU_EXT_INT ceiling,
                                                                  RELU_EXT_INT threshold)
{
    const RELU_EXT_INT infinity = RELU_EXT_(infinity)(threshold);
    RELU_EXT_INT between = ((x > 0) & (x < ceiling) & (ceiling <= infinity)) ? -1 : 0;
    RELU_EXT_INT nan = (((x > threshold) & (x < 0)) | (x > infinity)) ? -1 : 0;
    return dy & (between | nan);
}

/* The lesser of two unsigned numbers: flip their top bits, and they are in order as signed ones. */
RELU_EXT_INLINE RELU_EXT_INT RELU_EXT_(minimum_element)(RELU_EXT_INT x, RELU_EXT_INT b,
                                                        RELU_EXT_INT ceiling,
                                                        RELU_EXT_INT threshold)
{
    (void)b, (void)threshold;
    const RELU_EXT_INT top = -RELU_EXT_INT_MAX - 1;
    RELU_EXT_INT clip = (x ^ top) > (ceiling ^ top) ? -1 : 0;
    return (ceiling & clip) | (x & ~clip);
}

/* Integers wrap around, as NumPy's do; unsigned ones have no more to it. */
RELU_EXT_INLINE RELU_EXT_INT RELU_EXT_(add_element)(RELU_EXT_INT a, RELU_EXT_INT b, RELU_EXT_INT c,
                                                    RELU_EXT_INT threshold)
{
    (void)b, (void)threshold;
    return (RELU_EXT_INT)((RELU_EXT_UINT)a + (RELU_EXT_UINT)c);
}

RELU_EXT_INLINE RELU_EXT_INT RELU_EXT_(add_relu_element)(RELU_EXT_INT a, RELU_EXT_INT b,
                                                         RELU_EXT_INT c, RELU_EXT_INT threshold)
{
    return RELU_EXT_(relu_element)(RELU_EXT_(add_element)(a, b, c, threshold), b, c, threshold);
}

/* `count` is a constant wherever this is called: one vector, or a few, without a loop. */
RELU_EXT_INLINE void RELU_EXT_(block)(RELU_EXT_(element) *f, const RELU_EXT_(any) *a,
                                      const RELU_EXT_(any) *b, const RELU_EXT_(any) *c,
                                      RELU_EXT_INT *out, size_t count, RELU_EXT_INT threshold)
{
    const size_t length = relu_ext_late(count, a);
#if RELU_EXT_BITS == 64
    RELU_EXT_FOURS_LOOP
#else
    RELU_EXT_LINE_LOOP
#endif
    for (size_t i = 0; i < length; i++)
        out[i] = f(a[i], b[i], c[i], threshold);
}

/* All of n elements, count <= n <= 2 * count, as two blocks that may overlap. */
RELU_EXT_INLINE void RELU_EXT_(ends)(RELU_EXT_(element) *f, const RELU_EXT_(any) *a,
                                     const RELU_EXT_(any) *b, const RELU_EXT_(any) *c,
                                     RELU_EXT_(any) *out, size_t n, size_t count,
                                     RELU_EXT_INT threshold)
{
    RELU_EXT_INT head[64 / sizeof(RELU_EXT_INT)], tail[64 / sizeof(RELU_EXT_INT)];
    const size_t last = n - count;
    RELU_EXT_(block)(f, a, b, c, head, count, threshold);
    RELU_EXT_(block)(f, a + last, b + last, c + last, tail, count, threshold);
    memcpy(out, head, count * sizeof(RELU_EXT_INT));
    memcpy(out + last, tail, count * sizeof(RELU_EXT_INT));
}

/*
 * out[i] = f(a[i], b[i], c[i]) for n elements; out may be a, b or c.
 *
 * A scalar loop at either end would cost more than a short array is worth, and
 * stores that straddle cache lines cost a third of the speed in cache. So the
 * first and the last 64 bytes are worked out before anything is stored, and the
 * loop between them begins at a 64-byte boundary of the output. Where they
 * overlap the same result is stored twice; nothing is read after it was
 * overwritten, so this holds in place as well.
 */
RELU_EXT_INLINE void RELU_EXT_(walk)(RELU_EXT_(element) *f, const RELU_EXT_(any) *a,
                                     const RELU_EXT_(any) *b, const RELU_EXT_(any) *c,
                                     RELU_EXT_(any) *out, size_t n, RELU_EXT_INT threshold)
{
    if (n >= RELU_EXT_(per_line)) {
        RELU_EXT_INT head[RELU_EXT_(per_line)], tail[RELU_EXT_(per_line)];
        const size_t first = (size_t)(-(uintptr_t)out % 64 / sizeof(RELU_EXT_INT));
        const size_t line = RELU_EXT_(per_line), last = n - line;
        const size_t between = (n - first) / line * line;
        const RELU_EXT_(any) *a_first = a + first, *b_first = b + first, *c_first = c + first;
        RELU_EXT_(any) *out_first = out + first;

        RELU_EXT_(block)(f, a, b, c, head, RELU_EXT_(per_line), threshold);
        RELU_EXT_(block)(f, a + last, b + last, c + last, tail, RELU_EXT_(per_line), threshold);
        if (between <= RELU_EXT_SHORT / sizeof(RELU_EXT_INT))
    RELU_EXT_NO_OVERLAP RELU_EXT_UNROLL
            for (size_t i = 0; i < between; i++)
                out_first[i] = f(a_first[i], b_first[i], c_first[i], threshold);
        else
            RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
            for (size_t i = 0; i < between; i++)
                out_first[i] = f(a_first[i], b_first[i], c_first[i], threshold);
        memcpy(out, head, sizeof head);
        memcpy(out + last, tail, sizeof tail);
    }
    else if (RELU_EXT_(per_line) > 32 && n >= 32)
        RELU_EXT_(ends)(f, a, b, c, out, n, 32, threshold);
    else if (RELU_EXT_(per_line) > 16 && n >= 16)
        RELU_EXT_(ends)(f, a, b, c, out, n, 16, threshold);
    else if (RELU_EXT_(per_line) > 8 && n >= 8)
        RELU_EXT_(ends)(f, a, b, c, out, n, 8, threshold);
    else if (RELU_EXT_(per_line) > 4 && n >= 4)
        RELU_EXT_(ends)(f, a, b, c, out, n, 4, threshold);
    else if (n > 0) {
        /* One, two or three elements: the first, the middle and the last. */
        const size_t half = n / 2, last = n - 1;
        RELU_EXT_INT at_first = f(a[0], b[0], c[0], threshold);
        RELU_EXT_INT at_half = f(a[half], b[half], c[half], threshold);
        RELU_EXT_INT at_last = f(a[last], b[last], c[last], threshold);
        out[0] = at_first;
        out[half] = at_half;
        out[last] = at_last;
    }
}

/* An operation on RELU_EXT_(per_line) elements, at any address; out may be a, b or c. */
typedef void RELU_EXT_(line)(const RELU_EXT_(any) *a, const RELU_EXT_(any) *b,
                             const RELU_EXT_(any) *c, RELU_EXT_(any) *out, RELU_EXT_INT threshold,
                             const struct relu_ext_ops *ops);

/*
 * The same as `walk`, line by line, for a line or more: the operation is compiled twice, and
 * not a dozen times. With `uniform`, c is one element for all.
 */
RELU_EXT_INLINE void RELU_EXT_(lines)(RELU_EXT_(line) *f, const RELU_EXT_(any) *a,
                                      const RELU_EXT_(any) *b, const RELU_EXT_(any) *c,
                                      bool uniform, RELU_EXT_(any) *out, size_t n,
                                      RELU_EXT_INT threshold, const struct relu_ext_ops *ops)
{
    const size_t line = RELU_EXT_(per_line), last = n - line;
    RELU_EXT_INT each[RELU_EXT_(per_line)], ends[2 * RELU_EXT_(per_line)];
    size_t next = (size_t)(-(uintptr_t)out % 64 / sizeof(RELU_EXT_INT));

    if (uniform) {
        for (size_t i = 0; i < RELU_EXT_(per_line); i++)
            each[i] = *c;
        c = each;
    }
    RELU_EXT_NO_UNROLL
    for (size_t end = 0; end < 2; end++) {
        const size_t i = end * last;
        f(a + i, b + i, uniform ? c : c + i, ends + end * line, threshold, ops);
    }
    /* Several vectors at once, as in `walk`. Others have several in a line. */
    if (ops->masks && n <= RELU_EXT_SHORT / sizeof(RELU_EXT_INT))
        for (; next + line < last; next += 2 * line) {
            const size_t i = next, k = next + line;
            f(a + i, b + i, uniform ? c : c + i, out + i, threshold, ops);
            f(a + k, b + k, uniform ? c : c + k, out + k, threshold, ops);
        }
    for (; next < last; next += line)
        f(a + next, b + next, uniform ? c : c + next, out + next, threshold, ops);
    memcpy(out, ends, sizeof ends / 2);
    memcpy(out + last, ends + line, sizeof ends / 2);
}

/* <name>_line, of <name>_element. */
#define RELU_EXT_LINE_OF(name)                                                         \
    RELU_EXT_INLINE void RELU_EXT_(name##_line)(                                       \
        const RELU_EXT_(any) *a, const RELU_EXT_(any) *b, const RELU_EXT_(any) *c,     \
        RELU_EXT_(any) *out, RELU_EXT_INT threshold, const struct relu_ext_ops *ops)   \
    {                                                                                  \
        (void)ops;                                                                     \
        const size_t length = relu_ext_late(RELU_EXT_(per_line), a);                   \
        RELU_EXT_LINE_LOOP                                                             \
        for (size_t i = 0; i < length; i++)                                            \
            out[i] = RELU_EXT_(name##_element)(a[i], b[i], c[i], threshold);           \
    }

/* The bodies that tables.h names. */
#define RELU_EXT_BODY_HEAD(name)                                                               \
    RELU_EXT_LINE_OF(name)                                                                     \
    RELU_EXT_INLINE void RELU_EXT_(name)(const void *a, const void *b, const void *c,          \
                                    bool uniform, void *out, size_t n, RELU_EXT_INT threshold, \
                                    const struct relu_ext_ops *ops)
#define RELU_EXT_BODY(name)                                                                 \
    RELU_EXT_BODY_HEAD(name)                                                                \
    {                                                                                       \
        RELU_EXT_(lines)(RELU_EXT_(name##_line), a, b, c, uniform, out, n, threshold, ops); \
    }
RELU_EXT_BODY(clipped_relu_grad)
RELU_EXT_BODY(minimum)
RELU_EXT_BODY(add)
RELU_EXT_BODY(add_relu)

/*
 * A ceiling that is the same for all elements is nearly always zero or more, which is faster to
 * handle.
 */
RELU_EXT_LINE_OF(clip_at_number)
RELU_EXT_BODY_HEAD(clipped_relu)
{
    const RELU_EXT_(any) *ceiling = c;
    if (uniform && *ceiling >= 0 && *ceiling <= RELU_EXT_(infinity)(threshold))
        RELU_EXT_(lines)(RELU_EXT_(clip_at_number_line), a, b, c, true, out, n, threshold, ops);
    else
        RELU_EXT_(lines)(RELU_EXT_(clipped_relu_line), a, b, c, uniform, out, n, threshold, ops);
}

/* ReLU of what has no sign. */
RELU_EXT_INLINE void RELU_EXT_(copy)(const void *x, const void *b, const void *c, bool uniform,
                                     void *y, size_t n, RELU_EXT_INT threshold,
                                     const struct relu_ext_ops *ops)
{
    (void)b, (void)c, (void)uniform, (void)threshold, (void)ops;
    if (n > 0 && x != y)
        memcpy(y, x, n * sizeof(RELU_EXT_INT));
}

/* ReLU itself is made for short arrays, too. */
RELU_EXT_INLINE void RELU_EXT_(relu)(const void *x, const void *b, const void *c, bool uniform,
                                     void *y, size_t n, RELU_EXT_INT threshold,
                                     const struct relu_ext_ops *ops)
{
    (void)b, (void)c, (void)uniform, (void)ops;
    RELU_EXT_(walk)(RELU_EXT_(relu_element), x, x, x, y, n, threshold);
}

/* Where all x are one, all of dy passes or nothing. */
RELU_EXT_INLINE void RELU_EXT_(relu_grad)(const void *dy, const void *b, const void *x,
                                          bool uniform, void *dx, size_t n, RELU_EXT_INT threshold,
                                          const struct relu_ext_ops *ops)
{
    if (!uniform && !ops->masks) {
        RELU_EXT_OPAQUE(threshold);
        RELU_EXT_(walk)(RELU_EXT_(relu_grad_in_turn_element), dy, dy, x, dx, n, threshold);
    }
    else if (!uniform)
        RELU_EXT_(walk)(RELU_EXT_(relu_grad_element), dy, dy, x, dx, n, threshold);
    else if (RELU_EXT_(passes)(*(const RELU_EXT_(any) *)x, threshold))
        RELU_EXT_(copy)(dy, b, x, uniform, dx, n, threshold, ops);
    else if (n > 0)
        memset(dx, 0, n * sizeof(RELU_EXT_INT));
}

#undef RELU_EXT_LINE_OF
#undef RELU_EXT_BODY_HEAD
#undef RELU_EXT_BODY
#include "bits_tmpl.h"

#undef RELU_EXT_BITS
