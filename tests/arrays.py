"""Arrays to test with, and how results are compared."""

import functools

import numpy as np
import reference

import relu_ext

UFUNCS = [f for f in (getattr(relu_ext, n) for n in relu_ext.__all__) if isinstance(f, np.ufunc)]
ALL_TYPES = "?bBhHiIlLqQefdg"
FLOAT_TYPES = "efdg"


def specials(name):
    """The values of a format where something changes, as many of each sign."""
    if name == "bool":
        return np.array([False, True])
    if name not in reference.FLOATS:
        limits = np.iinfo(reference.STORAGE[name])
        values = [limits.min, limits.min + 1, 0, 1, 2, limits.max // 2, limits.max - 1, limits.max]
        if limits.min < 0:
            values += [-1, -2]
        return np.array(values, dtype=reference.STORAGE[name])

    exponent_bits, mantissa_bits = reference.FLOATS[name]
    largest, ones, quiet = 2**exponent_bits - 1, 2**mantissa_bits - 1, 2 ** (mantissa_bits - 1)
    magnitudes = [
        (0, 0),  # zero
        (0, 1),  # the smallest subnormal
        (0, ones),  # the largest
        (1, 0),  # the smallest normal number
        (largest // 2, 0),  # one
        (largest - 1, ones),  # the largest number
        (largest, 0),  # infinity
        (largest, 1),  # signalling NaNs: the smallest payload, some, the largest
        (largest, quiet // 2 | 1),
        (largest, quiet - 1),
        (largest, quiet),  # quiet NaNs
        (largest, quiet | 1),
        (largest, ones),
    ]
    return np.concatenate(
        [reference.assemble(sign, *m, name) for m in magnitudes for sign in (0, 1)]
    )


def random_bits(name, n, rng):
    """n elements with any bits that the format allows."""
    dtype = reference.STORAGE[name]
    raw = rng.integers(0, 256, (n, dtype.itemsize), dtype=np.uint8)
    if name == "bool":
        raw &= 1
    elif name == "longdouble" and reference.LONGDOUBLE_IS_X87:
        # The significand's first bit is written out, and follows from the exponent.
        exponent_is_zero = (raw[:, 8] == 0) & (raw[:, 9] & 0x7F == 0)
        raw[:, 7] = np.where(exponent_is_zero, raw[:, 7] & 0x7F, raw[:, 7] | 0x80)
    return raw.view(dtype)[:, 0]


def samples(name, n, rng):
    """n elements, half of them special values, the others random bits."""
    special = rng.choice(specials(name), n)
    return np.where(rng.integers(0, 2, n, dtype=bool), special, random_bits(name, n, rng))


def new(dtype, shape, rng):
    """An array of any dtype that relu accepts, filled with samples."""
    native = np.dtype(dtype).newbyteorder("=")
    a = samples(reference.format_of(native), int(np.prod(shape)), rng)
    return a.view(native).reshape(shape).astype(dtype, copy=False)


@functools.cache
def block(name, seed=0):
    """
    Samples to make large arrays of, by np.resize. Their number divides no size that a kernel
    works by, so that an element in the wrong place shows.
    """
    return samples(name, 4099, np.random.default_rng(seed))


def unaligned(a):
    """A copy of a whose address is odd."""
    raw = np.empty(a.nbytes + 1, dtype=np.uint8)
    odd = 1 - address(raw) % 2
    copy = raw[odd : odd + a.nbytes].view(a.dtype).reshape(a.shape)
    copy[...] = a
    return copy


def swapped(a):
    """A copy of a in the other byte order."""
    return a.astype(a.dtype.newbyteorder())


def address(a):
    return a.__array_interface__["data"][0]


def assert_same_bits(got, want):
    """Equal in shape, dtype and every bit; byte order is not a difference."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    assert got.dtype.newbyteorder("=") == want.dtype.newbyteorder("=")
    got_bytes, want_bytes = reference.value_bytes(got), reference.value_bytes(want)
    if np.array_equal(got_bytes, want_bytes):  # much faster on large arrays
        return
    different = (got_bytes != want_bytes).any(axis=-1)
    first = tuple(int(i) for i in np.argwhere(different)[0])
    raise AssertionError(
        f"{different.sum()} of {got.size} elements of dtype {got.dtype} differ, "
        f"first at {first}: {_show(got[first])} instead of {_show(want[first])}"
    )


def _show(element):
    raw = reference.value_bytes(np.asarray(element))
    return f"{element!r} (bytes {raw.tobytes().hex()})"
