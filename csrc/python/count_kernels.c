#include "count_kernels.h"

#include <string.h>

#include "relu_ext/longdouble_bits.h"

#define RELU_EXT_BITS 8
#include "counts_tmpl.h"
#define RELU_EXT_BITS 16
#include "counts_tmpl.h"
#define RELU_EXT_BITS 32
#include "counts_tmpl.h"
#define RELU_EXT_BITS 64
#include "counts_tmpl.h"

/* The same for long double, an element at a time. */

/* Either sign passes unless it is zero. */
RELU_EXT_INLINE int64_t relu_ext_counts_ld(const char *x, const struct test *test)
{
    if (relu_ext_passes((const unsigned char *)x))
        return 1;
    if (test->keep == -1)
        return 0;
    long double opposite;
    unsigned char bits[sizeof opposite];
    memcpy(&opposite, x, sizeof opposite);
    opposite = -opposite;
    memcpy(bits, &opposite, sizeof opposite);
    return relu_ext_passes(bits);
}

RELU_EXT_INLINE void relu_ext_count_columns_ld(const struct counted *c, bool any,
                                               const struct test *test)
{
    (void)any;
    for (size_t i = 0; i < c->rows; i++)
        for (size_t j = 0; j < c->columns; j++)
            c->counts[(ptrdiff_t)j * c->count_stride] += relu_ext_counts_ld(
                c->x + (ptrdiff_t)i * c->row_stride + (ptrdiff_t)j * c->column_stride, test);
}

RELU_EXT_INLINE void relu_ext_count_rows_ld(const struct counted *c, bool any,
                                            const struct test *test)
{
    (void)any;
    for (size_t i = 0; i < c->rows; i++)
        for (size_t j = 0; j < c->columns; j++)
            c->counts[(ptrdiff_t)i * c->count_stride] += relu_ext_counts_ld(
                c->x + (ptrdiff_t)i * c->row_stride + (ptrdiff_t)j * c->column_stride, test);
}

/* count_columns_b32_avx2 and count_rows_b32_avx2, and so on. */
typedef void counter(const struct counted *c, const struct test *test);
#define DEFINE_COUNTER(lane, isa, target)                                              \
    static target void count_columns_##lane##_##isa(const struct counted *c,           \
                                                    const struct test *test)           \
    {                                                                                  \
        if (c->any)                                                                    \
            relu_ext_count_columns_##lane(c, true, test);                              \
        else                                                                           \
            relu_ext_count_columns_##lane(c, false, test);                             \
    }                                                                                  \
    static target void count_rows_##lane##_##isa(const struct counted *c,              \
                                                 const struct test *test)              \
    {                                                                                  \
        if (c->any)                                                                    \
            relu_ext_count_rows_##lane(c, true, test);                                 \
        else                                                                           \
            relu_ext_count_rows_##lane(c, false, test);                                \
    }
#define DEFINE_COUNTERS(isa, target, supported) RELU_EXT_LANES(DEFINE_COUNTER, isa, target)
RELU_EXT_ISAS(DEFINE_COUNTERS)

/* In the order of RELU_EXT_ISAS. */
#define COUNTER_POINTERS(lane, isa)                                                    \
    [relu_ext_lane_##lane] = {count_columns_##lane##_##isa, count_rows_##lane##_##isa},
#define ISA_COUNTERS(isa, target, supported) {RELU_EXT_LANES(COUNTER_POINTERS, isa)},
static counter *const counters[][RELU_EXT_LANE_COUNT][2] = {RELU_EXT_ISAS(ISA_COUNTERS)};

void relu_ext_count(enum relu_ext_lane lane, bool by_row, const struct counted *c,
                    const struct test *test)
{
    counters[relu_ext_isa_index()][lane][by_row](c, test);
}
