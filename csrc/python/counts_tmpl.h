/*
 * Counting the elements that pass a test, for one lane: a template, see compiler.h.
 *
 * Counters are as wide as a lane while they count up to COUNTED_ROWS rows,
 * column by column, and are widened then. A long run of elements is counted as the
 * rows of a matrix as well, whose counters are then added up. Where only a count
 * above 0 is asked for, the counters collect the bits of the elements that pass.
 */
#ifndef COUNTED_ROWS
/*
 * As many as an 8-bit counter can count, in groups of 4 that share the load and the store of
 * the counters. If more rows were a power of two apart, an L1 cache could not hold a line of
 * each.
 */
#define COUNTED_ROWS 252
/* After so many rows, check whether any column is still to be found. */
#define SOUGHT_ROWS 16
/*
 * Bytes of a row counted in one go, whose counters stay near, and of a run taken for
 * a matrix. Processors fetch ahead along a row: from memory, short ones cost half.
 */
#define COUNTED_STRIP 8192
#define COUNTED_RUN 256
/* Shorter rows are counted by several at once, up to so many bytes. */
#define COUNTED_FOLD 8192
#define SOUGHT_FOLD 2048
#endif

typedef RELU_EXT_INT RELU_EXT_(any) RELU_EXT_ANY_POINTER;

RELU_EXT_INLINE RELU_EXT_INT RELU_EXT_(counts)(RELU_EXT_INT x, RELU_EXT_INT keep,
                                               RELU_EXT_INT least)
{
    return (x >= least) & ((x & keep) != 0);
}

/* At most COUNTED_ROWS rows, into counters[j] for column j. */
RELU_EXT_INLINE void RELU_EXT_(count_strip)(const char *x, ptrdiff_t stride, size_t rows, size_t n,
                                            RELU_EXT_INT *counters, bool any,
                                            const struct test *test)
{
    const RELU_EXT_INT keep = (RELU_EXT_INT)test->keep, least = (RELU_EXT_INT)test->least;
#define ROW(row) ((const RELU_EXT_(any) *)(x + (row) * stride))[j]
#define COUNT(row) RELU_EXT_(counts)(ROW(row), keep, least)
#define FIND(row) (ROW(row) & (ROW(row) >= least ? -1 : 0))
    for (; rows >= 4; rows -= 4, x += 4 * stride)
        if (any)
    RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
            for (size_t j = 0; j < n; j++)
                counters[j] |= (RELU_EXT_INT)(FIND(0) | FIND(1) | FIND(2) | FIND(3));
        else
            RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
            for (size_t j = 0; j < n; j++) {
                RELU_EXT_INT four = (RELU_EXT_INT)(COUNT(0) + COUNT(1) + COUNT(2) + COUNT(3));
                counters[j] = (RELU_EXT_INT)(counters[j] + four);
            }
    for (; rows > 0; rows--, x += stride)
        if (any)
            RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
            for (size_t j = 0; j < n; j++)
                counters[j] |= (RELU_EXT_INT)FIND(0);
        else
            RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
            for (size_t j = 0; j < n; j++)
                counters[j] = (RELU_EXT_INT)(counters[j] + COUNT(0));
#undef ROW
#undef COUNT
#undef FIND
}

/* The same as an unsigned number: 8 bits count to 255. */
#define COUNTER(counter) ((int64_t)(RELU_EXT_UINT)(counter))

RELU_EXT_INLINE int64_t RELU_EXT_(count_run)(const char *x, size_t n, bool any,
                                             const struct test *test)
{
    /* Elements in a row of the matrix, and elements whose sum always fits a lane. */
    enum {
        RUN = COUNTED_RUN / sizeof(RELU_EXT_INT),
        FITS = sizeof(RELU_EXT_INT) == 1 ? 192 : 8192,
        VECTOR = 64 / sizeof(RELU_EXT_INT)
    };
    const RELU_EXT_INT keep = (RELU_EXT_INT)test->keep, least = (RELU_EXT_INT)test->least;
    int64_t total = 0;

    /* One vector first: few units are dead. */
    if (any && n >= VECTOR) {
        RELU_EXT_INT found = 0;
        RELU_EXT_ONE_BLOCK
        for (size_t j = 0; j < VECTOR; j++)
            found |= RELU_EXT_(counts)(((const RELU_EXT_(any) *)x)[j], keep, least);
        if (found)
            return 1;
    }
    for (size_t rows = n / (8 * RUN) * 8; rows > 0;) {
        const size_t most = any ? 8 : COUNTED_ROWS, now = rows < most ? rows : most;
        RELU_EXT_INT counters[RUN] = {0}, found = 0;
        RELU_EXT_(count_strip)(x, COUNTED_RUN, now, RUN, counters, any, test);
        for (size_t j = 0; j < RUN; j++)
            if (any)
                found |= counters[j];
            else
                total += COUNTER(counters[j]);
        if (found)
            return 1;
        rows -= now;
        x += now * COUNTED_RUN;
    }
    for (n %= 8 * RUN; n > 0;) {
        const size_t now = n < FITS ? n : FITS;
        RELU_EXT_INT sum = 0;
        for (size_t j = 0; j < now; j++)
            sum += RELU_EXT_(counts)(((const RELU_EXT_(any) *)x)[j], keep, least);
        total += COUNTER(sum);
        n -= now;
        x += now * sizeof(RELU_EXT_INT);
    }
    return total;
}

RELU_EXT_INLINE void RELU_EXT_(count_rows)(const struct counted *c, bool any,
                                           const struct test *test)
{
    const RELU_EXT_INT keep = (RELU_EXT_INT)test->keep, least = (RELU_EXT_INT)test->least;
    const bool runs = c->column_stride == sizeof(RELU_EXT_INT) && c->columns >= 16;
    const char *x = c->x;
    int64_t *count = c->counts;

    for (size_t i = 0; i < c->rows; i++, x += c->row_stride, count += c->count_stride) {
        if (runs) {
            *count += RELU_EXT_(count_run)(x, c->columns, any, test);
            continue;
        }
        const char *element = x;
        int64_t total = 0;
        RELU_EXT_NO_UNROLL
        for (size_t j = 0; j < c->columns; j++, element += c->column_stride)
            total += RELU_EXT_(counts)(*(const RELU_EXT_(any) *)element, keep, least);
        *count += total;
    }
}

RELU_EXT_INLINE void RELU_EXT_(count_columns)(const struct counted *c, bool any,
                                              const struct test *test)
{
    enum { STRIP = COUNTED_STRIP / sizeof(RELU_EXT_INT) };
    const size_t long_row = (any ? SOUGHT_FOLD : COUNTED_FOLD) / sizeof(RELU_EXT_INT);
    const RELU_EXT_INT keep = (RELU_EXT_INT)test->keep, least = (RELU_EXT_INT)test->least;

    if (c->column_stride != sizeof(RELU_EXT_INT)) {
        for (size_t i = 0; i < c->rows; i++) {
            const char *element = c->x + (ptrdiff_t)i * c->row_stride;
            int64_t *count = c->counts;
            for (size_t j = 0; j < c->columns;
                 j++, element += c->column_stride, count += c->count_stride)
                *count += RELU_EXT_(counts)(*(const RELU_EXT_(any) *)element, keep, least);
        }
        return;
    }
    /* Rows one behind the other: `fold` of them are one long row, of which 16 or more are left. */
    size_t fold = 1;
    if (c->columns <= long_row / 2 && c->rows >= 32
        && c->row_stride == (ptrdiff_t)(c->columns * sizeof(RELU_EXT_INT)))
        fold = long_row / c->columns < c->rows / 16 ? long_row / c->columns : c->rows / 16;

    for (size_t first = 0; first < c->columns; first += STRIP) {
        const size_t n = c->columns - first < STRIP ? c->columns - first : STRIP;
        const char *x = c->x + first * sizeof(RELU_EXT_INT);
        int64_t *counts = c->counts + (ptrdiff_t)first * c->count_stride;
        RELU_EXT_INT counters[STRIP];

        memset(counters, 0, n * fold * sizeof(RELU_EXT_INT));
        for (size_t rows = c->rows; rows > 0;) {
            /* The last rows may be fewer than make a long one. */
            const size_t together = rows < fold ? 1 : fold, left = rows / together;
            const size_t most = any ? SOUGHT_ROWS : COUNTED_ROWS;
            const size_t now = left < most ? left : most;
            RELU_EXT_(count_strip)(x, (ptrdiff_t)together * c->row_stride, now, n * together,
                                   counters, any, test);
            rows -= now * together;
            x += (ptrdiff_t)(now * together) * c->row_stride;
            if (any && rows > 0) {
                RELU_EXT_INT missing = 0;
                for (size_t j = 0; j < n * fold; j++)
                    missing |= counters[j] == 0;
                if (missing)
                    continue;
                rows = 0;
            }
            for (size_t k = 0; k < fold; k++) {
                const RELU_EXT_INT *counter = counters + k * n;
                if (c->count_stride == 1)
                    RELU_EXT_NO_OVERLAP
                    for (size_t j = 0; j < n; j++)
                        counts[j] += any ? counter[j] != 0 : COUNTER(counter[j]);
                else
                    for (size_t j = 0; j < n; j++)
                        counts[(ptrdiff_t)j * c->count_stride] +=
                            any ? counter[j] != 0 : COUNTER(counter[j]);
            }
            if (rows > 0)
                memset(counters, 0, n * fold * sizeof(RELU_EXT_INT));
        }
    }
}

#undef COUNTER
#undef RELU_EXT_BITS
