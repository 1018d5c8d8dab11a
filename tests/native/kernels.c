/*
 * Every function of relu_ext.h against the oracle, with every instruction set: every
 * length, every offset, in buffers that begin or end at a protected page or at an end of
 * their heap block, in place on each input and not, streamed and not.
 *
 *     kernels [LONGEST [OFFSET_STEP]]
 *
 * compares lengths 0 to LONGEST (300) and every OFFSET_STEP-th (1) of the offsets 0 to 64.
 * Exits with 1 at the first difference, after a line that says where.
 */
#define _GNU_SOURCE
#include <fenv.h>
#include <inttypes.h>
#include <signal.h>
#include <unistd.h>
#ifdef _WIN32
#include <windows.h>
#else
#include <sys/mman.h>
#endif

#include "oracle.h"

enum {
    OFFSETS = 64,
    CANARIES = 64,         /* bytes */
    LONG_BYTES = 20 << 10, /* past the length from which kernels unroll no more */
    STARTS = 1021,
    BUFFERS = INPUTS_MAX + 1,
};

/* The heap first: sanitizers have more to say of it than a protected page has. */
enum place { ON_HEAP, AFTER_FENCE, BEFORE_FENCE, PLACES };
static const char *const place_names[PLACES] = {"on the heap", "after a protected page",
                                                "before a protected page"};

struct fences {
    unsigned char *begin, *end; /* of what may be accessed, between two protected pages */
};

struct buffer {
    unsigned char *start;
    size_t before, after; /* canaries */
    void *heap;
};

/* A row's inputs, and what they give; `alike` where all inputs are the first. */
struct pool {
    const struct row *row;
    unsigned char *in[INPUTS_MAX], *out, *alike;
    struct {
        size_t n;
        unsigned char *in[INPUTS_MAX], *out;
    } patterns; /* in the last input, which decides */
};

/* in_place: the number of the input that is the output too, row->nin where all are, or -1. */
static struct {
    const struct row *row;
    size_t n, offset, stream_bytes;
    enum place place;
    int in_place;
} current;

static struct fences fences[BUFFERS];
static uint64_t state = 20, elements, calls;

static void begin_line(void)
{
    fprintf(stderr, "%s (%s), %zu elements %zu bytes %s", current.row->name, relu_ext_isa(),
            current.n, current.offset, place_names[current.place]);
    if (current.in_place == current.row->nin)
        fprintf(stderr, ", in place on all inputs");
    else if (current.in_place >= 0)
        fprintf(stderr, ", in place on input %d", current.in_place);
    fprintf(stderr, "%s: ", current.stream_bytes == 1 ? ", streaming" : "");
}

static void on_fault(int number)
{
    (void)number;
    begin_line();
    fprintf(stderr, "accessed a protected page\n");
    _exit(1);
}

static unsigned char *allocate(size_t bytes)
{
    unsigned char *memory = malloc(bytes);
    if (memory == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return memory;
}

static struct fences make_fences(void)
{
#ifdef _WIN32
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    const size_t page = system.dwPageSize;
#else
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
#endif
    const size_t room = (LONG_BYTES + OFFSETS + CANARIES + page) / page * page;
#ifdef _WIN32
    DWORD before;
    char *memory = VirtualAlloc(NULL, room + 2 * page, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    const bool made = memory != NULL && VirtualProtect(memory, page, PAGE_NOACCESS, &before)
                      && VirtualProtect(memory + page + room, page, PAGE_NOACCESS, &before);
#else
    char *memory = mmap(NULL, room + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
    const bool made = memory != MAP_FAILED && mprotect(memory, page, PROT_NONE) == 0
                      && mprotect(memory + page + room, page, PROT_NONE) == 0;
#endif
    if (!made) {
        perror("protected pages");
        exit(2);
    }
    return (struct fences){(unsigned char *)memory + page, (unsigned char *)memory + page + room};
}

/* On the heap what lies around stays as malloc gave it: valgrind knows that it was never set. */
static struct buffer make_buffer(const struct fences *f, enum place place, size_t bytes,
                                 size_t offset)
{
    struct buffer b = {0};
    if (place == ON_HEAP) {
        b.heap = allocate(offset + bytes);
        b.start = (unsigned char *)b.heap + offset;
        return b;
    }
    b.start = place == AFTER_FENCE ? f->begin + offset : f->end - offset - bytes;
    b.before = place == AFTER_FENCE ? offset : CANARIES;
    b.after = place == AFTER_FENCE ? CANARIES : offset;
    memset(b.start - b.before, 0xAB, b.before); /* negative in every signed format */
    memset(b.start, 0xCD, bytes);
    memset(b.start + bytes, 0xAB, b.after);
    return b;
}

static bool canaries_live(const struct buffer *b, size_t bytes)
{
    for (size_t i = 0; i < b->before; i++)
        if (b->start[-1 - (ptrdiff_t)i] != 0xAB)
            return false;
    for (size_t i = 0; i < b->after; i++)
        if (b->start[bytes + i] != 0xAB)
            return false;
    return true;
}

static void check_call(const struct pool *pool, size_t n, size_t offset, enum place place,
                       int in_place)
{
    const struct row *row = pool->row;
    const size_t bytes = n * row->size, at = below(STARTS, &state) * row->size;
    const bool alike = in_place == row->nin;
    struct buffer buffers[BUFFERS] = {{0}};
    const void *in[INPUTS_MAX] = {NULL};
    unsigned char *out = NULL;

    current.n = n, current.offset = offset, current.place = place, current.in_place = in_place;
    for (int k = 0; k <= row->nin; k++) {
        const bool is_out = k == row->nin || k == in_place;
        buffers[k] = make_buffer(&fences[k], place, bytes,
                                 is_out ? offset : below(OFFSETS + 1, &state));
        if (k < row->nin)
            memcpy(buffers[k].start, pool->in[alike ? 0 : k] + at, bytes);
    }
    out = buffers[alike ? 0 : in_place >= 0 ? in_place : row->nin].start;
    for (int k = 0; k < row->nin; k++)
        in[k] = alike ? out : buffers[k].start;

    row->call(in, out, n);

    const unsigned char *want = (alike ? pool->alike : pool->out) + at;
    if (memcmp(out, want, bytes) != 0) {
        begin_line();
        same(row, out, want, n, "the output's");
        exit(1);
    }
    for (int k = 0; k <= row->nin; k++) {
        if (k < row->nin && !alike && k != in_place
            && memcmp(buffers[k].start, pool->in[k] + at, bytes) != 0) {
            begin_line();
            same(row, buffers[k].start, pool->in[k] + at, n, "an input's");
            exit(1);
        }
        if (!canaries_live(&buffers[k], bytes)) {
            begin_line();
            fprintf(stderr, "wrote outside its buffers\n");
            exit(1);
        }
        free(buffers[k].heap);
    }
    elements += n, calls++;
}

static void check_length(const struct pool *pool, size_t n, size_t step)
{
    const int in_places = pool->row->nin == 1 ? 1 : pool->row->nin + 1;
    for (size_t offset = 0; offset <= OFFSETS; offset += step)
        for (int place = 0; place < PLACES; place++)
            for (int in_place = -1; in_place < in_places; in_place++)
                check_call(pool, n, offset, (enum place)place, in_place);
}

static void check_patterns(const struct pool *pool)
{
    const struct row *row = pool->row;
    const size_t n = pool->patterns.n;
    const void *in[INPUTS_MAX] = {NULL};
    unsigned char *out = allocate(n * row->size);

    current.n = n, current.offset = 0, current.place = ON_HEAP, current.in_place = -1;
    for (int k = 0; k < row->nin; k++)
        in[k] = pool->patterns.in[k];
    row->call(in, out, n);
    if (memcmp(out, pool->patterns.out, n * row->size) != 0) {
        begin_line();
        same(row, out, pool->patterns.out, n, "the output's");
        exit(1);
    }
    elements += n, calls++;
    free(out);
}

static struct pool make_pool(const struct row *row)
{
    struct pool pool = {.row = row};
    const size_t n = LONG_BYTES / row->size + STARTS;
    unsigned char *alike[INPUTS_MAX];
    choose_parameter(row);
    for (int k = 0; k < row->nin; k++) {
        pool.in[k] = allocate(n * row->size);
        fill_samples(row, pool.in[k], n, &state);
        alike[k] = pool.in[0];
    }
    pool.out = allocate(n * row->size);
    pool.alike = allocate(n * row->size);
    oracle(row, pool.in, pool.out, n);
    oracle(row, alike, pool.alike, n);

    const size_t patterns = pool.patterns.n = fill_patterns(row, NULL, &state);
    for (int k = 0; k < row->nin; k++) {
        pool.patterns.in[k] = allocate(patterns * row->size);
        if (k == row->nin - 1)
            fill_patterns(row, pool.patterns.in[k], &state);
        else
            fill_samples(row, pool.patterns.in[k], patterns, &state);
    }
    pool.patterns.out = allocate(patterns * row->size);
    oracle(row, pool.patterns.in, pool.patterns.out, patterns);
    return pool;
}

static void set_stream_bytes(size_t bytes)
{
    current.stream_bytes = bytes;
    relu_ext_set_stream_bytes(bytes);
}

static void check_row(const struct pool *pool, size_t longest, size_t step)
{
    const struct row *row = pool->row;
    const void *const none[INPUTS_MAX] = {NULL};

    feclearexcept(FE_ALL_EXCEPT);
    row->call(none, NULL, 0);
    set_stream_bytes(SIZE_MAX);
    check_patterns(pool);
    for (size_t n = 0; n <= longest; n++)
        check_length(pool, n, step);
    /* Around where the loop over several vectors ends. */
    for (size_t bytes = (16 << 10) - 96; bytes < LONG_BYTES; bytes += 1000)
        check_length(pool, bytes / row->size, 8 * step);
    set_stream_bytes(1);
    check_patterns(pool);
    for (size_t bytes = 2 << 10; bytes < 4400; bytes += 71)
        check_length(pool, bytes / row->size + 1, step);
    if (fetestexcept(FE_ALL_EXCEPT)) {
        fprintf(stderr, "%s (%s): raised a floating-point flag\n", row->name, relu_ext_isa());
        exit(1);
    }
}

int main(int argc, char **argv)
{
    const size_t longest = argc > 1 ? strtoul(argv[1], NULL, 10) : 300;
    const size_t step = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    const char *isa;
    struct pool pools[ROW_COUNT];

    if (longest > LONG_BYTES / sizeof(long double) || step == 0) {
        fprintf(stderr, "LONGEST is at most %zu, OFFSET_STEP at least 1\n",
                LONG_BYTES / sizeof(long double));
        return 2;
    }
    for (int k = 0; k < BUFFERS; k++)
        fences[k] = make_fences();
    for (int r = 0; r < ROW_COUNT; r++)
        pools[r] = make_pool(&rows[r]);
    signal(SIGSEGV, on_fault);
#ifdef SIGBUS
    signal(SIGBUS, on_fault);
#endif
    for (size_t i = 0; (isa = relu_ext_available_isa(i)) != NULL; i++) {
        if (relu_ext_use_isa(isa) != 0 || strcmp(relu_ext_isa(), isa) != 0) {
            fprintf(stderr, "%s is available and cannot be used\n", isa);
            return 1;
        }
        for (int r = 0; r < ROW_COUNT; r++) {
            current.row = &rows[r];
            choose_parameter(&rows[r]);
            check_row(&pools[r], longest, step);
        }
        printf("%s ", isa);
    }
    printf("x %d functions: %" PRIu64 " elements compared in %" PRIu64 " calls\n", ROW_COUNT,
           elements, calls);
    for (int r = 0; r < ROW_COUNT; r++) {
        for (int k = 0; k < rows[r].nin; k++) {
            free(pools[r].in[k]);
            free(pools[r].patterns.in[k]);
        }
        free(pools[r].out);
        free(pools[r].alike);
        free(pools[r].patterns.out);
    }
    return 0;
}
