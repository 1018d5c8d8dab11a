"""The command ``python -m bench.jax_ffi``: `relu` under JAX's jit, next to ``jax.nn.relu``.

Both give new arrays and are waited for after each call. JAX runs what it takes for long on another
thread (asynchronous dispatch), which costs a short call more than ReLU does: `--synchronous` turns
that off for both. It cannot be told how many threads to use; ``taskset -c 0`` gives it one CPU.
"""

import argparse
import importlib.metadata
import os
import random

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import machine
from bench.measure import compile_timing, settle
from bench.report import describe, format_ratio, format_seconds
from bench.results import Spread

# Elements, and how many times as long as relu_ext jax.nn.relu should take at least.
AIMS = {10**3: 0.9, 10**6: 0.95, 16 * 10**6: 1.0}
STATEMENT = "f(x).block_until_ready()"


def measure(functions, x, rounds):
    """Seconds of a call of each, by round."""
    timings = {name: compile_timing(STATEMENT, {"f": f, "x": x}) for name, f in functions.items()}
    number = max(1, int(3e-3 / min(t(1) for t in timings.values() for _ in range(3))))
    seconds = {name: [] for name in timings}
    order = list(timings)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            settle()
            timings[name](1)
            seconds[name].append(timings[name](number) / number)
    return seconds


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.jax_ffi", description=__doc__)
    parser.add_argument("--rounds", type=int, default=51, metavar="N")
    parser.add_argument("--synchronous", action="store_true", help="without asynchronous dispatch")
    args = parser.parse_args(argv)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", not args.synchronous)
    from relu_ext.integrations import jax as integration

    console = Console()
    facts = machine.describe_machine() | machine.describe_versions([])
    facts |= {name: importlib.metadata.version(name) for name in ("jax", "jaxlib")}
    facts |= {
        "implementation": integration.implementation,
        "dispatch": "synchronous" if args.synchronous else "asynchronous",
    }
    console.print(describe(facts), markup=False, highlight=False)
    table = Table(title="relu under jit, float32", title_justify="left")
    for heading in ("elements", "relu_ext", "jax.nn.relu", "times relu_ext", "aim"):
        table.add_column(heading, justify="right")
    functions = {"relu_ext": jax.jit(integration.relu), "jax.nn.relu": jax.jit(jax.nn.relu)}
    for n, aim in AIMS.items():
        x = jax.device_put(np.random.default_rng(1).standard_normal(n, np.float32))
        ours, theirs = (f(x) for f in functions.values())
        assert np.array_equal(ours, theirs)
        own, other = measure(functions, x, args.rounds).values()
        table.add_row(
            f"{n:,}",
            format_seconds(Spread.of(own).median),
            format_seconds(Spread.of(other).median),
            format_ratio(Spread.of([b / a for a, b in zip(own, other)])),
            f"{aim}×",
        )
    console.print(table)


if __name__ == "__main__":
    main()
