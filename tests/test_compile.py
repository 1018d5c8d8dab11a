"""
relu_ext.c compiled as others compile: at every level of optimization and under the sanitizers,
without a warning and without an option that the header does not name.
"""

import subprocess

import pytest
from test_embedding import COMPILERS, INCLUDE, each_c_compiler, need, plain_c, run

import relu_ext

pytestmark = plain_c

# What depends most on the compiler: conversions, and multiply-adds that are rounded once. Rounded
# twice they would be 0.
PROGRAM = """
#include <stdio.h>
#include "relu_ext.h"

int main(void)
{
    const char *isa;
    for (size_t i = 0; (isa = relu_ext_available_isa(i)) != NULL; i++) {
        relu_ext_use_isa(isa);
        float x[19], y[19];
        uint16_t half[19];
        for (int k = 0; k < 19; k++) {
            x[k] = (float)k - 9;
            half[k] = 0xC000;
        }
        relu_f32(x, y, 19);
        leaky_relu_f16(half, 0x3800, half, 19);
        for (int k = 0; k < 19; k++)
            if (y[k] != (k > 9 ? x[k] : 0) || half[k] != 0xBC00)
                return 1;

        const double f64 = 0x1.0000000000001p0, f64_shift = -0x1.0000000000002p0;
        const double f32_scale = 0x1.000002p0, f32_shift = -0x1.000004p0;
        const float f32 = 0x1.000002p0f;
        double f64_result;
        float f32_result;
        const size_t shape = 1;
        const ptrdiff_t step = 8;
        if (relu_ext_scale_shift_relu("f64", &f64, &step, "f64", &f64_result, &step, &shape, 1, 0,
                                      &f64, &f64_shift) != 0 || f64_result != 0x1p-104)
            return 2;
        if (relu_ext_scale_shift_relu("f32", &f32, &step, "f32", &f32_result, &step, &shape, 1, 0,
                                      &f32_scale, &f32_shift) != 0 || f32_result != 0x1p-46f)
            return 3;
        puts(isa);
    }
    return 0;
}
"""

WARNINGS = "-Wall -Wextra -Werror".split()
SANITIZE = ["-fsanitize=undefined", "-fno-sanitize-recover=all"]


def compile_and_run(folder, compiler, *options):
    (folder / "program.c").write_text(PROGRAM)
    command = [compiler, *options, *WARNINGS, "program.c", *relu_ext.get_sources()]
    run([*command, f"-I{INCLUDE}", "-o", "program"], folder)
    assert run([folder / "program"], folder).split() == list(relu_ext.available_isas())


@each_c_compiler
@pytest.mark.parametrize("level", ["", "-O0", "-Og", "-O1", "-O2", "-Os", "-O3"])
def test_every_level(level, compiler, tmp_path):
    compile_and_run(tmp_path, compiler, *level.split())


@each_c_compiler
@pytest.mark.parametrize("level", ["-O0", "-Os"])
def test_sanitizers(level, compiler, tmp_path):
    """-Os is where they keep Clang from most vectors."""
    compile_and_run(tmp_path, compiler, level, *SANITIZE)


@pytest.mark.parametrize("compiler", COMPILERS["c++"])
def test_cplusplus_is_told_what_to_type(compiler, tmp_path):
    """In one error, and what it says to type works, at whatever level."""
    need("cc")
    (tmp_path / "program.cpp").write_text(
        '#include "relu_ext.h"\nint main() { float x = -1; relu_f32(&x, &x, 1); return x != 0; }\n'
    )
    (source,) = relu_ext.get_sources()
    command = [compiler, "program.cpp", f"-I{INCLUDE}", "-o", "program"]
    done = subprocess.run([*command, source], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.count("error:") == 1
    assert "cc -O3 -c relu_ext.c" in done.stderr
    run(["cc", "-c", source], tmp_path)
    run([*command, "relu_ext.o"], tmp_path)
    run([tmp_path / "program"], tmp_path)
