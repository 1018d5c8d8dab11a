#include "rows.h"

#include <stdint.h>

#include "threads.h"

struct call {
    enum relu_ext_id id;
    const struct relu_ext_rows *rows;
};

/* Elements begin to end of the whole, row after row. */
static void run_range(void *context, size_t begin, size_t end)
{
    const struct call *call = context;
    const struct relu_ext_rows *r = call->rows;
    const struct relu_ext_kernel *kernel = &relu_ext_kernels[call->id];
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
        relu_ext_run(call->id, in, r->uniform, r->out + i * r->out_stride + within, n, total);
        begin += n;
    }
}

void relu_ext_run_rows(enum relu_ext_id id, const struct relu_ext_rows *r)
{
    const struct relu_ext_kernel *kernel = &relu_ext_kernels[id];
    const size_t total = r->rows * r->columns;
    const size_t bytes = total * kernel->size * (size_t)(kernel->nin + 1 - r->uniform);

    if (total == 0)
        return;
    if (bytes >= relu_ext_get_parallel_bytes()) {
        struct call call = {id, r};
        relu_ext_parallel_for((struct relu_ext_parallel){
            .part = run_range,
            .context = &call,
            .count = total,
            .bytes = bytes,
            .grain = RELU_EXT_PAGE / kernel->size,
            .past_grain = (uintptr_t)r->out % RELU_EXT_PAGE / kernel->size,
        });
    }
    /* No positions to work out: for a short row that would cost as much as the kernel. */
    else if (r->rows == 1)
        relu_ext_run(id, r->in, r->uniform, r->out, total, r->fresh_out ? 0 : total);
    else
        run_range(&(struct call){id, r}, 0, total);
}
