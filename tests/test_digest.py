"""
One number for the bits of every function on fixed input, the same on every machine.

    python tests/test_digest.py

prints it. long double is left out, which is another format on another machine.
"""

import hashlib

import numpy as np
import pytest
import reference
from test_kernels import KERNELS, inputs_of, run

import relu_ext

DIGEST = "61385d9d5ed35d42822fd98cf82f89d1f558e72b73f03eac1b0841f843e31be1"
COUNT = 10_007


def bits(name, words):
    """Numbers of that format from 64-bit words: any bits, or those of a number around 1."""
    dtype = reference.STORAGE[name]
    word = words.astype(f"u{dtype.itemsize}")
    if name in reference.FLOATS:
        exponent_bits, mantissa_bits = reference.FLOATS[name]
        near = (words >> 48) % 4 + 2 ** (exponent_bits - 1) - 3 << mantissa_bits
        kept = word & word.dtype.type(2**mantissa_bits - 1 | 1 << 8 * dtype.itemsize - 1)
        word = np.where(words >> 63, word, kept | near.astype(word.dtype))
    return word.view(dtype)


def results(words):
    """(name, result) of each function; words: as many rows as inputs, of 64 random bits each."""
    for operation, name in KERNELS:
        if name != "longdouble":
            inputs = [bits(name, row) for row in words[: inputs_of(operation, name)]]
            yield f"{operation} {name}", run(operation, name, *inputs)
    scale, shift = words[2:4, :3].astype("i8") / 2**60
    for name in ("u8", "u16", "i8", "i16", "i32", "f16", "f32", "f64"):
        x = bits(name, words[0])[: COUNT // 3 * 3].reshape(-1, 3)
        for to in ("u1", "i1", "f2", "f4", "f8"):
            for function in (relu_ext.scale_shift, relu_ext.scale_shift_relu):
                yield f"{function.__name__} {name} {to}", function(x, scale, shift, dtype=to)
    for name in ("f16", "f32", "f64"):
        dy, x = (bits(name, row) for row in words[:2])
        y, signs = relu_ext.relu_bits(x)
        yield f"relu_bits {name}", y
        yield f"relu_bits {name}: bits", signs
        yield f"relu_grad_bits {name}", relu_ext.relu_grad_bits(dy, signs)
        yield f"activity {name}", relu_ext.activity(x)
        with np.errstate(all="ignore"):
            dy, x = (a[:9999].reshape(-1, 3) for a in (dy, x))
            yield f"prelu_slope_grad {name}", relu_ext.prelu_slope_grad(dy, x)


def digest():
    rng = np.random.default_rng(2026)
    words = rng.integers(0, 2**64, (4, COUNT), np.uint64)
    total = hashlib.sha256()
    for name, result in results(words):
        result = np.asarray(result)
        kind = np.dtype(f"u{result.dtype.itemsize}")
        total.update(name.encode())
        total.update(
            np.ascontiguousarray(result).view(kind).astype(kind.newbyteorder("<")).tobytes()
        )
    return total.hexdigest()


@pytest.mark.parametrize("long_way", [False, True], ids=["short", "past the caches, on threads"])
def test_the_same_on_every_machine(isa, long_way):
    try:
        if long_way:
            relu_ext.lib.relu_ext_set_stream_bytes(1)
            relu_ext.lib.relu_ext_set_parallel_bytes(1)
        assert digest() == DIGEST
    finally:
        relu_ext.lib.relu_ext_set_stream_bytes(0)
        relu_ext.lib.relu_ext_set_parallel_bytes(0)


if __name__ == "__main__":
    print(digest())
