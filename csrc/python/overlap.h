/* Whether pieces of memory have a byte in common, for all who ask. */
#ifndef RELU_EXT_OVERLAP_H
#define RELU_EXT_OVERLAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From the first byte on; as an address, since not all of it need belong to one object. */
struct span {
    uintptr_t first;
    size_t bytes;
};

static inline struct span span_of(const void *first, size_t bytes)
{
    return (struct span){(uintptr_t)first, bytes};
}

/* Of n steps from element to element, forwards or backwards; n > 0. */
static inline struct span span_of_steps(const void *first, ptrdiff_t step, size_t n, size_t size)
{
    const ptrdiff_t length = (ptrdiff_t)(n - 1) * step;
    const size_t steps = (size_t)(length < 0 ? -length : length);
    return (struct span){(uintptr_t)first - (length < 0 ? steps : 0), steps + size};
}

/* Of n of them, so many bytes from one to the next; n > 0. */
static inline struct span span_along(struct span span, ptrdiff_t step, size_t n)
{
    const struct span steps = span_of_steps(NULL, step, n, 0);
    return (struct span){span.first + steps.first, span.bytes + steps.bytes};
}

static inline bool overlap(struct span a, struct span b)
{
    return a.first < b.first + b.bytes && b.first < a.first + a.bytes;
}

#endif
