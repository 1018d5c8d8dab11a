"""``relu-ext`` without a command: is it right here, and how fast?"""

import os
import sys
import time

import numpy as np

import relu_ext
from relu_ext._system import ask

# Of the CPU time that all threads could use; idle processors give one thread nearly all of it.
# Several may be short of it for waiting for each other, but are then not interrupted: beside
# one other process, that is 200 times a second.
_IDLE, _INTERRUPTED = 0.85, 50


def run(mebibytes=64, rounds=7):
    """Check and time the three passes against NumPy; returns 0 if the results agree."""
    n = mebibytes * 2**20 // 4
    rng = np.random.default_rng(0)
    x = rng.standard_normal(n, dtype=np.float32)
    dy = rng.standard_normal(n, dtype=np.float32)
    ours, numpys = np.empty_like(x), np.empty_like(x)
    ours_in_place, numpys_in_place = x.copy(), x.copy()
    # name, bytes moved per element, our call, NumPy's idiom, the two results
    passes = [
        (
            "forward",
            8,
            lambda: relu_ext.relu(x, ours),
            lambda: np.maximum(x, 0, out=numpys),
            ours,
            numpys,
        ),
        (
            "in place",
            8,
            lambda: relu_ext.relu_(ours_in_place),
            lambda: np.maximum(numpys_in_place, 0, out=numpys_in_place),
            ours_in_place,
            numpys_in_place,
        ),
        (
            "gradient",
            12,
            lambda: relu_ext.relu_grad(dy, x, ours),
            lambda: np.multiply(dy, x > 0, out=numpys),
            ours,
            numpys,
        ),
    ]
    print(
        f"relu_ext {relu_ext.__version__}, {relu_ext.isa()} kernels "
        f"(available: {', '.join(relu_ext.available_isas())}); "
        f"NumPy {np.__version__}, Python {sys.version.split()[0]}"
    )
    print(f"{mebibytes} MiB of float32, median of {rounds} rounds; GB/s of bytes read + written")
    print(f"{'':10}{'relu_ext':>19}{'NumPy':>19}   ratio   results")
    agree = True
    threads = min(relu_ext.get_num_threads(), os.cpu_count() or 1)
    clock, cpu, interruptions = np.zeros((3, 2))  # in all calls: ours, NumPy's
    for name, moved, our_call, numpy_call, our_result, numpy_result in passes:
        our_call(), numpy_call()
        equal = np.array_equal(our_result, numpy_result)
        agree = agree and equal
        taken = np.array([(_take(our_call), _take(numpy_call)) for _ in range(rounds)])
        times = taken[:, :, 0]
        for total, each in zip((clock, cpu, interruptions), np.moveaxis(taken, 2, 0)):
            total += each.sum(axis=0)
        our_time, numpy_time = np.median(times, axis=0)
        ratio = np.median(times[:, 1] / times[:, 0])
        print(
            f"{name:10}"
            f"{our_time * 1e3:7.2f} ms{moved * n / our_time / 1e9:6.1f} GB/s"
            f"{numpy_time * 1e3:7.2f} ms{moved * n / numpy_time / 1e9:6.1f} GB/s"
            f"{ratio:7.2f}x   {'equal' if equal else 'DIFFERENT'}"
        )
    shares = cpu / clock / (threads, 1)
    if shares[1] < _IDLE or (shares[0] < _IDLE and interruptions[0] > _INTERRUPTED * clock[0]):
        print(
            f"This machine is busy: relu_ext got {shares[0]:.0%} of the CPU time that its threads "
            f"could use, NumPy {shares[1]:.0%}.\nThe times are no measure: run it again when the "
            "machine is idle."
        )
    return 0 if agree else 1


def _take(call):
    """Seconds by the clock and of CPU in all threads, and how often others got that CPU."""
    interruptions, cpu, start = _interruptions(), time.process_time(), time.perf_counter()
    call()
    return (
        time.perf_counter() - start,
        time.process_time() - cpu,
        _interruptions() - interruptions,
    )


def _interruptions():
    return ask("interruptions", _involuntary_switches) or 0


def _involuntary_switches():
    import resource  # Unix only

    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
