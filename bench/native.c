/*
 * The C functions without Python: what times them, and what they are next to. native.py
 * compiles this for each instruction set.
 *
 *   loop     a plain loop, as one writes it, by the compiler at -O3 and with leave to drop NaNs
 *            and the sign of zero
 *   roof     f32 by hand, in the widest vectors there are; it drops NaNs, too
 *   memcpy   moves one input to the output
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define LOOPS(dtype, type)                                                               \
    void loop_relu_##dtype(const type *x, type *y, size_t n)                             \
    {                                                                                    \
        for (size_t i = 0; i < n; i++)                                                   \
            y[i] = x[i] > 0 ? x[i] : 0;                                                  \
    }                                                                                    \
    void loop_relu_grad_##dtype(const type *dy, const type *x, type *dx, size_t n)       \
    {                                                                                    \
        for (size_t i = 0; i < n; i++)                                                   \
            dx[i] = x[i] > 0 ? dy[i] : 0;                                                \
    }                                                                                    \
    void loop_leaky_relu_##dtype(const type *x, type slope, type *y, size_t n)           \
    {                                                                                    \
        for (size_t i = 0; i < n; i++)                                                   \
            y[i] = x[i] > 0 ? x[i] : (type)(x[i] * slope);                               \
    }                                                                                    \
    void loop_clipped_relu_##dtype(const type *x, type ceiling, type *y, size_t n)       \
    {                                                                                    \
        for (size_t i = 0; i < n; i++) {                                                 \
            const type relu = x[i] > 0 ? x[i] : 0;                                       \
            y[i] = relu < ceiling ? relu : ceiling;                                      \
        }                                                                                \
    }                                                                                    \
    void loop_add_relu_##dtype(const type *a, const type *b, type *y, size_t n)          \
    {                                                                                    \
        for (size_t i = 0; i < n; i++) {                                                 \
            const type sum = (type)(a[i] + b[i]);                                        \
            y[i] = sum > 0 ? sum : 0;                                                    \
        }                                                                                \
    }
LOOPS(f32, float)
LOOPS(f64, double)
LOOPS(i8, int8_t)

#if defined(__AVX512F__)
typedef __m512 vector;
#define V(name) _mm512_##name
#define WHERE_POSITIVE(x, yes, no) \
    _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, zero, _CMP_GT_OQ), no, yes)
#elif defined(__AVX2__)
typedef __m256 vector;
#define V(name) _mm256_##name
#define WHERE_POSITIVE(x, yes, no) _mm256_blendv_ps(no, yes, _mm256_cmp_ps(x, zero, _CMP_GT_OQ))
#endif

#ifdef V
/* The last vector overlaps the one before; less than one is a loop. */
#define ROOF(op, arguments, expression)                                                \
    void roof_##op##_f32 arguments                                                     \
    {                                                                                  \
        enum { WIDTH = sizeof(vector) / sizeof(float) };                               \
        const vector zero = V(setzero_ps)();                                           \
        (void)zero;                                                                    \
        if (n < WIDTH) {                                                               \
            loop_##op##_f32 expression##_ARGUMENTS;                                    \
            return;                                                                    \
        }                                                                              \
        size_t i = 0;                                                                  \
        for (; i + WIDTH <= n; i += WIDTH)                                             \
            V(storeu_ps)(y + i, expression);                                           \
        i = n - WIDTH;                                                                 \
        V(storeu_ps)(y + i, expression);                                               \
    }
#define RELU V(max_ps)(V(loadu_ps)(a + i), zero)
#define RELU_ARGUMENTS (a, y, n)
ROOF(relu, (const float *a, float *y, size_t n), RELU)
#define GRAD WHERE_POSITIVE(V(loadu_ps)(b + i), V(loadu_ps)(a + i), zero)
#define GRAD_ARGUMENTS (a, b, y, n)
ROOF(relu_grad, (const float *a, const float *b, float *y, size_t n), GRAD)
#define LEAKY                                                                          \
    WHERE_POSITIVE(V(loadu_ps)(a + i), V(loadu_ps)(a + i),                             \
                   V(mul_ps)(V(loadu_ps)(a + i), V(set1_ps)(p)))
#define LEAKY_ARGUMENTS (a, p, y, n)
ROOF(leaky_relu, (const float *a, float p, float *y, size_t n), LEAKY)
#define CLIPPED V(min_ps)(V(max_ps)(V(loadu_ps)(a + i), zero), V(set1_ps)(p))
#define CLIPPED_ARGUMENTS (a, p, y, n)
ROOF(clipped_relu, (const float *a, float p, float *y, size_t n), CLIPPED)
#define ADD V(max_ps)(V(add_ps)(V(loadu_ps)(a + i), V(loadu_ps)(b + i)), zero)
#define ADD_ARGUMENTS (a, b, y, n)
ROOF(add_relu, (const float *a, const float *b, float *y, size_t n), ADD)
#endif

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/*
 * Nanoseconds of one call of f, of `times`. kind: 1 and 2, so many inputs; a parameter of f
 * 'f'loat, 'd'ouble, 'b'yte or 'h'alf, of 16 bits; 'm' for memcpy, of n bytes.
 */
double native_time(void *f, int kind, double parameter, const void *a, const void *b, void *out,
                   size_t n, size_t times)
{
#define RUN(type, ...)                                                                 \
    do {                                                                               \
        type;                                                                          \
        memcpy(&function, &f, sizeof f);                                               \
        for (size_t i = 0; i < times; i++)                                             \
            function(__VA_ARGS__);                                                     \
    } while (0)
    /* Raised as in any program that has rounded once: to take a new flag back costs 50 ns. */
    volatile double inexact = 1;
    inexact /= 3;
    const double start = now();
    switch (kind) {
    case 1: RUN(void (*function)(const void *, void *, size_t), a, out, n); break;
    case 2: RUN(void (*function)(const void *, const void *, void *, size_t), a, b, out, n); break;
    case 'f':
        RUN(void (*function)(const void *, float, void *, size_t), a, (float)parameter, out, n);
        break;
    case 'd':
        RUN(void (*function)(const void *, double, void *, size_t), a, parameter, out, n);
        break;
    case 'b':
        RUN(void (*function)(const void *, int8_t, void *, size_t), a, (int8_t)parameter, out, n);
        break;
    case 'h':
        RUN(void (*function)(const void *, uint16_t, void *, size_t), a, (uint16_t)parameter, out,
            n);
        break;
    case 'm':
        for (size_t i = 0; i < times; i++) {
            memcpy(out, a, n);
            __asm__ volatile("" : : "r"(out) : "memory");
        }
    }
    return (now() - start) / (double)times;
}
