"""The project's aims, one row each, and how far a run fulfils them."""

from collections.abc import Callable
from dataclasses import dataclass

from rich.table import Table

from bench.results import BEST_COPY

KI, MI = 2**10, 2**20


@dataclass(frozen=True)
class Aim:
    against: str
    where: str
    at_least: float
    name: str  # of the contender
    holds_for: Callable  # case: whether the aim speaks of it


def _f32(op, low, high=None):
    """One thread, as NumPy has no more."""
    return lambda c: (c.op, c.dtype, c.threads) == (op, "f32", 1) and low <= c.n <= (high or c.n)


def _new_f32(*ops):
    """16 to 256 MiB of new output, whatever the threads."""
    return lambda c: c.op in ops and c.dtype == "f32" and 4 * MI <= c.n <= 64 * MI


RELU = ("forward", "inplace", "allocating", "gradient")
NEW = "f32, 16 to 256 MiB, new array"
MAXIMUM = "np.maximum(x, 0, out=y)"
AIMS = (
    Aim(MAXIMUM, "f32, n ≤ 1024", 8, "numpy", _f32("forward", 1, 1024)),
    Aim(MAXIMUM, "f32, 4 Ki to 1 Mi, out of place", 3.5, "numpy", _f32("forward", 4 * KI, MI)),
    Aim(MAXIMUM, "f32, 16 Mi and more, out of place", 1.9, "numpy", _f32("forward", 16 * MI)),
    Aim(MAXIMUM, "f32, 16 Mi and more, in place", 2.2, "numpy", _f32("inplace", 16 * MI)),
    Aim(
        MAXIMUM,
        "f16, any size from 256",
        10,
        "numpy",
        lambda c: (c.op, c.dtype, c.threads) == ("forward", "f16", 1) and c.n >= 256,
    ),
    Aim("dy * (x > 0)", "f32 gradient, any size", 2, "numpy", _f32("gradient", 1)),
    Aim(
        "PyTorch",
        "ReLU: every operation, dtype, size and number of threads",
        1,
        "torch",
        lambda c: c.op in RELU,
    ),
    Aim("PyTorch", "ReLU, n ≤ 1024", 8, "torch", lambda c: c.op in RELU and c.n <= 1024),
    Aim(
        "PyTorch",
        "leaky_relu, clipped_relu, f32, 4 Ki and more",
        1,
        "torch",
        lambda c: c.op in ("leaky", "clipped") and c.dtype == "f32" and c.n >= 4 * KI,
    ),
    Aim(
        "np.add(a, b, out); np.maximum(out, 0, out)",
        "add_relu f32, 4 Ki and more",
        1.8,
        "numpy",
        _f32("add", 4 * KI),
    ),
    Aim("relu(x, out=y)", NEW, 0.87, "relu_ext_out", _new_f32("allocating", "rebinding")),
    Aim("np.maximum(x, 0)", NEW, 3, "numpy", _new_f32("allocating", "rebinding")),
    Aim("torch.relu(x)", NEW, 6, "torch", _new_f32("allocating", "rebinding")),
    Aim(
        "np.maximum(x, 0)",
        "f32, 64 MiB, new array, nothing cached",
        1,
        "numpy",
        lambda c: (c.op, c.dtype, c.n) == ("first", "f32", 16 * MI),
    ),
    Aim(
        "(y > 0).sum(axis) and (y == 0).mean()",
        "f32, 1 Ki and more",
        3,
        "numpy",
        lambda c: (
            c.op in ("sparsity", "activity") and (c.dtype, c.threads) == ("f32", 1) and c.n >= KI
        ),
    ),
    Aim(
        "relu and relu_grad",
        "relu_bits and relu_grad_bits, f32, 16 Mi and more",
        1,
        "relu_ext_without_bits",
        lambda c: (c.op, c.dtype) == ("bits", "f32") and c.n >= 16 * MI,
    ),
    Aim(
        "PyTorch",
        "f32, 16 Mi and more, out of place",
        1.4,
        "torch",
        lambda c: (c.op, c.dtype) == ("forward", "f32") and c.n >= 16 * MI,
    ),
    Aim("Numba", "n ≤ 1024", 2, "numba", lambda c: c.n <= 1024),
    Aim(
        "the best copy in C",
        "every size from 4 Ki, out of place",
        0.95,
        BEST_COPY,
        lambda c: c.op == "forward" and c.n >= 4 * KI,
    ),
    Aim(
        "itself on 1 thread",
        "all threads, 256 Ki and more",
        1.6,
        "relu_ext_1_thread",
        lambda c: c.n >= 256 * KI and c.op != "first",
    ),
)


def worst(results, aim, cache):
    """The case that is furthest from the aim and its ratio; None if none was measured."""
    found = [
        (ratio, case)
        for case in results.cases
        if case.cache == cache and aim.holds_for(case)
        if (ratio := results.ratio(case, aim.name))
    ]
    return min(found, key=lambda pair: pair[0].median, default=None)


def print_aims(console, results):
    """The aims with the worst case of each, warm and cold."""
    table = Table(title="the project's aims, and the worst case of each", title_justify="left")
    for heading in (
        "against",
        "where",
        "at least",
        "reached",
        "by (the worst case)",
        "cold cache",
        "by (the worst case)",
    ):
        table.add_column(heading)
    for aim in AIMS:
        cells = [cell for cache in ("warm", "cold") for cell in _cells(results, aim, cache)]
        table.add_row(aim.against, aim.where, f"{aim.at_least:g}×", *cells)
    console.print(table)
    console.print(
        "The aims were set for warm caches. Green: reached. Yellow: reached by the upper "
        "quartile, so within the noise. Red: not reached."
    )


def _cells(results, aim, cache):
    pair = worst(results, aim, cache)
    if pair is None:
        return "not measured", ""
    ratio, case = pair
    colour = (
        "green"
        if ratio.median >= aim.at_least
        else "yellow"
        if ratio.high >= aim.at_least
        else "red"
    )
    return f"[{colour}]{ratio.median:.2f}× ({ratio.low:.2f} to {ratio.high:.2f})[/]", str(case)
