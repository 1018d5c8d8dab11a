#include "xla_ffi.h"

#include <stdarg.h>
#include <stdio.h>

#include "relu_ext/internal.h"
#include "rows.h"

/* Operations: X(name, number of arrays). */
#define OPERATIONS(X)                                                                  \
    X(relu, 1)                                                                         \
    X(relu_grad, 2)                                                                    \
    X(leaky_relu, 1)                                                                   \
    X(leaky_relu_grad, 2)                                                              \
    X(clipped_relu, 1)                                                                 \
    X(clipped_relu_grad, 2)                                                            \
    X(add_relu, 2)

#define NUMBER(op, arrays) op_##op,
enum operation { OPERATIONS(NUMBER) };

/* Of no type of XLA's, as it has no long double: from here on a number is none that we know. */
enum { TYPES = 64, XLA_longdouble = TYPES - 1 };

/* The kernel's number, or -1. */
static int find_kernel(enum operation op, int dtype)
{
#define KERNEL(dtype, type, lane, threshold, op, ...)                                  \
    case op_##op * TYPES + XLA_##dtype: return relu_ext_id_##op##_##dtype;
    if (dtype == XLA_bool && op != op_add_relu) /* 1 + 1 is no bool */
        dtype = XLA_u8;
    if (dtype < 0 || dtype >= XLA_longdouble)
        return -1;
    switch ((int)op * TYPES + dtype) {
        RELU_EXT_KERNELS(KERNEL, )
    default: return -1;
    }
}

static struct xla_error *refuse(const struct xla_call *call, const char *format, ...)
{
    char message[200];
    va_list values;
    va_start(values, format);
    vsnprintf(message, sizeof message, format, values);
    va_end(values);
    return call->api->create_error(&(struct xla_error_arguments){
        sizeof(struct xla_error_arguments), NULL, message, XLA_INVALID_ARGUMENT});
}

static int64_t count_elements(const struct xla_buffer *buffer)
{
    int64_t n = 1;
    for (int64_t i = 0; i < buffer->rank; i++)
        n *= buffer->shape[i];
    return n;
}

static struct xla_error *handle(const struct xla_call *call, enum operation op, const char *name,
                                int arrays)
{
    struct relu_ext_rows rows = {.rows = 1, .fresh_out = true}; /* as XLA's mostly are */

    if (call->struct_size < sizeof *call || call->api->version.major != XLA_MAJOR)
        return refuse(call, "%s: XLA's interface must be of version %d, from %d.%d on, not %d.%d",
                      name, XLA_MAJOR, XLA_MAJOR, XLA_MINOR, call->api->version.major,
                      call->api->version.minor);
    if (call->arguments.size != arrays || call->results.size != 1)
        return refuse(call, "%s: it takes %d argument%s and has 1 result, not %d and %d", name,
                      arrays, arrays == 1 ? "" : "s", (int)call->arguments.size,
                      (int)call->results.size);
    const struct xla_buffer *out = call->results.values[0];
    for (int k = 0; k < arrays; k++) {
        const struct xla_buffer *in = call->arguments.values[k];
        if (call->arguments.types[k] != XLA_BUFFER || call->results.types[0] != XLA_BUFFER
            || in->dtype != out->dtype || count_elements(in) != count_elements(out))
            return refuse(call, "%s: arguments and result must be arrays of one size and dtype",
                          name);
        rows.in[k] = in->data;
    }
    const int id = find_kernel(op, out->dtype);
    if (id < 0)
        return refuse(call, "%s: the dtype must be one that relu_ext.%s takes, not XLA's %d", name,
                      name + sizeof "relu_ext_" - 1, out->dtype);
    if (relu_ext_kernels[id].nin > arrays) {
        const struct xla_scalar *bits = NULL;
        if (call->attributes.size == 1 && call->attributes.types[0] == XLA_SCALAR)
            bits = call->attributes.values[0];
        if (bits == NULL || bits->dtype != XLA_i64)
            return refuse(
                call, "%s: there must be one attribute, an int64 with the parameter's bits", name);
        const bool little_endian = *(const char *)&(const int){1};
        rows.in[arrays] = (const char *)bits->value
                          + (little_endian ? 0 : sizeof(int64_t) - relu_ext_kernels[id].size);
        rows.uniform = true;
    }
    rows.out = out->data;
    rows.columns = (size_t)count_elements(out);
    relu_ext_run_rows((enum relu_ext_id)id, &rows);
    return NULL;
}

/* XLA asks for it when a handler is registered. Traits are for graphics cards. */
static bool answers_metadata(const struct xla_call *call)
{
    for (struct xla_extension *e = call->extensions; e != NULL; e = e->next)
        if (e->type == XLA_METADATA) {
            struct xla_metadata *metadata = ((struct xla_metadata_extension *)e)->metadata;
            metadata->version = (struct xla_version){sizeof metadata->version, NULL, XLA_MAJOR,
                                                     XLA_MINOR};
            metadata->traits = 0;
            return true;
        }
    return false;
}

#define HANDLER(op, arrays)                                                             \
    static struct xla_error *handle_##op(struct xla_call *call)                         \
    {                                                                                   \
        return answers_metadata(call) ? NULL                                            \
                                      : handle(call, op_##op, "relu_ext_" #op, arrays); \
    }
OPERATIONS(HANDLER)

#define ROW(op, arrays) {"relu_ext_" #op, handle_##op},
const struct relu_ext_xla_handler relu_ext_xla_handlers[] = {OPERATIONS(ROW)};
const size_t relu_ext_xla_handler_count = sizeof relu_ext_xla_handlers
                                          / sizeof *relu_ext_xla_handlers;
