#include "pool.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

static _Atomic(size_t) pool_bytes = (size_t)512 << 20;

void relu_ext_set_pool_bytes(size_t bytes)
{
    atomic_store(&pool_bytes, bytes);
}

static PyArrayObject *numpy_array(int ndim, const npy_intp *shape, int type_num, bool fortran)
{
    PyArray_Descr *descr = PyArray_DescrFromType(type_num);
    return (PyArrayObject *)PyArray_NewFromDescr(&PyArray_Type, descr, ndim, shape, NULL, NULL,
                                                 fortran ? NPY_ARRAY_F_CONTIGUOUS : 0, NULL);
}

/* Below this, glibc's malloc reuses memory by itself. */
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
    if (fresh) {
        /* Huge pages need a boundary that mmap does not promise: map more and cut. */
        char *start = mmap(NULL, need + HUGE_PAGE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (start == MAP_FAILED)
            return NULL;
        const size_t before = -(uintptr_t)start % HUGE_PAGE;
        header = (union header *)(start + before);
        if (before > 0)
            munmap(start, before);
        munmap(start + before + need, HUGE_PAGE - before);
        madvise(header, need, MADV_HUGEPAGE);
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
    struct mapping drop[SLOTS + 1];
    int drops = 0;

    if (atomic_flag_test_and_set(&busy))
        drop[drops++] = freed;
    else {
        const size_t most = atomic_load(&pool_bytes);
        size_t total = freed.mapped;
        for (int i = 0; i < kept_count; i++)
            total += kept[i].mapped;
        while (kept_count > 0 && (kept_count == SLOTS || total > most)) {
            total -= kept[0].mapped;
            drop[drops++] = take(0);
        }
        if (total > most)
            drop[drops++] = freed;
        else {
            madvise(freed.start, freed.mapped, MADV_FREE);
            kept[kept_count++] = freed;
        }
        atomic_flag_clear(&busy);
    }
    while (drops > 0) {
        drops--;
        munmap(drop[drops].start, drop[drops].mapped);
    }
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

PyArrayObject *relu_ext_pool_array(int ndim, const npy_intp *shape, int type_num, bool fortran,
                                   size_t bytes, bool *fresh)
{
    static PyObject *capsule;
    const size_t most = atomic_load_explicit(&pool_bytes, memory_order_relaxed);

    *fresh = false;
    if (bytes < POOLED_BYTES)
        return numpy_array(ndim, shape, type_num, fortran);
    if (bytes > most) {
        *fresh = true;
        return numpy_array(ndim, shape, type_num, fortran);
    }
    if (capsule == NULL && (capsule = PyCapsule_New(&handler, "mem_handler", NULL)) == NULL)
        return NULL;
    PyObject *before = PyDataMem_SetHandler(capsule);
    if (before == NULL)
        return NULL;
    PyArrayObject *array = numpy_array(ndim, shape, type_num, fortran);
    PyObject *ours = PyDataMem_SetHandler(before);
    Py_DECREF(before);
    if (ours == NULL) {
        Py_XDECREF(array);
        return NULL;
    }
    Py_DECREF(ours);
    if (array != NULL)
        *fresh = ((union header *)PyArray_DATA(array) - 1)->fresh;
    return array;
}

#else

PyArrayObject *relu_ext_pool_array(int ndim, const npy_intp *shape, int type_num, bool fortran,
                                   size_t bytes, bool *fresh)
{
    *fresh = bytes >= POOLED_BYTES;
    return numpy_array(ndim, shape, type_num, fortran);
}

#endif
