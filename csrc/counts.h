/*
 * Counting the elements that pass a test, for one lane: included by kernels.h.
 *
 * Counters are as wide as a lane while they count up to RELU_EXT_COUNTED_ROWS rows,
 * column by column, and are widened then. A long run of elements is counted as the
 * rows of a matrix as well, whose counters are then added up. Where only a count
 * above 0 is asked for, the counters collect the bits of the elements that pass.
 */
#ifndef RELU_EXT_COUNTED_ROWS
/*
 * As many as 8 bits hold, in groups of 4, which share the counters' load and store.
 * Of more, a power of two apart, an L1 cache could not hold a line each.
 */
#define RELU_EXT_COUNTED_ROWS 252
/* After so many, whether there are any columns left to find is asked. */
#define RELU_EXT_SOUGHT_ROWS 16
/*
 * Bytes of a row counted in one go, whose counters stay near, and of a run taken for
 * a matrix. Processors fetch ahead along a row: from memory, short ones cost half.
 */
#define RELU_EXT_COUNTED_STRIP 32768
#define RELU_EXT_COUNTED_RUN 256
/* Shorter rows are counted by several at once, up to so many bytes. */
#define RELU_EXT_COUNTED_FOLD 16384
#define RELU_EXT_SOUGHT_FOLD 2048
#endif

RELU_EXT_INLINE LANE_INT NAME(counts)(LANE_INT x, LANE_INT keep, LANE_INT least)
{
    return (x >= least) & ((x & keep) != 0);
}

/* At most RELU_EXT_COUNTED_ROWS rows, into counters[j] for column j. */
RELU_EXT_INLINE void NAME(count_strip)(const char *x, ptrdiff_t stride, size_t rows, size_t n,
                                       LANE_INT *counters, bool any,
                                       const struct relu_ext_test *test)
{
    const LANE_INT keep = (LANE_INT)test->keep, least = (LANE_INT)test->least;
#define ROW(row) ((const NAME(any) *)(x + (row) * stride))[j]
#define COUNT(row) NAME(counts)(ROW(row), keep, least)
#define FIND(row) (ROW(row) & (ROW(row) >= least ? -1 : 0))
    for (; rows >= 4; rows -= 4, x += 4 * stride)
        if (any)
            RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
            for (size_t j = 0; j < n; j++)
                counters[j] |= (LANE_INT)(FIND(0) | FIND(1) | FIND(2) | FIND(3));
        else
            RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
            for (size_t j = 0; j < n; j++) {
                LANE_INT four = (LANE_INT)(COUNT(0) + COUNT(1) + COUNT(2) + COUNT(3));
                counters[j] = (LANE_INT)(counters[j] + four);
            }
    for (; rows > 0; rows--, x += stride)
        if (any)
            RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
            for (size_t j = 0; j < n; j++)
                counters[j] |= (LANE_INT)FIND(0);
        else
            RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
            for (size_t j = 0; j < n; j++)
                counters[j] = (LANE_INT)(counters[j] + COUNT(0));
#undef ROW
#undef COUNT
#undef FIND
}

/* The same as an unsigned number: 8 bits count to 255. */
#define COUNTER(counter) ((int64_t)(counter) & (int64_t)(UINT64_MAX >> (64 - 8 * sizeof(LANE_INT))))

RELU_EXT_INLINE int64_t NAME(count_run)(const char *x, size_t n, bool any,
                                        const struct relu_ext_test *test)
{
    /* Elements in a row of the matrix, and elements whose sum always fits a lane. */
    enum {
        RUN = RELU_EXT_COUNTED_RUN / sizeof(LANE_INT),
        FITS = sizeof(LANE_INT) == 1 ? 192 : 8192,
        VECTOR = 64 / sizeof(LANE_INT)
    };
    const LANE_INT keep = (LANE_INT)test->keep, least = (LANE_INT)test->least;
    int64_t total = 0;

    /* One vector first: few units are dead. */
    if (any && n >= VECTOR) {
        LANE_INT found = 0;
        RELU_EXT_ONE_BLOCK
        for (size_t j = 0; j < VECTOR; j++)
            found |= NAME(counts)(((const NAME(any) *)x)[j], keep, least);
        if (found)
            return 1;
    }
    for (size_t rows = n / (8 * RUN) * 8; rows > 0;) {
        const size_t most = any ? 8 : RELU_EXT_COUNTED_ROWS, now = rows < most ? rows : most;
        LANE_INT counters[RUN] = {0}, found = 0;
        NAME(count_strip)(x, RELU_EXT_COUNTED_RUN, now, RUN, counters, any, test);
        for (size_t j = 0; j < RUN; j++)
            if (any)
                found |= counters[j];
            else
                total += COUNTER(counters[j]);
        if (found)
            return 1;
        rows -= now;
        x += now * RELU_EXT_COUNTED_RUN;
    }
    for (n %= 8 * RUN; n > 0;) {
        const size_t now = n < FITS ? n : FITS;
        LANE_INT sum = 0;
        for (size_t j = 0; j < now; j++)
            sum = (LANE_INT)(sum + NAME(counts)(((const NAME(any) *)x)[j], keep, least));
        total += COUNTER(sum);
        n -= now;
        x += now * sizeof(LANE_INT);
    }
    return total;
}

RELU_EXT_INLINE void NAME(count_rows)(const struct relu_ext_counted *c, bool any,
                                      const struct relu_ext_test *test)
{
    const LANE_INT keep = (LANE_INT)test->keep, least = (LANE_INT)test->least;
    const bool runs = c->column_stride == sizeof(LANE_INT) && c->columns >= 16;
    const char *x = c->x;
    int64_t *count = c->counts;

    for (size_t i = 0; i < c->rows; i++, x += c->row_stride, count += c->count_stride) {
        if (runs) {
            *count += NAME(count_run)(x, c->columns, any, test);
            continue;
        }
        const char *element = x;
        int64_t total = 0;
        RELU_EXT_NO_UNROLL
        for (size_t j = 0; j < c->columns; j++, element += c->column_stride)
            total += NAME(counts)(*(const NAME(any) *)element, keep, least);
        *count += total;
    }
}

RELU_EXT_INLINE void NAME(count_columns)(const struct relu_ext_counted *c, bool any,
                                         const struct relu_ext_test *test)
{
    enum { STRIP = RELU_EXT_COUNTED_STRIP / sizeof(LANE_INT) };
    const size_t long_row = (any ? RELU_EXT_SOUGHT_FOLD : RELU_EXT_COUNTED_FOLD) / sizeof(LANE_INT);
    const LANE_INT keep = (LANE_INT)test->keep, least = (LANE_INT)test->least;

    if (c->column_stride != sizeof(LANE_INT)) {
        for (size_t i = 0; i < c->rows; i++) {
            const char *element = c->x + (ptrdiff_t)i * c->row_stride;
            int64_t *count = c->counts;
            for (size_t j = 0; j < c->columns;
                 j++, element += c->column_stride, count += c->count_stride)
                *count += NAME(counts)(*(const NAME(any) *)element, keep, least);
        }
        return;
    }
    /* Rows one behind the other: `fold` of them are one long row, of which 16 or more are left. */
    size_t fold = 1;
    if (c->columns <= long_row / 2 && c->rows >= 32
        && c->row_stride == (ptrdiff_t)(c->columns * sizeof(LANE_INT)))
        fold = long_row / c->columns < c->rows / 16 ? long_row / c->columns : c->rows / 16;

    for (size_t first = 0; first < c->columns; first += STRIP) {
        const size_t n = c->columns - first < STRIP ? c->columns - first : STRIP;
        const char *x = c->x + first * sizeof(LANE_INT);
        int64_t *counts = c->counts + (ptrdiff_t)first * c->count_stride;
        LANE_INT counters[STRIP];

        memset(counters, 0, n * fold * sizeof(LANE_INT));
        for (size_t rows = c->rows; rows > 0;) {
            /* The last rows may be fewer than make a long one. */
            const size_t together = rows < fold ? 1 : fold, left = rows / together;
            const size_t most = any ? RELU_EXT_SOUGHT_ROWS : RELU_EXT_COUNTED_ROWS;
            const size_t now = left < most ? left : most;
            NAME(count_strip)(x, (ptrdiff_t)together * c->row_stride, now, n * together, counters,
                              any, test);
            rows -= now * together;
            x += (ptrdiff_t)(now * together) * c->row_stride;
            if (any && rows > 0) {
                LANE_INT missing = 0;
                for (size_t j = 0; j < n * fold; j++)
                    missing |= counters[j] == 0;
                if (missing)
                    continue;
                rows = 0;
            }
            for (size_t k = 0; k < fold; k++) {
                const LANE_INT *counter = counters + k * n;
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
                memset(counters, 0, n * fold * sizeof(LANE_INT));
        }
    }
}

#undef COUNTER
