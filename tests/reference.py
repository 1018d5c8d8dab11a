"""
The oracle: what relu_ext has to compute, from the contract's table and nothing else.

A float's bits are taken apart into sign, exponent and mantissa, and the table's rows are
looked up one by one. Slow and plain on purpose: nothing here is shared with the kernels.

A format has the name that the C functions end in: i8 ... u64, f8e5m2 ... f64 and
longdouble, and "bool" besides. An array's dtype implies it, except where unsigned integers
hold the bits of floats that NumPy does not have.

x87's long double has encodings that no processor since the 80387 makes or accepts
(unnormals, pseudo-infinities, ...). The table does not speak of them, and no test has them.
"""

import sys
from fractions import Fraction

import numpy as np

# Exponent bits and mantissa bits; there is one sign bit.
FLOATS = {
    "f8e5m2": (5, 2),
    "f8e4m3fn": (4, 3),
    "f16": (5, 10),
    "bf16": (8, 7),
    "f32": (8, 23),
    "f64": (11, 52),
}

LONGDOUBLE_SIZE = np.dtype(np.longdouble).itemsize
LONGDOUBLE_IS_X87 = np.finfo(np.longdouble).nmant == 63
LONGDOUBLE_IS_QUAD = np.finfo(np.longdouble).nmant == 112
if LONGDOUBLE_IS_X87:
    FLOATS["longdouble"] = (15, 63)  # and between them a 1, written out
elif LONGDOUBLE_IS_QUAD:
    FLOATS["longdouble"] = (15, 112)
else:  # binary64, or a pair of them, of which the first says what the number is
    FLOATS["longdouble"] = (11, 52)

SIGNED = ("i8", "i16", "i32", "i64")
UNSIGNED = ("u8", "u16", "u32", "u64")

# The NumPy type that holds a format.
STORAGE = {
    "bool": np.dtype(bool),
    **{name: np.dtype(f"i{int(name[1:]) // 8}") for name in SIGNED},
    **{name: np.dtype(f"u{int(name[1:]) // 8}") for name in UNSIGNED},
    "f8e5m2": np.dtype(np.uint8),
    "f8e4m3fn": np.dtype(np.uint8),
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(np.uint16),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
    "longdouble": np.dtype(np.longdouble),
}


def relu(x, name=None):
    return _copy_or_zero(x, _passes(x, name or format_of(x.dtype)))


def relu_grad(dy, x, name=None):
    dy, x = np.broadcast_arrays(dy, x)
    return _copy_or_zero(dy, _passes(x, name or format_of(x.dtype)))


def leaky_relu(x, slope, name=None):
    return leaky_relu_grad(x, x, slope, name)


def leaky_relu_grad(dy, x, slope, name=None):
    dy, x, slope = np.broadcast_arrays(dy, x, slope)
    name = name or format_of(x.dtype)
    passes = _passes(x, name)[..., np.newaxis]
    product = calculate(np.multiply, slope, dy, name)
    return _from_bytes(np.where(passes, bytes_of(dy), bytes_of(product)), x.dtype)


def clipped_relu(x, ceiling, name=None):
    x, ceiling = np.broadcast_arrays(x, ceiling)
    name = name or format_of(x.dtype)
    y = relu(x, name)
    if name in FLOATS:
        sign, _, _ = fields(ceiling, name)
        clips = ~_is_nan(x, name) & (
            _is_nan(ceiling, name) | (sign == 1) | _magnitude_is_less(ceiling, y, name)
        )
    else:
        clips = y > ceiling
    return _from_bytes(np.where(clips[..., np.newaxis], bytes_of(ceiling), bytes_of(y)), x.dtype)


def clipped_relu_grad(dy, x, ceiling, name=None):
    dy, x, ceiling = np.broadcast_arrays(dy, x, ceiling)
    name = name or format_of(x.dtype)
    is_positive = _passes(x, name) & _passes(ceiling, name) & ~_is_nan(ceiling, name)
    between = is_positive & _magnitude_is_less(x, ceiling, name)
    return _copy_or_zero(dy, _is_nan(x, name) | between)


def add_relu(a, b, name=None):
    a, b = np.broadcast_arrays(a, b)
    name = name or format_of(a.dtype)
    return relu(calculate(np.add, a, b, name), name)


def calculate(operation, a, b, name):
    """
    A sum or product, rounded once. Two 16-bit floats are calculated with as floats of 32 bits,
    two of those as ones of 64 bits, which the sum or product of two fits into, or rounding
    twice is the same; only bfloat16 shares the smallest exponent of float32.
    """
    with np.errstate(all="ignore"):
        if name not in FLOATS:
            return operation(a, b)
        if name == "bf16":
            exact = operation(*((i.astype(np.uint32) << 16).view(np.float32) for i in (a, b)))
            result = round_to_bf16(exact)
        elif name == "f64":
            result = operation(a, b)
        else:
            result = operation(a.astype(np.float64), b.astype(np.float64)).astype(STORAGE[name])
    return np.where(_is_nan(result, name), quiet_nan(name), result)


def round_to_bf16(x):
    """The bits of the nearest bfloat16s to these float32s, of two equally near the even one."""
    word = x.view(np.uint32)
    below = (word >> 16).astype(np.uint64)
    rest = word & 0xFFFF
    up = (rest > 0x8000) | ((rest == 0x8000) & (below % 2 == 1))
    return np.where(np.isnan(x), 0x7FC0, below + up).astype(np.uint16)


def quiet_nan(name):
    """The NaN that arithmetic gives: positive, quiet, no payload."""
    exponent_bits, mantissa_bits = FLOATS[name]
    return assemble(0, 2**exponent_bits - 1, 2 ** (mantissa_bits - 1), name)[0]


def bits_of(x, name=None):
    """One bit an element, the lowest first: whether it passes."""
    passes = _passes(x, name or format_of(x.dtype)).ravel()
    places = np.zeros((passes.size + 7) // 8 * 8, np.uint8)
    places[: passes.size] = passes
    return (places.reshape(-1, 8) << np.arange(8, dtype=np.uint8)).sum(axis=1, dtype=np.uint8)


def relu_grad_bits(dy, bits):
    i = np.arange(dy.size)
    passes = bits[i // 8] >> (i % 8).astype(np.uint8) & 1
    return _copy_or_zero(dy, passes.astype(bool).reshape(dy.shape))


def fires(x, name):
    """Greater than zero, or NaN."""
    if name in UNSIGNED or name == "bool":
        return _word(bytes_of(x), 0, STORAGE[name].itemsize) != 0
    return _passes(x, name) & ~is_zero(x, name)


def is_zero(x, name):
    """Zero, of either sign."""
    if name in FLOATS:
        _, exponent, mantissa = fields(x, name)
        return (exponent == 0) & (mantissa == 0)
    return _word(bytes_of(x), 0, STORAGE[name].itemsize) == 0


def scale_shift_relu(x, scale, shift, to, name=None):
    return scale_shift(x, scale, shift, to, name, rectified=True)


def scale_shift(x, scale, shift, to, name=None, rectified=False):
    """
    Of float64 scales and shifts that broadcast with x, in the format `to`; in exact integer
    arithmetic, element by element.
    """
    name = name or format_of(x.dtype)
    arrays = np.broadcast_arrays(x, scale, shift)
    x, scale, shift = (_bits(a, n) for a, n in zip(arrays, (name, "f64", "f64"), strict=True))
    compute = "f64" if "f64" in (name, to) or name == "i32" else "f32"
    scale, shift = ([_rounded(bits, "f64", compute) for bits in a] for a in (scale, shift))
    results = []
    for each, a, b in zip(x, scale, shift, strict=True):
        number = _fused(_number(each, name), _number(a, compute), _number(b, compute))
        if rectified:
            number = _rectified(number)
        bits = _round(number, compute)
        if number[0] == 0 and not rectified:
            product = _is_negative(each, name) ^ _is_negative(a, compute)
            if product and _is_negative(b, compute):
                bits = 1 << (8 * STORAGE[compute].itemsize - 1)
        results.append(bits if to == compute else _rounded(bits, compute, to))
    results = np.array(results, f"u{STORAGE[to].itemsize}")
    return results.view(STORAGE[to]).reshape(arrays[0].shape)


# Below, a number is (m, e) for m * 2**e, or the string "inf", "-inf" or "nan".


def _bits(a, name):
    return np.ascontiguousarray(a).reshape(-1).view(f"u{STORAGE[name].itemsize}").tolist()


def _number(bits, name):
    if name in UNSIGNED:
        return bits, 0
    if name in SIGNED:
        size = 8 * STORAGE[name].itemsize
        return bits - (bits >> (size - 1) << size), 0
    exponent_bits, mantissa_bits = FLOATS[name]
    sign = -1 if bits >> (exponent_bits + mantissa_bits) else 1
    exponent = bits >> mantissa_bits & (2**exponent_bits - 1)
    mantissa = bits & (2**mantissa_bits - 1)
    if exponent == 2**exponent_bits - 1:
        return "nan" if mantissa else "inf" if sign > 0 else "-inf"
    significand = mantissa + (2**mantissa_bits if exponent else 0)
    return sign * significand, max(exponent, 1) + _last_place(name) - 1


def _is_negative(bits, name):
    """Whether there is a minus, of a zero as well."""
    return name not in UNSIGNED and bits >> (8 * STORAGE[name].itemsize - 1) == 1


def _rounded(bits, name, to):
    """In the format `to`, the sign of a zero kept: floats to floats and integers."""
    number = _number(bits, name)
    if to in FLOATS:
        negative_zero = 1 << (8 * STORAGE[to].itemsize - 1)
        return negative_zero if number[0] == 0 and _is_negative(bits, name) else _round(number, to)
    size = 8 * STORAGE[to].itemsize
    least, most = (0, 2**size - 1) if to in UNSIGNED else (-(2 ** (size - 1)), 2 ** (size - 1) - 1)
    if isinstance(number, str):
        nearest = {"nan": 0, "inf": most, "-inf": least}[number]
    else:
        nearest = round(Fraction(number[0]) * Fraction(2) ** number[1])  # ties to even
    return min(max(nearest, least), most) % 2**size


def _last_place(name):
    """The exponent of the smallest subnormal."""
    exponent_bits, mantissa_bits = FLOATS[name]
    return 2 - 2 ** (exponent_bits - 1) - mantissa_bits


def _fused(x, a, b):
    """x * a + b"""
    if "nan" in (x, a, b):
        return "nan"

    def sign(number):
        return (-1 if number == "-inf" else 1) if isinstance(number, str) else number[0]

    product = sign(x) * sign(a)
    if isinstance(x, str) or isinstance(a, str):
        product = "nan" if product == 0 else "inf" if product > 0 else "-inf"
        return product if not isinstance(b, str) or b == product else "nan"
    if isinstance(b, str):
        return b
    exponent = x[1] + a[1]
    low = min(exponent, b[1])
    return (product << (exponent - low)) + (b[0] << (b[1] - low)), low


def _rectified(number):
    if isinstance(number, str):
        return (0, 0) if number == "-inf" else number
    return number if number[0] > 0 else (0, 0)


def _round(number, name):
    """The bits of the nearest float, to even; of a NaN the positive quiet one."""
    exponent_bits, mantissa_bits = FLOATS[name]
    infinity = (2**exponent_bits - 1) << mantissa_bits
    if isinstance(number, str):
        sign = number == "-inf"
        bits = infinity | (1 << (mantissa_bits - 1) if number == "nan" else 0)
    elif number[0] == 0:
        sign = bits = 0
    else:
        sign, m, e = number[0] < 0, abs(number[0]), number[1]
        last = max(m.bit_length() + e - mantissa_bits - 1, _last_place(name))
        if last <= e:
            m <<= e - last
        else:
            half = 1 << (last - e - 1)
            rest = m & (2 * half - 1)
            m >>= last - e
            m += rest > half or (rest == half and m % 2)
        # An m of one bit more is the next power of two, as is the sum.
        bits = min(((last - _last_place(name)) << mantissa_bits) + m, infinity)
    return int(sign) << (exponent_bits + mantissa_bits) | bits


def format_of(dtype):
    """'f32' for numpy.float32, and so on."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return "bool"
    if dtype.char == "g":
        return "longdouble"
    return f"{dtype.kind}{8 * dtype.itemsize}"


def value_size(name):
    """How many bytes of an element mean something: x87's long double ends in padding."""
    return 10 if name == "longdouble" and LONGDOUBLE_IS_X87 else STORAGE[name].itemsize


def bytes_of(a):
    """The bytes of each element, in the machine's order, along a last axis."""
    native = np.array(a, dtype=a.dtype.newbyteorder("="), order="C", subok=False)
    return native.reshape((*a.shape, 1)).view(np.uint8)


def value_bytes(a):
    """bytes_of, without padding."""
    return bytes_of(a)[..., : value_size(format_of(a.dtype))]


def fields(x, name):
    """Sign, exponent and mantissa of each float."""
    raw = bytes_of(x)
    exponent_bits, mantissa_bits = FLOATS[name]
    if name != "longdouble":
        word = _word(raw, 0, raw.shape[-1])
    elif LONGDOUBLE_IS_X87:
        top, mantissa = _word(raw, 8, 2), _word(raw, 0, 8)
        return top >> 15, top & 0x7FFF, mantissa & 0x7FFF_FFFF_FFFF_FFFF
    elif LONGDOUBLE_IS_QUAD:
        halves = [_word(raw, 0, 8), _word(raw, 8, 8)]
        low, high = halves if sys.byteorder == "little" else halves[::-1]
        # Whether the mantissa is zero is all that is ever asked.
        return high >> 63, (high >> 48) & 0x7FFF, (high & 0xFFFF_FFFF_FFFF) | low
    else:
        word = _word(raw, 0, 8)
    sign = word >> (exponent_bits + mantissa_bits)
    exponent = (word >> mantissa_bits) & (2**exponent_bits - 1)
    return sign, exponent, word & (2**mantissa_bits - 1)


def assemble(sign, exponent, mantissa, name):
    """The one float that is made of these, in an array of length 1: the inverse of fields."""
    exponent_bits, mantissa_bits = FLOATS[name]
    if name == "longdouble" and LONGDOUBLE_IS_X87:
        bits = sign << 79 | exponent << 64 | (exponent != 0) << 63 | mantissa
    else:
        bits = sign << (exponent_bits + mantissa_bits) | exponent << mantissa_bits | mantissa
    size = STORAGE[name].itemsize
    width = size if LONGDOUBLE_IS_X87 or LONGDOUBLE_IS_QUAD else min(size, 8)
    raw = bits.to_bytes(width, sys.byteorder).ljust(size, b"\0")
    return np.frombuffer(raw, dtype=STORAGE[name])


def _word(raw, start, size):
    part = np.ascontiguousarray(raw[..., start : start + size])
    return part.view(f"u{size}")[..., 0]


def _passes(x, name):
    """Where does relu give x itself?"""
    if name in UNSIGNED or name == "bool":
        return np.ones(x.shape, dtype=bool)
    if name in SIGNED:
        size = STORAGE[name].itemsize
        return _word(bytes_of(x), 0, size) >> (8 * size - 1) == 0
    sign, exponent, mantissa = fields(x, name)
    is_zero = (exponent == 0) & (mantissa == 0)
    is_negative = sign == 1
    return _is_nan(x, name) | ~(is_zero | is_negative)


def _is_nan(x, name):
    _, exponent, mantissa = fields(x, name)
    largest = 2 ** FLOATS[name][0] - 1
    if name == "f8e4m3fn":  # no infinities, and one NaN of each sign
        return (exponent == largest) & (mantissa == 7)
    return (exponent == largest) & (mantissa != 0)


def _magnitude_is_less(a, b, name):
    """|a| < |b|, for numbers."""
    (_, a_exponent, a_mantissa), (_, b_exponent, b_mantissa) = fields(a, name), fields(b, name)
    if name == "longdouble" and not LONGDOUBLE_IS_X87:  # its fields are not the whole mantissa
        with np.errstate(invalid="ignore"):
            return np.abs(a) < np.abs(b)
    return (a_exponent < b_exponent) | ((a_exponent == b_exponent) & (a_mantissa < b_mantissa))


def _copy_or_zero(a, copied):
    return _from_bytes(np.where(copied[..., np.newaxis], bytes_of(a), np.uint8(0)), a.dtype)


def _from_bytes(raw, dtype):
    """The elements whose bytes lie along the last axis: the inverse of bytes_of."""
    return np.ascontiguousarray(raw).view(dtype.newbyteorder("=")).reshape(raw.shape[:-1])
