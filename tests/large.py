"""
More elements than 31 and 32 bits can count, against the oracle, piece by piece.

    python tests/large.py                   all; wants 9 GiB of memory and 5 GiB of disk
    python tests/large.py int32 memmap      some: int31 int32 strided memmap fresh

Needs no memory besides the arrays: they are filled, and compared, in pieces. Exit code 1,
and where the first difference is, if there is one.
"""

import argparse
import os
import sys
import tempfile
import time

import numpy as np
import reference
from arrays import block, new

import relu_ext
from relu_ext import relu, relu_, relu_grad

# Not a divisor of anything: what lands 2**31 or 2**32 elements off is seen.
PIECE = 4099 * 1021


def fill(a, pattern):
    for start in range(0, a.size, PIECE):
        part = a[start : start + PIECE]
        part[...] = np.resize(pattern, part.size)


def verify(what, a, pattern, begin=0):
    """Whether a is the pattern over and over from its element `begin` on, bit for bit."""
    bits = f"u{a.itemsize}"
    for start in range(0, a.size, PIECE):
        part = np.ascontiguousarray(a[start : start + PIECE]).view(bits)
        want = np.resize(np.roll(pattern, -((begin + start) % pattern.size)), part.size).view(bits)
        if not np.array_equal(part, want):
            at = start + int(np.argmax(part != want))
            raise SystemExit(f"{what}: wrong from element {at} on")


def timed(what, n, call):
    start = time.perf_counter()
    call()
    print(f"{what}: {n:,} elements in {time.perf_counter() - start:.1f} s", flush=True)


def elements(n):
    """int8, out of place, by both entries of the ufunc, and in place."""
    pattern = block("i8")
    want = reference.relu(pattern)
    x, y = np.empty(n, np.int8), np.empty(n, np.int8)
    fill(x, pattern)
    for how, keywords in ("relu(x, y)", {}), ("relu(x, y, where=True)", {"where": True}):
        y[...] = 0x55
        timed(f"int8, {how}", n, lambda keywords=keywords: relu(x, y, **keywords))
        verify(how, y, want)
    verify("x", x, pattern)
    del y
    timed("int8, relu_(x)", n, lambda: relu_(x))
    verify("relu_(x)", x, want)


def fresh(n):
    """int8, into a new array, which is larger than the cache of results."""
    pattern = block("i8")
    x = np.empty(n, np.int8)
    fill(x, pattern)
    results = []
    timed("int8, relu(x)", n, lambda: results.append(relu(x)))
    verify("relu(x)", results[0], reference.relu(pattern))


def strided(n):
    """
    Views whose elements lie further apart than 31 bits can say: every other element, the rows
    of a matrix wider than its view, and backwards.
    """
    pattern = block("i8")
    want = reference.relu(pattern)
    x = np.empty(2 * n, np.int8)
    fill(x, pattern)
    view = x[::2]
    timed("int8, relu_(x[::2])", view.size, lambda: relu_(view))
    # The pattern's length is odd: after two of them every element has had its turn.
    twice = np.resize(pattern, 2 * pattern.size)
    twice[::2] = reference.relu(twice[::2])
    verify("relu_(x[::2])", x, twice)
    rows = x.reshape(2, n)[:, :-5]
    timed("int8, relu_(x.reshape(2, -1)[:, :-5])", rows.size, lambda: relu_(rows))
    for start, row in zip((0, n), rows):
        verify("rows", row, want, start)
    timed("int8, relu_(x[::-1])", x.size, lambda: relu_(x[::-1]))
    verify("relu_(x[::-1])", x, want)


def memmap(n):
    """float32 in a file of n bytes, in place; and the gradient at its end."""
    pattern = block("f32")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "large.bin")
        x = np.memmap(path, np.float32, "w+", shape=n // 4)
        fill(x, pattern)
        x.flush()
        timed("float32 in a file, relu_(x)", x.size, lambda: relu_(x))
        x.flush()
        del x
        again = np.memmap(path, np.float32, "r", shape=n // 4)
        verify("a file", again, reference.relu(pattern))
        dy = new("f", 1000, np.random.default_rng(1))
        dx = relu_grad(dy, again[-1000:])
        assert dx.tobytes() == reference.relu_grad(dy, np.array(again[-1000:])).tobytes()
        del again


CASES = {
    "int31": lambda: elements(2**31 + 4097),
    "int32": lambda: elements(2**32 + 4097),
    "fresh": lambda: fresh(2**31 + 4097),
    "strided": lambda: strided(2**31 + 4098),
    "memmap": lambda: memmap((2**32 + 2**29) // 4 * 4),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    for case in parser.parse_args().cases:
        CASES[case]()
    print(f"all right, with {relu_ext.isa()} and {relu_ext.get_num_threads()} threads")
    return 0


if __name__ == "__main__":
    sys.exit(main())
