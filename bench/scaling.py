"""How many times as many calls a second several threads make as one does.

    python bench/scaling.py                 on an idle machine
    chrt -f 1 python bench/scaling.py       on a busy one, whose CPUs this takes for seconds

For free-threaded interpreters; with a GIL, small calls share one CPU. Each thread has its own
arrays. Contenders take turns, and figures are medians of ratios within a round; what is measured
while other processes want the CPUs is thrown away. "None" is a loop without a call.
"""

import argparse
import platform
import random
import statistics
import sys
import threading
import time

import numpy as np

import relu_ext

SECONDS = 0.01  # of one thread's calls in a round: short, so that nothing may come between
TRIES = 20


CALLS = (
    "relu(x, out=y)",
    "relu(x)",
    "relu_(x)",
    "leaky_relu(x, 0.01, out=y)",
    "relu_bits(x, y, bits)",
    "scale_shift(x, 2.0, 1.0, out=y)",
    "activity(x, 0)",
    "np.maximum(x, 0, out=y)",
    "np.maximum(x, 0)",
    "None",
)


def loop(call):
    """Of so many calls, in a function of the names that a program would look up, too."""
    names = {**vars(relu_ext), "np": np}
    source = f"def repeat(count, x, y, bits):\n for _ in range(count):\n  {call}"
    exec(source, names)
    return names["repeat"]


def calls_a_second(repeat, count, n, threads):
    """Of all threads together; None if one of them did not have a CPU to itself all the time."""
    ready, rates = threading.Barrier(threads), []

    def work():
        x = np.random.default_rng(0).standard_normal(n, dtype=np.float32)
        arrays = x, np.empty_like(x), np.empty((n + 7) // 8, np.uint8)
        ready.wait()
        wall, cpu = time.perf_counter(), time.thread_time()
        repeat(count, *arrays)
        wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
        rates.append(count / wall if cpu > 0.95 * wall else None)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return None if None in rates else sum(rates)


def undisturbed(*arguments):
    """The first of several tries in which nothing else wanted the CPUs, or None."""
    tries = (calls_a_second(*arguments) for _ in range(TRIES))
    return next((rate for rate in tries if rate), None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=25, help="default: %(default)s")
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 1024, 65536])
    arguments = parser.parse_args()
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(
        f"CPython {platform.python_version()}, {'with' if gil else 'without'} the GIL, NumPy "
        f"{np.__version__}, relu_ext {relu_ext.__version__}; {arguments.threads} threads against 1"
    )
    functions = {call: loop(call) for call in CALLS}
    for n in arguments.sizes:
        counts = {}
        for name, repeat in functions.items():
            once = undisturbed(repeat, 1000, n, 1) or 10**6
            counts[name] = max(1, round(SECONDS * once))
        ratios = {name: [] for name in functions}
        rates = {name: [] for name in functions}
        for _ in range(arguments.rounds):
            for name in random.sample([*functions], len(functions)):
                one = undisturbed(functions[name], counts[name], n, 1)
                all_ = undisturbed(functions[name], counts[name], n, arguments.threads)
                if one and all_:
                    ratios[name].append(all_ / one)
                    rates[name].append(one)
        print(f"\n{n:,} elements of float32")
        for name, of_rounds in ratios.items():
            if len(of_rounds) < 2:
                print(f"  {name:32}the CPUs are too busy")
                continue
            low, middle, high = statistics.quantiles(of_rounds, n=4)
            print(
                f"  {name:32}{middle:5.2f} ({low:.2f} to {high:.2f}) of {len(of_rounds)} rounds,"
                f" one thread {1e9 / statistics.median(rates[name]):,.0f} ns"
            )


if __name__ == "__main__":
    main()
