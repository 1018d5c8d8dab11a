"""
Threads that call everything at once while every setting is changed under them: each result has
to have the oracle's bits.

    python tests/race.py                    8 threads, a minute
    python tests/race.py --calls 400        that many calls of each thread, as the suite does it

On a free-threaded interpreter they run at the same time. Exit code 1 if a result is wrong.
"""

import argparse
import os
import random
import sys
import threading
import time

os.environ.setdefault("OMP_NUM_THREADS", "3")

import numpy as np
import reference
from arrays import UFUNCS, block, swapped

import relu_ext
from relu_ext import lib

# Within the shortcut; past the size that lets go of the GIL; split over threads.
SIZES = (100, 20_000, 200_000)
FORMATS = ("f16", "f32", "f64", "i8", "i32")


def new(call, *ins):
    return call(*ins)


def given(call, *ins):
    y = np.empty_like(ins[0])
    assert call(*ins, out=y) is y
    return y


def in_place(call, x, *others):
    y = x.copy()
    return call(y, *others, out=y)


def strided(call, *ins):
    return call(*(np.repeat(a, 2)[::2] for a in ins))


def other_order(call, *ins):
    return call(*(swapped(a) for a in ins))


def ufunc_cases():
    for ufunc in UFUNCS:
        for name in FORMATS:
            if f"{np.dtype(reference.STORAGE[name]).char * ufunc.nin}->" not in "".join(
                ufunc.types
            ):
                continue
            blocks = [block(name, seed) for seed in range(ufunc.nin)]
            want = getattr(reference, ufunc.__name__)(*blocks)
            for n in SIZES:
                ins = [np.resize(b, n) for b in blocks]
                for way in (new, given, in_place, strided, other_order):
                    yield way, (ufunc, *ins), np.resize(want, n)


def other_cases():
    x, dy = block("f32", 1), block("f32", 2)
    for n in SIZES:
        n -= n % (8 * x.size) if n > 8 * x.size else n % 8
        xs, dys = np.resize(x, n), np.resize(dy, n)
        bits = np.resize(reference.bits_of(np.resize(x, 8 * x.size)), n // 8)
        yield relu_ext.relu_bits, (xs,), (np.resize(reference.relu(x), n), bits)
        want = np.resize(reference.relu_grad(dy, x), n)
        yield relu_ext.relu_grad_bits, (dys, bits), want
        yield relu_ext.sparsity, (xs,), np.mean(reference.is_zero(xs, "f32"))
        fires = reference.fires(xs, "f32").reshape(-1, 8)
        yield relu_ext.activity, (xs.reshape(-1, 8),), fires.sum(axis=0, dtype=np.int64)
        yield relu_ext.dead_units, (xs.reshape(-1, 8),), ~fires.any(axis=0)
        for function in (relu_ext.scale_shift, relu_ext.scale_shift_relu):
            want = getattr(reference, function.__name__)(x, 0.75, -0.25, "f32")
            yield function, (xs, 0.75, -0.25), np.resize(want, n)


def same(got, want):
    if isinstance(want, tuple):
        return all(map(same, got, want))
    got = np.asarray(got)
    return got.shape == want.shape and got.tobytes() == want.tobytes()


def change_settings(rng, isas):
    """One setting, at random."""
    change = rng.randrange(6)
    if change == 0:
        relu_ext.set_num_threads(rng.randint(1, 4))
    elif change == 1:
        with relu_ext.num_threads(rng.randint(1, 4)):
            assert 1 <= relu_ext.get_num_threads() <= 4
            time.sleep(0.001 * rng.random())
    elif change == 2:
        relu_ext.set_output_cache(rng.choice([0, 1 << 20, 1 << 26]))
    elif change == 3:
        assert lib.relu_ext_use_isa(rng.choice(isas)) == 0
    elif change == 4:
        lib.relu_ext_set_parallel_bytes(rng.choice([0, 4096, 1 << 16]))
    else:
        lib.relu_ext_set_stream_bytes(rng.choice([1, 1 << 16, sys.maxsize]))
    relu_ext.get_output_cache()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=60, help="default: %(default)s")
    parser.add_argument("--calls", type=int, help="of each thread, however long they take")
    arguments = parser.parse_args()

    cases = [*ufunc_cases(), *other_cases()]
    isas = [name.encode() for name in relu_ext.available_isas()]
    counts, wrong = [0] * arguments.threads, []
    over = threading.Event()
    sys.setswitchinterval(1e-5)

    def call(k):
        rng, end = random.Random(k), time.monotonic() + arguments.seconds
        while counts[k] < arguments.calls if arguments.calls else time.monotonic() < end:
            function, operands, want = rng.choice(cases)
            name = getattr(operands[0], "__name__", function.__name__)
            try:
                if not same(function(*operands), want):
                    wrong.append(f"{name}, {function.__name__}: other bits")
            except Exception as error:
                wrong.append(f"{name}, {function.__name__}: {error!r}")
            counts[k] += 1

    def change(k):
        rng = random.Random(-1 - k)
        try:
            while not over.is_set():
                change_settings(rng, isas)
        except Exception as error:
            wrong.append(repr(error))

    callers = [threading.Thread(target=call, args=(k,)) for k in range(arguments.threads)]
    changers = [threading.Thread(target=change, args=(k,)) for k in range(2)]
    for thread in (*callers, *changers):
        thread.start()
    for thread in callers:
        thread.join()
    over.set()
    for thread in changers:
        thread.join()
    gil = "with" if getattr(sys, "_is_gil_enabled", lambda: True)() else "without"
    print(
        f"{sum(counts):,} calls from {len(counts)} threads, {gil} the GIL:",
        f"{len(wrong)} wrong" + "".join(f"\n  {what}" for what in sorted(set(wrong))[:20]),
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
