/* That what csrc/python/xla_ffi.h declares is how the header of the jaxlib here has it. */
#include "python/xla_ffi.h"
#include "xla/ffi/api/c_api.h"

#define SAME_VALUE(ours, theirs) _Static_assert((int)ours == (int)theirs, #ours);
SAME_VALUE(XLA_MAJOR, XLA_FFI_API_MAJOR)
_Static_assert(XLA_MINOR <= XLA_FFI_API_MINOR, "");
SAME_VALUE(XLA_METADATA, XLA_FFI_Extension_Metadata)
SAME_VALUE(XLA_BUFFER, XLA_FFI_ArgType_BUFFER)
SAME_VALUE(XLA_BUFFER, XLA_FFI_RetType_BUFFER)
SAME_VALUE(XLA_SCALAR, XLA_FFI_AttrType_SCALAR)
SAME_VALUE(XLA_INVALID_ARGUMENT, XLA_FFI_Error_Code_INVALID_ARGUMENT)

SAME_VALUE(XLA_bool, XLA_FFI_DataType_PRED)
SAME_VALUE(XLA_i8, XLA_FFI_DataType_S8)
SAME_VALUE(XLA_i16, XLA_FFI_DataType_S16)
SAME_VALUE(XLA_i32, XLA_FFI_DataType_S32)
SAME_VALUE(XLA_i64, XLA_FFI_DataType_S64)
SAME_VALUE(XLA_u8, XLA_FFI_DataType_U8)
SAME_VALUE(XLA_u16, XLA_FFI_DataType_U16)
SAME_VALUE(XLA_u32, XLA_FFI_DataType_U32)
SAME_VALUE(XLA_u64, XLA_FFI_DataType_U64)
SAME_VALUE(XLA_f16, XLA_FFI_DataType_F16)
SAME_VALUE(XLA_f32, XLA_FFI_DataType_F32)
SAME_VALUE(XLA_f64, XLA_FFI_DataType_F64)
SAME_VALUE(XLA_bf16, XLA_FFI_DataType_BF16)
SAME_VALUE(XLA_f8e5m2, XLA_FFI_DataType_F8E5M2)
SAME_VALUE(XLA_f8e4m3fn, XLA_FFI_DataType_F8E4M3FN)

/* Structures may have more members than ours, at their ends. */
#define SIZE(structure) sizeof(struct structure)
#define SAME_MEMBER(ours, member, theirs, its)                                             \
    _Static_assert(offsetof(struct ours, member) == offsetof(struct theirs, its), #its);   \
    _Static_assert(sizeof((struct ours *)0)->member == sizeof((struct theirs *)0)->its, "");
#define SAME_HEAD(ours, theirs)                                                            \
    _Static_assert(SIZE(ours) <= SIZE(theirs), #ours);                                     \
    SAME_MEMBER(ours, struct_size, theirs, struct_size)                                    \
    SAME_MEMBER(ours, extensions, theirs, extension_start)

_Static_assert(SIZE(xla_extension) == SIZE(XLA_FFI_Extension_Base), "");
SAME_MEMBER(xla_extension, struct_size, XLA_FFI_Extension_Base, struct_size)
SAME_MEMBER(xla_extension, type, XLA_FFI_Extension_Base, type)
SAME_MEMBER(xla_extension, next, XLA_FFI_Extension_Base, next)

SAME_HEAD(xla_version, XLA_FFI_Api_Version)
_Static_assert(SIZE(xla_version) == SIZE(XLA_FFI_Api_Version), "it is a part of others");
SAME_MEMBER(xla_version, major, XLA_FFI_Api_Version, major_version)
SAME_MEMBER(xla_version, minor, XLA_FFI_Api_Version, minor_version)

_Static_assert(SIZE(xla_metadata) <= SIZE(XLA_FFI_Metadata), "");
SAME_MEMBER(xla_metadata, struct_size, XLA_FFI_Metadata, struct_size)
SAME_MEMBER(xla_metadata, version, XLA_FFI_Metadata, api_version)
SAME_MEMBER(xla_metadata, traits, XLA_FFI_Metadata, traits)
SAME_MEMBER(xla_metadata_extension, base, XLA_FFI_Metadata_Extension, extension_base)
SAME_MEMBER(xla_metadata_extension, metadata, XLA_FFI_Metadata_Extension, metadata)

SAME_HEAD(xla_error_arguments, XLA_FFI_Error_Create_Args)
SAME_MEMBER(xla_error_arguments, message, XLA_FFI_Error_Create_Args, message)
SAME_MEMBER(xla_error_arguments, code, XLA_FFI_Error_Create_Args, errc)

SAME_HEAD(xla_api, XLA_FFI_Api)
SAME_MEMBER(xla_api, version, XLA_FFI_Api, api_version)
SAME_MEMBER(xla_api, internal, XLA_FFI_Api, internal_api)
SAME_MEMBER(xla_api, create_error, XLA_FFI_Api, XLA_FFI_Error_Create)

SAME_HEAD(xla_buffer, XLA_FFI_Buffer)
SAME_MEMBER(xla_buffer, dtype, XLA_FFI_Buffer, dtype)
SAME_MEMBER(xla_buffer, data, XLA_FFI_Buffer, data)
SAME_MEMBER(xla_buffer, rank, XLA_FFI_Buffer, rank)
SAME_MEMBER(xla_buffer, shape, XLA_FFI_Buffer, dims)

SAME_HEAD(xla_operands, XLA_FFI_Args)
_Static_assert(SIZE(xla_operands) == SIZE(XLA_FFI_Args), "it is a part of the call");
SAME_MEMBER(xla_operands, size, XLA_FFI_Args, size)
SAME_MEMBER(xla_operands, types, XLA_FFI_Args, types)
SAME_MEMBER(xla_operands, values, XLA_FFI_Args, args)
SAME_HEAD(xla_operands, XLA_FFI_Rets)
_Static_assert(SIZE(xla_operands) == SIZE(XLA_FFI_Rets), "it is a part of the call");
SAME_MEMBER(xla_operands, size, XLA_FFI_Rets, size)
SAME_MEMBER(xla_operands, types, XLA_FFI_Rets, types)
SAME_MEMBER(xla_operands, values, XLA_FFI_Rets, rets)

SAME_MEMBER(xla_scalar, dtype, XLA_FFI_Scalar, dtype)
SAME_MEMBER(xla_scalar, value, XLA_FFI_Scalar, value)

SAME_HEAD(xla_attributes, XLA_FFI_Attrs)
_Static_assert(SIZE(xla_attributes) == SIZE(XLA_FFI_Attrs), "it is a part of the call");
SAME_MEMBER(xla_attributes, size, XLA_FFI_Attrs, size)
SAME_MEMBER(xla_attributes, types, XLA_FFI_Attrs, types)
SAME_MEMBER(xla_attributes, values, XLA_FFI_Attrs, attrs)

SAME_HEAD(xla_call, XLA_FFI_CallFrame)
SAME_MEMBER(xla_call, api, XLA_FFI_CallFrame, api)
SAME_MEMBER(xla_call, arguments, XLA_FFI_CallFrame, args)
SAME_MEMBER(xla_call, results, XLA_FFI_CallFrame, rets)
SAME_MEMBER(xla_call, attributes, XLA_FFI_CallFrame, attrs)
