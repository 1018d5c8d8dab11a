/*
 * For libFuzzer: the bytes of an input choose a function, an instruction set, lengths,
 * offsets, what is in place, when to stream, and the numbers. The result is compared with the
 * oracle's, and so is what lies around the output; AddressSanitizer watches the rest.
 */

/* What is covered, and watched, is the library alone: new paths of the oracle are no news. */
#pragma clang attribute push(__attribute__((no_sanitize("address", "undefined", "coverage"))),     \
                             apply_to = function)
#include "oracle.h"

enum {
    HEADER = 8,
    NUMBERS = 61, /* of each input at most; longer inputs repeat them */
    AROUND = 64,
};

struct buffer {
    unsigned char *memory, *start;
};

/* It ends where its memory ends, and begins up to 63 bytes after it. */
static struct buffer make_buffer(size_t offset, size_t bytes, size_t after)
{
    unsigned char *memory = malloc(offset + bytes + after);
    if (memory == NULL && offset + bytes + after > 0)
        abort();
    if (memory != NULL)
        memset(memory, 0xAB, offset + bytes + after);
    return (struct buffer){memory, memory + offset};
}

static size_t length(unsigned char kind, unsigned char low, size_t size)
{
    if (kind < 224) /* around the vectors' lengths */
        return low;
    if (kind < 252) /* around what streams */
        return ((2 << 10) + (size_t)(kind - 224) * 32) / size + low % 67;
    return (16 << 10) / size + low; /* around the end of the loop over several vectors */
}

int LLVMFuzzerTestOneInput(const unsigned char *input, size_t input_bytes)
{
    static const size_t stream_bytes[] = {1, SIZE_MAX, 0, 5000};
    size_t isas = 0;
    while (relu_ext_available_isa(isas) != NULL)
        isas++;
    if (input_bytes < HEADER)
        return -1;

    const struct row *row = &rows[input[0] % ROW_COUNT];
    const struct format *f = format_of(row);
    const size_t n = length(input[1], input[2], row->size), bytes = n * row->size;
    const char *isa = relu_ext_available_isa(input[3] % isas);
    const int in_place = input[4] % 4 % (row->nin + 1) - 1;
    relu_ext_use_isa(isa);
    relu_ext_set_stream_bytes(stream_bytes[input[4] / 4 % 4]);

    /* What is left are the numbers: the inputs' first, the inputs' second, and so on. */
    unsigned char given[INPUTS_MAX][NUMBERS * sizeof(long double)] = {{0}};
    unsigned char want[NUMBERS * sizeof(long double)];
    unsigned char *in[INPUTS_MAX];
    size_t numbers = 0;
    const size_t together = (size_t)row->nin * row->size;
    input_bytes -= HEADER;
    while (numbers < NUMBERS && (numbers == 0 || (numbers + 1) * together <= input_bytes)) {
        for (int k = 0; k < row->nin; k++) {
            const size_t at = numbers * together + (size_t)k * row->size;
            unsigned char *x = given[k] + numbers * row->size;
            for (size_t i = 0; i < row->size; i++)
                x[i] = at + i < input_bytes ? input[HEADER + at + i] : 0;
            make_valid(f, x);
            in[k] = given[k];
        }
        numbers++;
    }
    choose_parameter(row);
    if (input[6] & 64) /* the first number */
        memcpy(parameter, given[0], row->size);
    oracle(row, in, want, numbers);

    struct buffer buffers[INPUTS_MAX + 1];
    const void *inputs[INPUTS_MAX];
    const int out = in_place < 0 ? row->nin : in_place;
    const int last = in_place < 0 ? row->nin : row->nin - 1;
    for (int k = 0; k <= last; k++) {
        buffers[k] = make_buffer(input[k == out ? 7 : 5 + (k & 1)] % 64, bytes,
                                 k == out && input[7] & 64 ? AROUND : 0);
        for (size_t i = 0, some; k < row->nin && i < n; i += some) {
            some = n - i < numbers ? n - i : numbers;
            memcpy(buffers[k].start + i * row->size, given[k], some * row->size);
        }
        if (k < row->nin)
            inputs[k] = buffers[k].start;
    }
    row->call(inputs, buffers[out].start, n);

    for (int k = 0; k <= last; k++) {
        for (size_t i = 0, some; i < n; i += some) {
            some = n - i < numbers ? n - i : numbers;
            if (!same(row, buffers[k].start + i * row->size, k == out ? want : given[k], some,
                      k == out ? "the output's" : "an input's")) {
                fprintf(stderr, "%s (%s), %zu elements: that is from element %zu on\n", row->name,
                        isa, n, i);
                abort();
            }
        }
        for (unsigned char *p = buffers[k].memory; p < buffers[k].start; p++)
            if (*p != 0xAB)
                abort();
    }
    for (size_t i = 0; input[7] & 64 && i < AROUND; i++)
        if (buffers[out].start[bytes + i] != 0xAB)
            abort();
    for (int k = 0; k <= last; k++)
        free(buffers[k].memory);
    return 0;
}
#pragma clang attribute pop
