#include "strided.h"

#include <string.h>

#include "overlap.h"
#include "relu_ext/axes.h"
#include "threads.h"

/*
 * What is not contiguous passes through blocks that stay in L1: tiles of the arrays, so many
 * lines across so many columns along the last axis, which is the output's closest. Where
 * an input lies closer along another axis, as x does in relu(x.T, out=y), the lines are along
 * that one. So both arrays are gone through by pieces of whole cache lines.
 */
enum {
    BLOCK_BYTES = 8192,     /* for all inputs together */
    LINE_BYTES = 64,        /* of an input, across: a cache line */
    LINES_AHEAD = 8,        /* to fetch: processors see no pattern in lines so far apart */
    ROW_BYTES = 256,        /* contiguous rows of so many are not copied */
    CHUNK_BYTES = 64 << 10, /* but cut to share them out */
};

struct walk {
    const struct relu_ext_kernel *kernel;
    const struct relu_ext_strided *arrays;
    size_t across;         /* which axis the lines are along */
    size_t lines, columns; /* of a tile */
    size_t tiles, elements;
    size_t total; /* elements, for the kernel to know; 0 where it is not to stream */
    bool rows; /* tiles are pieces of rows, which all arrays have contiguous: nothing is copied */
    bool crossed; /* where an input lies closer than along the last axis */
    bool uniform; /* the last of several inputs, in each tile */
};

/* So that `at` is in the cache, for reading or, with 1, for writing, when it is needed. */
#ifdef __GNUC__
#define FETCH(at, write) __builtin_prefetch(at, write)
#else
#define FETCH(at, write) (void)(at)
#endif

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

RELU_EXT_INLINE void copy_elements(char *to, ptrdiff_t to_line, ptrdiff_t to_step, const char *from,
                                   ptrdiff_t from_line, ptrdiff_t from_step, size_t lines,
                                   size_t columns, size_t size)
{
    for (; lines > 0; lines--, to += to_line, from += from_line) {
        char *t = to;
        const char *f = from;
        FETCH(from + LINES_AHEAD * from_line, 0);
        for (size_t i = 0; i < columns; i++, t += to_step, f += from_step)
            memcpy(t, f, size);
    }
}

/* With what lies on the same cache line of `from` one after the other. */
static void copy_tile(char *to, ptrdiff_t to_line, ptrdiff_t to_step, const char *from,
                      ptrdiff_t from_line, ptrdiff_t from_step, size_t lines, size_t columns,
                      size_t size)
{
    if (lines > 1 && relu_ext_distance(from_step) >= LINE_BYTES
        && relu_ext_distance(from_line) < LINE_BYTES) {
        copy_tile(to, to_step, to_line, from, from_step, from_line, columns, lines, size);
        return;
    }
    if (from_step == (ptrdiff_t)size && to_step == from_step) {
        copy_elements(to, to_line, 0, from, from_line, 0, lines, 1, columns * size);
        return;
    }
    /* Sizes spelled out, so that each copy is one load and one store. */
    switch (size) {
#define COPY(size)                                                                             \
    case size:                                                                                 \
        copy_elements(to, to_line, to_step, from, from_line, from_step, lines, columns, size); \
        break
        COPY(1);
        COPY(2);
        COPY(4);
        COPY(8);
#undef COPY
    default: copy_elements(to, to_line, to_step, from, from_line, from_step, lines, columns, size);
    }
}

/* Whether a tile is one run of memory. */
static bool is_dense(ptrdiff_t line, ptrdiff_t step, size_t lines, size_t columns, size_t size)
{
    return step == (ptrdiff_t)size && (lines == 1 || line == (ptrdiff_t)(columns * size));
}

/* How many elements along an axis are in a tile. */
static size_t of_tile(const struct walk *w, size_t axis)
{
    return axis == w->arrays->axis_count - 1 ? w->columns : axis == w->across ? w->lines : 1;
}

/* Where a tile begins: along the axes, and in memory. */
struct place {
    size_t first[RELU_EXT_MAX_AXES];
    const char *in[RELU_EXT_MAX_NIN];
    char *out;
};

RELU_EXT_INLINE void move_along(struct place *at, const struct relu_ext_strided_axis *axis,
                                ptrdiff_t elements, int nin)
{
    for (int k = 0; k < nin; k++)
        at->in[k] += elements * axis->in[k];
    at->out += elements * axis->out;
}

static void find_tile(struct place *at, const struct walk *w, size_t tile)
{
    const struct relu_ext_strided *s = w->arrays;
    memcpy(at->in, s->in, sizeof at->in);
    at->out = s->out;
    for (size_t i = s->axis_count; i-- > 0;) {
        const size_t tiles = (s->axes[i].n - 1) / of_tile(w, i) + 1;
        at->first[i] = tile % tiles * of_tile(w, i);
        tile /= tiles;
        move_along(at, &s->axes[i], (ptrdiff_t)at->first[i], w->kernel->nin);
    }
}

/* After the last one, the first again. */
static void find_next_tile(struct place *at, const struct walk *w)
{
    const struct relu_ext_strided *s = w->arrays;
    for (size_t i = s->axis_count; i-- > 0;) {
        const struct relu_ext_strided_axis *axis = &s->axes[i];
        const size_t elements = of_tile(w, i);
        if (elements < axis->n - at->first[i]) {
            at->first[i] += elements;
            move_along(at, axis, (ptrdiff_t)elements, w->kernel->nin);
            return;
        }
        if (at->first[i] > 0)
            move_along(at, axis, -(ptrdiff_t)at->first[i], w->kernel->nin);
        at->first[i] = 0;
    }
}

static void run_tiles(void *context, size_t begin, size_t end)
{
    _Alignas(64) char blocks[BLOCK_BYTES];
    const struct walk *w = context;
    const struct relu_ext_strided *s = w->arrays;
    const struct relu_ext_strided_axis *last = &s->axes[s->axis_count - 1];
    const struct relu_ext_strided_axis *across = &s->axes[w->across];
    const size_t size = w->kernel->size;
    const int nin = w->kernel->nin;
    struct place at;

    find_tile(&at, w, begin);
    for (size_t tile = begin; tile < end; tile++, find_next_tile(&at, w)) {
        const size_t columns = least(w->columns, last->n - at.first[s->axis_count - 1]);
        if (w->rows) {
            relu_ext_run(w->kernel->id, at.in, w->uniform, at.out, columns, w->total);
            continue;
        }
        const size_t lines = least(w->lines, across->n - at.first[w->across]);
        const char *in[RELU_EXT_MAX_NIN];
        char *out = at.out, *block = blocks;
        for (int k = 0; k < nin; k++)
            in[k] = at.in[k];
        const size_t n = lines * columns;
        for (size_t i = 0; i < lines && w->crossed; i++)
            for (size_t j = 0; j < columns * size; j += LINE_BYTES)
                FETCH(out + (ptrdiff_t)i * across->out + (ptrdiff_t)j, 1);
        bool direct = is_dense(across->out, last->out, lines, columns, size);
        /* The kernel may write to the block of an input. */
        char *to = direct ? out : blocks;
        for (int k = 0; k < nin - w->uniform; k++) {
            if (!s->in_order && is_dense(across->in[k], last->in[k], lines, columns, size))
                continue;
            copy_tile(block, (ptrdiff_t)(columns * size), (ptrdiff_t)size, in[k], across->in[k],
                      last->in[k], lines, columns, size);
            in[k] = block;
            block += n * size;
            direct = false;
        }
        relu_ext_run(w->kernel->id, in, w->uniform, to, n, direct ? w->total : n);
        if (to != out)
            copy_tile(out, across->out, last->out, blocks, (ptrdiff_t)(columns * size),
                      (ptrdiff_t)size, lines, columns, size);
    }
}

/* Whether the last of several inputs is the same all along. */
static bool is_uniform(const struct walk *w, const struct relu_ext_strided_axis *axis)
{
    return w->kernel->nin > 1 && axis->in[w->kernel->nin - 1] == 0;
}

static void choose_tiles(struct walk *w)
{
    const struct relu_ext_strided *s = w->arrays;
    const struct relu_ext_strided_axis *last = &s->axes[s->axis_count - 1];
    const size_t size = w->kernel->size;
    const int nin = w->kernel->nin;

    w->across = s->axis_count - 1;
    w->lines = 1;
    w->uniform = is_uniform(w, last);
    w->rows = last->out == (ptrdiff_t)size && !s->in_order
              && (s->axis_count == 1 || last->n * size >= ROW_BYTES);
    for (int k = 0; k < nin - w->uniform; k++)
        w->rows &= last->in[k] == (ptrdiff_t)size;
    if (w->rows) {
        w->columns = least(last->n, CHUNK_BYTES / size);
        return;
    }
    const size_t block = BLOCK_BYTES / size / (size_t)nin;
    w->columns = least(last->n, block);
    if (s->axis_count == 1)
        return;
    w->across--;
    for (int k = nin; k-- > 0;) {
        ptrdiff_t closest = relu_ext_distance(last->in[k]);
        for (size_t i = s->axis_count - 1; i-- > 0;)
            if (relu_ext_distance(s->axes[i].in[k]) < closest && s->axes[i].in[k] != 0) {
                closest = relu_ext_distance(s->axes[i].in[k]);
                w->across = i;
                w->crossed = true;
                w->columns = least(last->n, block / least(LINE_BYTES / size, s->axes[i].n));
            }
    }
    w->lines = least(s->axes[w->across].n, block / w->columns);
    w->uniform &= w->lines == 1 || is_uniform(w, &s->axes[w->across]);
}

static struct walk plan(const struct relu_ext_kernel *kernel, const struct relu_ext_strided *s)
{
    struct walk w = {.kernel = kernel, .arrays = s, .tiles = 1, .elements = 1};

    choose_tiles(&w);
    for (size_t i = 0; i < s->axis_count; i++) {
        const size_t n = s->axes[i].n;
        w.tiles *= (n - 1) / of_tile(&w, i) + 1;
        w.elements *= n;
    }
    w.total = s->fresh_out ? 0 : w.elements;
    return w;
}

void relu_ext_run_strided(const struct relu_ext_kernel *kernel, const struct relu_ext_strided *s)
{
    struct walk w = plan(kernel, s);

    if (s->in_order)
        run_tiles(&w, 0, w.tiles);
    else
        relu_ext_parallel_for((struct relu_ext_parallel){
            .part = run_tiles,
            .context = &w,
            .count = w.tiles,
            .bytes = w.elements * kernel->size * (size_t)(kernel->nin + 1 - w.uniform),
        });
}

/*
 * A tile takes as long as some 50 elements besides its own. With many axes, all of them short,
 * there is little in a tile, where NumPy collects lines of several axes in its buffers. Of rows
 * nothing is copied here.
 */
static bool is_worth_it(const struct relu_ext_kernel *kernel, const struct relu_ext_strided *s)
{
    enum { TILE = 256, FEW = 8 };
    const struct walk w = plan(kernel, s);
    return w.rows || w.lines * w.columns >= TILE || w.tiles <= FEW;
}

/* Whether each element of the output is written to once. */
static bool are_apart(const struct relu_ext_strided *s, size_t size)
{
    ptrdiff_t extent = (ptrdiff_t)size;
    for (size_t i = s->axis_count; i-- > 0;) {
        if (s->axes[i].out < extent && s->axes[i].n > 1)
            return false;
        extent += (ptrdiff_t)(s->axes[i].n - 1) * s->axes[i].out;
    }
    return true;
}

static bool is_itself_or_apart(const struct relu_ext_strided *s, int k, size_t size)
{
    struct span in = span_of(s->in[k], size), out = span_of(s->out, size);
    bool same = s->in[k] == s->out;
    for (size_t i = 0; i < s->axis_count; i++) {
        in = span_along(in, s->axes[i].in[k], s->axes[i].n);
        out = span_along(out, s->axes[i].out, s->axes[i].n);
        same &= s->axes[i].in[k] == s->axes[i].out;
    }
    return same || !overlap(in, out);
}

/* Whether both are one: so many steps of the one make one of the other, in all arrays. */
static bool continues(const struct relu_ext_strided_axis *outer,
                      const struct relu_ext_strided_axis *inner, int nin)
{
    const ptrdiff_t n = (ptrdiff_t)inner->n;
    for (int k = 0; k < nin; k++)
        if (outer->in[k] != n * inner->in[k])
            return false;
    return outer->out == n * inner->out;
}

bool relu_ext_sort_strided(const struct relu_ext_kernel *kernel, struct relu_ext_strided *s)
{
    const size_t count = s->axis_count;
    const int nin = kernel->nin;
    size_t sorted = 0, kept = 0;

    for (size_t i = 0; i < count; i++) {
        struct relu_ext_strided_axis axis = s->axes[i];
        if (axis.n == 1)
            continue;
        if (axis.out < 0) {
            const ptrdiff_t steps = (ptrdiff_t)axis.n - 1;
            for (int k = 0; k < nin; k++) {
                s->in[k] += steps * axis.in[k];
                axis.in[k] = -axis.in[k];
            }
            s->out += steps * axis.out;
            axis.out = -axis.out;
        }
        size_t at = sorted++;
        for (; at > 0 && s->axes[at - 1].out < axis.out; at--)
            s->axes[at] = s->axes[at - 1];
        s->axes[at] = axis;
    }
    if (sorted == 0)
        s->axes[sorted++] = (struct relu_ext_strided_axis){.n = 1};
    for (size_t i = 1; i < sorted; i++) {
        struct relu_ext_strided_axis *outer = &s->axes[kept], inner = s->axes[i];
        if (continues(outer, &inner, nin)) {
            inner.n *= outer->n;
            *outer = inner;
        }
        else
            s->axes[++kept] = inner;
    }
    s->axis_count = kept + 1;

    bool safe = is_worth_it(kernel, s) && are_apart(s, kernel->size);
    for (int k = 0; k < nin && safe; k++)
        safe = is_itself_or_apart(s, k, kernel->size);
    return safe;
}
