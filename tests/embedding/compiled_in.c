/*
 * Reads float32 from standard input and writes their ReLU to standard output, with the
 * kernels compiled into the program.
 *
 *     $ cc compiled_in.c $(relu-ext config --sources --cflags) -o compiled_in
 *
 * The same by way of pkg-config:
 *
 *     $ export PKG_CONFIG_PATH=$(relu-ext config --pkgconfigdir)
 *     $ flags="-O3 $(pkg-config --cflags relu_ext)"
 *     $ cc $flags compiled_in.c $(pkg-config --variable=sources relu_ext) -o compiled_in
 */
#include <stdio.h>

#include "relu_ext.h"

int main(void)
{
    float x[4096];
    size_t n;

    while ((n = fread(x, sizeof *x, sizeof x / sizeof *x, stdin)) > 0) {
        relu_f32(x, x, n); /* in place: the output may be the input */
        if (fwrite(x, sizeof *x, n, stdout) < n)
            return 1;
    }
    return 0;
}
