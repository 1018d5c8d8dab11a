/*
 * What differs by compiler, and the names that templates make.
 *
 * Everything here and in the other files of this folder begins with relu_ext_ or RELU_EXT_:
 * whoever includes relu_ext.c gets it all.
 */
#ifndef RELU_EXT_COMPILER_H
#define RELU_EXT_COMPILER_H

#if defined(__x86_64__) && defined(__AVX__)
#error "relu_ext chooses AVX at run time: drop the global -mavx* or -march= option"
#endif
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "relu_ext keeps NaNs: drop -ffast-math, -Ofast or -ffinite-math-only"
#endif
#ifdef __ASSOCIATIVE_MATH__ /* GCC's, from 12 on; others do not tell */
#error "relu_ext rounds as it is written: drop -funsafe-math-optimizations or -fassociative-math"
#endif

#if defined(__GNUC__) || defined(__clang__)
#define RELU_EXT_INLINE static inline __attribute__((always_inline))
#define RELU_EXT_NOINLINE __attribute__((noinline))
#define RELU_EXT_ANY_POINTER __attribute__((may_alias, aligned(1)))
#define RELU_EXT_UNUSED __attribute__((unused))
#elif defined(_MSC_VER)
#define RELU_EXT_INLINE static inline
#define RELU_EXT_NOINLINE __declspec(noinline)
#define RELU_EXT_ANY_POINTER
#define RELU_EXT_UNUSED
#else
#define RELU_EXT_INLINE static inline
#define RELU_EXT_NOINLINE
#define RELU_EXT_ANY_POINTER
#define RELU_EXT_UNUSED
#endif

/*
 * For functions that are called by pointers in constant tables. At -Og, GCC sees through those
 * too late for always_inline, which is an error then; at other levels it needs no telling.
 */
#if defined(__clang__)
#define RELU_EXT_POINTED_AT RELU_EXT_INLINE
#else
#define RELU_EXT_POINTED_AT static inline
#endif

/*
 * What internal.h declares is private to relu_ext.c, unless it is built together with files
 * that use it, as in the Python module: these define this as extern.
 */
#ifndef RELU_EXT_INTERNAL
#define RELU_EXT_INTERNAL RELU_EXT_UNUSED static
#endif

/*
 * RELU_EXT_NO_OVERLAP: what an iteration stores, no later one loads. True of
 * disjoint buffers and in place; compilers cannot know it.
 * RELU_EXT_UNROLL, RELU_EXT_NO_UNROLL: whether to work on several vectors at once.
 * In L1 that is a quarter faster; from memory, in place, it is an eighth slower.
 * RELU_EXT_ONE_BLOCK: keeps compilers from unrolling a loop of constant length
 * into scalars before it could become a vector.
 * RELU_EXT_LINE_LOOP, RELU_EXT_FLOAT_LOOP: over a line, which may be in place; and where floats are
 * calculated or compared. A line is up to four vectors: a loop around them would cost as much as
 * they do. Their bound comes from relu_ext_late.
 * RELU_EXT_FOURS_LOOP: such a loop, which may be over no more than four lanes of 64 bits.
 * RELU_EXT_GROUP_LOOP: a loop around these.
 */
#if defined(__clang__)
#if defined(__arm__)
/*
 * NEON of 32-bit ARM flushes subnormals, whatever the settings: asked, Clang would use it, and
 * unasked for comparisons and for what it has unrolled.
 */
#define RELU_EXT_NO_OVERLAP
#define RELU_EXT_FLOAT_LOOP _Pragma("clang loop vectorize(disable) unroll(disable)")
#else
#define RELU_EXT_NO_OVERLAP _Pragma("clang loop vectorize(assume_safety)")
#define RELU_EXT_FLOAT_LOOP RELU_EXT_LINE_LOOP
#endif
#define RELU_EXT_UNROLL
#define RELU_EXT_NO_UNROLL _Pragma("clang loop interleave(disable) unroll(disable)")
#define RELU_EXT_ONE_BLOCK _Pragma("clang loop vectorize(enable) unroll(disable)")
#define RELU_EXT_LINE_LOOP RELU_EXT_NO_OVERLAP
#define RELU_EXT_FOURS_LOOP RELU_EXT_LINE_LOOP
/* Unrolled, the loops in it would be split where one has loaded an element before another does. */
#define RELU_EXT_GROUP_LOOP _Pragma("clang loop unroll(disable)")
#elif defined(__GNUC__)
#define RELU_EXT_NO_OVERLAP _Pragma("GCC ivdep")
#define RELU_EXT_UNROLL _Pragma("GCC unroll 4")
#define RELU_EXT_NO_UNROLL _Pragma("GCC unroll 1")
#define RELU_EXT_ONE_BLOCK RELU_EXT_NO_OVERLAP RELU_EXT_NO_UNROLL
#define RELU_EXT_LINE_LOOP RELU_EXT_NO_OVERLAP RELU_EXT_UNROLL
/* Four it would unroll before they could become vectors. */
#define RELU_EXT_FOURS_LOOP RELU_EXT_ONE_BLOCK
#define RELU_EXT_FLOAT_LOOP RELU_EXT_LINE_LOOP
#define RELU_EXT_GROUP_LOOP
#else
#define RELU_EXT_NO_OVERLAP
#define RELU_EXT_UNROLL
#define RELU_EXT_NO_UNROLL
#define RELU_EXT_ONE_BLOCK
#define RELU_EXT_LINE_LOOP
#define RELU_EXT_FOURS_LOOP
#define RELU_EXT_FLOAT_LOOP
#define RELU_EXT_GROUP_LOOP
#endif

/*
 * The length of such a loop. One that it knows from the start Clang unrolls into scalars; told not
 * to unroll, it keeps a loop around a single vector. Whether an address is a constant it decides
 * just before loops become vectors: only then does it know the length, and unrolls what is left.
 */
RELU_EXT_INLINE size_t relu_ext_late(size_t length, const void *address)
{
#ifdef __clang__
    if (__builtin_constant_p((size_t)address))
        __asm__("" : "+r"(length));
#else
    (void)address;
#endif
    return length;
}

/*
 * Makes a constant a variable. x > a constant becomes x >= the next to GCC, even where vectors have
 * no >= and take two instructions for it.
 */
#if defined(__GNUC__) && !defined(__clang__)
#define RELU_EXT_OPAQUE(constant) __asm__("" : "+r"(constant))
#else
#define RELU_EXT_OPAQUE(constant) (void)(constant)
#endif

/* Bytes that are sure to be in L1 when they are used again. */
#define RELU_EXT_SHORT (16 << 10)

/*
 * A template, *_tmpl.h, is included once for each width of a lane, with RELU_EXT_BITS defined
 * as 8, 16, 32 or 64. A lane is a signed integer of that width, RELU_EXT_INT, and
 * RELU_EXT_(relu) is relu_ext_relu_b32.
 */
#define RELU_EXT_(name) RELU_EXT_LANE_NAME_(name, RELU_EXT_BITS)
#define RELU_EXT_LANE_NAME_(name, bits) RELU_EXT_LANE_NAME__(name, bits)
#define RELU_EXT_LANE_NAME__(name, bits) relu_ext_##name##_b##bits
#define RELU_EXT_INT RELU_EXT_LANE_TYPE_(int, RELU_EXT_BITS)
#define RELU_EXT_UINT RELU_EXT_LANE_TYPE_(uint, RELU_EXT_BITS)
#define RELU_EXT_LANE_TYPE_(sign, bits) RELU_EXT_LANE_TYPE__(sign, bits)
#define RELU_EXT_LANE_TYPE__(sign, bits) sign##bits##_t
#define RELU_EXT_INT_MAX ((RELU_EXT_INT)((RELU_EXT_UINT)-1 >> 1))

#endif
