/*
 * The rows from which kernels, public entry points and dispatch tables are
 * made. Each list hands every row to a macro X, followed by whatever else it
 * was given, so that lists can be combined: operations x dtypes x instruction
 * sets.
 *
 * A name such as relu_f32_avx2 stands in no source file: it is
 * <operation>_<dtype>_<isa>, put together in relu_ext.c.
 */
#ifndef RELU_EXT_TABLES_H
#define RELU_EXT_TABLES_H

#include <stdint.h>

/*
 * dtypes: X(name, C type, lane, threshold)
 *
 * Most kernels see bits only: a signed integer, the lane, as wide as the C type.
 * threshold is the largest lane that ReLU turns into zero: 0 for integers; for floats
 * the bits of -inf (of the lowest number where there is no infinity), which lie
 * below those of the negative NaNs and above those of every other negative number.
 */
#define RELU_EXT_SIGNED(X, ...)                                   \
    X(i8,  int8_t,  b8,  0, __VA_ARGS__)                          \
    X(i16, int16_t, b16, 0, __VA_ARGS__)                          \
    X(i32, int32_t, b32, 0, __VA_ARGS__)                          \
    X(i64, int64_t, b64, 0, __VA_ARGS__)

#define RELU_EXT_UNSIGNED(X, ...)                                 \
    X(u8,  uint8_t,  b8,  0, __VA_ARGS__)                         \
    X(u16, uint16_t, b16, 0, __VA_ARGS__)                         \
    X(u32, uint32_t, b32, 0, __VA_ARGS__)                         \
    X(u64, uint64_t, b64, 0, __VA_ARGS__)

#define RELU_EXT_FLOATS(X, ...)                                                        \
    X(f8e5m2,   uint8_t, b8, INT8_MIN + 0x7C, __VA_ARGS__)                             \
    X(f8e4m3fn, uint8_t, b8, INT8_MIN + 0x7E, __VA_ARGS__)                             \
    X(f16,  uint16_t, b16, INT16_MIN + 0x7C00, __VA_ARGS__)                            \
    X(bf16, uint16_t, b16, INT16_MIN + 0x7F80, __VA_ARGS__)                            \
    X(f32,  float,    b32, INT32_MIN + 0x7F800000, __VA_ARGS__)                        \
    X(f64,  double,   b64, INT64_MIN + 0x7FF0000000000000, __VA_ARGS__)                \
    X(longdouble, long double, ld, 0, __VA_ARGS__)

/* The floats as numbers to calculate with, by the kernels of arithmetic_tmpl.h. */
#define RELU_EXT_NUMBERS(X, ...)                                                       \
    X(f16,  uint16_t, nf16,  INT16_MIN + 0x7C00, __VA_ARGS__)                          \
    X(bf16, uint16_t, nbf16, INT16_MIN + 0x7F80, __VA_ARGS__)                          \
    X(f32,  float,    nf32,  INT32_MIN + 0x7F800000, __VA_ARGS__)                      \
    X(f64,  double,   nf64,  INT64_MIN + 0x7FF0000000000000, __VA_ARGS__)

/*
 * Operations: dtypes(X, name, body, signature). The body is a function
 * <body>_<lane> of kernels_tmpl.h, arithmetic_tmpl.h or longdouble.h.
 *
 * Signatures, as the public functions have them: 1 is (x, y, n), 2 is (dy, x, dx, n).
 * With P, the last input is a parameter, one value for all: 2P is (x, parameter, y, n),
 * 3P is (dy, x, parameter, dx, n).
 */
#define RELU_EXT_KERNELS(X, ...)                                              \
    RELU_EXT_SIGNED(X, relu, relu, 1, __VA_ARGS__)                            \
    RELU_EXT_UNSIGNED(X, relu, copy, 1, __VA_ARGS__)                          \
    RELU_EXT_FLOATS(X, relu, relu, 1, __VA_ARGS__)                            \
    RELU_EXT_FLOATS(X, relu_grad, relu_grad, 2, __VA_ARGS__)                  \
    RELU_EXT_NUMBERS(X, leaky_relu, leaky_relu, 2P, __VA_ARGS__)              \
    RELU_EXT_NUMBERS(X, leaky_relu_grad, leaky_relu_grad, 3P, __VA_ARGS__)    \
    RELU_EXT_SIGNED(X, clipped_relu, clipped_relu, 2P, __VA_ARGS__)           \
    RELU_EXT_UNSIGNED(X, clipped_relu, minimum, 2P, __VA_ARGS__)              \
    RELU_EXT_FLOATS(X, clipped_relu, clipped_relu, 2P, __VA_ARGS__)           \
    RELU_EXT_FLOATS(X, clipped_relu_grad, clipped_relu_grad, 3P, __VA_ARGS__) \
    RELU_EXT_SIGNED(X, add_relu, add_relu, 2, __VA_ARGS__)                    \
    RELU_EXT_UNSIGNED(X, add_relu, add, 2, __VA_ARGS__)                       \
    RELU_EXT_NUMBERS(X, add_relu, add_relu, 2, __VA_ARGS__)

/* How many inputs a signature has. */
#define RELU_EXT_NIN_1 1
#define RELU_EXT_NIN_2 2
#define RELU_EXT_NIN_2P 2
#define RELU_EXT_NIN_3P 3
#define RELU_EXT_MAX_NIN 3

/*
 * Instruction sets, best first: X(name, function attribute, can this CPU run it).
 * The baseline is what the compiler targets anyway: SSE2 on x86-64, NEON on
 * AArch64. __builtin_cpu_supports also asks whether the operating system saves
 * the registers. What else a row needs isa.h lists.
 */
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <cpuid.h>

/* Not every compiler lets __builtin_cpu_supports ask for it. Its registers are AVX's. */
static inline int relu_ext_cpu_has_f16c(void)
{
    unsigned int eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C) != 0;
}

#define RELU_EXT_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define RELU_EXT_AVX2 __attribute__((target("avx2,fma,f16c")))
#define RELU_EXT_ISAS(X)                                                               \
    X(avx512, RELU_EXT_AVX512,                                                         \
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")          \
      && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))     \
    X(avx2, RELU_EXT_AVX2,                                                             \
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")                  \
      && relu_ext_cpu_has_f16c())                                                      \
    X(baseline, , 1)
#else
#define RELU_EXT_ISAS(X) X(baseline, , 1)
#endif

#endif
