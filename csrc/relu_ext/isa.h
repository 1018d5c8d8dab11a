/*
 * All that has to be written for an instruction set by hand, under names that end in it:
 *
 *   relu_ext_stream_block_<isa>    stores a block past the caches; NULL where that is not to
 *                                  be had
 *   relu_ext_load_part_<isa>       copies less than a line into one, in an order of elements that
 *   relu_ext_store_part_<isa>      is undone here; the rest of the line is zero
 *   relu_ext_pack_masks_<isa>      64 bits from 64 bytes that are 0 or -1 and on a 64-byte
 *   relu_ext_unpack_masks_<isa>    boundary, and back: bit i % 8 of bits[i / 8] is masks[i]'s
 *   relu_ext_f16_to_float_<isa>    RELU_EXT_F16_GROUP of them, as numbers.h has it for one: to
 *   relu_ext_f16_from_float_<isa>  nearest, ties to even; the positive quiet NaN without payload
 *                                  stays what it is. Under float_env.h's settings, where these
 *                                  matter
 *   RELU_EXT_FMA_<isa>             whether it has a fused multiply-add
 *   relu_ext_settings_matter_<isa> whether float_env.h's settings have yet to be made for what
 *                                  calculates
 *   RELU_EXT_OPS_<isa>             what of the rest it has, as initializers of relu_ext_ops
 *
 * And of that:
 *
 *   masks            whether it compares into registers for masks, and loads and stores bytes by
 *                    them, and so parts of a line in one go; its vectors are whole lines
 *   asks             whether settings_matter finds out, which takes masks and all of the lines
 *                    below; else settings are always made before
 *
 * and, unless plain C does it as well, lines of 64 bytes at any address; the output may be one of
 * the inputs:
 *
 *   leaky_<dtype>    `passing` where x is positive or a NaN, else slope * factor, whose NaNs are
 *                    the positive quiet one without payload: f16, bf16, f32, f64. With `number`,
 *                    none of these counts
 *   sum_<dtype>      ReLU of a + b, with such NaNs
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

typedef void relu_ext_leaky_line(void *out, const void *passing, const void *x, const void *factor,
                                 const void *slope, bool number);
typedef void relu_ext_sum_line(void *out, const void *a, const void *b);

enum { RELU_EXT_F16_GROUP = 16 };

struct relu_ext_ops {
    bool masks, asks;
    void (*f16_to_float)(float *to, const relu_ext_half *from);
    void (*f16_from_float)(relu_ext_half *to, const float *from);
    relu_ext_leaky_line *leaky_f16, *leaky_bf16, *leaky_f32, *leaky_f64;
    relu_ext_sum_line *sum_f16, *sum_bf16, *sum_f32, *sum_f64;
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

/* Plain C will do. */
#define RELU_EXT_OPS_baseline .masks = false

RELU_EXT_INLINE bool relu_ext_settings_matter_baseline(void)
{
    return false;
}

#define RELU_EXT_DEFINE_OPS(isa, target, supported)                                    \
    static const struct relu_ext_ops relu_ext_ops_##isa = {                            \
        .f16_to_float = relu_ext_f16_to_float_##isa,                                   \
        .f16_from_float = relu_ext_f16_from_float_##isa,                               \
        RELU_EXT_OPS_##isa};
RELU_EXT_ISAS(RELU_EXT_DEFINE_OPS)

/*
 * n of them. `floats` has room for whole groups, and relu_ext_floats_to_f16 reads them
 * whole: all of it must be initialised.
 */
RELU_EXT_INLINE void relu_ext_floats_from_f16(float *floats, const void *from, size_t n,
                                              const struct relu_ext_ops *ops)
{
    const relu_ext_half *x = from;
    const size_t rest = n % RELU_EXT_F16_GROUP, whole = n - rest;
    for (size_t i = 0; i < whole; i += RELU_EXT_F16_GROUP)
        ops->f16_to_float(floats + i, x + i);
    if (rest > 0) {
        relu_ext_half last[RELU_EXT_F16_GROUP] = {0};
        memcpy(last, x + whole, rest * sizeof *last);
        ops->f16_to_float(floats + whole, last);
    }
}

RELU_EXT_INLINE void relu_ext_floats_to_f16(void *to, const float *floats, size_t n,
                                            const struct relu_ext_ops *ops)
{
    relu_ext_half *y = to;
    const size_t rest = n % RELU_EXT_F16_GROUP, whole = n - rest;
    for (size_t i = 0; i < whole; i += RELU_EXT_F16_GROUP)
        ops->f16_from_float(y + i, floats + i);
    if (rest > 0) {
        relu_ext_half last[RELU_EXT_F16_GROUP];
        ops->f16_from_float(last, floats + whole);
        memcpy(y + whole, last, rest * sizeof *last);
    }
}

#endif
