"""
Each public function called over and over, in every way that takes another path, wrong ways
among them: reference counts and memory have to stay level.

    python tests/leaks.py                 10**6 calls of each; some minutes
    python tests/leaks.py --calls 20000   as the suite does it

Counts the references to every operand, to the dtypes, the functions, the keywords' names and
None; traces the memory that Python and NumPy allocate; and looks at the resident memory of
the process, for what is allocated behind their backs. Exit code 1 if anything grows.
"""

import argparse
import os
import resource
import sys
import sysconfig
import tracemalloc

os.environ.setdefault("OMP_NUM_THREADS", "3")

import numpy as np

import relu_ext
from relu_ext import relu, relu_, relu_grad, relu_grad_

KEPT_KIB = 256  # what allocators may keep: a call that leaves one byte behind takes more


def operands():
    """Small, since what is counted are calls; each kind that a path of its own is for."""
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6)
    read_only = x.copy()
    read_only.flags.writeable = False
    return {
        "x": x,
        "y": x.copy(),
        "rows": np.ones((4, 12), np.float32)[:, :6],
        "strided": np.ones((4, 12), np.float32)[:, ::2],
        "swapped": x.astype(x.dtype.newbyteorder()),
        "double": x.astype(np.float64),
        "integers": x.astype(np.int8),
        "complex": x.astype(np.complex64),
        "objects": x.astype(object),
        "short": np.ones(3, np.float32),
        "read_only": read_only,
        "mask": x > 0,
        "bits": np.zeros(3, np.uint8),
        "long": np.ones(20_000, np.float32),  # lets go of the GIL
        "scalar": np.float32(-1),
        "zero_d": np.array(-1, np.float32),
        "empty": np.ones((0, 6), np.float32),
        "subclass": x.copy().view(np.memmap),
    }


def with_threads(n):
    with relu_ext.num_threads(n):
        pass


# What is called, and whether it is an error.
CALLS = {
    "relu": [
        (False, lambda o: relu(o["x"])),
        (False, lambda o: relu(o["x"].T)),
        (False, lambda o: relu(o["x"], o["y"])),
        (False, lambda o: relu(o["x"], out=o["y"])),
        (False, lambda o: relu(o["x"], out=(o["y"],))),
        (False, lambda o: relu(o["long"])),
        (False, lambda o: relu(o["rows"])),
        (False, lambda o: relu(o["rows"], out=o["y"])),
        (False, lambda o: relu(o["strided"])),
        (False, lambda o: relu(o["strided"], out=o["strided"])),
        (False, lambda o: relu(o["swapped"], out=o["y"])),
        (False, lambda o: relu(o["integers"])),
        (False, lambda o: relu(o["x"], where=o["mask"], out=o["y"])),
        (False, lambda o: relu(o["x"], dtype=np.float64)),
        (False, lambda o: relu(o["x"], out=o["double"])),
        (False, lambda o: relu(o["scalar"])),
        (False, lambda o: relu(o["zero_d"])),
        (False, lambda o: relu(o["empty"])),
        (False, lambda o: relu(o["subclass"])),
        (False, lambda o: relu(-1.5)),
        (False, lambda o: relu([-1, 2])),
        (True, lambda o: relu(o["complex"])),
        (True, lambda o: relu(o["objects"])),
        (True, lambda o: relu("text")),
        (True, lambda o: relu(None)),
        (True, lambda o: relu()),
        (True, lambda o: relu(o["x"], o["y"], o["y"])),
        (True, lambda o: relu(o["x"], o["short"])),
        (True, lambda o: relu(o["x"], out=o["read_only"])),
        (True, lambda o: relu(o["x"], out=o["integers"])),
        (True, lambda o: relu(o["x"], out="text")),
        (True, lambda o: relu(o["x"], no_such_keyword=o["y"])),
        (True, lambda o: relu(o["x"], where=o["short"], out=o["y"])),
    ],
    "relu_grad": [
        (False, lambda o: relu_grad(o["x"], o["y"])),
        (False, lambda o: relu_grad(o["x"].T, o["y"].T)),
        (False, lambda o: relu_grad(o["x"], o["x"], o["y"])),
        (False, lambda o: relu_grad(o["x"], o["x"], out=o["y"])),
        (False, lambda o: relu_grad(o["rows"], o["x"])),
        (False, lambda o: relu_grad(o["strided"], o["x"], out=o["y"])),
        (False, lambda o: relu_grad(o["x"], o["double"])),
        (False, lambda o: relu_grad(o["x"], o["zero_d"])),
        (False, lambda o: relu_grad(o["scalar"], 1.0)),
        (False, lambda o: relu_grad.reduce(o["double"])),
        (False, lambda o: relu_grad.accumulate(o["double"])),
        (False, lambda o: relu_grad.outer(o["short"], o["short"])),
        (True, lambda o: relu_grad(o["x"])),
        (True, lambda o: relu_grad(o["x"], o["short"])),
        (True, lambda o: relu_grad(o["x"], o["complex"])),
        (True, lambda o: relu_grad(o["x"], o["x"], o["short"])),
        (True, lambda o: relu_grad(o["x"], o["x"], out=o["read_only"])),
        (True, lambda o: relu_grad(o["x"], o["x"], out=o["integers"])),
        (True, lambda o: relu_grad(o["x"], None)),
    ],
    "relu_": [
        (False, lambda o: relu_(o["x"])),
        (False, lambda o: relu_(o["strided"])),
        (False, lambda o: relu_(o["integers"])),
        (False, lambda o: relu_(o["swapped"])),
        (False, lambda o: relu_(o["zero_d"])),
        (False, lambda o: relu_(o["subclass"])),
        (True, lambda o: relu_(o["read_only"])),
        (True, lambda o: relu_(o["complex"])),
        (True, lambda o: relu_([-1, 2])),
        (True, lambda o: relu_(None)),
    ],
    "relu_grad_": [
        (False, lambda o: relu_grad_(o["y"], o["x"])),
        (False, lambda o: relu_grad_(o["strided"], o["x"])),
        (False, lambda o: relu_grad_(o["double"], o["integers"])),
        (True, lambda o: relu_grad_(o["read_only"], o["x"])),
        (True, lambda o: relu_grad_(o["x"], o["short"])),
        (True, lambda o: relu_grad_(o["integers"], o["integers"])),
        (True, lambda o: relu_grad_([1.0], o["x"])),
    ],
    "leaky_relu": [
        (False, lambda o: relu_ext.leaky_relu(o["x"], 0.1)),
        (False, lambda o: relu_ext.leaky_relu(o["x"], 1, o["y"])),
        (False, lambda o: relu_ext.leaky_relu(o["x"], o["y"])),
        (False, lambda o: relu_ext.leaky_relu(o["x"], o["zero_d"])),
        (False, lambda o: relu_ext.leaky_relu(o["rows"], 0.1)),
        (True, lambda o: relu_ext.leaky_relu(o["x"])),
        (True, lambda o: relu_ext.leaky_relu(o["x"], "text")),
        (True, lambda o: relu_ext.leaky_relu(o["x"], 0.1, o["short"])),
        (True, lambda o: relu_ext.leaky_relu(o["x"], 0.1, out=o["read_only"])),
    ],
    "leaky_relu_grad": [
        (False, lambda o: relu_ext.leaky_relu_grad(o["x"], o["y"], 0.1)),
        (False, lambda o: relu_ext.leaky_relu_grad(o["x"], o["y"], o["x"], o["y"])),
        (True, lambda o: relu_ext.leaky_relu_grad(o["x"], o["short"], 0.1)),
    ],
    "clipped_relu": [
        (False, lambda o: relu_ext.clipped_relu(o["x"], 6)),
        (False, lambda o: relu_ext.clipped_relu(o["integers"], 6)),
        (True, lambda o: relu_ext.clipped_relu(o["complex"], 6)),
    ],
    "clipped_relu_grad": [
        (False, lambda o: relu_ext.clipped_relu_grad(o["x"], o["y"], 6.0)),
        (True, lambda o: relu_ext.clipped_relu_grad(o["x"], o["y"], None)),
    ],
    "add_relu": [
        (False, lambda o: relu_ext.add_relu(o["x"], o["y"])),
        (False, lambda o: relu_ext.add_relu(o["x"], o["y"], o["x"])),
        (True, lambda o: relu_ext.add_relu(o["x"], o["objects"])),
    ],
    "prelu": [
        (False, lambda o: relu_ext.prelu(o["x"], 0.1, axis=0)),
        (True, lambda o: relu_ext.prelu(o["x"], o["x"])),
    ],
    "prelu_slope_grad": [
        (False, lambda o: relu_ext.prelu_slope_grad(o["x"], o["x"], 0)),
        (False, lambda o: relu_ext.prelu_slope_grad(o["x"], o["x"], None)),
        (True, lambda o: relu_ext.prelu_slope_grad(o["x"], o["short"], 0)),
        (True, lambda o: relu_ext.prelu_slope_grad(o["integers"], o["integers"], 0)),
    ],
    "relu_bits": [
        (False, lambda o: relu_ext.relu_bits(o["x"])),
        (False, lambda o: relu_ext.relu_bits(o["x"], o["y"])),
        (False, lambda o: relu_ext.relu_bits(o["strided"], bits=o["bits"])),
        (True, lambda o: relu_ext.relu_bits(o["integers"])),
        (True, lambda o: relu_ext.relu_bits(o["x"], o["short"])),
        (True, lambda o: relu_ext.relu_bits(o["x"], bits=o["x"])),
    ],
    "relu_grad_bits": [
        (False, lambda o: relu_ext.relu_grad_bits(o["x"], o["bits"])),
        (False, lambda o: relu_ext.relu_grad_bits(o["x"], o["bits"], o["y"])),
        (True, lambda o: relu_ext.relu_grad_bits(o["long"], o["bits"])),
        (True, lambda o: relu_ext.relu_grad_bits(o["x"], o["bits"], o["read_only"])),
    ],
    "scale_shift": [
        (False, lambda o: relu_ext.scale_shift(o["x"], 2.0, 1.0)),
        (False, lambda o: relu_ext.scale_shift([o["x"], o["x"]], 2.0, 1.0)),
        (True, lambda o: relu_ext.scale_shift([o["x"], o["x"][1:]], 2.0, 1.0)),
        (True, lambda o: relu_ext.scale_shift(o["x"], 2.0, None)),
    ],
    "scale_shift_relu": [
        (False, lambda o: relu_ext.scale_shift_relu(o["x"], 2.0, 1.0)),
        (False, lambda o: relu_ext.scale_shift_relu(o["x"], 2.0, o["scalar"], out=o["y"])),
        (False, lambda o: relu_ext.scale_shift_relu(o["swapped"], 2.0, 1.0, axis=0, out_axis=1)),
        (False, lambda o: relu_ext.scale_shift_relu(o["integers"], 2.0, 1.0)),
        (True, lambda o: relu_ext.scale_shift_relu(o["complex"], 2.0, 1.0)),
        (True, lambda o: relu_ext.scale_shift_relu(o["x"], o["long"], 1.0)),
        (True, lambda o: relu_ext.scale_shift_relu(o["x"], 2.0, 1.0, out=o["read_only"])),
    ],
    "sparsity": [
        (False, lambda o: relu_ext.sparsity(o["x"])),
        (False, lambda o: relu_ext.sparsity(o["strided"])),
        (False, lambda o: relu_ext.sparsity(o["swapped"])),
        (True, lambda o: relu_ext.sparsity(o["complex"])),
    ],
    "activity": [
        (False, lambda o: relu_ext.activity(o["x"])),
        (False, lambda o: relu_ext.activity(o["x"], None)),
        (True, lambda o: relu_ext.activity(o["x"], 99)),
        (True, lambda o: relu_ext.activity(o["objects"])),
    ],
    "dead_units": [
        (False, lambda o: relu_ext.dead_units(o["x"])),
        (False, lambda o: relu_ext.dead_units(o["rows"], -1)),
        (True, lambda o: relu_ext.dead_units(o["x"], "axis")),
    ],
    "get_output_cache": [(False, lambda o: relu_ext.get_output_cache())],
    "set_output_cache": [
        (False, lambda o: relu_ext.set_output_cache(2**26)),
        (True, lambda o: relu_ext.set_output_cache(-1)),
        (False, lambda o: relu_ext.set_output_cache("1M")),
        (True, lambda o: relu_ext.set_output_cache("1 M")),
    ],
    "set_num_threads": [
        (False, lambda o: relu_ext.set_num_threads(2)),
        (True, lambda o: relu_ext.set_num_threads(0)),
        (True, lambda o: relu_ext.set_num_threads("two")),
    ],
    "num_threads": [(False, lambda o: with_threads(2)), (True, lambda o: with_threads(-1))],
    "get_num_threads": [(False, lambda o: relu_ext.get_num_threads())],
    "isa": [(False, lambda o: relu_ext.isa())],
    "available_isas": [(False, lambda o: relu_ext.available_isas())],
    "get_include": [(False, lambda o: relu_ext.get_include())],
    "get_sources": [(False, lambda o: relu_ext.get_sources())],
}


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def counted(o):
    """Everything that a call could keep a reference to."""
    dtypes = [a.dtype for a in o.values() if isinstance(a, np.ndarray)]
    names = [sys.intern(name) for name in ("out", "where", "dtype", "casting")]
    return [*o.values(), *dtypes, *names, relu, relu_grad, np.ndarray, None, True, False]


def repeat(ways, o, count):
    """That many calls, the ways in turn."""
    guarded = [(call, Exception if wrong else ()) for wrong, call in ways]
    for k in range(count):
        call, refused = guarded[k % len(guarded)]
        try:
            call(o)
        except refused:
            pass


def check(name, count):
    """What has grown after so many calls of a function, in words; [] if nothing."""
    ways, o = CALLS[name], operands()
    for wrong, call in ways:
        if wrong:
            try:
                call(o)
            except (TypeError, ValueError):
                continue
            raise AssertionError(f"a call of {name} that is wrong was not refused")
    # Without a GIL some of what is freed is given back late, and at first in larger batches.
    warm_up = count if sysconfig.get_config_var("Py_GIL_DISABLED") else 10 * len(ways)
    repeat(ways, o, warm_up)

    things = counted(o)
    before = [sys.getrefcount(thing) for thing in things]
    memory = resident()
    repeat(ways, o, count)
    memory = resident() - memory
    references = [sys.getrefcount(thing) - n for thing, n in zip(things, before)]

    # What leaks grows every time; a dictionary of somebody's that is made larger does not.
    tracemalloc.start()
    repeat(ways, o, warm_up)
    grown_each_time = []
    for _ in range(3):
        traced = tracemalloc.get_traced_memory()[0]
        repeat(ways, o, count // 10)
        grown_each_time.append(tracemalloc.get_traced_memory()[0] - traced)
    tracemalloc.stop()
    traced = min(grown_each_time)

    # One way that kept one reference would have kept this many. Others hold and drop a few
    # to what is not ours alone meanwhile.
    one_way = count // len(ways)
    grown = [
        f"{n} references to {str(thing)[:40]!r}"
        for thing, n in zip(things, references)
        if abs(n) > one_way // 2
    ]
    if memory > KEPT_KIB << 10:
        grown.append(f"{memory >> 10} KiB of resident memory")
    if traced > one_way // 10 * 8:
        grown.append(f"{traced} bytes that tracemalloc sees")
    return grown, memory


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--calls", type=int, default=10**6, help="default: %(default)s")
    count = parser.parse_args().calls
    before, wrong = relu_ext.lib.relu_ext_get_num_threads_asked(), False
    for name in CALLS:
        grown, memory = check(name, count)
        print(
            f"{name}: {count:,} calls in {len(CALLS[name])} ways, {memory >> 10} KiB more,",
            "; ".join(grown) if grown else "nothing has grown",
            flush=True,
        )
        wrong |= bool(grown)
    relu_ext.lib.relu_ext_set_num_threads(before)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
