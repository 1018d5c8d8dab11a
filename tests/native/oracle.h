/*
 * What every function of the library has to compute, for the C programs here: from the
 * contract in relu_ext.h and nothing else, a bit at a time, slow and plain on purpose.
 *
 * Which functions there are comes from tables.h. A new row of known operation and dtype is
 * tested unedited; a new dtype needs its line in formats, a new operation its line in
 * operations, and a new list of parameters its CALL macro. Programs refuse to run without.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include <float.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relu_ext.h"
#include "tables.h"

enum { INPUTS_MAX = 2 };

/* Every function, with one signature for all. */
#define CALL_1(function)                                                               \
    static void call_##function(const void *const *in, void *out, size_t n)            \
    {                                                                                  \
        function(in[0], out, n);                                                       \
    }
#define CALL_2(function)                                                               \
    static void call_##function(const void *const *in, void *out, size_t n)            \
    {                                                                                  \
        function(in[0], in[1], out, n);                                                \
    }
#define CALL(dtype, type, lane, T, op, body, nin, ...) CALL_##nin(op##_##dtype)
RELU_EXT_KERNELS(CALL, )

struct row {
    const char *name, *operation, *dtype;
    int nin;
    size_t size; /* of an element */
    void (*call)(const void *const *in, void *out, size_t n);
};

#define ROW(dtype, type, lane, T, op, body, nin, ...)                                  \
    {#op "_" #dtype, #op, #dtype, nin, sizeof(type), call_##op##_##dtype},
static const struct row rows[] = {RELU_EXT_KERNELS(ROW, )};
enum { ROW_COUNT = sizeof rows / sizeof *rows };

/*
 * How many bits a number's parts have. From the least significant: the mantissa, its
 * leading 1 where the format writes it out, the exponent, the sign. An integer has no
 * exponent. The bytes after, if any, do not decide anything: x87's padding, or the
 * second of a pair of doubles.
 */
struct format {
    const char *name;
    int sign, exponent, leading, mantissa;
    bool no_infinity; /* all ones is the only NaN of each sign */
};

static const struct format formats[] = {
    {"i8", 1, 0, 0, 7, false},
    {"i16", 1, 0, 0, 15, false},
    {"i32", 1, 0, 0, 31, false},
    {"i64", 1, 0, 0, 63, false},
    {"u8", 0, 0, 0, 8, false},
    {"u16", 0, 0, 0, 16, false},
    {"u32", 0, 0, 0, 32, false},
    {"u64", 0, 0, 0, 64, false},
    {"f8e5m2", 1, 5, 0, 2, false},
    {"f8e4m3fn", 1, 4, 0, 3, true},
    {"f16", 1, 5, 0, 10, false},
    {"bf16", 1, 8, 0, 7, false},
    {"f32", 1, 8, 0, 23, false},
    {"f64", 1, 11, 0, 52, false},
#if LDBL_MANT_DIG == 64
    {"longdouble", 1, 15, 1, 63, false},
#elif LDBL_MANT_DIG == 113
    {"longdouble", 1, 15, 0, 112, false},
#else
    {"longdouble", 1, 11, 0, 52, false},
#endif
};

static inline const struct format *format_of(const struct row *row)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, row->dtype) == 0)
            return &formats[i];
    fprintf(stderr, "%s: oracle.h has no format %s: add its line\n", row->name, row->dtype);
    exit(2);
}

static inline int width(const struct format *f)
{
    return f->sign + f->exponent + f->leading + f->mantissa;
}

/* Where bit i of a number is, counted from the least significant. */
static inline size_t byte_of(const struct format *f, int i)
{
    const int one = 1;
    const bool little_endian = *(const char *)&one;
    return (size_t)(little_endian ? i / 8 : width(f) / 8 - 1 - i / 8);
}

static inline bool get_bit(const struct format *f, const unsigned char *x, int i)
{
    return x[byte_of(f, i)] >> i % 8 & 1;
}

static inline void set_bit(const struct format *f, unsigned char *x, int i, bool bit)
{
    unsigned char *byte = &x[byte_of(f, i)];
    const unsigned mask = 1u << i % 8;
    *byte = (unsigned char)(bit ? *byte | mask : *byte & ~mask);
}

/* Are all bits from `begin` to `end` like that? */
static inline bool all_bits(const struct format *f, const unsigned char *x, int begin, int end,
                            bool like)
{
    for (int i = begin; i < end; i++)
        if (get_bit(f, x, i) != like)
            return false;
    return true;
}

/* Does relu give x itself? */
static inline bool passes(const struct format *f, const unsigned char *x)
{
    const int exponent = f->mantissa + f->leading, sign = exponent + f->exponent;
    const bool negative = f->sign && get_bit(f, x, sign);

    if (f->exponent == 0)
        return !negative;
    const bool no_mantissa = all_bits(f, x, 0, f->mantissa, false);
    const bool full_mantissa = all_bits(f, x, 0, f->mantissa, true);
    const bool zero = all_bits(f, x, exponent, sign, false) && no_mantissa;
    const bool nan = all_bits(f, x, exponent, sign, true)
                     && (f->no_infinity ? full_mantissa : !no_mantissa);
    return nan || !(negative || zero);
}

typedef void operation(const struct format *f, size_t size, const unsigned char *const *in,
                       unsigned char *out);

static inline void oracle_relu(const struct format *f, size_t size, const unsigned char *const *in,
                               unsigned char *out)
{
    if (passes(f, in[0]))
        memcpy(out, in[0], size);
    else
        memset(out, 0, size);
}

static inline void oracle_relu_grad(const struct format *f, size_t size,
                                    const unsigned char *const *in, unsigned char *out)
{
    if (passes(f, in[1]))
        memcpy(out, in[0], size);
    else
        memset(out, 0, size);
}

static const struct {
    const char *name;
    operation *element;
} operations[] = {
    {"relu", oracle_relu},
    {"relu_grad", oracle_relu_grad},
};

/* out, of n elements, is to be what row's function makes of in. */
static inline void oracle(const struct row *row, unsigned char *const *in, unsigned char *out,
                          size_t n)
{
    const struct format *f = format_of(row);
    for (size_t k = 0; k < sizeof operations / sizeof *operations; k++) {
        if (strcmp(operations[k].name, row->operation) != 0)
            continue;
        for (size_t i = 0; i < n * row->size; i += row->size) {
            const unsigned char *element[INPUTS_MAX];
            for (int j = 0; j < row->nin; j++)
                element[j] = in[j] + i;
            operations[k].element(f, row->size, element, out + i);
        }
        return;
    }
    fprintf(stderr, "%s: oracle.h has no operation %s: add its line\n", row->name, row->operation);
    exit(2);
}

/* xorshift64*: the same numbers everywhere. */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1D;
}

static inline size_t below(size_t end, uint64_t *state)
{
    return (size_t)(next_random(state) >> 32) % end;
}

/* x87's leading 1 follows from the exponent; no processor makes it otherwise, and the
 * contract does not speak of it. */
static inline void make_valid(const struct format *f, unsigned char *x)
{
    const int exponent = f->mantissa + f->leading;
    if (f->leading)
        set_bit(f, x, f->mantissa, !all_bits(f, x, exponent, exponent + f->exponent, false));
}

/*
 * A number of these parts. Mantissa 0 is none, 1 the least, 2 all ones, 3 the first bit
 * alone (a quiet NaN's), 4 that and the least, 5 all but it, and from 6 on a single bit.
 */
enum { MANTISSAS = 6 };
static inline void make_number(const struct format *f, unsigned char *x, bool negative,
                               unsigned exponent, int mantissa)
{
    const int first = f->mantissa - 1, at = f->mantissa + f->leading;
    for (int i = 0; i < f->mantissa; i++) {
        const bool bits[MANTISSAS] = {false, i == 0, true, i == first, i == first || i == 0,
                                      i != first};
        set_bit(f, x, i, mantissa < MANTISSAS ? bits[mantissa] : i == mantissa - MANTISSAS);
    }
    for (int i = 0; i < f->exponent; i++)
        set_bit(f, x, at + i, exponent >> i & 1);
    if (f->sign)
        set_bit(f, x, at + f->exponent, negative);
    make_valid(f, x);
}

/* n elements, half of them values where something changes, the others any bits. */
static inline void fill_samples(const struct row *row, unsigned char *to, size_t n,
                                uint64_t *state)
{
    const struct format *f = format_of(row);
    const unsigned largest = (1u << f->exponent) - 1;
    for (unsigned char *x = to; x < to + n * row->size; x += row->size) {
        for (size_t i = 0; i < row->size; i++)
            x[i] = (unsigned char)(next_random(state) >> 56);
        make_valid(f, x);
        const uint64_t choice = next_random(state) >> 32;
        const unsigned exponents[] = {0, 0, 1, largest / 2, largest - 1, largest, largest, largest};
        if (choice & 1)
            make_number(f, x, choice >> 1 & 1, exponents[choice >> 2 & 7] & largest,
                        (int)((choice >> 5) % MANTISSAS));
    }
}

/*
 * Every bit pattern of one or two bytes; of wider floats every sign and exponent with each
 * mantissa above; of wider integers those, and every single bit. Their number, whether or
 * not there is somewhere to put them.
 */
static inline size_t fill_patterns(const struct row *row, unsigned char *to, uint64_t *state)
{
    const struct format *f = format_of(row);
    size_t n = 0;
    if (row->size <= 2) {
        for (; n < (size_t)1 << 8 * row->size; n++)
            for (size_t i = 0; to && i < row->size; i++)
                to[n * row->size + i] = (unsigned char)(n >> 8 * i);
        return n;
    }
    const int mantissas = f->exponent ? MANTISSAS : MANTISSAS + f->mantissa;
    for (int negative = 0; negative <= f->sign; negative++)
        for (unsigned exponent = 0; exponent < 1u << f->exponent; exponent++)
            for (int mantissa = 0; mantissa < mantissas; mantissa++, n++)
                if (to) {
                    fill_samples(row, to + n * row->size, 1, state); /* bytes after the number */
                    make_number(f, to + n * row->size, negative, exponent, mantissa);
                }
    return n;
}

static inline void print_bytes(const unsigned char *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "%02x", x[i]);
}

/*
 * Compare n elements. Where one differs, end the line that the caller began on stderr with
 * what it is, and return false.
 */
static inline bool same(const struct row *row, const unsigned char *got, const unsigned char *want,
                        size_t n, const char *whose)
{
    if (memcmp(got, want, n * row->size) == 0)
        return true;
    size_t i = 0;
    while (memcmp(got + i * row->size, want + i * row->size, row->size) == 0)
        i++;
    fprintf(stderr, "%s element %zu differs: bytes ", whose, i);
    print_bytes(got + i * row->size, row->size);
    fprintf(stderr, " instead of ");
    print_bytes(want + i * row->size, row->size);
    fprintf(stderr, "\n");
    return false;
}

#endif
