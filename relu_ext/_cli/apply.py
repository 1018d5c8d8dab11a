"""``relu-ext apply``: array files of any size, a block at a time."""

import argparse
import contextlib
import errno
import math
import mmap
import os
import secrets
import signal
import stat
import sys

import numpy as np

import relu_ext

BLOCK_BYTES = 2**20  # stays in the second-level cache from being read to being written
LONGEST_HEADER = 2**16  # NumPy takes 10,000 bytes, but reads whatever number the file claims
MAGIC = np.lib.format.MAGIC_PREFIX
NO_PREALLOCATION = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)

DESCRIPTION = """\
Write the ReLU of array files: .npy of any version and order, or raw numbers with
--dtype. A file of any size goes through 1 MiB of memory. The rules for NaN and zero
are those of relu_ext.relu.

The result is written beside OUT and takes its place once it is complete, so that OUT
is whole at every moment, and may be IN itself. As with cp, nothing waits for the disk:
a power cut right after the end can lose the result.

--in-place overwrites IN block by block and needs no space. An interrupt leaves some
blocks done and some not. Running it again finishes the rest, as the ReLU of a ReLU is
the same.
"""

EPILOG = """\
examples:
  relu-ext apply x.npy y.npy
  relu-ext apply --in-place x.npy
  relu-ext apply a.npy b.npy results/
  relu-ext apply --gradient dy.npy x.npy dx.npy
  relu-ext apply --dtype bfloat16 x.bin y.bin
  zstd -dc x.npy.zst | relu-ext apply - - | zstd > y.npy.zst

exit codes: 0 done; 2 it cannot be done, and no OUT was left incomplete; 130 or 143
interrupted. A bar on the terminal shows what takes over a second, if tqdm is installed.
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
        "files", metavar="IN... OUT", nargs="+",
        help="- is standard input or output; several IN go under their own names into the "
        "directory OUT, and so does one if OUT ends in a slash",
    )
    parser.add_argument(
        "--in-place", action="store_true", help="overwrite each IN; there is no OUT"
    )
    parser.add_argument(
        "--gradient", metavar="DY",
        help="write relu_grad(dy, x), where x is IN and dy is DY, of the same dtype and shape",
    )
    parser.add_argument(
        "--dtype", metavar="TYPE", type=dtype,
        help="what raw files hold: float32, >f4, int8, bfloat16, ...; also what .npy files hold "
        "for which NumPy knows no type, such as those of ml_dtypes",
    )
    parser.set_defaults(run=lambda args: run(parser, args))


def dtype(name):
    """A NumPy dtype by its name there, or in ml_dtypes."""
    try:
        import ml_dtypes
    except ImportError:
        ml_dtypes = None
    try:
        found = np.dtype(getattr(ml_dtypes, name, name))
        if not found.itemsize:
            raise ValueError(f"{found} has no length")
        return found
    except (TypeError, ValueError, SyntaxError):
        problem = f"{name!r} is no dtype of NumPy's or, if that is installed, ml_dtypes'"
        raise argparse.ArgumentTypeError(problem) from None


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
            try:
                apply(path, target, args, bar)
            except KeyboardInterrupt:
                state = "as it was" if is_replaceable(target) else "incomplete"
                if args.in_place:
                    state = "done in part; run it again"
                print(f"relu-ext: interrupted; {target} is {state}", file=sys.stderr)
                raise
    return 0


def choose_targets(inputs, output):
    """A target for each input."""
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
        if not is_replaceable(path):
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
                file.seek(len(header))
                transform(sources, file, bar)
        else:
            with replacing(target, size and size + len(header)) as file:
                write(file, header)
                transform(sources, file, bar)
                stack.close()  # Windows replaces no open file, and IN may be OUT


def check_operands(sources):
    """Raise what the operation would, and what it could not know."""
    first, last = sources[0], sources[-1]
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
        data = data[file.write(data) :]


class Source:
    """
    A file of which to read the elements, in the order in which they lie.

    `left` says how many bytes of them are still to be read, or is None if only the end of
    the file can tell. A raw file has an empty `header`, and None for `shape`.
    """

    def __init__(self, path, dtype):
        standard = path == "-"
        self.name = "the standard input" if standard else path
        self.file = open(0 if standard else path, "rb", closefd=not standard)
        try:
            self._read_header(dtype)
        except BaseException:
            self.file.close()
            raise

    def _read_header(self, dtype):
        self.header, self.dtype, self.shape, self.fortran_order = b"", dtype, None, False
        self.left = None
        with naming(self.name):
            start = self.file.peek(len(MAGIC))
            rest = None
            if dtype is None or start.startswith(MAGIC):
                self._read_npy_header(start, dtype)
                self.left = math.prod(self.shape) * self.dtype.itemsize
            status = os.fstat(self.file.fileno())
            if stat.S_ISREG(status.st_mode):
                rest = status.st_size - self.file.tell()
        if rest is None:
            return
        if self.shape is None:
            self.left = rest
            if rest % dtype.itemsize:
                raise self._ends_within()
        elif rest < self.left:
            raise self._truncated(rest)
        elif rest > self.left:
            raise self._too_long()

    def _read_npy_header(self, start, dtype):
        recorder = Recorder(self.file)
        try:
            if start.startswith(b"PK\3\4"):
                raise ValueError("it is an archive (.npz): load it, and save the arrays in it")
            version = np.lib.format.read_magic(recorder)
            if version not in ((1, 0), (2, 0), (3, 0)):
                raise ValueError(f"it has version {version[0]}.{version[1]}")
            # Version 3 is version 2 with another encoding of the names of fields.
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran_order, found = read(recorder)
            if min(shape, default=0) < 0:
                raise ValueError(f"its shape is {shape}")
        except OSError:
            raise
        except Exception as error:  # a damaged header can fail anywhere in its parser
            instead = "" if dtype else "; for raw numbers, say which with --dtype"
            raise ValueError(
                f"{self.name} is not a .npy file of numbers: {error}{instead}"
            ) from error
        if found.kind == "V" and found.names is None and found.subdtype is None:
            if dtype is None or dtype.itemsize != found.itemsize:
                raise ValueError(
                    f"{self.name} holds {found.itemsize} bytes an element and does not say of "
                    "what type: say it with --dtype, such as bfloat16"
                )
            found = dtype
        elif dtype is not None and dtype != found:
            raise ValueError(f"{self.name} is a .npy file of {found}, and not of {dtype}")
        self.header, self.dtype, self.shape = bytes(recorder.seen), found, shape
        # The same bytes in both orders unless two axes are longer than 1.
        self.fortran_order = fortran_order and sum(length != 1 for length in shape) > 1

    def read_into(self, block):
        """Fill the block as far as there are elements; returns the number of bytes."""
        if self.left is not None:
            block = block[: self.left]
        with naming(self.name):
            count = self.file.readinto(block)
            if self.left is None:
                if count % self.dtype.itemsize:
                    raise self._ends_within()
                return count
            if count < len(block):
                raise self._truncated(count)
            self.left -= count
            if not self.left and self.file.read(1):
                raise self._too_long()
        return count

    def _truncated(self, found):
        return ValueError(
            f"{self.name} is truncated: {found} bytes are left, and its header of shape "
            f"{self.shape} and dtype {self.dtype} asks for {self.left}"
        )

    def _too_long(self):
        return ValueError(
            f"{self.name} does not end where its header of shape {self.shape} and dtype "
            f"{self.dtype} says: damaged, or several arrays in one file"
        )

    def _ends_within(self):
        size = self.dtype.itemsize
        return ValueError(f"{self.name} ends within an element, which have {size} bytes")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


class Recorder:
    """Reads from a file, and keeps what was read."""

    def __init__(self, file):
        self.file = file
        self.seen = bytearray()

    def read(self, size):
        if size > LONGEST_HEADER:
            raise ValueError(f"its header claims to have {size} bytes")
        data = self.file.read(size)
        self.seen += data
        return data


@contextlib.contextmanager
def naming(path, instead_of=None):
    """Make errors in reading and writing say which file it is, as those in opening do."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename in (None, instead_of):
            error.filename = path
        raise


def is_replaceable(path):
    """A file or nothing yet, and no pipe or device."""
    return path != "-" and (os.path.isfile(path) or not os.path.exists(path))


@contextlib.contextmanager
def replacing(target, size):
    """A file to write that takes the place of `target` when all is written, and not before."""
    if target == "-":
        with open(1, "wb", buffering=0, closefd=False) as file:
            with naming("the standard output"):
                yield file
        return
    path = os.path.realpath(target)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no directory {folder}, to write {target} into")
    if not is_replaceable(path):
        with open(path, "wb", buffering=0) as file, naming(target):
            yield file  # a device or a pipe: nothing to preserve
        return
    mode = stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) else None
    beside = os.path.join(folder, f".relu-ext-{secrets.token_hex(8)}")
    with naming(target, instead_of=beside):
        try:
            # Readable to nobody who may not read the target.
            with open(beside, "xb", buffering=0, opener=lambda name, flags: os.open(
                name, flags, 0o666 if mode is None else mode
            )) as file:
                if size:
                    preallocate(file, size)
                yield file
            if mode is not None:
                os.chmod(beside, mode)
            os.replace(beside, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
            raise


def preallocate(file, size):
    """Find out at once whether there is the space; writing is faster, too."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in NO_PREALLOCATION:
                raise


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
