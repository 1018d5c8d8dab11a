"""``relu-ext apply``: array files of any size, a block at a time."""

import argparse
import contextlib
import mmap
import os
import signal
import stat
import sys

import numpy as np

import relu_ext
from relu_ext._cli.replace import changed, naming, sync, writing
from relu_ext._cli.source import Source, not_numbers, wait
from relu_ext._core import ml_dtypes

BLOCK_BYTES = 2**20  # stays in the second-level cache from being read to being written

DESCRIPTION = """\
Write the ReLU of array files: .npy of any version and order, or raw numbers with
--dtype. A file of any size goes through 1 MiB of memory. The rules for NaN and zero
are those of relu_ext.relu.

The result is written beside OUT and takes its place once it is complete and on the disk.
So OUT is whole at every moment, power cuts included, and may be IN itself. It keeps its
owner, group, mode and POSIX access-control list, or is closed to those who had access by what
cannot be kept; it keeps no set-id bits. A link as OUT is followed; other hard links to
the file keep its old content. A process that is killed leaves .OUT.relu-ext-*, which
can be deleted. Pipes, devices, /dev/stdout and /dev/fd/N are written to as they are.

--in-place overwrites IN block by block and needs no space. An interrupt or a power cut
leaves some blocks done and some not. Running it again finishes the rest, as the ReLU of
a ReLU is the same.
"""

EPILOG = """\
examples:
  relu-ext apply x.npy y.npy
  relu-ext apply --in-place x.npy
  relu-ext apply a.npy b.npy results/
  relu-ext apply --gradient dy.npy x.npy dx.npy
  relu-ext apply --dtype bfloat16 x.bin y.bin
  zstd -dc x.npy.zst | relu-ext apply - - | zstd > y.npy.zst

exit codes: 0 done; 2 it cannot be done, and no OUT was left incomplete but by pipes and
devices; 129, 130 or 143 interrupted. A bar on the terminal shows what takes over a second, if
tqdm is installed.
"""


def add(commands):
    parser = commands.add_parser(
        "apply",
        help="write the ReLU, or its gradient, of .npy or raw files",
        usage="relu-ext apply [--gradient DY] [--dtype TYPE] IN... OUT\n"
        "       relu-ext apply --in-place [--dtype TYPE] IN...",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files",
        metavar="IN... OUT",
        nargs="+",
        help="- is standard input or output; several IN go under their own names into the "
        "directory OUT, and so does one if OUT ends in a slash",
    )
    parser.add_argument(
        "--in-place", action="store_true", help="overwrite each IN; there is no OUT"
    )
    parser.add_argument(
        "--gradient",
        metavar="DY",
        help="write relu_grad(dy, x), where x is IN and dy is DY, of the same dtype and shape",
    )
    parser.add_argument(
        "--dtype",
        metavar="TYPE",
        type=dtype,
        help="what raw files hold: float32, >f4, int8, bfloat16, ...; also what .npy files hold "
        "for which NumPy knows no type, such as those of ml_dtypes",
    )
    parser.set_defaults(run=lambda args: run(parser, args))


def dtype(name):
    """A NumPy dtype by its name there, or in ml_dtypes."""
    try:
        found = np.dtype(getattr(ml_dtypes, name, name))
        if not found.itemsize:
            raise ValueError(f"{found} has no length")
    except Exception:  # NumPy's parser of names lets Python's errors through
        problem = f"{name!r} is no dtype of NumPy's or, if that is installed, ml_dtypes'"
        raise argparse.ArgumentTypeError(problem) from None
    if what := not_numbers(found):
        raise argparse.ArgumentTypeError(f"{name!r} means {what}, and not numbers")
    return found


def run(parser, args):
    *inputs, output = args.files
    if args.in_place:
        inputs, targets = args.files, args.files
        if args.gradient is not None:
            parser.error("--gradient goes without --in-place: OUT may be DY, or IN")
    elif not inputs:
        parser.error("an OUT is needed besides IN, or --in-place")
    else:
        targets = choose_targets(inputs, output)
    if args.gradient is not None and len(inputs) > 1:
        parser.error("--gradient takes one IN")
    if args.gradient == "-" and inputs == ["-"]:
        parser.error("IN and DY cannot both be the standard input")
    total = check(inputs, args) if len(inputs) > 1 or args.in_place else None
    with interruptible(), progress(total) as bar, relu_ext.num_threads(1):
        for path, target in zip(inputs, targets):
            if bar is not None:
                bar.set_description(os.path.basename(path), refresh=False)
            apply(path, target, args, bar)
    return 0


def choose_targets(inputs, output):
    """A target for each input."""
    if not output:
        raise FileNotFoundError("OUT is empty: it must be the name of a file or directory, or -")
    into = output.endswith(("/", os.sep))
    if len(inputs) == 1 and not into:
        if os.path.isdir(output):
            raise IsADirectoryError(f"{output} is a directory: say {output}/ to write into it")
        return [output]
    if not os.path.isdir(output):
        raise NotADirectoryError(f"{output} is not a directory, to write {inputs[0]} into")
    if "-" in inputs:
        raise ValueError(f"the standard input has no name to have in {output}")
    targets = [os.path.join(output, os.path.basename(path)) for path in inputs]
    source_of = {}
    for path, target in zip(inputs, targets):
        other = source_of.setdefault(os.path.realpath(target), path)
        if other != path:
            raise ValueError(f"{other} and {path} would both become {target}")
    return targets


def check(inputs, args):
    """Raise before anything is done what would be raised in the middle; returns all bytes."""
    total = 0
    for path in inputs:
        if args.in_place and path != "-" and not os.path.lexists(path):
            raise FileNotFoundError(
                f"there is no {path}: with --in-place, every file is an IN to be overwritten"
            )
        if path == "-" or (os.path.exists(path) and not os.path.isfile(path)):
            what = "to be overwritten in place" if args.in_place else "to be one of several"
            raise ValueError(f"{path} is not an ordinary file, {what}")
        with Source(path, args.dtype) as source:
            check_operands([source])
            total += source.left
        if args.in_place:
            open(path, "r+b").close()
    return total


def apply(path, target, args, bar):
    with contextlib.ExitStack() as stack:
        # In the order of the arguments of relu and relu_grad.
        sources = [stack.enter_context(Source(path, args.dtype))]
        if args.gradient is not None:
            sources.insert(0, stack.enter_context(Source(args.gradient, args.dtype)))
        check_operands(sources)
        header, size = sources[0].header, sources[0].left
        if bar is not None and bar.total is None:
            bar.total = size
        if args.in_place:
            with open(path, "r+b", buffering=0) as file, naming(path):
                if not os.path.sameopenfile(file.fileno(), sources[0].file.fileno()):
                    raise changed(path)
                file.seek(len(header))
                try:
                    transform(sources, file, bar)
                except KeyboardInterrupt as interrupt:
                    interrupt.state = f"{path} may be done in part; run it again"
                    raise
                sync(file.fileno())
            return
        with writing(target, None if size is None else len(header) + size) as file:
            for source in sources:
                if is_same_file(file, source.file, stat.S_ISREG):
                    name = "the standard output" if target == "-" else target
                    raise ValueError(f"{name} is {source.name}, which is still to be read")
            write(file, header)
            transform(sources, file, bar)
            stack.close()  # Windows replaces no open file, and IN may be OUT


def is_same_file(one, other, kind):
    same = os.path.sameopenfile(one.fileno(), other.fileno())
    return same and kind(os.fstat(one.fileno()).st_mode)


def check_operands(sources):
    """Raise what the operation would, and what it could not know."""
    first, last = sources[0], sources[-1]
    if first is not last and is_same_file(first.file, last.file, stat.S_ISFIFO):
        raise ValueError(f"{first.name} and {last.name} are one pipe: the gradient needs two")
    for what in ("dtype", "shape"):
        if (of_first := getattr(first, what)) != (of_last := getattr(last, what)):
            of_first, of_last = (of or "none, being raw" for of in (of_first, of_last))
            problem = f"{first.name} has {what} {of_first}, and {last.name} {of_last}"
            raise ValueError(f"{problem}: the gradient needs two of the same")
    if first.fortran_order != last.fortran_order:
        orders = ("Fortran", "C") if first.fortran_order else ("C", "Fortran")
        raise ValueError(
            f"{first.name} is in {orders[0]} order and {last.name} in {orders[1]} order: "
            "save one of them anew in the order of the other"
        )
    if first.left != last.left and None not in (first.left, last.left):
        raise ValueError(f"{first.name} and {last.name} differ in length")
    empty = [np.empty(0, source.dtype) for source in sources]
    try:
        operation(sources)(*empty, out=empty[0])
    except TypeError as error:
        raise TypeError(f"{first.name} holds {first.dtype}: {error}") from error


def operation(sources):
    return relu_ext.relu_grad if len(sources) == 2 else relu_ext.relu


def transform(sources, file, bar):
    """Write what the operation makes of the sources' elements."""
    itemsize = sources[0].dtype.itemsize
    # Maps begin at a page, to which the system copies faster.
    blocks = [
        memoryview(mmap.mmap(-1, BLOCK_BYTES))[: BLOCK_BYTES // itemsize * itemsize]
        for _ in sources
    ]
    arrays = [np.frombuffer(block, source.dtype) for block, source in zip(blocks, sources)]
    while True:
        counts = [source.read_into(block) for source, block in zip(sources, blocks)]
        if counts[0] != counts[-1]:
            raise ValueError(f"{sources[0].name} and {sources[-1].name} differ in length")
        if not counts[0]:
            break
        operands = [array[: counts[0] // itemsize] for array in arrays]
        operation(sources)(*operands, out=operands[0])
        write(file, blocks[0][: counts[0]])
        if bar is not None:
            bar.update(counts[0])


def write(file, data):
    while data:
        count = file.write(data)
        if count is None:
            wait(file, "POLLOUT")
        else:
            data = data[count:]


@contextlib.contextmanager
def interruptible():
    """Have the signals that would end the process raise KeyboardInterrupt, to clean up."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    heeded = [number for number in numbers if before[number] != signal.SIG_IGN]

    def interrupt(number, frame):
        for other in heeded:  # nothing disturbs the cleaning up
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt(number)

    for number in heeded:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number])


def progress(total):
    """A bar for a terminal, of what takes longer than a second; None elsewhere."""
    if sys.stderr is not None and sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            from tqdm import tqdm

            return tqdm(total=total, unit="B", unit_scale=True, delay=1, dynamic_ncols=True)
    return contextlib.nullcontext()
