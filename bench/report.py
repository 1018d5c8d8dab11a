"""The run as text: tables per operation, and the comparison with an earlier run."""

import itertools
import statistics
from dataclasses import dataclass

from rich.table import Table

from bench.cases import OPERATIONS, format_size
from bench.results import Spread

HOW = (
    "GB/s: bytes read plus bytes written, each array once as in STREAM (2 arrays; gradient 3); "
    "the read of a cache line before it is overwritten is not counted.",
    "Ratios: time of the other / time of relu_ext in the same round, above 1 where relu_ext is "
    "faster; median ± half the interquartile range.",
    "Best copy: the fastest C pass over the same arrays, with or without streaming stores, or "
    "memcpy (in place: xors with 0; gradient: xors its two inputs), called like the others. C "
    "copy in a C loop: the same without calls from Python, so what the memory can do.",
    "NumPy has one thread, in the cases of several threads too. Of the ways in which a library "
    "can be told, the fastest was taken in each case; the JSON file names it.",
    "Warm: the same buffers again and again. Cold: buffers flushed from the caches before each "
    "call. In place, the values are those that the first call left: nothing is negative.",
    "New arrays are dropped before the next call, or, the last one alive, after it. Nothing "
    "cached: relu_ext's memory is given back in every call, as NumPy's is at that size.",
)


def print_run(console, results):
    """Everything: machine, tables, notes."""
    data = results.data
    console.rule("relu_ext benchmark")
    console.print(describe(data["machine"]))
    console.print(describe(data["versions"]))
    blocks = itertools.groupby(
        sorted(results.cases, key=lambda case: _block_order(results, case)), key=_block
    )
    for block, cases in blocks:
        console.print(case_table(results, block, list(cases)))
    for line in (*HOW, *_empty_call(results), *data["notes"]):
        console.print(f"• {line}", markup=False, highlight=False)


def describe(facts):
    """A flat line of a dict."""
    parts = []
    for key, value in facts.items():
        if isinstance(value, dict):
            value = " ".join(f"{k} {v}" for k, v in value.items())
        parts.append(f"{key}: {value}")
    return "; ".join(parts)


def case_table(results, block, cases):
    """One table: sizes down, contenders across."""
    op, dtype, threads, cache = block
    names = [
        name
        for name in results.names()
        if name != "empty" and any(results.rounds(case, name) for case in cases)
    ]
    threads = "1 thread" if threads == 1 else f"{threads} threads"
    table = Table(
        title=f"{OPERATIONS[op].title}, {dtype}, {threads}, {cache} cache",
        title_justify="left",
        title_style="bold",
    )
    for heading in ("elements", "relu_ext", "GB/s", *map(results.label, names)):
        table.add_column(heading, justify="right")
    for case in cases:
        ratios = [format_ratio(results.ratio(case, name)) for name in names]
        seconds = results.seconds(case, "relu_ext").median
        speed = f"{results.speed(case, 'relu_ext'):.3g}"
        table.add_row(format_size(case.n), format_seconds(seconds), speed, *ratios)
    return table


def format_seconds(seconds):
    """Three digits and a unit."""
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def format_ratio(ratio):
    """``2.31 ±0.04``; red where relu_ext is slower by more than the spread."""
    if ratio is None:
        return ""
    half = (ratio.high - ratio.low) / 2
    digits = 2 if ratio.median < 10 else 1
    text = f"{ratio.median:.{digits}f} ±{half:.{digits}f}"
    return f"[red]{text}[/red]" if is_slower(ratio) else text


def _block(case):
    return case.op, case.dtype, case.threads, case.cache


def _block_order(results, case):
    """The order in which the options name them."""
    options = results.data["options"]
    return (
        options["dtypes"].index(case.dtype),
        options["ops"].index(case.op),
        case.threads,
        options["cache"].index(case.cache),
        case.n,
    )


def _empty_call(results):
    """What the timing costs."""
    rounds = [r for case in results.cases if (r := results.rounds(case, "empty")) and case.n == 1]
    rounds = rounds or [r for case in results.cases if (r := results.rounds(case, "empty"))]
    if rounds:
        cost = statistics.median(itertools.chain.from_iterable(rounds))
        yield (
            f"The timing loop and a call of a C function that does nothing take "
            f"{format_seconds(cost)} of every figure; they are not subtracted."
        )


@dataclass(frozen=True)
class Change:
    """How much faster a contender is than in an earlier run: ratio of the medians."""

    name: str
    case: object
    ratio: Spread


def changes(results, earlier):
    """A Change for every case and contender that both runs have."""
    for case in results.cases.keys() & earlier.cases.keys():
        for name in results.cases[case]["seconds"]:
            now, before = results.seconds(case, name), earlier.seconds(case, name)
            if before:
                # The least and the most that the quartiles of both runs allow.
                low, high = before.low / now.high, before.high / now.low
                yield Change(name, case, Spread(before.median / now.median, low, high))


def print_against(console, results, earlier, listed=10):
    """Compare with an earlier run."""
    console.rule("against the earlier run")
    for what in ("machine", "versions"):
        now, before = results.data[what], earlier.data[what]
        for key in now.keys() | before.keys():
            if now.get(key) != before.get(key):
                then = before.get(key)
                console.print(f"• {key}: {then} then, {now.get(key)} now", markup=False)
    every = list(changes(results, earlier))
    ours = [change for change in every if change.name == "relu_ext"]
    if not ours:
        console.print("The runs have no case in common.")
        return
    console.print(contender_changes(results, every))

    others = other_changes(every)
    ours.sort(key=lambda change: change.ratio.median / others.get(change.case, 1))
    worst, best = ours[:listed], ours[: -listed - 1 : -1]
    console.print(case_changes("relu_ext’s worst cases", worst, others))
    console.print(case_changes("relu_ext’s best cases", best, others))
    slower = sum(is_slower(change.ratio, others.get(change.case, 1)) for change in ours)
    console.print(
        f"In {slower} of {len(ours)} cases relu_ext is slower beyond the spread of both runs, "
        "and more so than the others."
    )


def is_slower(ratio, others=1):
    """Whether all that the quartiles allow is below 1 and below the others, as it is printed."""
    return round(ratio.high, 2) < min(1, round(others, 2))


def other_changes(every):
    """By case, how much faster the others are: what the machine itself contributes."""
    ratios = {}
    for change in every:
        if not change.name.startswith("relu_ext"):
            ratios.setdefault(change.case, []).append(change.ratio.median)
    return {case: statistics.median(values) for case, values in ratios.items()}


def contender_changes(results, every):
    """A table with a line a contender."""
    table = Table(title="time then / time now, over the cases", title_justify="left")
    for heading in ("contender", "cases", "median", "least", "most"):
        table.add_column(heading, justify="left" if heading == "contender" else "right")
    for name in results.data["labels"]:
        if ratios := [change.ratio.median for change in every if change.name == name]:
            figures = (statistics.median(ratios), min(ratios), max(ratios))
            table.add_row(results.label(name), str(len(ratios)), *(f"{f:.2f}" for f in figures))
    return table


def case_changes(title, some, others):
    """A table with a line a case."""
    table = Table(title=f"{title}: time then / time now", title_justify="left")
    for heading in ("case", "ratio", "quartiles allow", "the others there"):
        table.add_column(heading, justify="left" if heading == "case" else "right")
    for change in some:
        ratio, other = change.ratio, others.get(change.case)
        table.add_row(
            str(change.case),
            f"{ratio.median:.2f}",
            f"{ratio.low:.2f} to {ratio.high:.2f}",
            f"{other:.2f}" if other else "",
        )
    return table
