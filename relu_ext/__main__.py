"""The command ``relu-ext``, also ``python -m relu_ext``."""

import argparse
import contextlib
import os
import signal
import sys

import relu_ext
from relu_ext._cli import apply, check, config, info, plot

EPILOG = """\
examples:
  relu-ext                                  check and time relu_ext on this machine
  relu-ext apply IN.npy OUT.npy             the ReLU of an array file of any size
  relu-ext plot                             ReLU and its derivative as a picture
  relu-ext info                             what a bug report needs
  relu-ext COMMAND --help                   more about a command

exit codes:
  0  done
  1  the check gave other results than NumPy
  2  it cannot be done; standard error has the reason, and says of a file if it was changed
  129, 130, 143
     interrupted, by SIGHUP, SIGINT or SIGTERM: what a shell makes of ending by the signal
"""


def main(argv=None):
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="relu-ext",
        description="ReLU on NumPy buffers. Without a command: check and time the forward, "
        "in-place and gradient pass on this machine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"relu_ext {relu_ext.__version__}")
    parser.set_defaults(run=lambda args: check.run())
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")
    for command in (apply, plot, info, config):
        command.add(commands)
    fill_standard_files()
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        # With the usage of the command that does not know them.
        meant = commands.choices[args.command] if args.command else parser
        meant.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        return args.run(args)
    except (ImportError, OSError, MemoryError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or "not enough memory"
        state = getattr(error, "state", None)
        say(f"{reason}; {state}" if state else reason)
        return 2
    except KeyboardInterrupt as interrupt:
        # End by the signal itself, so that a shell script around this one ends as well.
        number = interrupt.args[0] if interrupt.args else signal.SIGINT
        state = getattr(interrupt, "state", None)
        say(f"interrupted; {state}" if state else "interrupted")
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return 128 + number


def say(reason):
    with contextlib.suppress(OSError):  # the exit code says it, too
        print(f"relu-ext: {reason}", file=sys.stderr)


def fill_standard_files():
    """
    Occupy those of the first three descriptors that are closed.

    The next files to be opened would have their numbers: what is written to the standard error
    would be in one of them, and "-" would be one of them. Reading and writing still fail.
    """
    for number, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # print and argparse would take the standard output


if __name__ == "__main__":
    sys.exit(main())
