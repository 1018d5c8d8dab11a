"""The command ``python -m bench.load``: calls beside other work.

Each contender runs in a process of its own, and they take turns, while so many other processes
spin; then four processes at once make calls, with the default number of threads and with one;
then relu_ext and PyTorch take turns in one process.
"""

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile

from bench import machine

# What runs a contender: it is not to import anything of this package, which may be another build.
WORKER = """
import json, sys, time
import numpy as np
name, arrays = sys.argv[1], {}
if "relu_ext" in name:
    import relu_ext
    if "one thread" in name:
        relu_ext.set_num_threads(1)
if "torch" in name or name == "in turn":
    import torch
    torch.inference_mode().__enter__()

def calls(n):
    if n not in arrays:
        arrays.clear()
        x = np.random.default_rng(0).standard_normal(n, dtype=np.float32)
        y = np.empty_like(x)
        arrays[n] = x, y
    x, y = arrays[n]
    if "torch" not in name:
        import relu_ext
        ours = lambda relu=relu_ext.relu: relu(x, y)
        if name != "in turn":
            return [ours]
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    theirs = lambda relu=torch.clamp_min: relu(a, 0, out=b)
    return [ours, theirs] if name == "in turn" else [theirs]

clock = time.perf_counter_ns
for line in sys.stdin:
    n, seconds = json.loads(line)
    functions = calls(n)
    times = [[] for _ in functions]
    for _ in range(5):
        for function in functions:
            function()
    end = clock() + seconds * 1e9
    while not times[0] or clock() < end:
        for function, spent in zip(functions, times):
            before = clock()
            function()
            spent.append(clock() - before)
    print(json.dumps(times), flush=True)
"""
OURS, ONE_THREAD, TORCH, OTHER = "relu_ext", "relu_ext, one thread", "torch", "other relu_ext"
IN_TURN = "in turn"


class Worker:
    def __init__(self, name, python=sys.executable, folder=None):
        self.process = subprocess.Popen(
            [python, "-c", WORKER, name],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, n, seconds):
        print(json.dumps([n, seconds]), file=self.process.stdin, flush=True)

    def end(self):
        """Nanoseconds of each call, a list for each function."""
        line = self.process.stdout.readline()
        if not line:
            sys.exit("a contender has ended: see above")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


@contextlib.contextmanager
def spinning(count):
    spinners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def figures(times):
    times = sorted(times)
    return {
        "calls": len(times),
        "mean": statistics.fmean(times) / 1000,
        "median": statistics.median(times) / 1000,
        "p99": times[min(len(times) - 1, math.ceil(len(times) * 0.99) - 1)] / 1000,
    }


def beside_others(names, start, sizes, options):
    """Rows of how long a call takes, in µs, beside 0, 1, ... processes that spin."""
    rows = []
    workers = {name: start(name) for name in names}
    for load in options.loads:
        with spinning(load):
            for n in sizes:
                times = {name: [] for name in names}
                for _ in range(options.rounds):
                    for name, worker in workers.items():
                        worker.begin(n, options.seconds)
                        times[name] += worker.end()[0]
                rows.append(
                    {"spinning": load, "n": n, **{name: figures(times[name]) for name in names}}
                )
                print(row(rows[-1], names), flush=True)
    for worker in workers.values():
        worker.close()
    return rows


def row(cells, names):
    text = f"| {cells['spinning']} | {size(cells['n'])} |"
    for name in names:
        f = cells[name]
        text += f" {f['mean']:,.0f} | {f['median']:,.0f} | {f['p99']:,.0f} |"
    return text


def size(n):
    return f"{n >> 20} Mi" if n >= 1 << 20 else f"{n >> 10} Ki"


def at_once(names, start, sizes, options):
    """Rows of the calls per second of all processes together."""
    rows = []
    for n in sizes:
        counts = {name: [] for name in names}
        workers = {name: [start(name) for _ in range(options.processes)] for name in names}
        for _ in range(options.rounds):
            for name in names:
                for worker in workers[name]:
                    worker.begin(n, 4 * options.seconds)
                done = sum(len(worker.end()[0]) for worker in workers[name])
                counts[name].append(done / (4 * options.seconds))
        rows.append({"n": n, **{name: statistics.median(counts[name]) for name in names}})
        cells = " | ".join(f"{rows[-1][name]:,.0f}" for name in names)
        print(f"| {size(n)} | {cells} |", flush=True)
        for name in names:
            for worker in workers[name]:
                worker.close()
    return rows


def in_turn(start, sizes, options):
    """Rows of the medians alone and in turn with the other, in µs."""
    rows = []
    workers = {name: start(name) for name in (OURS, TORCH, IN_TURN)}
    for n in sizes:
        times = {name: [] for name in (OURS, TORCH, "relu_ext in turn", "torch in turn")}
        for _ in range(options.rounds):
            for name, worker in workers.items():
                worker.begin(n, options.seconds)
                found = worker.end()
                names = ["relu_ext in turn", "torch in turn"] if name == IN_TURN else [name]
                for which, spent in zip(names, found):
                    times[which] += spent
        rows.append({"n": n, **{name: figures(spent) for name, spent in times.items()}})
        cells = " | ".join(f"{rows[-1][name]['median']:,.0f}" for name in times)
        print(f"| {size(n)} | {cells} |", flush=True)
    for worker in workers.values():
        worker.close()
    return rows


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two sizes, and one round")
    parser.add_argument("--rounds", type=int, default=10, help="of each case (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.2, help="a round (%(default)s)")
    parser.add_argument(
        "--loads", type=int, nargs="+", default=[0, 1, 2], help="processes that spin (%(default)s)"
    )
    parser.add_argument("--processes", type=int, default=4, help="at once (%(default)s)")
    parser.add_argument("--other", metavar="PYTHON", help="that has another build of relu_ext")
    parser.add_argument("--output", default="load.json", help="for the results (%(default)s)")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds = 1
    return options


def main(arguments=None):
    options = parse(arguments)
    sizes = [1 << 18, 1 << 20] if options.quick else [1 << k for k in (16, 17, 18, 20, 22, 24)]
    names = [OURS, ONE_THREAD]
    with contextlib.suppress(ImportError):
        import torch  # noqa: F401

        names.append(TORCH)
    if options.other:
        names.append(OTHER)
    # An empty folder: nothing in it hides what is installed.
    with tempfile.TemporaryDirectory() as folder:

        def start(name):
            python = options.other if name == OTHER else sys.executable
            return Worker(name, python, folder)

        found = {"machine": machine.describe_machine(), "load before": os.getloadavg()}
        print(
            "| spinning | elements |" + "".join(f" {name}: mean | median | p99 |" for name in names)
        )
        print("| ---: | ---: |" + " ---: |" * 3 * len(names))
        found["beside others"] = beside_others(names, start, sizes, options)
        print(f"\nCalls per second of {options.processes} processes at once\n")
        print("| elements | " + " | ".join(names) + " |\n| ---: |" + " ---: |" * len(names))
        found["at once"] = at_once(names, start, sizes[-4:], options)
        if TORCH in names:
            print("\nIn turn in one process\n")
            print("| elements | relu_ext | torch | relu_ext in turn | torch in turn |")
            print("| ---: | ---: | ---: | ---: | ---: |")
            found["in turn"] = in_turn(start, sizes[-4:], options)
    with open(options.output, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
