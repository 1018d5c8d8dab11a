/*
 * The kernels that look at bits only, for one lane: include with LANE_BITS (8, 16,
 * 32, 64) defined. NAME(relu) is then relu_b32, and so on.
 *
 * What an operation does to one element is a function of lanes, without a
 * branch. How elements are walked is written once, in map. Everything is
 * inlined into wrappers that relu_ext.c compiles once for each instruction set;
 * the compiler makes the vectors.
 */
#define NAME__(name, bits) name##_b##bits
#define NAME_(name, bits) NAME__(name, bits)
#define NAME(name) NAME_(name, LANE_BITS)
#define TYPE__(sign, bits) sign##bits##_t
#define TYPE_(sign, bits) TYPE__(sign, bits)
#define LANE_INT TYPE_(int, LANE_BITS)
#define LANE_UNSIGNED TYPE_(uint, LANE_BITS)
#define LANE_MAX ((LANE_INT)((LANE_UNSIGNED)-1 >> 1))

/* Callers' pointers: any alignment, any type underneath. */
typedef LANE_INT NAME(any) RELU_EXT_ANY_POINTER;

/* c is an operation's last input; b is its second where there are three, a its first. */
typedef LANE_INT NAME(element)(LANE_INT a, LANE_INT b, LANE_INT c, LANE_INT T);

/*
 * A mask and not `x > T ? x : 0`: the same vectors, but where an instruction set
 * cannot compare 64-bit lanes, GCC would make a branch of the latter, five times
 * slower on mixed signs.
 */
RELU_EXT_INLINE LANE_INT NAME(relu_element)(LANE_INT x, LANE_INT b, LANE_INT c, LANE_INT T)
{
    (void)b, (void)c;
    LANE_INT mask = x > T ? -1 : 0;
    return x & mask;
}

/*
 * All ones where x passes ReLU, else 0. T < x < 0: the NaNs with a sign. x > 0: the
 * positive numbers and the other NaNs.
 */
RELU_EXT_INLINE LANE_INT NAME(passes)(LANE_INT x, LANE_INT T)
{
    return ((x > T) & (x != 0)) ? -1 : 0;
}

RELU_EXT_INLINE LANE_INT NAME(relu_grad_element)(LANE_INT dy, LANE_INT b, LANE_INT x, LANE_INT T)
{
    (void)b;
    return dy & NAME(passes)(x, T);
}

/* The bits of +inf, above which only positive NaNs lie; integers have none. */
RELU_EXT_INLINE LANE_INT NAME(infinity)(LANE_INT T)
{
    const LANE_INT most = LANE_MAX;
    return T < 0 ? (LANE_INT)(T & most) : most;
}

/* A ceiling below zero is below everything; both it and what it is compared with may be NaN. */
RELU_EXT_INLINE LANE_INT NAME(clipped_relu_element)(LANE_INT x, LANE_INT b, LANE_INT ceiling,
                                                    LANE_INT T)
{
    (void)b;
    const LANE_INT infinity = NAME(infinity)(T), y = x & (x > T ? -1 : 0);
    LANE_INT keep = ((y > infinity) | (y < 0)) ? -1 : 0;
    LANE_INT clip = ((y > ceiling) | (ceiling > infinity)) ? -1 : 0;
    clip &= ~keep;
    return (ceiling & clip) | (y & ~clip);
}

RELU_EXT_INLINE LANE_INT NAME(clipped_relu_grad_element)(LANE_INT dy, LANE_INT x,
                                                         LANE_INT ceiling, LANE_INT T)
{
    const LANE_INT infinity = NAME(infinity)(T);
    LANE_INT between = ((x > 0) & (x < ceiling) & (ceiling <= infinity)) ? -1 : 0;
    LANE_INT nan = (((x > T) & (x < 0)) | (x > infinity)) ? -1 : 0;
    return dy & (between | nan);
}

/* The lesser of two unsigned numbers: as signed ones, they are in order once their top bits flip. */
RELU_EXT_INLINE LANE_INT NAME(minimum_element)(LANE_INT x, LANE_INT b, LANE_INT ceiling,
                                               LANE_INT T)
{
    (void)b, (void)T;
    const LANE_INT top = -LANE_MAX - 1;
    LANE_INT clip = (x ^ top) > (ceiling ^ top) ? -1 : 0;
    return (ceiling & clip) | (x & ~clip);
}

/* Integers wrap around, as NumPy's do; unsigned ones have no more to it. */
RELU_EXT_INLINE LANE_INT NAME(add_element)(LANE_INT a, LANE_INT b, LANE_INT c, LANE_INT T)
{
    (void)b, (void)T;
    return (LANE_INT)((LANE_UNSIGNED)a + (LANE_UNSIGNED)c);
}

RELU_EXT_INLINE LANE_INT NAME(add_relu_element)(LANE_INT a, LANE_INT b, LANE_INT c, LANE_INT T)
{
    return NAME(relu_element)(NAME(add_element)(a, b, c, T), b, c, T);
}

/* `count` is a constant wherever this is called: one vector, or a few, without a loop. */
RELU_EXT_INLINE void NAME(block)(NAME(element) *f, const NAME(any) *a, const NAME(any) *b,
                                 const NAME(any) *c, LANE_INT *out, size_t count, LANE_INT T)
{
    RELU_EXT_ONE_BLOCK
    for (size_t i = 0; i < count; i++)
        out[i] = f(a[i], b[i], c[i], T);
}

/* All of n elements, count <= n <= 2 * count, as two blocks that may overlap. */
RELU_EXT_INLINE void NAME(ends)(NAME(element) *f, const NAME(any) *a, const NAME(any) *b,
                                const NAME(any) *c, const NAME(any) *c_last, NAME(any) *out,
                                size_t n, size_t count, LANE_INT T)
{
    LANE_INT head[64 / sizeof(LANE_INT)], tail[64 / sizeof(LANE_INT)];
    const size_t last = n - count;
    NAME(block)(f, a, b, c, head, count, T);
    NAME(block)(f, a + last, b + last, c_last - count, tail, count, T);
    memcpy(out, head, count * sizeof(LANE_INT));
    memcpy(out + last, tail, count * sizeof(LANE_INT));
}

/*
 * out[i] = f(a[i], b[i], c[i]) for n elements; out may be a, b or c. With `uniform`,
 * c is one element for all.
 *
 * A scalar loop at either end would cost more than a short array is worth, and
 * stores that straddle cache lines cost a third of the speed in cache. So the
 * first and the last 64 bytes are worked out before anything is stored, and the
 * loop between them begins at a 64-byte boundary of the output. Where they
 * overlap the same result is stored twice; nothing is read after it was
 * overwritten, so this holds in place as well.
 */
RELU_EXT_INLINE void NAME(map)(NAME(element) *f, const NAME(any) *a, const NAME(any) *b,
                               const NAME(any) *c, bool uniform, NAME(any) *out, size_t n,
                               LANE_INT T)
{
    enum { BLOCK = 64 / sizeof(LANE_INT) };
    /* For the ends, one element for all becomes a block of them. */
    LANE_INT repeated[BLOCK];
    const NAME(any) *c_first = c, *c_end = c + n;
    if (uniform) {
        for (size_t i = 0; i < BLOCK; i++)
            repeated[i] = *c;
        c_first = repeated;
        c_end = repeated + (n < BLOCK ? n : BLOCK);
    }

    if (n >= BLOCK) {
        LANE_INT head[BLOCK], tail[BLOCK];
        const size_t first = (size_t)(-(uintptr_t)out % 64 / sizeof(LANE_INT)), last = n - BLOCK;
        const size_t between = (n - first) / BLOCK * BLOCK;
        const NAME(any) *a_first = a + first, *b_first = b + first;
        NAME(any) *out_first = out + first;

        NAME(block)(f, a, b, c_first, head, BLOCK, T);
        NAME(block)(f, a + last, b + last, c_end - BLOCK, tail, BLOCK, T);
        if (uniform) {
            const LANE_INT value = *c;
            RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
            for (size_t i = 0; i < between; i++)
                out_first[i] = f(a_first[i], b_first[i], value, T);
        }
        else if (between <= RELU_EXT_SHORT / sizeof(LANE_INT)) {
            c_first += first;
            RELU_EXT_NO_OVERLAP RELU_EXT_UNROLL
            for (size_t i = 0; i < between; i++)
                out_first[i] = f(a_first[i], b_first[i], c_first[i], T);
        }
        else {
            c_first += first;
            RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
            for (size_t i = 0; i < between; i++)
                out_first[i] = f(a_first[i], b_first[i], c_first[i], T);
        }
        memcpy(out, head, sizeof head);
        memcpy(out + last, tail, sizeof tail);
    }
    else if (BLOCK > 32 && n >= 32)
        NAME(ends)(f, a, b, c_first, c_end, out, n, 32, T);
    else if (BLOCK > 16 && n >= 16)
        NAME(ends)(f, a, b, c_first, c_end, out, n, 16, T);
    else if (BLOCK > 8 && n >= 8)
        NAME(ends)(f, a, b, c_first, c_end, out, n, 8, T);
    else if (BLOCK > 4 && n >= 4)
        NAME(ends)(f, a, b, c_first, c_end, out, n, 4, T);
    else if (n > 0) {
        /* One, two or three elements: the first, the middle and the last. */
        LANE_INT at_first = f(a[0], b[0], c_first[0], T);
        LANE_INT at_half = f(a[n / 2], b[n / 2], c_first[n / 2], T);
        LANE_INT at_last = f(a[n - 1], b[n - 1], c_first[n - 1], T);
        out[0] = at_first;
        out[n / 2] = at_half;
        out[n - 1] = at_last;
    }
}

/*
 * The bodies that tables.h names.
 */
#define BODY(name)                                                                     \
    RELU_EXT_INLINE void NAME(name)(const void *a, const void *b, const void *c,       \
                                    bool uniform, void *out, size_t n, LANE_INT T)     \
    {                                                                                  \
        NAME(map)(NAME(name##_element), a, b, c, uniform, out, n, T);                  \
    }
BODY(relu)
BODY(relu_grad)
BODY(clipped_relu)
BODY(clipped_relu_grad)
BODY(minimum)
BODY(add)
BODY(add_relu)

/* ReLU of what has no sign. */
RELU_EXT_INLINE void NAME(copy)(const void *x, const void *b, const void *c, bool uniform,
                                void *y, size_t n, LANE_INT T)
{
    (void)b, (void)c, (void)uniform, (void)T;
    if (n > 0 && x != y)
        memcpy(y, x, n * sizeof(LANE_INT));
}

#undef BODY
#include "bits.h"
#ifdef RELU_EXT_MODULE
#include "counts.h"
#endif

#undef NAME
#undef NAME_
#undef NAME__
#undef TYPE_
#undef TYPE__
#undef LANE_BITS
#undef LANE_INT
#undef LANE_UNSIGNED
#undef LANE_MAX
