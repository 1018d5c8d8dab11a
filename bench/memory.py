"""The command ``python -m bench.memory``: resident memory over a million calls.

Results of varied sizes, some of them alive for a while, with the output cache and
without. Whatever leaks or piles up would show as a line that rises.
"""

import argparse
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter

import relu_ext
from bench import machine, plots

MIB = 2**20
SMALLEST, LARGEST = 2**10, 64 * MIB  # bytes of a result
ALIVE = 3  # results at any time, of all ages
SAMPLES = 1000
WITH, WITHOUT = "with the output cache", "without the output cache"
RUNS = {WITH: "relu_ext", WITHOUT: "numpy"}  # and whose style


def measure(calls, cached):
    """Make so many results; returns a row of bytes a sample, and the cache's figures.

    The columns: resident, of results alive, kept in the cache.
    """
    relu_ext.set_num_threads(1)  # the calls' time is not what this is about
    if not cached:
        relu_ext.set_output_cache(0)
    rng = np.random.default_rng(0)
    x = np.ones(LARGEST, np.int8)
    # As many between 1 and 4 KiB as larger, and so on: large ones are rare, but most of
    # the bytes.
    sizes = (SMALLEST / rng.uniform(np.sqrt(SMALLEST / LARGEST), 1, calls) ** 2).astype(int)
    slots = rng.integers(ALIVE, size=calls)
    alive = [np.empty(0)] * ALIVE
    samples = []
    start = time.perf_counter()
    for call, (size, slot) in enumerate(zip(sizes.tolist(), slots.tolist()), 1):
        alive[slot] = relu_ext.relu(x[:size])
        if call * SAMPLES // calls > len(samples):
            samples.append(
                (
                    resident_bytes(),
                    sum(result.nbytes for result in alive),
                    relu_ext.get_output_cache().held,
                )
            )
    return np.array(samples), relu_ext.get_output_cache(), time.perf_counter() - start


def resident_bytes():
    """Of this process, as Linux counts."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def draw(runs, calls):
    """Resident memory against calls, the results alive taken off, as these come and go."""
    figure, axes = plt.subplots(figsize=(10.6, 4), layout="constrained")
    for label, (samples, _, _) in runs.items():
        beyond = (samples[:, 0] - samples[:, 1]) / MIB
        colour = plots.STYLES[RUNS[label]][0]
        axes.plot(np.linspace(0, calls, len(beyond)), beyond, color=colour, label=label)
    without = np.median((runs[WITHOUT][0] @ [1, -1, 0]) / MIB)
    limit = runs[WITH][1].limit / MIB
    axes.axhline(
        without + limit, color="#8A8A8A", linestyle="--", label="without it, plus the cache’s limit"
    )
    axes.set_ylim(0)
    axes.set_xlabel("calls")
    axes.set_ylabel("MiB")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{int(n):,}"))
    axes.tick_params(length=0)
    axes.set_title(
        "Resident memory beyond the results alive, over calls of relu(x), 1 KiB to 64 MiB",
        fontweight="bold",
        color=plots.TEXT_COLOUR,
    )
    axes.legend(frameon=False, loc="lower right", ncols=3)
    facts = machine.describe_machine()
    footer = f"{facts['cpu']}, {facts['memory GiB']} GiB, {facts['system']}, NumPy {np.__version__}"
    figure.supxlabel(footer, x=0.01, ha="left", fontsize=8, color=plots.TEXT_COLOUR)
    return figure


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--calls", type=int, default=10**6, metavar="N")
    parser.add_argument("--output", type=Path, default=Path("build", "bench"), metavar="DIR")
    args = parser.parse_args(argv)
    if args.calls < SAMPLES:
        parser.error(f"--calls must be at least {SAMPLES}")
    # Each in a process of its own, that starts with nothing.
    spawn = multiprocessing.get_context("spawn")
    runs = {}
    for label in RUNS:
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            runs[label] = pool.submit(measure, args.calls, label == WITH).result()
        samples, cache, seconds = runs[label]
        beyond = (samples[:, 0] - samples[:, 1]) / MIB
        tenths = [np.median(part) for part in np.array_split(beyond, 10)]
        print(
            f"{label}: {args.calls:,} calls in {seconds:.0f} s, {cache.hits:,} hits, "
            f"{cache.misses:,} misses; MiB resident beyond the results alive, median of each "
            f"tenth: {' '.join(f'{tenth:.0f}' for tenth in tenths)}; most {beyond.max():.0f}, "
            f"kept at most {samples[:, 2].max() / MIB:.0f} of {cache.limit / MIB:.0f}"
        )
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / "output-cache-memory.png"
    plots.save(draw(runs, args.calls), path)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
