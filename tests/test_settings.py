"""Floating-point settings that a program or one of its libraries has changed."""

import contextlib
import platform
import sys

import ml_dtypes
import numpy as np
import pytest
from arrays import assert_same_bits
from test_kernels import c_math, subnormals_flushed

import relu_ext

pytestmark = pytest.mark.skipif(
    (platform.system(), platform.machine(), sys.maxsize) != ("Linux", "x86_64", 2**63 - 1),
    reason="the settings have other numbers elsewhere",
)

RNG = np.random.default_rng(20)
X64 = RNG.standard_normal(600)
X32 = X64.astype(np.float32)
DY32 = RNG.standard_normal(600).astype(np.float32)
LARGE32 = np.full(600, -1e30, np.float32)
SMALL32 = (X32 * np.float32(1e-38)).astype(np.float32)  # subnormals among them
TINY = np.float32(1e-40)
PIXELS = RNG.integers(0, 256, (200, 3), np.uint8)
THIRDS = np.longdouble(1) / np.arange(1, 4).astype(np.longdouble)


@contextlib.contextmanager
def rounding(libm, mode):
    assert libm.fesetround(mode) == 0
    try:
        yield
    finally:
        libm.fesetround(0)


SETTINGS = {
    "flushed": subnormals_flushed,
    "down": lambda libm: rounding(libm, 0x400),
    "up": lambda libm: rounding(libm, 0x800),
    "to zero": lambda libm: rounding(libm, 0xC00),
}

# Each converts something besides what the kernel calculates: a Python number, an operand of
# another dtype, a result.
CALLS = {
    "number": lambda: relu_ext.leaky_relu(X32, 0.1),
    "subnormal number": lambda: relu_ext.leaky_relu(LARGE32, 1e-40),
    "number, in place": lambda: relu_ext.leaky_relu(y := X32.copy(), 0.1, out=y),
    "number, strided": lambda: relu_ext.leaky_relu(X32[::2], 0.1),
    "number, where": lambda: relu_ext.leaky_relu(X32, 0.1, where=X32 < 0.5, out=np.zeros_like(X32)),
    "number, float16": lambda: relu_ext.leaky_relu(X32.astype(np.float16), 0.1),
    "number, bfloat16": lambda: relu_ext.leaky_relu(X32.astype(ml_dtypes.bfloat16), 0.1).view(
        np.uint16
    ),
    "number, gradient": lambda: relu_ext.leaky_relu_grad(DY32, X32, 0.1),
    "ceiling": lambda: relu_ext.clipped_relu(X32, 0.1),
    "ceiling, gradient": lambda: relu_ext.clipped_relu_grad(DY32, X32, 0.1),
    "long double to double": lambda: relu_ext.relu(THIRDS, out=np.empty(3), casting="same_kind"),
    "to a shorter dtype": lambda: relu_ext.relu(
        X64, out=np.empty(600, np.float32), casting="same_kind"
    ),
    "from a shorter dtype": lambda: relu_ext.relu(SMALL32, dtype=np.float64),
    "mixed dtypes": lambda: relu_ext.relu_grad(SMALL32, X64),
    "mixed dtypes, in place": lambda: relu_ext.relu_grad_(SMALL32.copy(), X64),
    "mixed dtypes, shorter": lambda: relu_ext.add_relu(
        SMALL32, X64, out=np.empty(600, np.float16), casting="same_kind"
    ),
    "number, prelu": lambda: relu_ext.prelu(X32.reshape(200, 3), 0.1),
    "slopes, prelu": lambda: relu_ext.prelu(
        X32.reshape(200, 3), THIRDS.astype(float), out=np.empty((200, 3), np.float32)
    ),
    **{
        f"slope gradient, {np.dtype(t)}": lambda t=t: relu_ext.prelu_slope_grad(
            DY32.reshape(200, 3).astype(t), X32.reshape(200, 3).astype(t)
        ).view(f"u{np.dtype(t).itemsize}")
        for t in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)
    },
    "slope gradient, channels in runs": lambda: relu_ext.prelu_slope_grad(
        DY32.reshape(3, 200), X32.reshape(3, 200), 0
    ),
    "slope gradient, mixed": lambda: relu_ext.prelu_slope_grad(
        X64.reshape(200, 3), X32.reshape(200, 3)
    ),
    "slope gradient, subnormal": lambda: relu_ext.prelu_slope_grad(
        SMALL32.reshape(200, 3), -np.ones((200, 3), np.float32)
    ),
    "scale and shift": lambda: relu_ext.scale_shift_relu(PIXELS, 2**53 + 1, 2**60 + 1),
    "scale and shift, long double": lambda: relu_ext.scale_shift_relu(PIXELS, THIRDS, THIRDS),
    "list": lambda: relu_ext.relu_bits([TINY, 1.0])[1],
    "list of scales": lambda: relu_ext.scale_shift(X32[:2], [TINY, 1.0], 0),
    "list of rows": lambda: relu_ext.dead_units([[TINY, 1.0], [TINY, -2.0]]),
    "list of slopes": lambda: relu_ext.prelu(-np.ones((1, 2)), [TINY, 1.0]),
    "share": lambda: np.array(relu_ext.sparsity(np.array([0, 1, 2]))),
    "bits": lambda: relu_ext.relu_bits(SMALL32)[0],
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("call", CALLS)
def test_settings_of_the_program_change_no_result(call, setting):
    want = CALLS[call]()
    with SETTINGS[setting](c_math()):
        got = CALLS[call]()
    assert_same_bits(got, want)


@pytest.mark.parametrize("call", ["number, strided", "mixed dtypes", "slope gradient, mixed"])
def test_settings_of_the_program_are_its_own_afterwards(call):
    libm = c_math()
    with rounding(libm, 0x800), subnormals_flushed(libm):
        CALLS[call]()
        assert libm.fegetround() == 0x800
        subnormal = np.finfo(np.float32).smallest_subnormal
        assert subnormal + subnormal == 0


def test_subnormal_slope_of_a_library_with_fast_math():
    # np.float32(1e-40) rounds to 71362 of the smallest subnormals, of 2^-149 each.
    x = np.full(4, -1e30, np.float32)
    with subnormals_flushed(c_math()):
        got = relu_ext.leaky_relu(x, 1e-40)
    exact = np.float64(x[0]) * (71362 * 2.0**-149)
    assert_same_bits(got, np.full(4, exact, np.float64).astype(np.float32))
