"""The command ``python -m bench``."""

import argparse
import importlib
import operator
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import relu_ext
from bench import aims, machine, plots, report, roof
from bench.cases import CACHES, DTYPES, OPERATIONS, SIZES, parse_size
from bench.contenders import ALL, Custom, Unsupported
from bench.measure import Runner
from bench.results import BEST_COPY, FORMAT, Results

QUICK = {
    "dtypes": ["f32", "f16"],
    "sizes": [16, 2**10, 2**14, 2**18, 2**22, 2**24],
    "cache": ["warm"],
    "contenders": [
        "relu_ext_1_thread",
        "relu_ext_out",
        "numpy",
        "copyto",
        "copy_c",
        "copy_c_streaming",
        "memcpy",
        "torch",
        "empty",
    ],
    "rounds": 9,
    "budget": 0.3,
}


def names(*valid):
    """A converter of comma-separated names."""

    def convert(text):
        chosen = text.split(",")
        if unknown := sorted(set(chosen) - set(valid)):
            problem = f"{', '.join(unknown)}: valid are {', '.join(valid)}"
            raise argparse.ArgumentTypeError(problem)
        return chosen

    return convert


def sizes(text):
    try:
        return sorted({parse_size(part) for part in text.split(",")})
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def threads(all_threads):
    """A converter of numbers of threads, `all` among them."""

    def convert(text):
        counts = [str(all_threads) if part == "all" else part for part in text.split(",")]
        if not all(count.isdecimal() and int(count) for count in counts):
            raise argparse.ArgumentTypeError(f"{text!r} must be all, or numbers from 1 on")
        return sorted(set(map(int, counts)))

    return convert


def positive(text):
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number from 1 on")
    return int(text)


def run(path):
    try:
        return Results.load(path)
    except (OSError, ValueError, KeyError) as error:
        raise argparse.ArgumentTypeError(f"cannot read {path}: {error}") from None


def function(name):
    module, _, attribute = name.partition(":")
    try:
        return Custom(name, operator.attrgetter(attribute)(importlib.import_module(module)))
    except (ImportError, AttributeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{name!r} must be MODULE:FUNCTION: {error}") from None


def parse(argv, all_threads):
    """The arguments; ends the process with a message if they are wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Time relu_ext against its peers and against what the memory allows.",
    )
    known = [contender.name for contender in ALL]
    add = parser.add_argument
    add("--quick", action="store_true", help="a small selection, under a minute")
    add(
        "--ops",
        type=names(*OPERATIONS),
        default=list(OPERATIONS),
        metavar="OP,...",
        help=", ".join(OPERATIONS),
    )
    add(
        "--dtypes",
        type=names(*DTYPES),
        default=list(DTYPES),
        metavar="DTYPE,...",
        help=", ".join(DTYPES),
    )
    add(
        "--sizes",
        type=sizes,
        default=list(SIZES),
        metavar="N,...",
        help="in elements, such as 64,4Ki,16Mi; default: the powers of 4 up to 64Mi",
    )
    add(
        "--threads",
        type=threads(all_threads),
        default=sorted({1, all_threads}),
        metavar="N,...",
        help="default: 1,all",
    )
    add(
        "--cache",
        type=names(*CACHES),
        default=list(CACHES),
        metavar="CACHE,...",
        help="warm, cold; cold where it differs; default: both",
    )
    add(
        "--contenders",
        type=names(*known),
        default=known,
        metavar="NAME,...",
        help="next to relu_ext, which always takes part; default: those that are installed of "
        + ", ".join(known),
    )
    add(
        "--contender",
        type=function,
        action="append",
        default=[],
        metavar="MODULE:FUNCTION",
        help="f(x, out), a float32 forward pass of yours, for the same table; may be repeated",
    )
    add("--rounds", type=positive, default=25, metavar="N", help="at most; default: %(default)s")
    add(
        "--budget",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="for the rounds of one case, of which there are at least 5; default: %(default)s",
    )
    add(
        "--output",
        type=Path,
        default=Path("build", "bench"),
        metavar="DIR",
        help="for results.json and the pictures; default: %(default)s",
    )
    add("--targets", action="store_true", help="print the project's aims and what was reached")
    add("--against", type=run, metavar="FILE.json", help="compare with an earlier run")
    add(
        "--load",
        type=run,
        metavar="FILE.json",
        help="measure nothing: show that run again, tables and pictures",
    )
    args = parser.parse_args(argv)
    if args.quick:  # what it chooses can still be overruled
        parser.set_defaults(**QUICK)
        args = parser.parse_args(argv)
    return args


def main(argv=None):
    """Run the command line."""
    args = parse(argv, all_threads=relu_ext.get_num_threads())
    console = Console(width=None if sys.stdout.isatty() else 200)
    results = args.load
    if results is None:
        results = measure(args)
        args.output.mkdir(parents=True, exist_ok=True)
        results.save(args.output / "results.json")
    report.print_run(console, results)
    if args.targets:
        aims.print_aims(console, results)
    if args.against:
        report.print_against(console, results, args.against)
    for path in plots.draw_all(results, args.output):
        console.print(f"wrote {path}", highlight=False)


def measure(args):
    """Run all cases; returns the Results."""
    notes = []
    if not roof.build():
        notes.append("no copies in C and no cold cases: no C compiler here takes bench/roof.c")
    contenders = [*load_contenders(args.contenders, notes), *args.contender]
    runner = Runner(contenders, args.rounds, args.budget, machine.last_level_cache_bytes())
    for note in notes:
        runner.note(note)
    cases = list(runner.cases(args.ops, args.dtypes, args.sizes, args.threads, args.cache))
    rows = []
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    ) as progress:
        task = progress.add_task("", total=len(cases))
        try:
            for case in cases:
                progress.update(task, description=str(case))
                if row := runner.measure(case):
                    rows.append(row)
                progress.advance(task)
        except KeyboardInterrupt:
            runner.note("interrupted: what is shown was measured before")
    options = "ops dtypes sizes threads cache contenders rounds budget quick".split()
    data = {
        "format": FORMAT,
        "machine": machine.describe_machine(),
        "versions": machine.describe_versions(contenders),
        "options": {name: getattr(args, name) for name in options},
        "how": report.HOW,
        "notes": list(runner.notes),
        "labels": {c.name: c.label for c in contenders} | {BEST_COPY: "best copy"},
        "peers": [c.name for c in contenders if c.peer],
        "cases": rows,
    }
    return Results(data)


def load_contenders(names, notes):
    """relu_ext first, then those of the names that are installed."""
    contenders = []
    for kind in ALL:
        if kind is ALL[0] or kind.name in names:
            try:
                contenders.append(kind())
            except Unsupported:
                continue
            except ImportError:
                notes.append(f"{kind.label} is left out: it is not installed")
    return contenders


if __name__ == "__main__":
    main()
