/*
 * The floating-point settings under which arithmetic gives the same bits
 * everywhere: IEEE 754's defaults, whatever the program has set (rounding,
 * flush-to-zero, denormals-are-zero, traps). Also keeps the program from seeing
 * the flags that the arithmetic in between raises.
 *
 *     relu_ext_float_env before = relu_ext_float_env_default();
 *     ...
 *     relu_ext_float_env_restore(before);
 *
 * Per thread; the program's own again afterwards. relu_ext_float_env_is_default tells whether
 * there is nothing to set; flags do not count.
 */
#ifndef RELU_EXT_FLOAT_ENV_H
#define RELU_EXT_FLOAT_ENV_H

#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ == 2
#error "x87 arithmetic rounds twice: compile for 32-bit x86 with -msse2 -mfpmath=sse"
#endif

#if defined(__SSE2_MATH__) || defined(_M_X64)
#include <stdbool.h>
#include <xmmintrin.h>

/*
 * <fenv.h> would save the x87's as well, which nobody here uses, at ten times the cost. To read
 * the register or to write it takes 1 or 2 ns, unless flags have changed just before or change by
 * it: then it takes 30 to 100.
 */
typedef unsigned int relu_ext_float_env;

#define RELU_EXT_MXCSR_FLAGS 0x3Fu
#define RELU_EXT_MXCSR_INEXACT 0x20u
#define RELU_EXT_MXCSR_DEFAULT 0x1F80u /* as a process starts: all masked, nothing flushed */

static inline bool relu_ext_float_env_is_default(void)
{
    return (_mm_getcsr() & ~RELU_EXT_MXCSR_FLAGS) == RELU_EXT_MXCSR_DEFAULT;
}

static inline relu_ext_float_env relu_ext_float_env_default(void)
{
    relu_ext_float_env before = _mm_getcsr();
    if ((before & ~RELU_EXT_MXCSR_FLAGS) != RELU_EXT_MXCSR_DEFAULT)
        _mm_setcsr(RELU_EXT_MXCSR_DEFAULT | (before & RELU_EXT_MXCSR_FLAGS));
    return before;
}

static inline void relu_ext_float_env_restore(relu_ext_float_env before)
{
    const bool changed = (before & ~RELU_EXT_MXCSR_FLAGS) != RELU_EXT_MXCSR_DEFAULT;
    /* If it was not up, inexact has been raised, most likely: not worth looking. */
    if (changed || !(before & RELU_EXT_MXCSR_INEXACT) || _mm_getcsr() != before)
        _mm_setcsr(before);
}

#elif defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
#include <stdbool.h>
#include <stdint.h>

/* <fenv.h> here leaves flush-to-zero as it is. Control register and flags. */
typedef struct {
    uint64_t control, status;
} relu_ext_float_env;

static inline relu_ext_float_env relu_ext_float_env_default(void)
{
    relu_ext_float_env before;
    __asm__ volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(before.control), "=r"(before.status));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0) : "memory");
    return before;
}

static inline void relu_ext_float_env_restore(relu_ext_float_env before)
{
    __asm__ volatile("msr fpcr, %0\n\tmsr fpsr, %1"
                     :
                     : "r"(before.control), "r"(before.status)
                     : "memory");
}

static inline bool relu_ext_float_env_is_default(void)
{
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    return control == 0;
}

#elif defined(__powerpc__) && (defined(__GNUC__) || defined(__clang__))
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* <fenv.h> uses instructions that emulators refuse. Control and flags are one register. */
typedef double relu_ext_float_env;

static inline void relu_ext_float_env_restore(relu_ext_float_env before)
{
    __asm__ volatile("mtfsf 0xff,%0" : : "f"(before) : "memory");
}

static inline relu_ext_float_env relu_ext_float_env_default(void)
{
    relu_ext_float_env before;
    __asm__ volatile("mffs %0" : "=f"(before));
    relu_ext_float_env_restore(0);
    return before;
}

static inline bool relu_ext_float_env_is_default(void)
{
    double now;
    uint64_t bits;
    __asm__ volatile("mffs %0" : "=f"(now));
    memcpy(&bits, &now, sizeof bits);
    return (bits & 0xFF) == 0; /* traps, non-IEEE mode and rounding */
}

#else
#include <fenv.h>
#include <stdbool.h>

typedef fenv_t relu_ext_float_env;

static inline relu_ext_float_env relu_ext_float_env_default(void)
{
    relu_ext_float_env before;
    fegetenv(&before);
    fesetenv(FE_DFL_ENV);
    return before;
}

static inline void relu_ext_float_env_restore(relu_ext_float_env before)
{
    fesetenv(&before);
}

/* There is no way to ask for flush-to-zero. */
static inline bool relu_ext_float_env_is_default(void)
{
    return false;
}
#endif

#endif
