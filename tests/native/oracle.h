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
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relu_ext.h"
#include "relu_ext/tables.h"

enum { INPUTS_MAX = 2 };

/* What operations that have a parameter are given for it, of whatever type. */
static unsigned char parameter[sizeof(long double)];

/* Every function, with one signature for all. */
#define CALL_1(function, type)                                                            \
    static void call_##function(const void *const *in, void *out, size_t n)            \
    {                                                                                  \
        function(in[0], out, n);                                                       \
    }
#define CALL_2(function, type)                                                            \
    static void call_##function(const void *const *in, void *out, size_t n)            \
    {                                                                                  \
        function(in[0], in[1], out, n);                                                \
    }
#define CALL_2P(function, type)                                                        \
    static void call_##function(const void *const *in, void *out, size_t n)            \
    {                                                                                  \
        type given;                                                                    \
        memcpy(&given, parameter, sizeof given);                                       \
        function(in[0], given, out, n);                                                \
    }
#define CALL_3P(function, type)                                                        \
    static void call_##function(const void *const *in, void *out, size_t n)            \
    {                                                                                  \
        type given;                                                                    \
        memcpy(&given, parameter, sizeof given);                                       \
        function(in[0], in[1], given, out, n);                                         \
    }
#define CALL(dtype, type, lane, T, op, body, signature, ...) \
    CALL_##signature(op##_##dtype, type)
RELU_EXT_KERNELS(CALL, )

struct row {
    const char *name, *operation, *dtype;
    int nin;     /* arrays; a parameter is none */
    size_t size; /* of an element */
    void (*call)(const void *const *in, void *out, size_t n);
};

#define ARRAYS_1 1
#define ARRAYS_2 2
#define ARRAYS_2P 1
#define ARRAYS_3P 2
#define ROW(dtype, type, lane, T, op, body, signature, ...)                            \
    {#op "_" #dtype, #op, #dtype, ARRAYS_##signature, sizeof(type), call_##op##_##dtype},
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
    {"i8", 1, 0, 0, 7, false},           {"i16", 1, 0, 0, 15, false},
    {"i32", 1, 0, 0, 31, false},         {"i64", 1, 0, 0, 63, false},
    {"u8", 0, 0, 0, 8, false},           {"u16", 0, 0, 0, 16, false},
    {"u32", 0, 0, 0, 32, false},         {"u64", 0, 0, 0, 64, false},
    {"f8e5m2", 1, 5, 0, 2, false},       {"f8e4m3fn", 1, 4, 0, 3, true},
    {"f16", 1, 5, 0, 10, false},         {"bf16", 1, 8, 0, 7, false},
    {"f32", 1, 8, 0, 23, false},         {"f64", 1, 11, 0, 52, false},
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

static inline bool is_negative(const struct format *f, const unsigned char *x)
{
    return f->sign && get_bit(f, x, width(f) - 1);
}

static inline bool is_zero(const struct format *f, const unsigned char *x)
{
    return all_bits(f, x, 0, width(f) - f->sign, false);
}

static inline bool is_nan(const struct format *f, const unsigned char *x)
{
    const int exponent = f->mantissa + f->leading;
    return f->exponent && all_bits(f, x, exponent, exponent + f->exponent, true)
           && (f->no_infinity ? all_bits(f, x, 0, f->mantissa, true)
                              : !all_bits(f, x, 0, f->mantissa, false));
}

/* Does relu give x itself? */
static inline bool passes(const struct format *f, const unsigned char *x)
{
    return is_nan(f, x) || !(is_negative(f, x) || (f->exponent && is_zero(f, x)));
}

/* a < b, of numbers that are not negative. */
static inline bool is_less(const struct format *f, const unsigned char *a, const unsigned char *b)
{
#if LDBL_MANT_DIG == 106
    if (strcmp(f->name, "longdouble") == 0) {
        long double first, second;
        memcpy(&first, a, sizeof first);
        memcpy(&second, b, sizeof second);
        return first < second;
    }
#endif
    for (int i = width(f) - f->sign - 1; i >= 0; i--)
        if (get_bit(f, a, i) != get_bit(f, b, i))
            return get_bit(f, b, i);
    return false;
}

/* The value of a float of up to 64 bits that is not a NaN. */
static inline double value_of(const struct format *f, const unsigned char *x)
{
    const int largest = (1 << f->exponent) - 1, bias = largest / 2;
    double mantissa = 0;
    int exponent = 0;
    for (int i = f->mantissa - 1; i >= 0; i--)
        mantissa = 2 * mantissa + get_bit(f, x, i);
    for (int i = f->exponent - 1; i >= 0; i--)
        exponent = 2 * exponent + get_bit(f, x, f->mantissa + i);
    if (exponent == largest)
        mantissa = HUGE_VAL;
    else if (exponent > 0)
        mantissa += ldexp(1, f->mantissa);
    const double magnitude = ldexp(mantissa, (exponent ? exponent : 1) - bias - f->mantissa);
    return is_negative(f, x) ? -magnitude : magnitude;
}

/* The nearest number of a format, of two equally near the even one; of a NaN the quiet one. */
static inline void round_to(const struct format *f, double value, unsigned char *x)
{
    const int largest = (1 << f->exponent) - 1, bias = largest / 2, least = 1 - bias;
    double magnitude = fabs(value);
    int exponent;
    for (int i = 0; i < width(f); i++)
        set_bit(f, x, i, false);
    set_bit(f, x, width(f) - 1, signbit(value) && !isnan(value));
    if (isnan(value)) {
        for (int i = f->mantissa - 1; i < f->mantissa + f->exponent; i++)
            set_bit(f, x, i, true);
        return;
    }
    if (!isinf(magnitude)) {
        frexp(magnitude, &exponent);
        exponent = (exponent - 1 < least ? least : exponent - 1) - f->mantissa;
        magnitude = ldexp(nearbyint(ldexp(magnitude, -exponent)), exponent);
    }
    if (magnitude == 0)
        return;
    if (magnitude >= ldexp(1, bias) * 2) {
        for (int i = f->mantissa; i < f->mantissa + f->exponent; i++)
            set_bit(f, x, i, true);
        return;
    }
    /* In units of the last place, whose number is exponent and mantissa side by side. */
    frexp(magnitude, &exponent);
    exponent = exponent - 1 < least ? least : exponent - 1;
    double units = ldexp(magnitude, f->mantissa - exponent);
    uint64_t bits = (uint64_t)units + ((uint64_t)(exponent - least) << f->mantissa);
    for (int i = 0; i < f->mantissa + f->exponent; i++)
        set_bit(f, x, i, bits >> i & 1);
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

/*
 * A sum or product of numbers of up to 64 bits. Where these have 32 bits it is exact in
 * double, or rounding twice is the same; those of 16 bits become floats of 32 bits first.
 */
static inline void calculate(const struct format *f, bool multiply, const unsigned char *a,
                             const unsigned char *b, unsigned char *out)
{
    static const struct format single = {"f32", 1, 8, 0, 23, false};
    unsigned char rounded[4];
    volatile double result = NAN;
    if (!is_nan(f, a) && !is_nan(f, b)) {
        volatile double first = value_of(f, a), second = value_of(f, b);
        result = multiply ? first * second : first + second;
    }
    if (width(f) == 16) {
        round_to(&single, result, rounded);
        result = is_nan(&single, rounded) ? NAN : value_of(&single, rounded);
    }
    round_to(f, result, out);
}

static inline void oracle_leaky_relu_grad(const struct format *f, size_t size,
                                          const unsigned char *const *in, unsigned char *out)
{
    if (passes(f, in[1]))
        memcpy(out, in[0], size);
    else
        calculate(f, true, in[0], parameter, out);
}

static inline void oracle_leaky_relu(const struct format *f, size_t size,
                                     const unsigned char *const *in, unsigned char *out)
{
    const unsigned char *const both[] = {in[0], in[0]};
    oracle_leaky_relu_grad(f, size, both, out);
}

static inline void oracle_clipped_relu(const struct format *f, size_t size,
                                       const unsigned char *const *in, unsigned char *out)
{
    oracle_relu(f, size, in, out);
    if (is_nan(f, in[0]))
        return;
    if (!is_nan(f, parameter) && !is_negative(f, parameter) && !is_less(f, parameter, out))
        return;
    memcpy(out, parameter, size);
    if (f->leading) /* a parameter's padding is not passed on */
        memset(out + width(f) / 8, 0, size - (size_t)width(f) / 8);
}

static inline void oracle_clipped_relu_grad(const struct format *f, size_t size,
                                            const unsigned char *const *in, unsigned char *out)
{
    const unsigned char *x = in[1];
    const bool between = passes(f, x) && passes(f, parameter) && !is_nan(f, parameter)
                         && is_less(f, x, parameter);
    if (is_nan(f, x) || between)
        memcpy(out, in[0], size);
    else
        memset(out, 0, size);
}

static inline void oracle_add_relu(const struct format *f, size_t size,
                                   const unsigned char *const *in, unsigned char *out)
{
    unsigned char sum[sizeof(long double)];
    const unsigned char *const only[] = {sum};
    if (f->exponent)
        calculate(f, false, in[0], in[1], sum);
    else {
        /* Bit by bit; what is carried out of the last is lost. */
        bool carry = false;
        for (int i = 0; i < width(f); i++) {
            const int ones = get_bit(f, in[0], i) + get_bit(f, in[1], i) + carry;
            set_bit(f, sum, i, ones & 1);
            carry = ones > 1;
        }
    }
    oracle_relu(f, size, only, out);
}

static const struct {
    const char *name;
    operation *element;
} operations[] = {
    {"relu", oracle_relu},
    {"relu_grad", oracle_relu_grad},
    {"leaky_relu", oracle_leaky_relu},
    {"leaky_relu_grad", oracle_leaky_relu_grad},
    {"clipped_relu", oracle_clipped_relu},
    {"clipped_relu_grad", oracle_clipped_relu_grad},
    {"add_relu", oracle_add_relu},
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
        const bool bits[MANTISSAS] = {false,     i == 0, true, i == first, i == first || i == 0,
                                      i != first};
        set_bit(f, x, i, mantissa < MANTISSAS ? bits[mantissa] : i == mantissa - MANTISSAS);
    }
    for (int i = 0; i < f->exponent; i++)
        set_bit(f, x, at + i, exponent >> i & 1);
    if (f->sign)
        set_bit(f, x, at + f->exponent, negative);
    make_valid(f, x);
}

/* A usual parameter: about 0.7 for floats, 2 for integers. */
static inline void choose_parameter(const struct row *row)
{
    const struct format *f = format_of(row);
    memset(parameter, 0, sizeof parameter);
    if (f->exponent)
        make_number(f, parameter, false, (1u << f->exponent) / 2 - 2, 4);
    else
        make_number(f, parameter, false, 0, MANTISSAS + 1);
}

/* n elements, half of them values where something changes, the others any bits. */
static inline void fill_samples(const struct row *row, unsigned char *to, size_t n, uint64_t *state)
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
