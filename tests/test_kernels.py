"""
The C functions, through lib: every one that the module exports, with every instruction set.

Buffers are bytes here, at any address, with poison around them.
"""

import contextlib
import ctypes
import ctypes.util
import functools
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import reference
from arrays import address, assert_same_bits, block, random_bits, samples, specials

import relu_ext
from relu_ext import ffi, lib

VECTOR = 64  # bytes; no instruction set here has longer ones
GUARD = VECTOR
PITCH = GUARD + 4 * VECTOR + GUARD  # from one buffer of a test to the next

# Negative in every signed format: a kernel that runs on into it turns it into zeros. Another
# one around outputs shows elements copied from past the end of an input.
POISON, OUTPUT_POISON = 0xAB, 0xCD


def exported_kernels(bits=False):
    """[('relu', 'f32'), ...]: a function's name is <operation>_<format>; with or without bits."""
    matches = (re.fullmatch(r"(\w+)_([a-z]+\d+\w*|longdouble)", name) for name in dir(lib))
    kernels = [match.groups() for match in matches if match]
    return [kernel for kernel in kernels if kernel[0].endswith("_bits") == bits]


def arguments_of(operation, name):
    """The C types of the arguments before the output and n."""
    return ffi.typeof(getattr(lib, f"{operation}_{name}")).args[:-2]


def inputs_of(operation, name):
    return sum(argument.kind == "pointer" for argument in arguments_of(operation, name))


def parameters(operation, name):
    """What to give an operation for its parameter, of which it has one or none."""
    if len(arguments_of(operation, name)) == inputs_of(operation, name):
        return []
    if name not in reference.FLOATS:
        return [np.full(1, 3, reference.STORAGE[name])]
    exponent_bits, mantissa_bits = reference.FLOATS[name]
    bias = 2 ** (exponent_bits - 1) - 1
    return [reference.assemble(0, bias - 1, 2**mantissa_bits // 3, name)]  # about 0.65


KERNELS = exported_kernels()
each_kernel = pytest.mark.parametrize("operation, name", KERNELS)


def call(operation, name, *addresses, n, given=None):
    """Run a C function on these addresses: the inputs', then the output's."""
    *inputs, out = (ffi.cast("void *", a) for a in addresses)
    for p in given or parameters(operation, name):
        kind = arguments_of(operation, name)[-1]
        inputs.append(ffi.cast(ffi.getctype(kind, "*"), address(p))[0])
    getattr(lib, f"{operation}_{name}")(*inputs, out, n)


def run(operation, name, *inputs, given=None):
    """What a C function makes of these arrays."""
    out = np.empty_like(inputs[0])
    out.view(np.uint8)[...] = OUTPUT_POISON
    call(operation, name, *(address(a) for a in (*inputs, out)), n=out.size, given=given)
    return out


def oracle(operation, name, *inputs, given=None):
    return getattr(reference, operation)(*inputs, *(given or parameters(operation, name)), name)


def test_the_oracle_knows_every_exported_format():
    assert {("relu", "f32"), ("relu", "i8"), ("relu_grad", "bf16")} <= set(KERNELS)
    assert {name for _, name in KERNELS} <= set(reference.STORAGE)
    assert all(hasattr(reference, operation) for operation, _ in KERNELS)


# Lengths and offsets: many short buffers in one piece of memory, a row each.


@functools.cache
def bytes_in_rows(name):
    """Which bytes of row i belong to the i elements that it holds."""
    size = reference.STORAGE[name].itemsize
    lengths = np.arange(3 * VECTOR // size + 2)
    column = np.arange(PITCH) - GUARD
    return (column >= 0) & (column < lengths[:, np.newaxis] * size)


def rows_of(elements, name, offset, poison):
    """The rows in fresh memory, each buffer `offset` bytes after a vector's boundary."""
    filled = bytes_in_rows(name)
    memory = np.full(filled.size + 2 * VECTOR, poison, dtype=np.uint8)
    start = -address(memory) % VECTOR + offset
    rows = memory[start : start + filled.size].reshape(filled.shape)
    rows[filled] = elements.view(np.uint8)
    return rows


def assert_rows(got, want, name, what):
    size = reference.STORAGE[name].itemsize
    is_padding = (np.arange(PITCH) - GUARD) % size >= reference.value_size(name)
    # Padding may hold anything, the guards may not.
    different = (got != want) & ~(bytes_in_rows(name) & is_padding)
    lengths = np.flatnonzero(different.any(axis=1))
    assert not lengths.size, f"{what}: wrong for lengths {lengths.tolist()}"


@pytest.mark.parametrize(
    "operation, name, in_place",
    [(*k, where) for k in KERNELS for where in (None, *range(inputs_of(*k)))],
)
def test_every_length_at_every_offset(isa, operation, name, in_place, rng):
    filled = bytes_in_rows(name)
    n = filled.sum() // reference.STORAGE[name].itemsize
    inputs = [samples(name, n, rng) for _ in range(inputs_of(operation, name))]
    want = oracle(operation, name, *inputs)

    # All buffers at the same offset, or the inputs elsewhere than the output.
    for offset, apart in [(i, by) for i in range(VECTOR) for by in (0, 21)]:
        inputs, want = [np.roll(a, 1) for a in inputs], np.roll(want, 1)
        given = [
            rows_of(a, name, (offset + (k != in_place) * (k + 1) * apart) % VECTOR, POISON)
            for k, a in enumerate(inputs)
        ]
        before = [rows.copy() for rows in given]
        if in_place is None:
            unwritten = np.full(filled.sum(), OUTPUT_POISON, dtype=np.uint8)
            out = rows_of(unwritten, name, offset, OUTPUT_POISON)
            expected = rows_of(want, name, 0, OUTPUT_POISON)
        else:
            out = given[in_place]
            expected = rows_of(want, name, 0, POISON)

        starts = [address(rows) + GUARD for rows in (*given, out)]
        for length in range(len(filled)):
            call(operation, name, *(start + length * PITCH for start in starts), n=length)

        what = f"{offset=}, {apart=}"
        assert_rows(out, expected, name, what)
        for k, rows in enumerate(given):
            if k != in_place:
                assert np.array_equal(rows, before[k]), f"{what}: input {k} was written to"


@each_kernel
def test_no_elements(isa, operation, name):
    call(operation, name, *[0] * (inputs_of(operation, name) + 1), n=0)


@each_kernel
@pytest.mark.parametrize("in_place", [False, True])
def test_large(isa, operation, name, in_place):
    """1 MiB and one element, at odd addresses."""
    n = 2**20 // reference.STORAGE[name].itemsize + 1
    blocks = [block(name, seed) for seed in range(inputs_of(operation, name))]
    want = np.resize(oracle(operation, name, *blocks), n)

    memory = [np.full(want.nbytes + 2, OUTPUT_POISON, dtype=np.uint8) for _ in (*blocks, want)]
    for raw, a in zip(memory, blocks):
        raw[1:-1] = np.resize(a, n).view(np.uint8)
    if in_place:
        memory[-1] = memory[0]
    call(operation, name, *(address(raw) + 1 for raw in memory), n=n)

    assert_same_bits(memory[-1][1:-1].copy().view(want.dtype), want)
    for raw in memory:
        assert raw[0] == raw[-1] == OUTPUT_POISON


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
def test_nothing_is_read_outside(isa):
    """
    Pages that fault on any access before and behind the buffers of the C functions and of the
    ufuncs, in a process of its own.
    """
    command = [sys.executable, Path(__file__).with_name("fences.py"), isa]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, f"it ends with {done.stdout.split()[-1:]}"


# Values.


def all_patterns(name):
    dtype = reference.STORAGE[name]
    return np.arange(2 ** (8 * dtype.itemsize), dtype=f"u{dtype.itemsize}").view(dtype)


@pytest.mark.parametrize(
    "operation, name", [k for k in KERNELS if reference.STORAGE[k[1]].itemsize <= 2]
)
def test_every_bit_pattern(isa, operation, name):
    """Of each input in turn, together with each special value of the others."""
    for k in range(inputs_of(operation, name)):
        grid = [specials(name)] * inputs_of(operation, name)
        grid[k] = all_patterns(name)
        inputs = [a.ravel() for a in np.meshgrid(*grid)]
        assert_same_bits(run(operation, name, *inputs), oracle(operation, name, *inputs))


@each_kernel
def test_special_values(isa, operation, name):
    """All combinations, at every place within a vector."""
    grid = np.meshgrid(*[specials(name)] * inputs_of(operation, name))
    count = grid[0].size
    inputs = [np.resize(a.ravel(), (VECTOR, count + 1)).ravel() for a in grid]
    assert_same_bits(run(operation, name, *inputs), oracle(operation, name, *inputs))


@pytest.mark.parametrize("operation, name", [k for k in KERNELS if parameters(*k)])
def test_special_parameters(isa, operation, name, rng):
    inputs = [samples(name, 500, rng) for _ in range(inputs_of(operation, name))]
    values = specials(name)
    # A Python float is on the way, and on 32-bit x86 the x87: both make signalling NaNs quiet.
    if name == "f32" or (name == "f64" and sys.maxsize < 2**32):
        with np.errstate(invalid="ignore"):
            values = values * values.dtype.type(1)
    for i in range(values.size):
        given = [values[i : i + 1]]
        got = run(operation, name, *inputs, given=given)
        assert_same_bits(got, oracle(operation, name, *inputs, given=given))


@each_kernel
def test_random_bits(isa, operation, name, rng):
    inputs = [random_bits(name, 100_000, rng) for _ in range(inputs_of(operation, name))]
    assert_same_bits(run(operation, name, *inputs), oracle(operation, name, *inputs))


@pytest.mark.parametrize("name", reference.FLOATS)
def test_gradient_from_input_or_output(isa, name, rng):
    dy, x = samples(name, 10_000, rng), samples(name, 10_000, rng)
    of_input = run("relu_grad", name, dy, x)
    of_output = run("relu_grad", name, dy, run("relu", name, x))
    assert_same_bits(of_output, of_input)


# The floating-point environment.


def c_math():
    library = ctypes.util.find_library("m")
    if not library:
        pytest.skip("no C mathematics library to ask")
    return ctypes.CDLL(library)


@each_kernel
def test_no_flag_is_raised(isa, operation, name, rng):
    libm = c_math()
    flags = 0x3F if platform.machine() in ("x86_64", "AMD64") else 0x1F
    inputs = [samples(name, 1000, rng) for _ in range(inputs_of(operation, name))]
    out = np.empty_like(inputs[0])
    addresses = [address(a) for a in (*inputs, out)]
    libm.feclearexcept(flags)
    call(operation, name, *addresses, n=1000)
    assert libm.fetestexcept(flags) == 0


# Of MXCSR: flush-to-zero and denormals-are-zero, each alone, and both, as -ffast-math elsewhere in
# the process sets them; the directions of rounding; all exceptions unmasked, which would be SIGFPE.
SETTINGS = {"ftz": 0x9F80, "daz": 0x1FC0, "both": 0x9FC0, "down": 0x3F80, "up": 0x5F80,
            "towards-zero": 0x7F80, "traps": 0, "daz-up-traps": 0x4040}  # fmt: skip


def environment_of(libm):
    """glibc's fenv_t for x86-64: MXCSR comes last."""
    environment = (ctypes.c_uint32 * 8)()
    libm.fegetenv(environment)
    return environment


def mxcsr(libm):
    return environment_of(libm)[7]


@contextlib.contextmanager
def floating_point(libm, setting):
    environment = environment_of(libm)
    before, environment[7] = environment[7], setting
    libm.fesetenv(environment)
    try:
        yield
    finally:
        environment[7] = before
        libm.fesetenv(environment)


def subnormals_flushed(libm):
    return floating_point(libm, mxcsr(libm) | 0x8040)


@pytest.mark.skipif(
    (platform.system(), platform.machine(), sys.maxsize) != ("Linux", "x86_64", 2**63 - 1),
    reason="the settings are laid out differently elsewhere",
)
@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
@each_kernel
def test_no_setting_matters(isa, operation, name, setting, rng):
    """For a part of a line, and for many; and they are as before afterwards."""
    libm = c_math()
    subnormal = np.finfo(np.float32).smallest_subnormal
    for n in (3, 1000):
        inputs = [samples(name, n, rng) for _ in range(inputs_of(operation, name))]
        got = np.empty_like(inputs[0])
        got.view(np.uint8)[...] = OUTPUT_POISON
        addresses = [address(a) for a in (*inputs, got)]
        with floating_point(libm, setting):
            call(operation, name, *addresses, n=n)
            after = mxcsr(libm)
            if setting in (SETTINGS["ftz"], SETTINGS["daz"], SETTINGS["both"]):
                assert subnormal + subnormal == 0, "the setting has no effect"
        assert subnormal + subnormal != 0
        assert after == setting
        assert_same_bits(got, oracle(operation, name, *inputs))


# Threads and the choice of an instruction set.


def test_many_threads_on_the_same_inputs(rng):
    dy, x = samples("f32", 5000, rng), samples("f32", 5000, rng)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: run("relu_grad", "f32", dy, x), range(100)))
    for got in results:
        assert_same_bits(got, oracle("relu_grad", "f32", dy, x))


def test_changing_the_instruction_set_while_others_compute(isa, rng):
    x = samples("f32", 5000, rng)
    want = oracle("relu", "f32", x)
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda _: run("relu", "f32", x), range(200))
        for k in range(200):
            names = relu_ext.available_isas()
            assert lib.relu_ext_use_isa(names[k % len(names)].encode()) == 0
    for got in results:
        assert_same_bits(got, want)
