"""
Every input there is, against the oracle.

    python tests/exhaustive.py                     everything; a quarter of an hour
    python tests/exhaustive.py --only relu_f32     2**32 inputs, half a minute

All bit patterns of the formats up to 32 bits; of the wider ones every exponent with the
mantissas where something could change, and random bits. For relu_grad these are the x; dy
takes special values and random bits in turn. Exit code 1, and the first input that is
wrong, on a difference.
"""

import argparse
import itertools
import sys

import numpy as np
import reference
from arrays import samples
from test_kernels import KERNELS, inputs_of, oracle, run
from tqdm import tqdm

import relu_ext
from relu_ext import lib

# Elements; so few that the oracle's temporaries stay in cache, and are not given back to the
# system each time.
CHUNK = 2**15


def chunks(name, random, rng):
    """How many arrays of CHUNK elements there will be, and an iterator over them."""
    dtype = reference.STORAGE[name]
    bits = 8 * dtype.itemsize
    if bits <= 32:
        word = np.dtype(f"u{dtype.itemsize}")
        last = 2**bits - 1
        starts = range(0, 2**bits, CHUNK)
        every = (
            np.arange(s, min(s + CHUNK - 1, last) + 1).astype(word).view(dtype) for s in starts
        )
        return len(starts), every
    corners = corner_patterns(name)
    count = -(-random // CHUNK)
    return 1 + count, itertools.chain([corners], (samples(name, CHUNK, rng) for _ in range(count)))


def corner_patterns(name):
    """Each exponent, each sign, and mantissas with a bit set, cleared, and all below it."""
    if name not in reference.FLOATS:
        bits = 8 * reference.STORAGE[name].itemsize
        powers = [2**k for k in range(bits)]
        values = {(p + d) % 2**bits for p in powers for d in (-1, 0, 1)}
        raw = b"".join(v.to_bytes(bits // 8, sys.byteorder) for v in sorted(values))
        return np.frombuffer(raw, reference.STORAGE[name])
    exponent_bits, mantissa_bits = reference.FLOATS[name]
    ones = 2**mantissa_bits - 1
    powers = [2**k for k in range(0, mantissa_bits, 7)] + [2 ** (mantissa_bits - 1)]
    mantissas = sorted({0, ones} | {m for p in powers for m in (p, p - 1, ones - p)})
    return np.concatenate(
        [
            reference.assemble(sign, exponent, mantissa, name)
            for sign in (0, 1)
            for exponent in range(2**exponent_bits)
            for mantissa in mantissas
        ]
    )


def check(operation, name, random, progress):
    """The first (inputs, result, expected) that differs, or None; and how many were tried."""
    rng = np.random.default_rng(5)
    dy = samples(name, CHUNK, rng)
    count, arrays = chunks(name, random, rng)
    tried = 0
    progress.reset(total=count)
    for x in arrays:
        x = np.ascontiguousarray(x)
        inputs = (np.resize(dy, x.shape), x) if inputs_of(operation, name) == 2 else (x,)
        got, want = run(operation, name, *inputs), oracle(operation, name, *inputs)
        if got.tobytes() != want.tobytes():
            got_bytes, want_bytes = reference.value_bytes(got), reference.value_bytes(want)
            if (different := (got_bytes != want_bytes).any(axis=-1)).any():
                i = int(np.argmax(different))
                shown = [
                    reference.bytes_of(a)[i][::-1].tobytes().hex() for a in (*inputs, got, want)
                ]
                return tried + i, shown
        tried += x.size
        progress.update()
    return tried, None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    names = ["_".join(kernel) for kernel in KERNELS]
    parser.add_argument("--only", action="append", choices=names, metavar="FUNCTION")
    parser.add_argument(
        "--isas", default=",".join(relu_ext.available_isas()), help="default: %(default)s"
    )
    parser.add_argument(
        "--random", type=float, default=1e9, help="inputs of the formats wider than 32 bits"
    )
    args = parser.parse_args()
    for operation, name in KERNELS:
        if args.only and f"{operation}_{name}" not in args.only:
            continue
        for isa in args.isas.split(","):
            assert lib.relu_ext_use_isa(isa.encode()) == 0, f"no {isa} here"
            what = f"{operation}_{name} {isa}"
            with tqdm(desc=what, leave=False, disable=None) as progress:
                tried, wrong = check(operation, name, int(args.random), progress)
            if wrong:
                *inputs, got, want = wrong
                print(f"{what}: of {', '.join(inputs)} it makes {got}, not {want} ({tried} right)")
                return 1
            print(f"{what}: {tried:,} inputs, all right", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
