"""The oracle itself, against bits written by hand."""

import numpy as np
import pytest
import reference
from arrays import assert_same_bits, specials

# From the IEEE 754 formats; each list goes from just below zero to the NaNs.
ZEROED = {
    "i8": [0x00, 0x80, 0xFF],
    "i32": [0x00000000, 0x80000000, 0xFFFFFFFF],
    "f8e5m2": [0x00, 0x80, 0x81, 0x83, 0x84, 0xBC, 0xFB, 0xFC],
    "f8e4m3fn": [0x00, 0x80, 0x81, 0x87, 0x88, 0xB8, 0xFE],
    "f16": [0x0000, 0x8000, 0x8001, 0x83FF, 0x8400, 0xBC00, 0xFBFF, 0xFC00],
    "bf16": [0x0000, 0x8000, 0x8001, 0x807F, 0x8080, 0xBF80, 0xFF7F, 0xFF80],
    "f32": [0x00000000, 0x80000000, 0x80000001, 0x80800000, 0xBF800000, 0xFF7FFFFF, 0xFF800000],
    "f64": [0, 0x8000000000000000, 0x8000000000000001, 0xBFF0000000000000, 0xFFF0000000000000],
}
KEPT = {
    "i8": [0x01, 0x7F],
    "u8": [0x00, 0x01, 0x80, 0xFF],
    "u64": [0, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF],
    "f8e5m2": [0x01, 0x3C, 0x7B, 0x7C, 0x7D, 0x7F, 0xFD, 0xFF],
    "f8e4m3fn": [0x01, 0x38, 0x7E, 0x7F, 0xFF],
    "f16": [0x0001, 0x3C00, 0x7BFF, 0x7C00, 0x7C01, 0x7E00, 0x7FFF, 0xFC01, 0xFE00, 0xFFFF],
    "bf16": [0x0001, 0x3F80, 0x7F7F, 0x7F80, 0x7F81, 0x7FC0, 0x7FFF, 0xFF81, 0xFFC0, 0xFFFF],
    "f32": [0x00000001, 0x3F800000, 0x7F800000, 0x7F800001, 0x7FC00000, 0xFF800001, 0xFFC00000],
    "f64": [1, 0x3FF0000000000000, 0x7FF0000000000000, 0x7FF0000000000001, 0xFFF0000000000001],
}


def from_bits(values, name):
    dtype = reference.STORAGE[name]
    return np.array(values, dtype=f"u{dtype.itemsize}").view(dtype)


@pytest.mark.parametrize("name", ZEROED)
def test_zeroed(name):
    x = from_bits(ZEROED[name], name)
    assert_same_bits(reference.relu(x, name), np.zeros_like(x))


@pytest.mark.parametrize("name", KEPT)
def test_kept(name):
    x = from_bits(KEPT[name], name)
    assert_same_bits(reference.relu(x, name), x)


@pytest.mark.parametrize("name", reference.FLOATS)
def test_gradient_of_every_special_value(name):
    dy, x = (a.ravel() for a in np.meshgrid(specials(name), specials(name)))
    passes = np.array([(v > 0 or v != v) for v in as_numbers(x, name)])
    want = np.where(passes, dy, np.zeros_like(dy))
    assert_same_bits(reference.relu_grad(dy, x, name), want)


def as_numbers(x, name):
    if name == "bf16":  # the upper half of a float32
        return (x.astype(np.uint32) << 16).view(np.float32)
    if name == "f8e5m2":  # the upper half of a float16
        return (x.astype(np.uint16) << 8).view(np.float16)
    if name == "f8e4m3fn":
        ml_dtypes = pytest.importorskip("ml_dtypes")
        return x.view(ml_dtypes.float8_e4m3fn).astype(np.float32)
    return x


@pytest.mark.parametrize("name", reference.FLOATS)
def test_fields_undo_assemble(name):
    exponent_bits, mantissa_bits = reference.FLOATS[name]
    mantissa = 2 ** (mantissa_bits - 2) + 1
    if name == "longdouble" and reference.LONGDOUBLE_IS_QUAD:
        mantissa = 1  # of more than 64 bits, fields tells only whether one is set
    parts = (1, 2**exponent_bits - 1, mantissa)
    assert reference.fields(reference.assemble(*parts, name), name) == parts
