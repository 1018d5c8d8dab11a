/*
 * The operations for XLA, as handlers of its foreign function interface (FFI).
 *
 * XLA's header comes with jaxlib, which is not there when a wheel is built. So what we use of its
 * C interface is declared here: version 0, whose structures only ever grow at their ends, and tell
 * their size first. tests/integrations/xla_ffi.c compares it with the header of the jaxlib that is
 * installed.
 */
#ifndef RELU_EXT_XLA_FFI_H
#define RELU_EXT_XLA_FFI_H

#include <stddef.h>
#include <stdint.h>

enum {
    /* The oldest minor version with these structures; XLA refuses one that it no longer knows. */
    XLA_MAJOR = 0,
    XLA_MINOR = 1,
    XLA_METADATA = 1,         /* the type of an extension that asks for them */
    XLA_BUFFER = 1,           /* the type of an argument and of a result */
    XLA_SCALAR = 3,           /* the type of an attribute */
    XLA_INVALID_ARGUMENT = 3, /* the code of an error */
};

/* The types of elements, by our names for them. */
enum {
    XLA_bool = 1,
    XLA_i8 = 2,
    XLA_i16 = 3,
    XLA_i32 = 4,
    XLA_i64 = 5,
    XLA_u8 = 6,
    XLA_u16 = 7,
    XLA_u32 = 8,
    XLA_u64 = 9,
    XLA_f16 = 10,
    XLA_f32 = 11,
    XLA_f64 = 12,
    XLA_bf16 = 16,
    XLA_f8e5m2 = 19,
    XLA_f8e4m3fn = 20,
};

#define XLA_HEAD                                                                       \
    size_t struct_size;                                                                \
    struct xla_extension *extensions

struct xla_extension {
    size_t struct_size;
    int type;
    struct xla_extension *next;
};

struct xla_version {
    XLA_HEAD;
    int major, minor;
};

struct xla_metadata {
    size_t struct_size;
    struct xla_version version;
    uint32_t traits;
};

struct xla_metadata_extension {
    struct xla_extension base;
    struct xla_metadata *metadata;
};

struct xla_error_arguments {
    XLA_HEAD;
    const char *message;
    int code;
};

struct xla_api {
    XLA_HEAD;
    struct xla_version version;
    const void *internal;
    struct xla_error *(*create_error)(struct xla_error_arguments *);
};

struct xla_buffer {
    XLA_HEAD;
    int dtype;
    void *data;
    int64_t rank, *shape;
};

/* Arguments or results. */
struct xla_operands {
    XLA_HEAD;
    int64_t size;
    int *types;
    void **values;
};

struct xla_scalar {
    int dtype;
    void *value;
};

struct xla_attributes {
    XLA_HEAD;
    int64_t size;
    int *types;
    void *names;
    void **values;
};

struct xla_call {
    XLA_HEAD;
    const struct xla_api *api;
    void *context;
    int stage;
    struct xla_operands arguments, results;
    struct xla_attributes attributes;
};

/* NULL, or an error that create_error has made. */
typedef struct xla_error *xla_handler(struct xla_call *call);

/*
 * Each takes arrays of one shape and dtype and gives one. A parameter is the only attribute: its
 * bits in that dtype, as an int64.
 */
extern const struct relu_ext_xla_handler {
    const char *name;
    xla_handler *handler;
} relu_ext_xla_handlers[];
extern const size_t relu_ext_xla_handler_count;

#endif
