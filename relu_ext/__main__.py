"""The command ``relu-ext``, also ``python -m relu_ext``."""

import argparse
import contextlib
import os
import shlex
import stat
import sys
import tempfile
import time
import types

import numpy as np

import relu_ext


def main(argv=None):
    """Run the command line; returns the exit code: 0 done, 1 wrong results, 2 cannot be done."""
    parser = argparse.ArgumentParser(
        prog="relu-ext",
        description="ReLU on NumPy buffers. Without a command: check and time the forward, "
        "in-place and gradient pass on this machine.",
    )
    parser.add_argument("--version", action="version", version=f"relu_ext {relu_ext.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND")
    apply_parser = commands.add_parser("apply", help="write the ReLU of a .npy file to another")
    apply_parser.add_argument("input", metavar="IN.npy")
    apply_parser.add_argument("output", metavar="OUT.npy")
    apply_parser.set_defaults(run=lambda args: apply(args.input, args.output))
    config_parser = commands.add_parser(
        "config",
        help="say where the C headers and sources are",
        epilog="example: cc -O3 prog.c $(relu-ext config --sources --cflags) -o prog",
    )
    for option, (what, _) in CONFIG.items():
        config_parser.add_argument(
            f"--{option}", dest="wanted", action="append_const", const=option, help=what
        )
    config_parser.set_defaults(run=lambda args: config(args.wanted))
    parser.set_defaults(run=lambda args: first_run())
    args = parser.parse_args(argv)
    try:
        return args.run(args)
    except (OSError, MemoryError, TypeError, ValueError) as error:
        print(f"relu-ext: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


PACKAGE = os.path.dirname(os.path.abspath(relu_ext.__file__))

# What `relu-ext config` can say: option: (help, value). Quoted for the shell where it stands
# for a list of arguments.
CONFIG = {
    "includes": ("options for the headers", f"-I{shlex.quote(relu_ext.get_include())}"),
    "sources": ("the C files to compile along", shlex.join(relu_ext.get_sources())),
    "cflags": ("options for compiling them", f"-I{shlex.quote(relu_ext.get_include())} -O3"),
    "libs": ("options for the linker: none, as the sources are compiled along", ""),
    "pkgconfigdir": ("for PKG_CONFIG_PATH", os.path.join(PACKAGE, "pkgconfig")),
    "cmakedir": ("for relu_ext_DIR", os.path.join(PACKAGE, "cmake")),
}


def config(wanted):
    """Print the values asked for, on one line as compilers want them, or all with their names."""
    if wanted:
        print(" ".join(CONFIG[option][1] for option in wanted))
    else:
        for option, (_, value) in CONFIG.items():
            print(f"{option:13}{value}".rstrip())
    return 0


def apply(source, target):
    """Write the ReLU of the .npy file `source` to `target`, in the same dtype and order."""
    with open(source, "rb") as file:
        try:
            x = np.lib.format.read_array(file, allow_pickle=False)
        except (OSError, MemoryError):
            raise
        except Exception as error:  # a damaged header can fail anywhere in its parser
            raise ValueError(f"{source} is not a .npy file of numbers: {error}") from error
    y = np.empty_like(x)
    relu_ext.relu(x, out=y)
    with replacing(target) as file:
        np.lib.format.write_array(file, y, allow_pickle=False)
    return 0


@contextlib.contextmanager
def replacing(target):
    """A file to write that takes the place of `target` when all is written, and not before."""
    target = os.path.realpath(target)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no directory {folder}")
    if os.path.exists(target) and not os.path.isfile(target):
        # A device or a pipe: nothing to preserve. NumPy would ask a true file for its position.
        with open(target, "wb") as file:
            yield types.SimpleNamespace(write=file.write)
        return
    if os.path.exists(target):
        mode = stat.S_IMODE(os.stat(target).st_mode)
    else:
        umask = os.umask(0)
        os.umask(umask)
        mode = 0o666 & ~umask
    handle, beside = tempfile.mkstemp(prefix=".relu-ext-", dir=folder)
    try:
        with open(handle, "wb") as file:
            yield file
        os.chmod(beside, mode)
        os.replace(beside, target)
    except BaseException:
        os.unlink(beside)
        raise


def first_run(mebibytes=64, rounds=7):
    """Check and time the three passes against NumPy; returns 0 if the results agree."""
    n = mebibytes * 2**20 // 4
    rng = np.random.default_rng(0)
    x = rng.standard_normal(n, dtype=np.float32)
    dy = rng.standard_normal(n, dtype=np.float32)
    ours, numpys = np.empty_like(x), np.empty_like(x)
    ours_in_place, numpys_in_place = x.copy(), x.copy()
    # name, bytes moved per element, our call, NumPy's idiom, the two results
    passes = [
        ("forward", 8, lambda: relu_ext.relu(x, ours), lambda: np.maximum(x, 0, out=numpys),
         ours, numpys),
        ("in place", 8, lambda: relu_ext.relu_(ours_in_place),
         lambda: np.maximum(numpys_in_place, 0, out=numpys_in_place),
         ours_in_place, numpys_in_place),
        ("gradient", 12, lambda: relu_ext.relu_grad(dy, x, ours),
         lambda: np.multiply(dy, x > 0, out=numpys), ours, numpys),
    ]
    print(
        f"relu_ext {relu_ext.__version__}, {relu_ext.isa()} kernels "
        f"(available: {', '.join(relu_ext.available_isas())}); "
        f"NumPy {np.__version__}, Python {sys.version.split()[0]}"
    )
    print(f"{mebibytes} MiB of float32, median of {rounds} rounds; GB/s of bytes read + written")
    print(f"{'':10}{'relu_ext':>19}{'NumPy':>19}   ratio   results")
    agree = True
    for name, moved, our_call, numpy_call, our_result, numpy_result in passes:
        our_call(), numpy_call()
        equal = np.array_equal(our_result, numpy_result)
        agree = agree and equal
        times = np.array([(_seconds(our_call), _seconds(numpy_call)) for _ in range(rounds)])
        our_time, numpy_time = np.median(times, axis=0)
        ratio = np.median(times[:, 1] / times[:, 0])
        print(
            f"{name:10}"
            f"{our_time * 1e3:7.2f} ms{moved * n / our_time / 1e9:6.1f} GB/s"
            f"{numpy_time * 1e3:7.2f} ms{moved * n / numpy_time / 1e9:6.1f} GB/s"
            f"{ratio:7.2f}x   {'equal' if equal else 'DIFFERENT'}"
        )
    return 0 if agree else 1


def _seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
