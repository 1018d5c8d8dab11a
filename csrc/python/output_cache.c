#include "output_cache.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#if defined(__linux__)
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#endif

static PyArrayObject *numpy_array(PyArrayObject *like, bool fortran)
{
    PyArray_Descr *descr = PyArray_DESCR(like);
    Py_INCREF(descr);
    return (PyArrayObject *)PyArray_NewFromDescr(&PyArray_Type, descr, PyArray_NDIM(like),
                                                 PyArray_DIMS(like), NULL, NULL,
                                                 fortran ? NPY_ARRAY_F_CONTIGUOUS : 0, NULL);
}

/* From here on 64-bit glibc gives memory back as soon as it is freed. */
static const size_t NEVER_REUSED_BYTES = 32 << 20;

#if defined(__linux__) && defined(MADV_FREE) && defined(MADV_HUGEPAGE)

/*
 * glibc reuses what is smaller than the mappings it has made before, but only at the
 * top of its heap: with three results alive in turn it does not, and where a result
 * ends up in its page may cost half the speed again. From here on the cache costs a
 * twentieth at most; at half of it, a tenth.
 */
static const size_t CACHED_BYTES = 256 << 10;

static const size_t HUGE_PAGE = 2 << 20;

/*
 * Memory that is kept but unused for this long is released: faulting it in again costs 1 % of
 * that time.
 */
static const uint64_t IDLE_NS = 1000000000;

/* Below this, marking memory as free takes too long next to ReLU. */
static const size_t MARKED_BYTES = 8 << 20;

/* Small results of one thread from one look at the clock to the next. */
enum { CALLS_A_LOOK = 64 };

/*
 * The header is in the page before a block of pages, huge ones where possible. The data begin
 * LEAD bytes before the block, in the header's page. Like malloc's large arrays they begin 16
 * bytes into a cache line, so that loads and stores become aligned together; and not a little
 * later in their page than malloc's, where each load would seem to depend on an earlier store.
 */
enum { LEAD = 48 };
struct header {
    size_t size; /* of the block */
    unsigned generation;
    bool fresh;
    bool mark_free; /* when it is freed */
};

struct block {
    char *start;
    size_t size;
    uint64_t since; /* when it was freed */
};

/* What is kept, oldest first. Kept short, as each result looks through all of it. */
enum { SLOTS = 64 };
static struct block kept[SLOTS];
static int kept_count;
static size_t hits, misses;

/* Written, like the above, under the lock. */
static _Atomic(size_t) limit, held;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* How many forks this process is away from the first one. */
static unsigned generation;

static size_t page;

static uint64_t nanoseconds(clockid_t clock)
{
    struct timespec t = {0}; /* should there be no clock, nothing is idle */
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct header *header_of(void *data)
{
    return (struct header *)((char *)data + LEAD - page);
}

static struct block take(int slot)
{
    const struct block taken = kept[slot];
    kept_count--;
    memmove(&kept[slot], &kept[slot + 1], (size_t)(kept_count - slot) * sizeof *kept);
    atomic_fetch_sub(&held, taken.size);
    return taken;
}

/*
 * Takes out what is idle, and the oldest until there is room for so much more; the
 * caller holds the lock, and unmaps them without it. Returns how many.
 */
static int take_excess(struct block *taken, size_t bytes, int slots)
{
    const uint64_t now = nanoseconds(CLOCK_MONOTONIC_COARSE);
    int n = 0;
    while (kept_count > 0
           && (atomic_load(&held) + bytes > atomic_load(&limit) || kept_count + slots > SLOTS
               || now - kept[0].since > IDLE_NS))
        taken[n++] = take(0);
    return n;
}

static void unmap(const struct block *blocks, int n)
{
    for (int i = 0; i < n; i++)
        munmap(blocks[i].start - page, page + blocks[i].size);
}

static void give_back_excess(void)
{
    struct block excess[SLOTS];
    pthread_mutex_lock(&lock);
    const int n = take_excess(excess, 0, 0);
    pthread_mutex_unlock(&lock);
    unmap(excess, n);
}

void relu_ext_set_output_cache(size_t bytes)
{
    struct block excess[SLOTS];
    pthread_mutex_lock(&lock);
    atomic_store(&limit, bytes);
    const int n = take_excess(excess, 0, 0);
    pthread_mutex_unlock(&lock);
    unmap(excess, n);
}

void relu_ext_get_output_cache(size_t *most, size_t *now, size_t *reused, size_t *new)
{
    give_back_excess();
    pthread_mutex_lock(&lock);
    *most = atomic_load(&limit);
    *now = atomic_load(&held);
    *reused = hits;
    *new = misses;
    pthread_mutex_unlock(&lock);
}

/*
 * Sizes that differ little share memory: eight steps from one power of two to the
 * next, and whole huge pages where these are no more than a quarter.
 */
static size_t round_up(size_t size)
{
    size_t step = page;
    while (step < size / 16)
        step *= 2;
    if (step < HUGE_PAGE && size >= 4 * HUGE_PAGE)
        step = HUGE_PAGE;
    return (size + step - 1) / step * step;
}

/* A new block of so many bytes, a multiple of a page; NULL if there is no memory. */
static char *map_block(size_t size)
{
    const size_t boundary = size < HUGE_PAGE ? page : HUGE_PAGE;
    char *mapped = mmap(NULL, boundary + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
    if (mapped == MAP_FAILED)
        return NULL;
    /* mmap promises no boundary: what is too much is cut off again. */
    const size_t before = -((uintptr_t)mapped + page) % boundary;
    const size_t behind = boundary - before - page;
    char *start = mapped + before + page;
    if (before > 0)
        munmap(mapped, before);
    if (behind > 0)
        munmap(start + size, behind);
    if (boundary == HUGE_PAGE)
        madvise(start, size, MADV_HUGEPAGE);
    return start;
}

static void *cache_malloc(void *unused, size_t size)
{
    (void)unused;
    if (size > SIZE_MAX / 4)
        return NULL;

    /*
     * The smallest that is large enough, and of those the latest: it is most likely still in
     * the caches.
     */
    struct block excess[SLOTS], found = {NULL, SIZE_MAX, 0};
    int slot = -1;
    pthread_mutex_lock(&lock);
    for (int i = kept_count - 1; i >= 0; i--)
        if (kept[i].size >= size && kept[i].size - size <= size / 4 && kept[i].size < found.size) {
            found = kept[i];
            slot = i;
        }
    if (slot >= 0)
        take(slot);
    slot >= 0 ? hits++ : misses++;
    int n = take_excess(excess, 0, 0);
    pthread_mutex_unlock(&lock);
    unmap(excess, n);
    if (slot >= 0) {
        header_of(found.start - LEAD)->fresh = false;
        return found.start - LEAD;
    }

    const size_t need = round_up(size);
    char *start = map_block(need);
    if (start == NULL) {
        /* What is kept may be what is missing. */
        pthread_mutex_lock(&lock);
        for (n = 0; kept_count > 0;)
            excess[n++] = take(0);
        pthread_mutex_unlock(&lock);
        unmap(excess, n);
        if ((start = map_block(need)) == NULL)
            return NULL;
    }
    *header_of(start - LEAD) = (struct header){need, generation, .fresh = true,
                                               .mark_free = need >= MARKED_BYTES};
    return start - LEAD;
}

static void cache_free(void *unused, void *data, size_t unreliable)
{
    (void)unused, (void)unreliable;
    if (data == NULL)
        return;
    struct header *header = header_of(data);
    struct block excess[SLOTS + 1];
    struct block freed = {(char *)data + LEAD, header->size, nanoseconds(CLOCK_MONOTONIC_COARSE)};
    int n = 0;

    /*
     * Marks the memory as free for the system to take when it is short. With huge pages that
     * costs less than 1 us a MiB; with small ones it costs more than ReLU itself, and is not
     * tried again.
     */
    if (header->mark_free && freed.size <= atomic_load(&limit)) {
        const uint64_t start = nanoseconds(CLOCK_MONOTONIC);
        header->mark_free = madvise(freed.start, freed.size, MADV_FREE) == 0
                            && (nanoseconds(CLOCK_MONOTONIC) - start) / 5000 < freed.size >> 20;
    }
    pthread_mutex_lock(&lock);
    if (freed.size >= CACHED_BYTES && freed.size <= atomic_load(&limit)
        && header->generation == generation) {
        n = take_excess(excess, freed.size, 1);
        kept[kept_count++] = freed;
        atomic_fetch_add(&held, freed.size);
    }
    else
        excess[n++] = freed;
    pthread_mutex_unlock(&lock);
    unmap(excess, n);
}

static void *cache_calloc(void *unused, size_t count, size_t size)
{
    if (size > 0 && count > SIZE_MAX / size)
        return NULL;
    void *data = cache_malloc(unused, count * size);
    return data ? memset(data, 0, count * size) : NULL;
}

static void *cache_realloc(void *unused, void *data, size_t size)
{
    void *moved = cache_malloc(unused, size);
    if (moved != NULL && data != NULL) {
        const size_t before = header_of(data)->size;
        memcpy(moved, data, before < size ? before : size);
        cache_free(unused, data, 0);
    }
    return moved;
}

static PyDataMem_Handler handler = {
    "relu_ext", 1, {NULL, cache_malloc, cache_calloc, cache_realloc, cache_free}};

/* NULL where the system does not grant what the cache needs. */
static PyObject *capsule;

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

/* Writing to pages shared with the parent would copy them: the child starts with none. */
static void after_fork_in_child(void)
{
    generation++;
    unmap(kept, kept_count);
    kept_count = 0;
    atomic_store(&held, 0);
    hits = misses = 0;
    pthread_mutex_unlock(&lock);
}

int relu_ext_output_cache_init(void)
{
    const long size = sysconf(_SC_PAGESIZE);
    if (size <= LEAD || pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0)
        return 0;
    page = (size_t)size;
    capsule = PyCapsule_New(&handler, "mem_handler", NULL);
    return capsule == NULL ? -1 : 0;
}

PyArrayObject *relu_ext_new_output(PyArrayObject *like, bool fortran, bool *fresh)
{
    static _Thread_local unsigned calls;
    const size_t bytes = (size_t)PyArray_NBYTES(like);

    *fresh = bytes >= NEVER_REUSED_BYTES;
    if (bytes < CACHED_BYTES || capsule == NULL
        || atomic_load_explicit(&limit, memory_order_relaxed) == 0) {
        if (atomic_load_explicit(&held, memory_order_relaxed) > 0 && ++calls % CALLS_A_LOOK == 0)
            give_back_excess();
        return numpy_array(like, fortran);
    }
    PyObject *before = PyDataMem_SetHandler(capsule);
    if (before == NULL)
        return NULL;
    const bool ours = before == PyDataMem_DefaultHandler;
    PyArrayObject *array = ours ? numpy_array(like, fortran) : NULL;
    PyObject *set = PyDataMem_SetHandler(before);
    Py_DECREF(before);
    if (set == NULL) {
        Py_XDECREF(array);
        return NULL;
    }
    Py_DECREF(set);
    if (array == NULL) {
        /* The heap may have what mmap does not give. */
        PyErr_Clear();
        return numpy_array(like, fortran);
    }
    *fresh = header_of(PyArray_DATA(array))->fresh;
    return array;
}

#else

static _Atomic(size_t) limit;

int relu_ext_output_cache_init(void)
{
    return 0;
}

void relu_ext_set_output_cache(size_t bytes)
{
    atomic_store(&limit, bytes);
}

void relu_ext_get_output_cache(size_t *most, size_t *now, size_t *reused, size_t *new)
{
    *most = atomic_load(&limit);
    *now = *reused = *new = 0;
}

PyArrayObject *relu_ext_new_output(PyArrayObject *like, bool fortran, bool *fresh)
{
    *fresh = (size_t)PyArray_NBYTES(like) >= NEVER_REUSED_BYTES;
    return numpy_array(like, fortran);
}

#endif
