"""``relu-ext config``: what building against relu_ext takes."""

import os
import shlex

import relu_ext

PACKAGE = os.path.dirname(os.path.abspath(relu_ext.__file__))

# option: (help, value). Quoted for the shell where it stands for a list of arguments.
CONFIG = {
    "includes": ("options for the headers", f"-I{shlex.quote(relu_ext.get_include())}"),
    "sources": ("the C files to compile along", shlex.join(relu_ext.get_sources())),
    "cflags": ("options for compiling them", f"-I{shlex.quote(relu_ext.get_include())} -O3"),
    "libs": ("options for the linker: none, as the sources are compiled along", ""),
    "pkgconfigdir": ("for PKG_CONFIG_PATH", os.path.join(PACKAGE, "pkgconfig")),
    "cmakedir": ("for relu_ext_DIR", os.path.join(PACKAGE, "cmake")),
}


def add(commands):
    parser = commands.add_parser(
        "config",
        help="say where the C headers and sources are",
        epilog="example: cc -O3 prog.c $(relu-ext config --sources --cflags) -o prog",
    )
    for option, (what, _) in CONFIG.items():
        parser.add_argument(
            f"--{option}", dest="wanted", action="append_const", const=option, help=what
        )
    parser.set_defaults(run=run)


def run(args):
    """Print the values asked for, on one line as compilers want them, or all with their names."""
    if args.wanted:
        print(" ".join(CONFIG[option][1] for option in args.wanted))
    else:
        for option, (_, value) in CONFIG.items():
            print(f"{option:13}{value}".rstrip())
    return 0
