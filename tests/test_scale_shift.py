"""`scale_shift` and `scale_shift_relu`: arithmetic against the oracle, layouts, errors."""

import functools
import itertools
import os
import platform
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import reference
from arrays import assert_same_bits, samples, specials, swapped, unaligned
from test_kernels import c_math, subnormals_flushed
from test_large_paths import stores, threads  # noqa: F401 (fixtures)

from relu_ext import ffi, lib, relu, scale_shift, scale_shift_relu

FROM = ("u8", "u16", "i8", "i16", "i32", "f16", "bf16", "f32", "f64")
TO = ("u8", "i8", "f16", "bf16", "f32", "f64")
BOTH = (scale_shift, scale_shift_relu)


def dtype_of(name):
    """NumPy's, which for bf16 is ml_dtypes'."""
    if name != "bf16":
        return reference.STORAGE[name]
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)


def typed(a, name):
    return a.view(dtype_of(name))


def raw(a):
    """bf16 as the integers that the oracle and the comparisons take."""
    return a.view(np.uint16) if a.dtype.kind == "V" else a


def assert_right(x, scale, shift, from_name, to_name):
    """With a scale and a shift for each element."""
    for function in BOTH:
        want = oracle(function, x.tobytes(), scale.tobytes(), shift.tobytes(), from_name, to_name)
        got = function(typed(x, from_name), scale, shift, dtype=dtype_of(to_name))
        assert_same_bits(raw(got), want)


@functools.cache
def oracle(function, x, scale, shift, from_name, to_name):
    """From bytes, so that every instruction set is compared to what is computed once."""
    x = np.frombuffer(x, reference.STORAGE[from_name])
    scale, shift = np.frombuffer(scale), np.frombuffer(shift)
    return getattr(reference, function.__name__)(x, scale, shift, to_name, from_name)


# The arithmetic.


@pytest.mark.parametrize(
    "scale, shift",
    [
        (1 / 255 / 0.229, -0.485 / 0.229),
        (-3.1e-3, 0.7),
        (1.0, 0.0),
        (6.1e-5, -(2.0**-14)),
        (0.5, -0.0),
    ],
)
@pytest.mark.parametrize("to_name", TO)
@pytest.mark.parametrize("from_name", ["u8", "i8", "u16", "i16", "f16", "bf16"])
def test_short_inputs(isa, from_name, to_name, scale, shift):
    """All there are of 8 bits; of 16 with the first scale to float32, else each seventeenth."""
    size = reference.STORAGE[from_name].itemsize
    every = size == 1 or (to_name == "f32" and shift < -1)
    x = np.arange(2 ** (8 * size)) if every else np.arange(int(1e6 * abs(scale)) % 17, 65536, 17)
    x = x.astype(f"u{size}").view(reference.STORAGE[from_name])
    parameters = [np.float64(a).tobytes() for a in (scale, shift)]
    for function in BOTH:
        want = oracle(function, x.tobytes(), *parameters, from_name, to_name)
        got = function(
            typed(x, from_name)[np.newaxis], scale, shift, axis=0, dtype=dtype_of(to_name)
        )
        assert_same_bits(raw(got)[0], want)


@pytest.mark.parametrize("to_name", TO)
@pytest.mark.parametrize("from_name", FROM)
def test_any_bits(isa, from_name, to_name):
    """Special values and random bits, in x, scale and shift."""
    rng = np.random.default_rng(5)
    n = 3000
    x = samples(from_name, n, rng)
    scale, shift = (
        np.where(rng.integers(0, 2, n), samples("f32", n, rng), rng.standard_normal(n))
        for _ in range(2)
    )
    if "f64" in (from_name, to_name):
        wide = rng.integers(0, 2, n, dtype=bool)
        scale = np.where(wide, samples("f64", n, rng), scale)
        shift = np.where(wide, samples("f64", n, rng), shift)
    assert_right(x, scale, shift, from_name, to_name)


@pytest.mark.parametrize("name", ["f32", "f64"])
@pytest.mark.parametrize("to_name", TO)
def test_special_by_special(isa, name, to_name):
    x, scale, shift = (
        a.reshape(-1) for a in np.meshgrid(*[specials(name)[:20]] * 3, indexing="ij")
    )
    with np.errstate(invalid="ignore"):
        scale, shift = scale.astype(np.float64), shift.astype(np.float64)
    assert_right(x, scale, shift, name, to_name)


@pytest.mark.parametrize("name", ["f32", "f64"])
def test_rounded_once(isa, name, rng):
    """Where the product and the shift all but cancel, rounding the product would show."""
    n = 4000
    dtype = reference.STORAGE[name]
    x = np.ldexp(1 + rng.random(n), rng.integers(-8, 8, n)).astype(dtype)
    scale = (1 + rng.random(n)).astype(dtype)
    shift = -(x * scale) * rng.choice([1, 1, 0.5, -1], n).astype(dtype)
    parameters = scale.astype(np.float64), shift.astype(np.float64)
    want = oracle(scale_shift_relu, x.tobytes(), *(a.tobytes() for a in parameters), name, name)
    assert np.any(want != np.maximum(x * scale + shift, 0))
    assert_right(x, *parameters, name, name)


@pytest.mark.parametrize("name", ["f32", "f64"])
def test_the_least_shift_breaks_a_tie(isa, name, rng):
    """Products of one bit too many, so exactly between two results, and shifts far below."""
    mantissa_bits = reference.FLOATS[name][1]
    n, first = 4000, mantissa_bits // 2 + 1
    x = rng.integers(2 ** (first - 1), 2**first, n) | 1
    scale = rng.integers(2 ** (mantissa_bits + 1 - first), 2 ** (mantissa_bits + 2 - first), n) | 1
    tie = x * scale >= 2 ** (mantissa_bits + 1)
    assert tie.sum() > 1000
    shift = rng.choice([-1.0, 0.0, 1.0], n) * 2.0 ** rng.integers(-140, -40, n)
    x = x.astype(reference.STORAGE[name])
    assert_right(x[tie], scale[tie].astype(np.float64), shift[tie], name, name)


@pytest.mark.parametrize("to_name", ["f16", "bf16", "f32"])
def test_ties_and_subnormals_of_the_result(isa, to_name, rng):
    """f64 sums next to what lies halfway between two results."""
    exponent_bits, mantissa_bits = reference.FLOATS[to_name]
    count = 2 ** (exponent_bits + mantissa_bits) - 2**mantissa_bits - 1
    bits = rng.integers(0, count, 3000)
    bits[:100], bits[100:200] = np.arange(100), count - 1 - np.arange(100)
    low, high = (
        np.array([m * 2.0**e for m, e in (reference._number(int(b), to_name) for b in bits + k)])
        for k in (0, 1)
    )
    middle = low / 2 + high / 2
    x = np.concatenate([middle, np.nextafter(middle, 0), np.nextafter(middle, np.inf)])
    assert_right(x, np.ones(x.size), np.zeros(x.size), "f64", to_name)


def test_rule_for_zero_and_nan(isa):
    x = np.array([-0.0, 0.0, -1.0, -np.inf, np.inf, np.nan, -np.nan], np.float32)
    got = scale_shift_relu(x, 1.0, 0.0)
    want = [0, 0, 0, 0, 0x7F800000, 0x7FC00000, 0x7FC00000]
    assert got.view(np.uint32).tolist() == want
    # 0 * inf and inf - inf, which processors give different NaNs for.
    got = scale_shift_relu(np.array([0, np.inf], np.float32), [np.inf, 1.0], [0.0, -np.inf])
    assert got.view(np.uint32).tolist() == [0x7FC00000] * 2


def test_rule_for_zero_and_nan_without_relu(isa):
    x = np.array([-0.0, 0.0, -1.0, -np.inf, np.inf, np.nan, -np.nan, -1e-45], np.float32)
    got = scale_shift(x, 1.0, -0.0).view(np.uint32).tolist()
    assert got[:4] == [0x80000000, 0, 0xBF800000, 0xFF800000]
    assert got[4:] == [0x7F800000, 0x7FC00000, 0x7FC00000, 0x80000001]
    assert scale_shift(x, 1.0, 0.0).view(np.uint32).tolist() == [0, 0, *got[2:]]
    assert scale_shift(x[-1:], 0.25, 0.0).view(np.uint32).tolist() == [0x80000000]
    assert scale_shift(np.int32([0]), -1.0, -0.0).view(np.uint32).tolist() == [0x80000000]


@pytest.mark.parametrize("name", ["f32", "f64", "f16", "i32"])
def test_to_integers(isa, name):
    """Ties to even, the ends of the range and what lies beyond; NaN is 0."""
    halves = np.arange(-600, 601) / 2
    if name == "i32":
        x, scale = np.append(np.arange(-600, 601), [-(2**31), 2**31 - 1]).astype(np.int32), 0.5
    else:
        x = np.concatenate([halves, np.nextafter(halves, 0), np.nextafter(halves, 1000)])
        x = np.append(x, [np.nan, -np.nan, np.inf, -np.inf, 3e4, -3e4]).astype(dtype_of(name))
        scale = 1.0
    wide = np.nan_to_num(np.rint(x.astype(np.float64) * scale), nan=0)
    for dtype in (np.uint8, np.int8):
        limits = np.iinfo(dtype)
        want = np.clip(wide, limits.min, limits.max).astype(dtype)
        assert_same_bits(scale_shift(x, scale, 0, dtype=dtype), want)
        assert_same_bits(scale_shift_relu(x, scale, 0, dtype=dtype), np.maximum(want, 0))


# Settings of the program.


@pytest.mark.parametrize("rounding", [0x400, 0x800, 0xC00], ids=["down", "up", "to zero"])
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the modes have other numbers elsewhere")
def test_rounding_mode_does_not_matter(isa, rounding, rng):
    libm = c_math()
    x, scale, shift = (rng.standard_normal(500) for _ in range(3))
    x = x.astype(np.float32)
    for dtype in (np.float16, np.float32, np.float64):
        want = scale_shift_relu(x, scale, shift, dtype=dtype)
        assert libm.fesetround(rounding) == 0
        try:
            got = scale_shift_relu(x, scale, shift, dtype=dtype)
            assert libm.fegetround() == rounding
        finally:
            libm.fesetround(0)
        assert_same_bits(got, want)


@pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="the settings are laid out differently elsewhere",
)
def test_flushing_subnormals_does_not_matter(isa, rng):
    x = (samples("f32", 500, rng).view(np.uint32) & 0x80FFFFFF).view(np.float32)
    out = np.empty_like(x)
    ones, zeros = np.ones(500), np.zeros(500)
    with subnormals_flushed(c_math()):
        scale_shift_relu(x, ones, zeros, out=out)
    assert_same_bits(out, relu(x))


def test_no_flags_are_left(isa):
    libm = c_math()
    x = np.array([1e38, 1e-38, np.inf, 0.1], np.float32)
    scale, shift, out = np.array([1e38, 1e-38, 0.0, 0.1]), np.zeros(4), np.empty(4, np.float16)
    flags = 0x3F if platform.machine() in ("x86_64", "AMD64") else 0x1F
    libm.feclearexcept(flags)
    scale_shift_relu(x, scale, shift, out=out)
    assert libm.fetestexcept(flags) == 0


# Layouts. All numbers are such that float32 holds every step: NumPy is exact as well.


def exact_parameters(channels, rng):
    return rng.integers(-8, 9, channels) / 4, rng.integers(-200, 201, channels) / 2


def by_numpy(x, scale, shift, axis, out_axis, dtype, function=scale_shift_relu):
    shape = [1] * x.ndim
    shape[axis] = -1
    y = x.astype(np.float64) * np.reshape(scale, shape) + np.reshape(shift, shape)
    if function is scale_shift_relu:
        y = np.maximum(y, 0) + 0.0
    if np.dtype(dtype).kind in "iu":
        y = np.clip(np.rint(y), np.iinfo(dtype).min, np.iinfo(dtype).max)
    return np.moveaxis(y, axis, out_axis).astype(dtype)


def shared(scale, shift):
    """Those for each channel; one for all; and one for all with those for each channel."""
    return [(scale, shift), (scale[0], shift[0]), (scale[0], shift), (scale, shift[0])]


def image(shape, dtype, rng):
    dtype = np.dtype(dtype)
    low = 0 if dtype.kind == "u" else -100
    high = {"f": 201, "V": 256}.get(dtype.kind) or min(256, np.iinfo(dtype).max)
    return rng.integers(low, high, shape).astype(dtype)


def in_layout(shape, order, dtype):
    """An empty array whose axes lie in memory in that order."""
    back = np.argsort(order)
    return np.empty([shape[k] for k in order], dtype).transpose(back)


CHANNELS = [1, 2, 3, 4, 5, 31, 33, 64, 130, 513, 1100]


@pytest.mark.parametrize("to_name", TO)
@pytest.mark.parametrize("from_name", FROM)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 70])
def test_channels_first_and_last(isa, stores, channels, from_name, to_name, rng):  # noqa: F811
    """Every dtype, from and to either."""
    scale, shift = exact_parameters(channels, rng)
    dtype = dtype_of(to_name)
    x = image((37, 29, channels), dtype_of(from_name), rng)
    for axis, out_axis, function in itertools.product((0, 2), (0, 2), BOTH):
        source = np.ascontiguousarray(np.moveaxis(x, 2, axis))
        got = function(source, scale, shift, axis=axis, out_axis=out_axis, dtype=dtype)
        assert got.flags.c_contiguous
        want = by_numpy(source, scale, shift, axis, out_axis, dtype, function)
        assert_same_bits(raw(got), raw(want))


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_every_order_of_axes(channels, dtype, rng):
    """A batch, its axes in memory in every order on both sides."""
    scale, shift = exact_parameters(channels, rng)
    shape = (2, 5, 7, channels)
    values = image(shape, dtype, rng)
    for x_order, out_order in itertools.product(itertools.permutations(range(4)), repeat=2):
        if channels > 5 and hash((x_order, out_order, channels)) % 8:
            continue
        x, out = in_layout(shape, x_order, dtype), in_layout(shape, out_order, np.float32)
        x[...] = values
        for parameters in shared(scale, shift):
            assert scale_shift_relu(x, *parameters, out=out) is out
            assert_same_bits(out, by_numpy(values, *parameters, 3, 3, np.float32))


@pytest.mark.parametrize("axis, out_axis", [*itertools.product(range(-4, 4), [None, -4, -1, 1])])
def test_axes(axis, out_axis, rng):
    x = image((3, 4, 5, 6), np.int16, rng)
    for parameters in shared(*exact_parameters(x.shape[axis], rng)):
        got = scale_shift_relu(x, *parameters, axis=axis, out_axis=out_axis)
        moved = axis if out_axis is None else out_axis
        assert_same_bits(got, by_numpy(x, *parameters, axis, moved, np.float32))


def test_one_number_for_any_layout(isa, stores, rng):  # noqa: F811
    """No array is made of it, though each element of a line is a channel of its own."""
    x = image(300_000, np.int16, rng)
    lines = [x, x[::3], x[::-1], x.reshape(2, -1), x.reshape(-1, 2).T, x.reshape((1,) * 63 + (-1,))]
    for line, function in itertools.product(lines, BOTH):
        out = np.empty(line.shape, np.float32)
        tracemalloc.start()
        function(line, 0.25, -7, out=out)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20_000
        want = by_numpy(line, 0.25, -7, -1, -1, np.float32, function)
        assert_same_bits(out.ravel(), want.ravel())


STEPS = [slice(None), slice(None, None, -1), slice(None, None, 2), slice(1, -1), slice(-2, 0, -3)]


@pytest.mark.parametrize("channels", [3, 4, 80])
@pytest.mark.parametrize("planar", [False, True])
def test_strides_of_either_sign(isa, channels, planar, rng):
    for i, steps in enumerate(itertools.product(STEPS, repeat=3)):
        whole = image((9, 40, channels + 1), np.uint8, rng)
        if planar:
            whole = np.asfortranarray(whole)
        x = whole[steps]
        out = np.full((11, 44, channels + 3), np.nan, np.float32, order="FC"[i % 2])
        there = out[tuple(slice(1, 1 + n) for n in x.shape)][STEPS[i % 2], :, STEPS[i // 2 % 2]]
        for parameters in shared(*exact_parameters(x.shape[2], rng)):
            scale_shift_relu(x, *parameters, out=there)
            assert_same_bits(there, by_numpy(x, *parameters, 2, 2, np.float32))
            there[...] = np.nan
            assert np.isnan(out).all(), "written outside"


@pytest.mark.parametrize("pixels", [*range(1, 40), 340, 341, 342, 1023, 1024, 1025, 4000])
@pytest.mark.parametrize("offset", [0, 1, 5])
def test_lengths_and_offsets(isa, stores, pixels, offset, rng):  # noqa: F811
    scale, shift = exact_parameters(3, rng)
    x = image((pixels, 3), np.uint8, rng)
    whole = np.full(3 * pixels + 40, np.nan, np.float32)
    for axis in (0, 1):
        out = whole[offset : offset + 3 * pixels].reshape((pixels, 3) if axis else (3, pixels))
        scale_shift_relu(x, scale, shift, out_axis=axis, out=out)
        assert_same_bits(out, by_numpy(x, scale, shift, 1, axis, np.float32))
        out[...] = np.nan
        assert np.isnan(whole).all(), "written outside"


def test_unaligned_and_swapped(isa, rng):
    scale, shift = exact_parameters(3, rng)
    for dtype in (np.int16, np.float16, np.float32, np.float64):
        x = image((20, 30, 3), dtype, rng)
        for result in (np.float16, np.float32, np.float64):
            want = by_numpy(x, scale, shift, 2, 2, result)
            for source in (unaligned(x), swapped(x)):
                for out in (unaligned(np.empty_like(want)), swapped(np.empty_like(want))):
                    assert scale_shift_relu(source, scale, shift, out=out) is out
                    assert_same_bits(out, want)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3), (0, sys.maxsize // 8)])
def test_nothing(shape):
    y = scale_shift_relu(np.empty(shape, np.uint8), 2.0, 1.0)
    assert y.shape == shape and y.dtype == np.float32


def test_broadcast_input(rng):
    x = np.broadcast_to(image((1, 1, 3), np.uint8, rng), (20, 30, 3))
    scale, shift = exact_parameters(3, rng)
    want = by_numpy(x, scale, shift, 2, 0, np.float32)
    assert_same_bits(scale_shift_relu(x, scale, shift, out_axis=0), want)


@pytest.mark.parametrize("shape", [(4, 100, 50, 3), (1000, 3), (3,), (2000,), (5, 5, 600)])
def test_threads(isa, threads, stores, shape, rng):  # noqa: F811
    x = image(shape, np.uint8, rng)
    for axis, out_axis in itertools.product({0, len(shape) - 1}, repeat=2):
        for parameters in shared(*exact_parameters(shape[axis], rng)):
            want = by_numpy(x, *parameters, axis, out_axis, np.float32)
            got = scale_shift_relu(x, *parameters, axis=axis, out_axis=out_axis)
            assert_same_bits(got, want)
            scale_shift_relu(x, *parameters, axis=axis, out_axis=out_axis, out=got)
            assert_same_bits(got, want)


FENCED = """
import itertools, sys
sys.path.insert(0, sys.argv[2])
from fences import PAGE, fenced
from relu_ext import ffi, lib

assert lib.relu_ext_use_isa(sys.argv[1].encode()) == 0
(x, _keep), (y, _keep_too) = fenced(1), fenced(1)
SIZES = {"u8": 1, "i8": 1, "i16": 2, "u16": 2, "i32": 4, "f16": 2, "f32": 4, "f64": 8}

def strides(size, pixels, channels, layout):
    # channels last, channels first, and all but the last of one channel more
    gaps = channels + 1 if layout == 2 else channels
    return [size, size * pixels] if layout == 1 else [size * gaps, size]

for (x_name, x_size), (y_name, y_size) in itertools.product(SIZES.items(), repeat=2):
    if y_name in ("i16", "u16", "i32"):
        continue
    for channels, pixels in itertools.product((1, 2, 3, 4, 64), (1, 2, 3, 7, 16, 17, 33, 64, 100)):
        shape = [pixels, channels]
        for layouts in itertools.product(range(3), repeat=2):
            steps = [strides(s, *shape, k) for s, k in zip((x_size, y_size), layouts)]
            spans = [
                (pixels - 1) * step[0] + (channels - 1) * step[1] + s
                for s, step in zip((x_size, y_size), steps)
            ]
            if max(spans) > PAGE:
                continue
            print(x_name, y_name, shape, layouts, flush=True)
            for at in (lambda span: 0, lambda span: PAGE - span):
                assert lib.relu_ext_scale_shift_relu(
                    x_name.encode(), ffi.cast("void *", x + at(spans[0])), steps[0],
                    y_name.encode(), ffi.cast("void *", y + at(spans[1])), steps[1],
                    shape, 2, 1, [1.0] * channels, [1.0] * channels,
                ) == 0
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
def test_touches_nothing_outside(isa):
    """Between pages that fault on any access; the last line printed names what did."""
    done = subprocess.run(
        [sys.executable, "-c", FENCED, isa, os.path.dirname(__file__)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout.splitlines()[-1:] + done.stderr.splitlines()[-3:]


# One array for both.


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("axis", [0, 2])
def test_in_place(isa, stores, axis, dtype, rng):  # noqa: F811
    x = image((60, 50, 60), dtype, rng)
    scale, shift = exact_parameters(60, rng)
    want = by_numpy(x, scale, shift, axis, axis, dtype)
    strided = np.zeros((60, 100, 61), dtype)[:, ::-2, :-1]
    strided[...] = x
    for a in (x, strided):
        assert scale_shift_relu(a, scale, shift, axis=axis, out=a) is a
        assert_same_bits(a, want)


def test_in_place_of_another_dtype_of_that_size(isa, rng):
    x = image((50, 3), np.int16, rng)
    scale, shift = exact_parameters(3, rng)
    want = by_numpy(x, scale, shift, 1, 1, np.float16)
    scale_shift_relu(x, scale, shift, out=x.view(np.float16))
    assert_same_bits(x.view(np.float16), want)


def test_parameters_in_the_memory_of_the_result(rng):
    memory = rng.integers(-8, 9, (2, 2000)).astype(np.float64)
    want = by_numpy(np.full((2, 2000), 3, np.uint8), memory[0], memory[1], 1, 1, np.float64)
    scale_shift_relu(np.full((2, 2000), 3, np.uint8), memory[0], memory[1], out=memory)
    assert_same_bits(memory, want)


def test_overlap(isa, rng):
    scale, shift = exact_parameters(3, rng)
    for moved in (3, -3, 300):
        memory = image(4000, np.float32, rng)
        x = memory[600:3600].reshape(1000, 3)
        out = memory[600 + moved : 3600 + moved].reshape(1000, 3)
        want = by_numpy(x.copy(), scale, shift, 1, 1, np.float32)
        scale_shift_relu(x, scale, shift, out=out)
        assert_same_bits(out, want)
    x = image((30, 3, 30), np.float32, rng)
    want = by_numpy(x.copy(), scale, shift, 1, 1, np.float32)
    scale_shift_relu(x, scale, shift, axis=1, out=x.transpose(2, 1, 0))
    assert_same_bits(x.transpose(2, 1, 0), want)
    # A shorter dtype, interleaved into planar, in the same memory.
    memory = image(3000, np.uint8, rng)
    x, out = memory.reshape(1000, 3), np.frombuffer(memory[:1200], np.float32).reshape(3, 100)
    want = by_numpy(x[:100].copy(), scale, shift, 1, 0, np.float32)
    scale_shift_relu(x[:100], scale, shift, out_axis=0, out=out)
    assert_same_bits(out, want)


# Arguments.


def test_dtype_of_the_result():
    for dtype in (np.uint8, np.int16, np.float16, np.float32):
        assert scale_shift_relu(np.ones(3, dtype), 1, 1).dtype == np.float32
    assert scale_shift_relu(np.ones(3), 1, 1).dtype == np.float64
    assert scale_shift_relu(np.ones(3), 1, 1, dtype="f4").dtype == np.float32
    assert scale_shift_relu(np.ones(3, "u1"), 1, 1, dtype=np.float16).dtype == np.float16
    assert scale_shift_relu([1.0, -2.0], 1, 1).tolist() == [2.0, 0.0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32, bool, np.longdouble])
def test_parameters_of_any_real_dtype(dtype):
    x = np.array([[10, 20, 30]], np.uint8)
    parameters = np.array([0, 1, 1], dtype)
    assert scale_shift_relu(x, parameters, parameters[::-1]).tolist() == [[1, 21, 30]]


OUT = np.ones((4, 3), np.float32)
X = np.ones((4, 3), np.uint8)


@pytest.mark.parametrize(
    "error, words, arguments, options",
    [
        (TypeError, "x has dtype uint32", (np.ones(3, np.uint32), 1, 1), {}),
        (TypeError, "x has dtype complex128", (np.ones(3, complex), 1, 1), {}),
        (TypeError, "x has dtype object", (np.array([None]), 1, 1), {}),
        (TypeError, "scale has dtype complex128", (X, 1j, 1), {"out": OUT}),
        (TypeError, "shift has dtype .U1", (X, 1, "1"), {"out": OUT}),
        (TypeError, "dtype is int32", (X, 1, 1), {"dtype": np.int32}),
        (
            TypeError,
            "dtype is float64; it must be that of out, float32",
            (X, 1, 1),
            {"out": OUT, "dtype": "d"},
        ),
        (TypeError, "out has dtype int16", (X, 1, 1), {"out": np.ones((4, 3), np.int16)}),
        (TypeError, "out has dtype bool", (X, 1, 1), {"out": np.ones((4, 3), bool)}),
        (TypeError, "out is a list", (X, 1, 1), {"out": [0.0]}),
        (TypeError, "integer", (X, 1, 1), {"axis": 1.0}),
        (ValueError, "scale has shape \\(4,\\)", (X, np.ones(4), 1), {"out": OUT}),
        (ValueError, "shift has shape \\(1, 3\\)", (X, 1, np.ones((1, 3))), {"out": OUT}),
        (ValueError, "3 channels", (X, [1, 2], 1), {"out": OUT}),
        (ValueError, "axis is 2, and x has 2 dim", (X, 1, 1), {"axis": 2, "out": OUT}),
        (ValueError, "out_axis is -3", (X, 1, 1), {"out_axis": -3, "out": OUT}),
        (ValueError, "axis is -1, and x has 0 dim", (np.float32(1), 1, 1), {}),
        (ValueError, "out has shape", (X, 1, 1), {"out": OUT, "out_axis": 0}),
        (ValueError, "out has shape", (X, 1, 1), {"out": OUT[:3]}),
        (ValueError, "read-only", (X, 1, 1), {"out": np.broadcast_to(OUT[0], (4, 3))}),
    ],
)
def test_errors(error, words, arguments, options):
    with pytest.raises(error, match=words):
        scale_shift_relu(*arguments, **options)
    assert (OUT == 1).all()


def test_c_function_says_no(rng):
    x, y = np.ones(3, np.uint8), np.full(3, 7, np.float32)

    def call(x_name=b"u8", y_name=b"f32", ndim=1, axis=0):
        return lib.relu_ext_scale_shift_relu(
            x_name,
            ffi.from_buffer(x),
            x.strides,
            y_name,
            ffi.from_buffer(y),
            y.strides,
            [3],
            ndim,
            axis,
            [1.0] * 3,
            [0.5, 1.0, -1.0],
        )

    for bad in (
        {"x_name": b"u32"},
        {"y_name": b"i16"},
        {"y_name": b""},
        {"axis": 1},
        {"ndim": 0},
        {"ndim": 65},
    ):
        assert call(**bad) == -1
    assert y.tolist() == [7, 7, 7]
    assert call() == 0
    assert y.tolist() == [1.5, 2, 0]


@pytest.mark.parametrize("function", BOTH)
def test_photograph(function):
    """ImageNet's normalization of a photograph, planar, as the recipes have it."""
    datasets = pytest.importorskip("sklearn.datasets")
    photograph = datasets.load_sample_image("china.jpg")
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    scale, shift = 1 / (255 * std), -mean / std
    of_value = getattr(reference, function.__name__)(
        np.arange(256, dtype=np.uint8)[:, np.newaxis], scale, shift, "f32"
    )
    planar = function(photograph, scale, shift, out_axis=0)
    assert planar.shape == (3, 427, 640) and planar.flags.c_contiguous
    for channel in range(3):
        assert_same_bits(planar[channel], of_value[photograph[..., channel], channel])
    if function is scale_shift:
        exact = ((photograph / 255 - mean) / std).transpose(2, 0, 1)
        assert (exact < 0).mean() > 0.4
        assert abs(planar - exact).max() <= np.spacing(np.float32(abs(exact).max()))
