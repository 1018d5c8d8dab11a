"""Which instruction set is in use, and how one is chosen."""

import os
import subprocess
import sys

import pytest

import relu_ext

KNOWN = ("avx512", "avx2", "baseline")


def run_python(code, **environment):
    """Its output, in a process where only the given settings hold."""
    inherited = {k: v for k, v in os.environ.items() if k != "RELU_EXT_ISA"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=inherited | environment,
        capture_output=True,
        text=True,
    )


def test_available():
    available = relu_ext.available_isas()
    assert isinstance(available, tuple)
    assert all(type(name) is str for name in available)
    assert available[-1] == "baseline"
    assert len(set(available)) == len(available)
    assert set(available) <= set(KNOWN)
    assert list(available) == sorted(available, key=KNOWN.index), "best first"


def test_isa_is_one_of_them():
    assert type(relu_ext.isa()) is str
    assert relu_ext.isa() in relu_ext.available_isas()


def test_the_fixture_switches(isa):
    assert relu_ext.isa() == isa


def test_unknown_name_changes_nothing(isa):
    for name in (b"no-such-isa", b"", b"AVX2", b"avx2 ", b"avx"):
        assert relu_ext.lib.relu_ext_use_isa(name) == -1
        assert relu_ext.isa() == isa


# In a process of their own: a name that is looked at all the same ends it.
NULL_NAMES = """
from relu_ext import ffi, isa, lib
before = isa()
assert lib.relu_ext_use_isa(ffi.NULL) == -1 and isa() == before
x = ffi.new("float[4]", [-1] * 4)
step, size, one = ffi.new("ptrdiff_t[1]", [4]), ffi.new("size_t[1]", [4]), ffi.new("double[4]")
names = ffi.new("char[]", b"f32"), ffi.new("char[]", b"f33"), ffi.NULL
for a in names:
    for b in names:
        both = a == b == names[0]
        call = lib.relu_ext_scale_shift_relu(a, x, step, b, x, step, size, 1, 0, one, one)
        assert call == (0 if both else -1), (a, b)
        assert list(x) == [0 if both else -1] * 4
        x[0:4] = [-1] * 4
"""


def test_null_is_no_name():
    done = run_python(NULL_NAMES)
    assert (done.returncode, done.stderr) == (0, "")


def test_c_list_ends_with_null():
    available = relu_ext.available_isas()
    for i in (len(available), len(available) + 1, 1000):
        assert relu_ext.lib.relu_ext_available_isa(i) == relu_ext.ffi.NULL


PRINT_ISA = "import relu_ext; print(relu_ext.isa())"


def test_best_without_a_setting():
    assert run_python(PRINT_ISA).stdout.strip() == relu_ext.available_isas()[0]


@pytest.mark.parametrize("name", relu_ext.available_isas())
def test_forced(name):
    assert run_python(PRINT_ISA, RELU_EXT_ISA=name).stdout.strip() == name


UNAVAILABLE = sorted(set(KNOWN) - set(relu_ext.available_isas()))


@pytest.mark.parametrize("name", [*UNAVAILABLE, "no-such-isa", "AVX2", "sse2,avx2"])
def test_forced_and_not_available(name):
    done = run_python(PRINT_ISA, RELU_EXT_ISA=name)
    assert done.returncode == 1
    message = done.stderr.strip().splitlines()[-1]
    assert message.startswith("ImportError")
    assert name in message
    for valid in relu_ext.available_isas():
        assert valid in message.replace(name, "")
