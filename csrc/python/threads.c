#include "threads.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef _OPENMP
#include <omp.h>
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif
static atomic_bool in_forked_child;
#endif

static atomic_int num_threads = INT_MAX;
static _Atomic(size_t) parallel_bytes;

#if defined(_OPENMP) && (defined(__unix__) || defined(__APPLE__))
static void after_fork_in_child(void)
{
    atomic_store(&in_forked_child, true);
}

/*
 * OpenMP's threads do not survive a fork, and GNU's runtime then waits for them for ever, even
 * if another library started them.
 *
 * LLVM's holds its locks across a fork, but only from the end of its first call on: a child
 * that is forked during that call waits for them for ever, at the latest when it exits. So the
 * first call is made here, where the GIL, if there is one, keeps others from forking.
 */
void relu_ext_parallel_init(void)
{
    (void)omp_in_parallel();
    pthread_atfork(NULL, NULL, after_fork_in_child);
}
#else
void relu_ext_parallel_init(void)
{
}
#endif

int relu_ext_openmp(void)
{
#ifdef _OPENMP
    return _OPENMP;
#else
    return 0;
#endif
}

int relu_ext_get_num_threads(void)
{
#ifdef _OPENMP
    if (atomic_load_explicit(&in_forked_child, memory_order_relaxed) || omp_in_parallel())
        return 1;
    int asked = relu_ext_get_num_threads_asked(), most = omp_get_max_threads();
    return asked < most ? asked : most;
#else
    return 1;
#endif
}

void relu_ext_set_num_threads(int n)
{
    atomic_store_explicit(&num_threads, n, memory_order_relaxed);
}

int relu_ext_get_num_threads_asked(void)
{
    return atomic_load_explicit(&num_threads, memory_order_relaxed);
}

size_t relu_ext_get_parallel_bytes(void)
{
    size_t bytes = atomic_load_explicit(&parallel_bytes, memory_order_relaxed);
    return bytes ? bytes : (size_t)512 << 10;
}

void relu_ext_set_parallel_bytes(size_t bytes)
{
    atomic_store_explicit(&parallel_bytes, bytes, memory_order_relaxed);
}

/* Elements begin to end of the whole, row after row. */
static void run_range(enum relu_ext_id id, const struct relu_ext_rows *r, size_t begin, size_t end)
{
    const struct relu_ext_kernel *kernel = &relu_ext_kernels[id];
    const size_t total = r->fresh_out ? 0 : r->rows * r->columns;
    size_t row = begin / r->columns, column = begin % r->columns;

    for (; begin < end; row++, column = 0) {
        const size_t left = r->columns - column, n = left < end - begin ? left : end - begin;
        const ptrdiff_t i = (ptrdiff_t)row, within = (ptrdiff_t)(column * kernel->size);
        const char *in[RELU_EXT_MAX_NIN];
        for (int k = 0; k < kernel->nin; k++)
            in[k] = r->in[k] + i * r->in_stride[k] + within;
        if (r->uniform)
            in[kernel->nin - 1] -= within;
        relu_ext_run(id, in, r->uniform, r->out + i * r->out_stride + within, n, total);
        begin += n;
    }
}

#ifdef _OPENMP
/*
 * Where part t of `parts` begins. A single row is cut at page boundaries of the
 * output, so that no two threads write to the same line or fault in the same page.
 */
static size_t part_begin(const struct relu_ext_rows *r, size_t size, size_t t, size_t parts)
{
    const size_t page = 4096, total = r->rows * r->columns;
    size_t begin = total / parts * t + total % parts * t / parts;

    if (r->rows == 1 && t > 0 && t < parts) {
        size_t past_page = ((uintptr_t)r->out + begin * size) % page;
        size_t back = past_page / size;
        begin = back < begin ? begin - back : 0;
    }
    return begin;
}

/*
 * With LLVM's OpenMP, a function with a parallel region starts by asking which thread runs it,
 * even if it then stays serial. That costs a short call 3 ns, and a forked child must not do
 * it. So the regions have functions of their own.
 */
static RELU_EXT_NOINLINE void
run_rows_on_threads(enum relu_ext_id id, const struct relu_ext_rows *r, size_t size, int threads)
{
    /* As many parts as threads asked for, however many OpenMP grants. */
    int t; /* declared outside for MSVC's sake */
#pragma omp parallel for schedule(static) num_threads(threads)
    for (t = 0; t < threads; t++)
        run_range(id, r, part_begin(r, size, (size_t)t, (size_t)threads),
                  part_begin(r, size, (size_t)t + 1, (size_t)threads));
}

static RELU_EXT_NOINLINE void
run_parts_on_threads(size_t count, int threads,
                     void (*part)(void *context, size_t begin, size_t end), void *context)
{
    const size_t each = count / (size_t)threads, more = count % (size_t)threads;
    int t; /* MSVC's OpenMP knows no declaration in the loop */
#pragma omp parallel for schedule(static) num_threads(threads)
    for (t = 0; t < threads; t++) {
        size_t i = (size_t)t, begin = i * each + (i < more ? i : more);
        part(context, begin, begin + each + (i < more));
    }
}
#endif

void relu_ext_run_rows(enum relu_ext_id id, const struct relu_ext_rows *r)
{
    const size_t total = r->rows * r->columns;
    if (total == 0)
        return;
#ifdef _OPENMP
    const struct relu_ext_kernel *kernel = &relu_ext_kernels[id];
    if (total * kernel->size * (size_t)(kernel->nin + 1 - r->uniform)
        >= relu_ext_get_parallel_bytes()) {
        const int threads = relu_ext_get_num_threads();
        if (threads > 1) {
            run_rows_on_threads(id, r, kernel->size, threads);
            return;
        }
    }
#endif
    /* No positions to work out: for a short row that would cost as much as the kernel. */
    if (r->rows == 1)
        relu_ext_run(id, r->in, r->uniform, r->out, total, r->fresh_out ? 0 : total);
    else
        run_range(id, r, 0, total);
}

void relu_ext_parallel_for(size_t count, size_t bytes_moved,
                           void (*part)(void *context, size_t begin, size_t end), void *context)
{
    (void)bytes_moved;
    if (count == 0)
        return;
#ifdef _OPENMP
    if (bytes_moved >= relu_ext_get_parallel_bytes()) {
        const int most = relu_ext_get_num_threads();
        const int threads = count < (size_t)most ? (int)count : most;
        if (threads > 1) {
            run_parts_on_threads(count, threads, part, context);
            return;
        }
    }
#endif
    part(context, 0, count);
}
