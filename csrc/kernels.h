/*
 * The kernels that look at bits only, for one lane: include with LANE_BITS (8, 16,
 * 32, 64) defined. NAME(relu) is then relu_b32, and so on.
 *
 * What an operation does to one element is a function of lanes, without a
 * branch. How elements are walked is written apart from it. Everything is
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

/*
 * The same for a ceiling from +0.0 to +inf. Less infinity and one, the NaNs are the lowest
 * unsigned numbers and the others follow in order: the lesser is the answer.
 */
RELU_EXT_INLINE LANE_INT NAME(clip_at_number_element)(LANE_INT x, LANE_INT b, LANE_INT ceiling,
                                                      LANE_INT T)
{
    (void)b;
    const LANE_UNSIGNED zero = (LANE_UNSIGNED)((LANE_UNSIGNED)NAME(infinity)(T) + 1);
    const LANE_INT y = x & (x > T ? -1 : 0);
    const LANE_UNSIGNED least = (LANE_UNSIGNED)((LANE_UNSIGNED)y - zero);
    const LANE_UNSIGNED most = (LANE_UNSIGNED)((LANE_UNSIGNED)ceiling - zero);
    return (LANE_INT)(LANE_UNSIGNED)((least < most ? least : most) + zero);
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
                                const NAME(any) *c, NAME(any) *out, size_t n, size_t count,
                                LANE_INT T)
{
    LANE_INT head[64 / sizeof(LANE_INT)], tail[64 / sizeof(LANE_INT)];
    const size_t last = n - count;
    NAME(block)(f, a, b, c, head, count, T);
    NAME(block)(f, a + last, b + last, c + last, tail, count, T);
    memcpy(out, head, count * sizeof(LANE_INT));
    memcpy(out + last, tail, count * sizeof(LANE_INT));
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
RELU_EXT_INLINE void NAME(walk)(NAME(element) *f, const NAME(any) *a, const NAME(any) *b,
                                const NAME(any) *c, NAME(any) *out, size_t n, LANE_INT T)
{
    enum { BLOCK = 64 / sizeof(LANE_INT) };

    if (n >= BLOCK) {
        LANE_INT head[BLOCK], tail[BLOCK];
        const size_t first = (size_t)(-(uintptr_t)out % 64 / sizeof(LANE_INT)), last = n - BLOCK;
        const size_t between = (n - first) / BLOCK * BLOCK;
        const NAME(any) *a_first = a + first, *b_first = b + first, *c_first = c + first;
        NAME(any) *out_first = out + first;

        NAME(block)(f, a, b, c, head, BLOCK, T);
        NAME(block)(f, a + last, b + last, c + last, tail, BLOCK, T);
        if (between <= RELU_EXT_SHORT / sizeof(LANE_INT))
            RELU_EXT_NO_OVERLAP RELU_EXT_UNROLL
            for (size_t i = 0; i < between; i++)
                out_first[i] = f(a_first[i], b_first[i], c_first[i], T);
        else
            RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
            for (size_t i = 0; i < between; i++)
                out_first[i] = f(a_first[i], b_first[i], c_first[i], T);
        memcpy(out, head, sizeof head);
        memcpy(out + last, tail, sizeof tail);
    }
    else if (BLOCK > 32 && n >= 32)
        NAME(ends)(f, a, b, c, out, n, 32, T);
    else if (BLOCK > 16 && n >= 16)
        NAME(ends)(f, a, b, c, out, n, 16, T);
    else if (BLOCK > 8 && n >= 8)
        NAME(ends)(f, a, b, c, out, n, 8, T);
    else if (BLOCK > 4 && n >= 4)
        NAME(ends)(f, a, b, c, out, n, 4, T);
    else if (n > 0) {
        /* One, two or three elements: the first, the middle and the last. */
        const size_t half = n / 2, last = n - 1;
        LANE_INT at_first = f(a[0], b[0], c[0], T);
        LANE_INT at_half = f(a[half], b[half], c[half], T);
        LANE_INT at_last = f(a[last], b[last], c[last], T);
        out[0] = at_first;
        out[half] = at_half;
        out[last] = at_last;
    }
}

/* An operation on TILE elements, at any address; out may be a, b or c. */
enum { NAME(TILE) = 256 / sizeof(LANE_INT) };
typedef void NAME(tile)(const NAME(any) *a, const NAME(any) *b, const NAME(any) *c,
                        NAME(any) *out, LANE_INT T, const struct f16_conversions *f16);

/*
 * The same as `walk` in one loop: the operation is compiled once, and not nine times.
 * With `uniform`, c is one element for all. What does not fill a tile, before the output's
 * first 64-byte boundary and at the end, is copied to one that is full.
 */
RELU_EXT_INLINE void NAME(tiles)(NAME(tile) *f, const NAME(any) *a, const NAME(any) *b,
                                 const NAME(any) *c, bool uniform, NAME(any) *out, size_t n,
                                 LANE_INT T, const struct f16_conversions *f16)
{
    enum { TILE = NAME(TILE) };
    LANE_INT part_a[TILE], part_b[TILE], part_c[TILE], result[TILE];
    size_t now = n < 4 * TILE ? TILE : (size_t)(-(uintptr_t)out % 64 / sizeof(LANE_INT));

    if (uniform)
        for (size_t i = 0; i < TILE; i++)
            part_c[i] = *c;
    for (size_t i = 0; i < n; i += now, now = TILE) {
        const NAME(any) *a_tile = a + i, *b_tile = b + i, *c_tile = uniform ? part_c : c + i;
        NAME(any) *out_tile = out + i;
        const bool part = now < TILE || n - i < TILE;
        if (part) {
            now = now < n - i ? now : n - i;
            memset(part_a, 0, sizeof part_a);
            memset(part_b, 0, sizeof part_b);
            if (!uniform)
                memset(part_c, 0, sizeof part_c);
            a_tile = memcpy(part_a, a_tile, now * sizeof(LANE_INT));
            b_tile = memcpy(part_b, b_tile, now * sizeof(LANE_INT));
            if (!uniform)
                c_tile = memcpy(part_c, c_tile, now * sizeof(LANE_INT));
            out_tile = result;
        }
        f(a_tile, b_tile, c_tile, out_tile, T, f16);
        if (part)
            memcpy(out + i, result, now * sizeof(LANE_INT));
    }
}

/* <name>_tile, of <name>_element. */
#define TILE_OF(name)                                                                  \
    RELU_EXT_INLINE void NAME(name##_tile)(const NAME(any) *a, const NAME(any) *b,     \
                                           const NAME(any) *c, NAME(any) *out, LANE_INT T, \
                                           const struct f16_conversions *f16)          \
    {                                                                                  \
        (void)f16;                                                                     \
        RELU_EXT_NO_OVERLAP                                                            \
        for (size_t i = 0; i < NAME(TILE); i++)                                        \
            out[i] = NAME(name##_element)(a[i], b[i], c[i], T);                        \
    }

/*
 * The bodies that tables.h names. Those of ReLU itself are made for short arrays, too.
 */
#define BODY_HEAD(name)                                                                \
    TILE_OF(name)                                                                      \
    RELU_EXT_INLINE void NAME(name)(const void *a, const void *b, const void *c,       \
                                    bool uniform, void *out, size_t n, LANE_INT T,     \
                                    const struct f16_conversions *f16)
#define BODY(name)                                                                     \
    BODY_HEAD(name)                                                                    \
    {                                                                                  \
        NAME(tiles)(NAME(name##_tile), a, b, c, uniform, out, n, T, f16);              \
    }
#define SHORT_BODY(name)                                                               \
    BODY_HEAD(name)                                                                    \
    {                                                                                  \
        if (uniform)                                                                   \
            NAME(tiles)(NAME(name##_tile), a, b, c, true, out, n, T, f16);             \
        else                                                                           \
            NAME(walk)(NAME(name##_element), a, b, c, out, n, T);                      \
    }
SHORT_BODY(relu)
SHORT_BODY(relu_grad)
BODY(clipped_relu_grad)
BODY(minimum)
BODY(add)
BODY(add_relu)

/* One ceiling for all is nearly always a number that is not below zero, which is less to ask. */
TILE_OF(clip_at_number)
BODY_HEAD(clipped_relu)
{
    const NAME(any) *ceiling = c;
    if (uniform && *ceiling >= 0 && *ceiling <= NAME(infinity)(T))
        NAME(tiles)(NAME(clip_at_number_tile), a, b, c, true, out, n, T, f16);
    else
        NAME(tiles)(NAME(clipped_relu_tile), a, b, c, uniform, out, n, T, f16);
}

/* ReLU of what has no sign. */
RELU_EXT_INLINE void NAME(copy)(const void *x, const void *b, const void *c, bool uniform,
                                void *y, size_t n, LANE_INT T, const struct f16_conversions *f16)
{
    (void)b, (void)c, (void)uniform, (void)T, (void)f16;
    if (n > 0 && x != y)
        memcpy(y, x, n * sizeof(LANE_INT));
}

#undef TILE_OF
#undef BODY_HEAD
#undef BODY
#undef SHORT_BODY
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
