"""
Times the C functions in C, without Python.

    python -m bench.native                          next to a plain loop, intrinsics, memcpy, Eigen,
                                                    Highway, oneDNN and XNNPACK, as far as they
                                                    are there
    python -m bench.native --against OTHER/csrc     next to the sources of another checkout
    taskset -c 1 python -m bench.native --dtypes f32 --isas avx2 --lengths 16,63,64
    CC=clang CXX=clang++ python -m bench.native     by other compilers

One thread, warm caches, out of place, buffers on 64-byte boundaries. Next to avx2 and the baseline
the others are compiled for no more than that either. oneDNN and XNNPACK, which choose their code by
the processor, are only next to the best there is.
Contenders take turns; ratios are taken within a round, and the medians over the rounds printed:
nanoseconds of relu_ext, then the others' time divided by it. Below 1 somebody is faster.
"""

import argparse
import ctypes
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import relu_ext

OPERATIONS = ("relu", "relu_grad", "leaky_relu", "clipped_relu", "add_relu")
# The type, and how native.c calls what takes a parameter.
DTYPES = {"f32": ("f4", "f"), "f64": ("f8", "d"), "i8": ("i1", "b"), "f16": ("f2", "h"),
          "bf16": ("u2", "h")}  # fmt: skip
PARAMETERS = {"leaky_relu": 0.1, "clipped_relu": 6.0}
LENGTHS = (1, 16, 63, 64, 100, 255, 256, 1000, 4096, 2**14, 2**16, 100_003, 2**20, 2**24, 2**26)
ROUND = 20e3  # nanoseconds
MOST = 3e9  # nanoseconds for all rounds of a length, unless three take longer
# Libraries of native_peers.cpp: with which flags, Debian's packages, and whether they choose their
# code by the processor, whatever they are compiled for.
PEERS = {
    "eigen": (["-I/usr/include/eigen3"], "libeigen3-dev", False),
    # Its tables for a choice at run time, which is not wanted, refuse some processors' flags.
    "highway": (["-DHWY_COMPILE_ONLY_STATIC", "-lhwy"], "libhwy-dev", False),
    "onednn": (["-ldnnl"], "libdnnl-dev", True),
    "xnnpack": (["-lXNNPACK"], "libxnnpack-dev and libpthreadpool-dev", True),
}
# What the others may use next to our instruction sets; elsewhere than on x86 there is only one.
MACHINES = {
    "avx512": ["-march=native"],
    "avx2": ["-march=native", "-mno-avx512f"],
    "baseline": ["-march=x86-64" if platform.machine() == "x86_64" else "-march=native"],
}
# Not -ffast-math: with it, loading the library would flush subnormals in the whole process.
FAST = ("-ffinite-math-only", "-fno-signed-zeros", "-fno-trapping-math")


def compiled(source, folder, *flags, quiet=False):
    library = Path(folder, f"{len(os.listdir(folder))}.so")
    compiler = os.environ.get("CC") or shutil.which("gcc") or "cc"
    if source.suffix == ".cpp":
        compiler = os.environ.get("CXX") or shutil.which("g++") or "c++"
    command = [compiler, "-O3", "-fPIC", "-shared", source, *flags, "-o", library]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL if quiet else None)
    return ctypes.CDLL(library)


def peers(folder, isa):
    """{name: library} of those that are installed; the others are named."""
    os.environ["OMP_NUM_THREADS"] = "1"
    source = Path(__file__).with_name("native_peers.cpp")
    found = {}
    for name, (needed, package, chooses) in PEERS.items():
        if chooses and isa != relu_ext.available_isas()[0]:
            continue
        flags = ("-std=c++17", *MACHINES[isa], f"-DPEER_{name}", *needed)
        try:
            found[name] = compiled(source, folder, *flags, quiet=True)
        except (OSError, subprocess.CalledProcessError):
            print(f"without {name}, which did not compile (Debian's {package})")
    return found


def bf16(values):
    return (values.astype("f4").view("u4") >> 16).astype("u2")


def parameter(operation, dtype):
    value = np.array([PARAMETERS[operation]])
    if dtype == "f16":
        return float(value.astype("f2").view("u2")[0])
    return float(bf16(value)[0] if dtype == "bf16" else value[0])


def operand(dtype, n, rng):
    """Random numbers on a 64-byte boundary, and the address. From 2**20 on they are repeated."""
    values = rng.standard_normal(min(n, 2**20)) * (30 if dtype == "i8" else 2)
    values = bf16(values) if dtype == "bf16" else values.astype(DTYPES[dtype][0])
    values = np.resize(values, n)
    room = np.zeros(values.nbytes + 64, np.uint8)
    begin = -room.ctypes.data % 64
    array = room[begin : begin + values.nbytes].view(values.dtype)
    array[:] = values
    return array, array.ctypes.data


def calls(operation, dtype, libraries, native, others):
    """{contender: (function, kind, parameter)}, relu_ext first."""
    kind, value = 1 if operation == "relu" else 2, 0.0
    if operation in PARAMETERS:
        kind, value = ord(DTYPES[dtype][1]), parameter(operation, dtype)
    found = {}
    for name, library, symbol in (
        *((name, library, f"{operation}_{dtype}") for name, library in libraries.items()),
        ("loop", native, f"loop_{operation}_{dtype}"),
        ("roof", native, f"roof_{operation}_{dtype}"),
        *((name, library, f"{name}_{operation}_{dtype}") for name, library in others.items()),
    ):
        if hasattr(library, symbol):
            found[name] = (ctypes.cast(getattr(library, symbol), ctypes.c_void_p), kind, value)
    return found | {"memcpy": (None, ord("m"), 0.0)}


def measure(timer, contenders, n, size, addresses, rounds):
    """Nanoseconds of relu_ext, and the others' time by its."""

    def run(name, times):
        function, kind, value = contenders[name]
        return timer(function, kind, value, *addresses, n * size if kind == ord("m") else n, times)

    times = {}
    for name in contenders:
        run(name, 2)
        times[name] = 1 + int(ROUND / max(run(name, 3), 1))
    names, took = list(contenders), []
    once = sum(run(name, 1) * times[name] for name in names)
    rounds = min(rounds, max(3, int(MOST / once)))
    for i in range(rounds):
        order = names[i % len(names) :] + names[: i % len(names)]
        took.append({name: run(name, times[name]) for name in order})
    return statistics.median(t["relu_ext"] for t in took), {
        name: statistics.median(t[name] / t["relu_ext"] for t in took) for name in names[1:]
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0].strip())
    parser.add_argument("--against", metavar="CSRC", help="sources of another relu_ext")
    parser.add_argument("--ops", default=",".join(OPERATIONS))
    parser.add_argument("--dtypes", default=",".join(DTYPES))
    parser.add_argument("--isas", default=",".join(relu_ext.available_isas()))
    parser.add_argument("--lengths", default=",".join(map(str, LENGTHS)))
    parser.add_argument("--rounds", type=int, default=31)
    args = parser.parse_args()
    isas = args.isas.split(",")
    for isa in isas:
        if isa not in relu_ext.available_isas():
            parser.error(f"no {isa} here")
    lengths = [int(n) for n in args.lengths.split(",")]

    with tempfile.TemporaryDirectory() as folder:
        here = Path(__file__).with_name("native.c")
        natives = {isa: compiled(here, folder, *MACHINES[isa], *FAST) for isa in isas}
        libraries = {"relu_ext": compiled(Path(relu_ext.get_include(), "relu_ext.c"), folder)}
        if args.against:
            libraries["other"] = compiled(Path(args.against, "relu_ext.c"), folder)
        others = {isa: peers(folder, isa) for isa in isas}
    timer = natives[isas[0]].native_time
    timer.restype = ctypes.c_double
    pointer, size_t = ctypes.c_void_p, ctypes.c_size_t
    timer.argtypes = [pointer, ctypes.c_int, ctypes.c_double, *[pointer] * 3, size_t, size_t]

    rng = np.random.default_rng(0)
    for isa in isas:
        for library in libraries.values():
            if library.relu_ext_use_isa(isa.encode()) != 0:
                parser.error(f"no {isa} here")
        for dtype in args.dtypes.split(","):
            operands = [operand(dtype, max(lengths), rng) for _ in range(3)]
            addresses = [address for _, address in operands]
            size = operands[0][0].itemsize
            for operation in args.ops.split(","):
                contenders = calls(operation, dtype, libraries, natives[isa], others[isa])
                if "relu_ext" not in contenders:
                    continue
                print(f"\n{operation}_{dtype} {isa}")
                print(f"{'elements':>10}{'ns':>12}", *(f"{c:>8}" for c in list(contenders)[1:]))
                for n in lengths:
                    took, ratios = measure(timer, contenders, n, size, addresses, args.rounds)
                    shown = (f"{ratio:8.2f}" for ratio in ratios.values())
                    print(f"{n:>10,}{took:>12,.1f}", *shown, flush=True)


if __name__ == "__main__":
    main()
