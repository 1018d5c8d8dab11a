/*
 * The kernels, for one lane: include with LANE (b8 b16 b32 b64) and LANE_INT
 * (its integer type) defined. NAME(relu) is then relu_b32, and so on.
 *
 * What an operation does to one element is a function of lanes, without a
 * branch. How elements are walked is written once, in map. Everything is
 * inlined into wrappers that relu_ext.c compiles once for each instruction set;
 * the compiler makes the vectors.
 */
#define NAME_(name, lane) name##_##lane
#define NAME__(name, lane) NAME_(name, lane)
#define NAME(name) NAME__(name, LANE)

/* Callers' pointers: any alignment, any type underneath. */
typedef LANE_INT NAME(any) RELU_EXT_ANY_POINTER;

typedef LANE_INT NAME(element)(LANE_INT a, LANE_INT b, LANE_INT T);

/*
 * A mask and not `x > T ? x : 0`: the same vectors, but where an instruction set
 * cannot compare 64-bit lanes, GCC would make a branch of the latter, five times
 * slower on mixed signs.
 */
RELU_EXT_INLINE LANE_INT NAME(relu_element)(LANE_INT x, LANE_INT unused, LANE_INT T)
{
    (void)unused;
    LANE_INT mask = x > T ? -1 : 0;
    return x & mask;
}

/* T < x < 0: the NaNs with a sign. x > 0: the positive numbers and the other NaNs. */
RELU_EXT_INLINE LANE_INT NAME(relu_grad_element)(LANE_INT dy, LANE_INT x, LANE_INT T)
{
    LANE_INT mask = ((x > T) & (x != 0)) ? -1 : 0;
    return dy & mask;
}

/* `count` is a constant wherever this is called: one vector, or a few, without a loop. */
RELU_EXT_INLINE void NAME(block)(NAME(element) *f, const NAME(any) *a, const NAME(any) *b,
                                 LANE_INT *out, size_t count, LANE_INT T)
{
    RELU_EXT_ONE_BLOCK
    for (size_t i = 0; i < count; i++)
        out[i] = f(a[i], b[i], T);
}

/* All of n elements, count <= n <= 2 * count, as two blocks that may overlap. */
RELU_EXT_INLINE void NAME(ends)(NAME(element) *f, const NAME(any) *a, const NAME(any) *b,
                                NAME(any) *out, size_t n, size_t count, LANE_INT T)
{
    LANE_INT head[64 / sizeof(LANE_INT)], tail[64 / sizeof(LANE_INT)];
    NAME(block)(f, a, b, head, count, T);
    NAME(block)(f, a + n - count, b + n - count, tail, count, T);
    memcpy(out, head, count * sizeof(LANE_INT));
    memcpy(out + n - count, tail, count * sizeof(LANE_INT));
}

/*
 * out[i] = f(a[i], b[i]) for n elements; out may be a or b.
 *
 * A scalar loop at either end would cost more than a short array is worth, and
 * stores that straddle cache lines cost a third of the speed in cache. So the
 * first and the last 64 bytes are worked out before anything is stored, and the
 * loop between them begins at a 64-byte boundary of the output. Where they
 * overlap the same result is stored twice; nothing is read after it was
 * overwritten, so this holds in place as well.
 */
RELU_EXT_INLINE void NAME(map)(NAME(element) *f, const NAME(any) *a, const NAME(any) *b,
                               NAME(any) *out, size_t n, LANE_INT T)
{
    enum { BLOCK = 64 / sizeof(LANE_INT) };

    if (n >= BLOCK) {
        LANE_INT head[BLOCK], tail[BLOCK];
        size_t first = (size_t)(-(uintptr_t)out % 64 / sizeof(LANE_INT));
        size_t between = (n - first) / BLOCK * BLOCK;
        const NAME(any) *a_first = a + first, *b_first = b + first;
        NAME(any) *out_first = out + first;

        NAME(block)(f, a, b, head, BLOCK, T);
        NAME(block)(f, a + n - BLOCK, b + n - BLOCK, tail, BLOCK, T);
        if (between <= RELU_EXT_SHORT / sizeof(LANE_INT))
            RELU_EXT_NO_OVERLAP RELU_EXT_UNROLL
            for (size_t i = 0; i < between; i++)
                out_first[i] = f(a_first[i], b_first[i], T);
        else
            RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
            for (size_t i = 0; i < between; i++)
                out_first[i] = f(a_first[i], b_first[i], T);
        memcpy(out, head, sizeof head);
        memcpy(out + n - BLOCK, tail, sizeof tail);
    }
    else if (BLOCK > 32 && n >= 32)
        NAME(ends)(f, a, b, out, n, 32, T);
    else if (BLOCK > 16 && n >= 16)
        NAME(ends)(f, a, b, out, n, 16, T);
    else if (BLOCK > 8 && n >= 8)
        NAME(ends)(f, a, b, out, n, 8, T);
    else if (BLOCK > 4 && n >= 4)
        NAME(ends)(f, a, b, out, n, 4, T);
    else if (n > 0) {
        /* One, two or three elements: the first, the middle and the last. */
        LANE_INT first = f(a[0], b[0], T);
        LANE_INT middle = f(a[n / 2], b[n / 2], T);
        LANE_INT last = f(a[n - 1], b[n - 1], T);
        out[0] = first;
        out[n / 2] = middle;
        out[n - 1] = last;
    }
}

RELU_EXT_INLINE void NAME(relu)(const void *x, const void *unused, void *y, size_t n, LANE_INT T)
{
    (void)unused;
    NAME(map)(NAME(relu_element), x, x, y, n, T);
}

RELU_EXT_INLINE void NAME(relu_grad)(const void *dy, const void *x, void *dx, size_t n, LANE_INT T)
{
    NAME(map)(NAME(relu_grad_element), dy, x, dx, n, T);
}

/* ReLU of what has no sign. */
RELU_EXT_INLINE void NAME(copy)(const void *x, const void *unused, void *y, size_t n, LANE_INT T)
{
    (void)unused, (void)T;
    if (n > 0 && x != y)
        memcpy(y, x, n * sizeof(LANE_INT));
}

#undef NAME
#undef NAME_
#undef NAME__
#undef LANE
#undef LANE_INT
