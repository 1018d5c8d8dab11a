#include "pool.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

static PyArrayObject *numpy_array(PyArrayObject *like, bool fortran)
{
    PyArray_Descr *descr = PyArray_DESCR(like);
    Py_INCREF(descr);
    return (PyArrayObject *)PyArray_NewFromDescr(
        &PyArray_Type, descr, PyArray_NDIM(like), PyArray_DIMS(like), NULL, NULL,
        fortran ? NPY_ARRAY_F_CONTIGUOUS : 0, NULL);
}

/* Below this, 64-bit glibc reuses memory by itself. */
static const size_t POOLED_BYTES = 32 << 20;

#if defined(__linux__) && defined(MADV_FREE) && defined(MADV_HUGEPAGE)

static const size_t HUGE_PAGE = 2 << 20;

/* In front of the data; a cache line, so that the data begins on one. */
union header {
    struct {
        size_t mapped;
        bool fresh;
    };
    char line[64];
};

/* What is kept, oldest first. Its headers may be gone. */
enum { SLOTS = 4 };
struct mapping {
    union header *start;
    size_t mapped;
};
static struct mapping kept[SLOTS];
static int kept_count;
static _Atomic(size_t) pool_bytes = (size_t)512 << 20;

/*
 * Nobody waits for it: who finds it taken does without the pool. So a fork in
 * another thread at the wrong moment does no harm.
 */
static atomic_flag busy = ATOMIC_FLAG_INIT;

static struct mapping take(int slot)
{
    struct mapping taken = kept[slot];
    kept_count--;
    memmove(&kept[slot], &kept[slot + 1], (size_t)(kept_count - slot) * sizeof *kept);
    return taken;
}

/* Gives the oldest back until `more` bytes and one slot are free; the caller holds `busy`. */
static void make_room(size_t more)
{
    size_t total = more;
    for (int i = 0; i < kept_count; i++)
        total += kept[i].mapped;
    while (kept_count > 0 && (kept_count == SLOTS || total > atomic_load(&pool_bytes))) {
        struct mapping oldest = take(0);
        total -= oldest.mapped;
        munmap(oldest.start, oldest.mapped);
    }
}

void relu_ext_set_pool_bytes(size_t bytes)
{
    atomic_store(&pool_bytes, bytes);
    if (!atomic_flag_test_and_set(&busy)) {
        make_room(0);
        atomic_flag_clear(&busy);
    }
}

/* A new mapping on a boundary of huge pages, which mmap does not promise: map more and cut. */
static void *map(size_t size)
{
    char *start = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED)
        return NULL;
    const size_t before = -(uintptr_t)start % HUGE_PAGE;
    if (before > 0)
        munmap(start, before);
    munmap(start + before + size, HUGE_PAGE - before);
    madvise(start + before, size, MADV_HUGEPAGE);
    return start + before;
}

static void *pool_malloc(void *unused, size_t size)
{
    (void)unused;
    if (size > SIZE_MAX / 2)
        return NULL;
    const size_t need = (size + sizeof(union header) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    union header *header = NULL;

    if (!atomic_flag_test_and_set(&busy)) {
        /* The latest: the likeliest to be in a cache. */
        for (int i = kept_count - 1; i >= 0 && header == NULL; i--)
            if (kept[i].mapped == need)
                header = take(i).start;
        atomic_flag_clear(&busy);
    }
    const bool fresh = header == NULL;
    if (fresh && (header = map(need)) == NULL) {
        /* What is kept may be what is missing. */
        const size_t most = atomic_load(&pool_bytes);
        relu_ext_set_pool_bytes(0);
        relu_ext_set_pool_bytes(most);
        if ((header = map(need)) == NULL)
            return NULL;
    }
    header->mapped = need;
    header->fresh = fresh;
    return header + 1;
}

static void pool_free(void *unused, void *data, size_t size)
{
    (void)unused, (void)size;
    if (data == NULL)
        return;
    union header *header = (union header *)data - 1;
    const struct mapping freed = {header, header->mapped};
    bool keep = false;

    if (!atomic_flag_test_and_set(&busy)) {
        /* Locked memory cannot be marked as free: it would stay for good. */
        keep = freed.mapped <= atomic_load(&pool_bytes)
               && madvise(freed.start, freed.mapped, MADV_FREE) == 0;
        if (keep) {
            make_room(freed.mapped);
            kept[kept_count++] = freed;
        }
        atomic_flag_clear(&busy);
    }
    if (!keep)
        munmap(freed.start, freed.mapped);
}

static void *pool_calloc(void *unused, size_t count, size_t size)
{
    if (size > 0 && count > SIZE_MAX / size)
        return NULL;
    void *data = pool_malloc(unused, count * size);
    return data ? memset(data, 0, count * size) : NULL;
}

static void *pool_realloc(void *unused, void *data, size_t size)
{
    void *moved = pool_malloc(unused, size);
    if (moved != NULL && data != NULL) {
        size_t held = ((union header *)data - 1)->mapped - sizeof(union header);
        memcpy(moved, data, held < size ? held : size);
        pool_free(unused, data, 0);
    }
    return moved;
}

static PyDataMem_Handler handler = {
    "relu_ext", 1, {NULL, pool_malloc, pool_calloc, pool_realloc, pool_free}};

static PyObject *capsule;

int relu_ext_pool_init(void)
{
    capsule = PyCapsule_New(&handler, "mem_handler", NULL);
    return capsule == NULL ? -1 : 0;
}

PyArrayObject *relu_ext_pool_array(PyArrayObject *like, bool fortran, bool *fresh)
{
    const size_t bytes = (size_t)PyArray_NBYTES(like);

    *fresh = bytes >= POOLED_BYTES;
    if (bytes < POOLED_BYTES || bytes > atomic_load(&pool_bytes))
        return numpy_array(like, fortran);
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
    if (!ours)
        return numpy_array(like, fortran);
    if (array != NULL)
        *fresh = ((union header *)PyArray_DATA(array) - 1)->fresh;
    return array;
}

#else

int relu_ext_pool_init(void)
{
    return 0;
}

void relu_ext_set_pool_bytes(size_t bytes)
{
    (void)bytes;
}

PyArrayObject *relu_ext_pool_array(PyArrayObject *like, bool fortran, bool *fresh)
{
    *fresh = (size_t)PyArray_NBYTES(like) >= POOLED_BYTES;
    return numpy_array(like, fortran);
}

#endif
