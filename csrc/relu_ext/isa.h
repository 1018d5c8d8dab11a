/*
 * All that has to be written for an instruction set by hand, under names that end in it:
 *
 *   relu_ext_stream_block_<isa>    stores a block past the caches; NULL where that is not to
 *                                  be had
 *   relu_ext_pack_masks_<isa>      64 bits from 64 bytes that are 0 or -1 and on a 64-byte
 *   relu_ext_unpack_masks_<isa>    boundary, and back: bit i % 8 of bits[i / 8] is masks[i]'s
 *   relu_ext_f16_to_float_<isa>    RELU_EXT_F16_GROUP of them, as numbers.h has it for one: to
 *   relu_ext_f16_from_float_<isa>  nearest, ties to even; the positive quiet NaN without
 *                                  payload stays what it is. Under float_env.h's settings
 *   RELU_EXT_FMA_<isa>             whether it has a fused multiply-add
 *
 * Everything else the compiler makes of plain C.
 */
#ifndef RELU_EXT_ISA_H
#define RELU_EXT_ISA_H

/*
 * Bytes. Short enough for the processor to begin reading the next block before
 * this one is out; at 4 KiB reads and writes take turns, a third slower.
 */
enum { RELU_EXT_STREAM_BLOCK = 1024 };

typedef void relu_ext_block_streamer(char *to, const char *block, const char *ahead_a,
                                     const char *ahead_b);

typedef void relu_ext_pack_masks(const int8_t *masks, uint8_t *bits);
typedef void relu_ext_unpack_masks(const uint8_t *bits, int8_t *masks);

/* 16-bit floats at any address. */
typedef uint16_t relu_ext_half RELU_EXT_ANY_POINTER;

enum { RELU_EXT_F16_GROUP = 16 };
struct relu_ext_f16 {
    void (*to_float)(float *to, const relu_ext_half *from);
    void (*from_float)(relu_ext_half *to, const float *from);
};

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include "x86.h"
#else
#include "portable.h"
#endif

RELU_EXT_POINTED_AT void relu_ext_f16_to_float_baseline(float *to, const relu_ext_half *from)
{
    for (size_t i = 0; i < RELU_EXT_F16_GROUP; i++)
        to[i] = relu_ext_float_from_f16(from[i]);
}

RELU_EXT_POINTED_AT void relu_ext_f16_from_float_baseline(relu_ext_half *to, const float *from)
{
    for (size_t i = 0; i < RELU_EXT_F16_GROUP; i++)
        to[i] = relu_ext_f16_from_float(from[i]);
}

#define RELU_EXT_DEFINE_F16_CONVERSIONS(isa, target, supported)                         \
    static const struct relu_ext_f16 relu_ext_f16_##isa = {relu_ext_f16_to_float_##isa, \
                                                           relu_ext_f16_from_float_##isa};
RELU_EXT_ISAS(RELU_EXT_DEFINE_F16_CONVERSIONS)

/*
 * n of them. `floats` has room for whole groups, and relu_ext_floats_to_f16 reads them
 * whole: all of it must be initialised.
 */
RELU_EXT_INLINE void relu_ext_floats_from_f16(float *floats, const void *from, size_t n,
                                              const struct relu_ext_f16 *f16)
{
    const relu_ext_half *x = from;
    const size_t rest = n % RELU_EXT_F16_GROUP, whole = n - rest;
    for (size_t i = 0; i < whole; i += RELU_EXT_F16_GROUP)
        f16->to_float(floats + i, x + i);
    if (rest > 0) {
        relu_ext_half last[RELU_EXT_F16_GROUP] = {0};
        memcpy(last, x + whole, rest * sizeof *last);
        f16->to_float(floats + whole, last);
    }
}

RELU_EXT_INLINE void relu_ext_floats_to_f16(void *to, const float *floats, size_t n,
                                            const struct relu_ext_f16 *f16)
{
    relu_ext_half *y = to;
    const size_t rest = n % RELU_EXT_F16_GROUP, whole = n - rest;
    for (size_t i = 0; i < whole; i += RELU_EXT_F16_GROUP)
        f16->from_float(y + i, floats + i);
    if (rest > 0) {
        relu_ext_half last[RELU_EXT_F16_GROUP];
        f16->from_float(last, floats + whole);
        memcpy(y + whole, last, rest * sizeof *last);
    }
}

#endif
