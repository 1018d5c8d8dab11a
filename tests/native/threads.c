/*
 * Threads over the same inputs, each with outputs of its own, while others change every
 * setting that threads share: results are compared with the oracle's, and a build with
 * ThreadSanitizer watches the accesses.
 *
 *     threads [ROUNDS]
 *
 * Nothing of the library is called before the threads are: they race for the first call, too.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "oracle.h"
#include "python/rows.h"
#include "python/threads.h"

#ifdef _WIN32
#define flockfile _lock_file
#define funlockfile _unlock_file
#endif

enum {
    WORKERS = 4,
    CHANGERS = 2,
    LINES = 3,
    COLUMNS = 1700,
    GAP = 1, /* between the lines of an output, in elements */
    LENGTH = LINES * (COLUMNS + GAP),
};

/* A row's inputs and what they give, read by all. */
static struct {
    unsigned char *in[INPUTS_MAX], *want;
    unsigned char parameter[sizeof parameter];
} data[ROW_COUNT];

static pthread_barrier_t start;
static atomic_int working = WORKERS;
static atomic_bool failed;
static _Atomic(uint64_t) elements;
static int rounds = 20;

static void *allocate(size_t bytes)
{
    void *memory = calloc(bytes, 1);
    if (memory == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return memory;
}

/* The whole as one line, or as lines with a gap after each, which stays 0xCD. */
static void check_row(int r, bool lines, unsigned char *out, unsigned char *want, bool fresh_out)
{
    const struct row *row = &rows[r];
    const size_t bytes = LENGTH * row->size;
    const ptrdiff_t stride = (ptrdiff_t)((COLUMNS + GAP) * row->size);
    struct relu_ext_rows whole = {
        .out = (char *)out,
        .out_stride = stride,
        .uniform = relu_ext_kernels[r].nin > row->nin,
        .rows = lines ? LINES : 1,
        .columns = lines ? COLUMNS : LENGTH,
        .fresh_out = fresh_out,
    };
    for (int k = 0; k < row->nin; k++) {
        whole.in[k] = (const char *)data[r].in[k];
        whole.in_stride[k] = stride;
    }
    if (whole.uniform)
        whole.in[row->nin] = (const char *)data[r].parameter;

    memset(out, 0xCD, bytes);
    memcpy(want, data[r].want, bytes);
    for (size_t i = COLUMNS; lines && i < LENGTH; i += COLUMNS + GAP)
        memset(want + i * row->size, 0xCD, GAP * row->size);
    relu_ext_run_rows((enum relu_ext_id)r, &whole);
    if (memcmp(out, want, bytes) != 0) {
        flockfile(stderr);
        fprintf(stderr, "%s, %zu x %zu elements: ", row->name, whole.rows, whole.columns);
        same(row, out, want, LENGTH, "the output's");
        funlockfile(stderr);
        atomic_store(&failed, true);
    }
    atomic_fetch_add(&elements, whole.rows * whole.columns);
}

static void *work(void *number)
{
    uint64_t state = (uintptr_t)number + 1;
    unsigned char *out = allocate(LENGTH * sizeof(long double));
    unsigned char *want = allocate(LENGTH * sizeof(long double));

    pthread_barrier_wait(&start);
    for (int i = 0; i < rounds && !failed; i++)
        for (int k = 0; k < 2 * ROW_COUNT && !failed; k++)
            check_row((int)below(ROW_COUNT, &state), k % 2, out, want, k % 5 == 0);
    free(out);
    free(want);
    atomic_fetch_sub(&working, 1);
    return NULL;
}

static void *change(void *number)
{
    const size_t stream[] = {1, 0, SIZE_MAX}, parallel[] = {1, 1, 0, SIZE_MAX};
    uint64_t state = (uintptr_t)number + 1;

    pthread_barrier_wait(&start);
    while (working > 0) {
        const char *isa = relu_ext_available_isa(below(3, &state));
        if ((isa && relu_ext_use_isa(isa) != 0) || relu_ext_isa() == NULL)
            atomic_store(&failed, true);
        relu_ext_set_stream_bytes(stream[below(3, &state)]);
        relu_ext_set_parallel_bytes(parallel[below(4, &state)]);
        relu_ext_set_num_threads(below(4, &state) ? 1 + (int)below(4, &state) : INT_MAX);
        if (relu_ext_get_stream_bytes() == 0 || relu_ext_get_parallel_bytes() == 0
            || relu_ext_get_num_threads() < 1 || relu_ext_get_num_threads_asked() < 1) {
            fprintf(stderr, "a setting was read as zero\n");
            atomic_store(&failed, true);
        }
        /* Long enough for several calls to begin and end with one setting. */
        struct timespec pause = {.tv_nsec = 20000};
        nanosleep(&pause, NULL);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[WORKERS + CHANGERS];
    uint64_t state = 20;

    if (argc > 1)
        rounds = atoi(argv[1]);
    for (int r = 0; r < ROW_COUNT; r++) {
        for (int k = 0; k < rows[r].nin; k++) {
            data[r].in[k] = allocate(LENGTH * rows[r].size);
            fill_samples(&rows[r], data[r].in[k], LENGTH, &state);
        }
        data[r].want = allocate(LENGTH * rows[r].size);
        choose_parameter(&rows[r]);
        memcpy(data[r].parameter, parameter, sizeof parameter);
        oracle(&rows[r], data[r].in, data[r].want, LENGTH);
    }
    pthread_barrier_init(&start, NULL, WORKERS + CHANGERS);
    relu_ext_threads_init();
    relu_ext_set_most_threads(WORKERS, INT_MAX);
    for (uintptr_t i = 0; i < WORKERS + CHANGERS; i++)
        if (pthread_create(&threads[i], NULL, i < WORKERS ? work : change, (void *)i) != 0) {
            perror("pthread_create");
            return 2;
        }
    for (int i = 0; i < WORKERS + CHANGERS; i++)
        pthread_join(threads[i], NULL);
    /* Where all CPUs are taken, helpers may have come too late each time: now with one caller. */
    int helpers;
    size_t parts;
    unsigned char *out = allocate(LENGTH * sizeof(long double));
    unsigned char *want = allocate(LENGTH * sizeof(long double));
    relu_ext_set_parallel_bytes(1);
    relu_ext_set_num_threads(INT_MAX);
    relu_ext_get_helpers(&helpers, &parts);
    for (int i = 0; i < 1000000 && parts == 0 && !failed; i++) {
        check_row(i % ROW_COUNT, false, out, want, false);
        relu_ext_get_helpers(&helpers, &parts);
    }
    free(out);
    free(want);
    printf("%d + %d threads x %d functions, %d helpers: %" PRIu64 " elements compared\n", WORKERS,
           CHANGERS, ROW_COUNT, helpers, (uint64_t)elements);
    if (parts == 0 && !failed) {
        fprintf(stderr, "no helper has done anything\n");
        failed = true;
    }
    for (int r = 0; r < ROW_COUNT; r++) {
        for (int k = 0; k < rows[r].nin; k++)
            free(data[r].in[k]);
        free(data[r].want);
    }
    return failed;
}
