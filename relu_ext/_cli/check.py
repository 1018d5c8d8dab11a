"""``relu-ext`` without a command: is it right here, and how fast?"""

import os
import sys
import time

import numpy as np

import relu_ext

# Of the CPU time that all threads could use; idle processors give nearly all of it, and one
# other process on two processors leaves three quarters.
_IDLE = 0.85


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
        ("forward", 8, lambda: relu_ext.relu(x, ours), lambda: np.maximum(x, 0, out=numpys),
         ours, numpys),
        ("in place", 8, lambda: relu_ext.relu_(ours_in_place),
         lambda: np.maximum(numpys_in_place, 0, out=numpys_in_place),
         ours_in_place, numpys_in_place),
        ("gradient", 12, lambda: relu_ext.relu_grad(dy, x, ours),
         lambda: np.multiply(dy, x > 0, out=numpys), ours, numpys),
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
    wanted, given = np.zeros(2), np.zeros(2)  # seconds of CPU: ours, NumPy's
    for name, moved, our_call, numpy_call, our_result, numpy_result in passes:
        our_call(), numpy_call()
        equal = np.array_equal(our_result, numpy_result)
        agree = agree and equal
        seconds = np.array([(_seconds(our_call), _seconds(numpy_call)) for _ in range(rounds)])
        times = seconds[:, :, 0]
        wanted += times.sum(axis=0) * (threads, 1)
        given += seconds[:, :, 1].sum(axis=0)
        our_time, numpy_time = np.median(times, axis=0)
        ratio = np.median(times[:, 1] / times[:, 0])
        print(
            f"{name:10}"
            f"{our_time * 1e3:7.2f} ms{moved * n / our_time / 1e9:6.1f} GB/s"
            f"{numpy_time * 1e3:7.2f} ms{moved * n / numpy_time / 1e9:6.1f} GB/s"
            f"{ratio:7.2f}x   {'equal' if equal else 'DIFFERENT'}"
        )
    shares = given / wanted
    if shares.min() < _IDLE:
        print(
            f"This machine is busy: relu_ext got {shares[0]:.0%} of the CPU time that its threads "
            f"could use, NumPy {shares[1]:.0%}.\nThe times are no measure: run it again when the "
            "machine is idle."
        )
    return 0 if agree else 1


def _seconds(call):
    """By the clock, and of CPU time in all threads."""
    start, start_cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - start_cpu
