"""
Build the C programs here in every way that finds faults, and run them.

    python tests/native/run.py                    all that this machine has the tools for, but
                                                  for those that --list says to name
    python tests/native/run.py asan valgrind      some
    python tests/native/run.py --list             what there is, and which tools it takes
    python tests/native/run.py --require          a tool that is missing is a failure
    python tests/native/run.py --broken           each has to catch a fault put in for it
    python tests/native/run.py fuzz --runs 5000000

A line for each says what was compared and how long it took; the exit status is 1 if any
failed. kernels.c, threads.c, stack.c and pool.pml say what they try, fuzz.c what it makes of its
input, and python-asan runs the Python tests on a build of the module with sanitizers.
"""

import argparse
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

STRICT = "-std=c11 -g -Wall -Wextra -Wpedantic -Wconversion -Werror".split()
# What they instrument Clang does not vectorise, and warns where it was asked to.
SANITIZE = "-fsanitize=address,undefined -fno-sanitize-recover=all".split()
CLANG_SANITIZE = ["-O1", *SANITIZE, "-Wno-pass-failed"]
OVERREAD = (
    "relu_ext/kernels_tmpl.h",
    "RELU_EXT_INT at_last = f(a[last], b[last], c[last], threshold);",
    "RELU_EXT_INT at_last = f(a[last], b[last], c[last], threshold);\n"
    "        (void)*(volatile const char *)(a + n);",
)
INFINITY = (
    "relu_ext/kernels_tmpl.h",
    "RELU_EXT_INT mask = x > threshold ? -1 : 0;",
    "RELU_EXT_INT mask = x >= threshold ? -1 : 0;",
)
LONGDOUBLE = (
    "relu_ext/longdouble_bits.h",
    "return RELU_EXT_NAN;",
    "return RELU_EXT_NOT_POSITIVE;",
)
FIRST_COLUMN = ("python/rows.c", "column = begin % r->columns;", "column = 0;")
DEEP = ("python/strided.c", "BLOCK_BYTES = 8192,", "BLOCK_BYTES = 16384,")
DIFFERS = "the output's element \\d+ differs"
# The headers' isnan() and signbit() of a double have a branch for floats.
MINGW = ["-O3", "-Wno-float-conversion"]


# Which of the binding's files a program takes besides.
BINDING = {
    "threads": ["rows.c", "threads.c"],
    "stack": ["strided.c", "count_kernels.c", "threads.c"],
}


@dataclass(frozen=True)
class Configuration:
    """
    How to build and run one program, and the fault that shows it to be able to fail: a file
    of csrc, a text in it, what to put in its place, and a pattern of what is then printed.
    """

    about: str
    compiler: str
    flags: list[str]
    fault: tuple[str, str, str]
    evidence: str
    program: str = "kernels"
    runner: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    libraries: list[str] = field(default_factory=list)  # a compiler that comes with them
    only_named: bool = False  # its tools are not on every machine of those who work on this

    @property
    def tools(self):
        return [self.compiler, *self.runner[:1], *self.libraries]


def emulated(machine, triplet, about, fault, evidence=DIFFERS, flags=()):
    return Configuration(
        about=f"{about}, emulated",
        compiler=f"{triplet}-gcc",
        flags=["-O3", "-static", *flags],
        runner=[f"qemu-{machine}"],
        arguments=["140", "16"],
        fault=fault,
        evidence=evidence,
    )


CONFIGURATIONS = {
    "gcc": Configuration(
        about="GCC, warnings as errors; every length, every third offset",
        compiler="gcc",
        flags=["-O3"],
        arguments=["300", "3"],
        fault=INFINITY,
        evidence=DIFFERS,
    ),
    "clang": Configuration(
        about="Clang, warnings as errors; every length, every third offset",
        compiler="clang",
        flags=["-O3"],
        arguments=["300", "3"],
        fault=OVERREAD,
        evidence="accessed a protected page",
    ),
    "asan": Configuration(
        about="AddressSanitizer and UndefinedBehaviorSanitizer, Clang",
        compiler="clang",
        flags=CLANG_SANITIZE,
        arguments=["140", "5"],
        fault=OVERREAD,
        evidence="ERROR: AddressSanitizer: heap-buffer-overflow",
    ),
    "gcc-asan": Configuration(
        about="AddressSanitizer and UndefinedBehaviorSanitizer, GCC",
        compiler="gcc",
        flags=["-O1", *SANITIZE],
        arguments=["140", "5"],
        fault=(
            "relu_ext/compiler.h",
            "#define RELU_EXT_ANY_POINTER __attribute__((may_alias, aligned(1)))",
            "#define RELU_EXT_ANY_POINTER __attribute__((may_alias))",
        ),
        evidence="runtime error: load of misaligned address",
    ),
    "valgrind": Configuration(
        about="valgrind's memcheck: accesses outside, and of what was never set",
        compiler="gcc",
        flags=["-O3"],
        runner=["valgrind", "-q", "--error-exitcode=99", "--leak-check=full"],
        arguments=["70", "32"],
        fault=(
            "relu_ext/stream.h",
            "s->fill(s->context, i, block, RELU_EXT_STREAM_BLOCK);",
            "s->fill(s->context, i, block, RELU_EXT_STREAM_BLOCK - s->size);",
        ),
        evidence="depends on uninitialised value",
    ),
    "threads": Configuration(
        about="threads and their helpers while the settings change",
        compiler="gcc",
        flags=["-O3"],
        program="threads",
        arguments=["300"],
        fault=FIRST_COLUMN,
        evidence=DIFFERS,
    ),
    "tsan": Configuration(
        about="the same under ThreadSanitizer",
        compiler="clang",
        flags=["-O1", "-fsanitize=thread", "-Wno-pass-failed"],
        program="threads",
        arguments=["100"],
        fault=(
            "python/threads.c",
            "atomic_fetch_sub_explicit(&undone, 1, memory_order_release)",
            "atomic_fetch_sub_explicit(&undone, 1, memory_order_relaxed)",
        ),
        evidence="WARNING: ThreadSanitizer: data race",
    ),
    "stack": Configuration(
        about="how much of the stack each function takes",
        compiler="gcc",
        flags=["-O3"],
        program="stack",
        fault=DEEP,
        evidence="bytes of the stack, 16384 or more",
    ),
    "fuzz": Configuration(
        about="libFuzzer with both sanitizers, from a given seed",
        compiler="clang",
        flags=[*CLANG_SANITIZE, "-fsanitize=fuzzer"],
        program="fuzz",
        arguments=["-seed=1", "-max_len=512", "-print_final_stats=1"],
        fault=LONGDOUBLE,
        evidence=DIFFERS,
    ),
    "aarch64": emulated(
        "aarch64", "aarch64-linux-gnu", "AArch64 (NEON; long double of 128 bits)", LONGDOUBLE
    ),
    "s390x": emulated(
        "s390x",
        "s390x-linux-gnu",
        "s390x (big-endian; long double of 128 bits)",
        (
            "relu_ext/longdouble_bits.h",
            "#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__",
            "#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__",
        ),
    ),
    "powerpc": emulated(
        "ppc",
        "powerpc-linux-gnu",
        "PowerPC (32-bit, big-endian; long double a pair of doubles)",
        LONGDOUBLE,
    ),
    "armhf": emulated(
        "arm", "arm-linux-gnueabihf", "ARMv7 (32-bit; long double is double)", INFINITY
    ),
    "armhf-clang": Configuration(
        about="ARMv7 by Clang, which could be asked to flush subnormals, emulated",
        compiler="clang",
        flags=["-O3", "-static", "--target=arm-linux-gnueabihf", "-march=armv7-a", "-mfpu=neon"],
        runner=["qemu-arm"],
        arguments=["140", "16"],
        fault=("relu_ext/compiler.h", "#if defined(__arm__)", "#if 0"),
        evidence=DIFFERS,
        libraries=["arm-linux-gnueabihf-gcc"],
    ),
    "i686": emulated(
        "i386",
        "i686-linux-gnu",
        "i686 (32-bit; long double of 80 bits in 12 bytes)",
        OVERREAD,
        "accessed a protected page",
        ["-msse2", "-mfpmath=sse"],
    ),
    "musl": Configuration(
        about="musl as the C library",
        compiler="musl-gcc",
        flags=["-O3", "-static"],
        arguments=["140", "16"],
        fault=INFINITY,
        evidence=DIFFERS,
        only_named=True,
    ),
    "windows": Configuration(
        about="Windows by MinGW, under Wine",
        compiler="x86_64-w64-mingw32-gcc",
        flags=MINGW,
        runner=["wine"],
        arguments=["140", "16"],
        fault=OVERREAD,
        evidence="accessed a protected page",
        only_named=True,
    ),
    "windows-threads": Configuration(
        about="threads, their helpers and settings there, by what Windows has for them",
        compiler="x86_64-w64-mingw32-gcc",
        flags=[*MINGW, "-static"],
        program="threads",
        runner=["wine"],
        arguments=["50"],
        fault=FIRST_COLUMN,
        evidence=DIFFERS,
        only_named=True,
    ),
}

CONFIGURATIONS["stack-clang"] = replace(
    CONFIGURATIONS["stack"], about="the same as stack, by Clang", compiler="clang"
)

# Models of x86-64 processors, and which instruction sets must be found there. The emulator's
# fastest is AVX2, so that those with AVX-512 are here without it. The last are what virtual
# machines and firmware make of one: a part of what AVX2's kernels use is missing, or the
# system does not save the registers.
PROCESSORS = {
    "baseline": "qemu64 Conroe Penryn Nehalem Westmere SandyBridge IvyBridge Opteron_G1 "
    "Opteron_G3 Opteron_G4 Opteron_G5 phenom Denverton Snowridge "
    "Haswell,-fma Haswell,-f16c Haswell,-avx2 Haswell,-xsave",
    "avx2 baseline": "Haswell Broadwell Skylake-Client Skylake-Server Cascadelake-Server "
    "Icelake-Server KnightsMill EPYC EPYC-Rome EPYC-Milan",
}
PROCESSORS_NAME = "processors"
PROCESSORS_ABOUT = "the instruction set chosen on 28 models of x86-64 processors, emulated"
PROCESSORS_FAULT = (
    "relu_ext/tables.h",
    '__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")',
    "1",
)

# Not here: tests of other people's compilers and interpreters' processes (embedding, cli), of
# which nothing runs in what was built with sanitizers, those that measure memory, and one that
# limits the address space, of which sanitizers take more.
PYTHON_TESTS = (
    "test_reference.py",
    "test_isa.py",
    "test_kernels.py",
    "test_ufuncs.py",
    "test_fast_call.py",
    "test_strided.py",
    "test_inplace.py",
    "test_large_paths.py",
    "test_ml_dtypes.py",
    "test_output_cache.py",
    "test_threads.py",
    "test_real_data.py",
    "test_settings.py",
    "test_family.py",
    "test_counts.py",
    "test_bits.py",
    "test_scale_shift.py",
    "test_fuzz.py",
)
MODEL = "model"
MODEL_ABOUT = "the threads' pool as a model, every interleaving, Spin"
# A caller that waits until all is claimed, but not until all is done.
MODEL_FAULT = (
    ":: undone == 0 -> break\n            :: undone != 0 ->",
    ":: true -> break\n            :: false ->",
)
PYTHON_ASAN = "python-asan"
PYTHON_ASAN_ABOUT = "the Python tests on a module with both sanitizers, GCC"


def main():
    options = arguments()
    if options.list:
        for name, c in CONFIGURATIONS.items():
            print(f"{name:15} {c.about} [{', '.join(c.tools)}]{ONLY_NAMED * c.only_named}")
        for name, (_, about, tools, only_named) in SPECIAL.items():
            print(f"{name:15} {about} [{', '.join(tools)}]{ONLY_NAMED * only_named}")
        return 0
    names = options.names or [name for name, c in CONFIGURATIONS.items() if not c.only_named]
    names += [] if options.names else [MODEL]
    failed = False
    with ThreadPoolExecutor(options.jobs) as pool:
        results = pool.map(lambda name: result(name, options), names)
        for name, (good, line) in zip(names, results):
            print(f"{name:15} {line}", flush=True)
            failed |= not good
    return int(failed)


def result(name, options):
    """Whether all is as it should be, and the line that says so."""
    if name in SPECIAL:
        run_it, _, tools, _ = SPECIAL[name]
    else:
        configuration = CONFIGURATIONS[name]
        run_it, tools = functools.partial(native, configuration), configuration.tools
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        return not options.require, f"not run: {', '.join(missing)} not installed"
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        good, line = run_it(Path(folder), options)
    seconds = time.perf_counter() - start
    return good, f"{'' if good else 'FAILED: '}{line} [{seconds:.1f} s]"


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to run; --list lists it")
    parser.add_argument("--list", action="store_true", help="list the names, and end")
    parser.add_argument("--require", action="store_true", help="fail where a tool is missing")
    parser.add_argument("--broken", action="store_true", help="put faults in, to be caught")
    parser.add_argument("--quick", action="store_true", help="few lengths and offsets; seconds")
    parser.add_argument("--runs", type=int, default=300_000, help="of the fuzzer (%(default)s)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="how many at once (%(default)s)"
    )
    options = parser.parse_args()
    unknown = set(options.names) - {*CONFIGURATIONS, *SPECIAL}
    if unknown:
        parser.error(f"no such name: {', '.join(sorted(unknown))}; --list lists them")
    return options


def native(configuration, folder, options):
    """Build and run one program: what result gives, without the time."""
    sources = ROOT / "csrc"
    if options.broken:
        sources = broken(configuration.fault, folder / "csrc")
    program = folder / configuration.program
    if "wine" in configuration.runner:
        program = program.with_suffix(".exe")  # else the compiler adds it
    command = [configuration.compiler, *STRICT, *configuration.flags, f"-I{sources}"]
    command += [HERE / f"{configuration.program}.c", sources / "relu_ext.c"]
    if configuration.program in BINDING:
        files = [sources / "python" / name for name in BINDING[configuration.program]]
        command += ["-DRELU_EXT_INTERNAL=extern", *files, "-pthread"]
    done = run([*command, "-o", program, "-lm"], folder)
    if done.returncode != 0:
        return False, f"does not build\n{done.stdout}"

    parameters = configuration.arguments
    if configuration.program == "fuzz":
        parameters = [*parameters, f"-runs={options.runs}"]
    elif options.quick:
        parameters = ["40", "21"] if configuration.program == "kernels" else ["5"]
    done = run([*configuration.runner, program, *parameters], folder, **configuration.environment)
    if options.broken:
        caught = re.search(f".*{configuration.evidence}.*", done.stdout)
        if done.returncode != 0 and caught:
            return True, f"caught the fault in {configuration.fault[0]}: {caught[0].strip()}"
        return False, f"did not catch the fault in {configuration.fault[0]}\n{done.stdout}"
    if done.returncode != 0:
        return False, f"exit status {done.returncode}\n{done.stdout}"
    return True, figure(done.stdout)


def figure(output):
    """The line of a program that has the figures."""
    fuzzed = re.search(r"number_of_executed_units: (\d+)", output)
    if fuzzed:
        covered = re.findall(r"cov: (\d+) ft: (\d+)", output)[-1]
        return f"{int(fuzzed[1]):,} executions, {covered[0]} edges covered"
    line = next(line for line in output.splitlines() if re.search("elements compared|stack", line))
    return re.sub(r"\d{7,}", lambda digits: f"{int(digits[0]):,}", line)


def broken(fault, sources):
    """A copy of csrc with that fault in it."""
    shutil.copytree(ROOT / "csrc", sources)
    file, old, new = fault
    text = (sources / file).read_text(encoding="utf-8")
    if text.count(old) != 1:
        sys.exit(f"{file} has {text.count(old)} times what a fault replaces: {old}")
    (sources / file).write_text(text.replace(old, new), encoding="utf-8")
    return sources


def model(folder, options):
    """All that can happen to two callers, two calls of each, and two helpers."""
    text = (HERE / "pool.pml").read_text(encoding="utf-8")
    if options.broken:
        old, new = MODEL_FAULT
        if text.count(old) != 1:
            sys.exit(f"pool.pml has {text.count(old)} times what a fault replaces: {old}")
        text = text.replace(old, new)
    (folder / "pool.pml").write_text(text, encoding="utf-8")
    for command in (
        ["spin", "-a", "pool.pml"],
        ["gcc", "-O2", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c"],
        ["./pan", "-m100000"],
    ):
        done = run(command, folder)
        if done.returncode != 0:
            return False, f"{command[0]}: exit status {done.returncode}\n{done.stdout}"
    wrong = re.search(r"pan:\d+: (.*) \(at depth", done.stdout)
    if options.broken:
        return bool(wrong), f"caught the fault: {wrong[1]}" if wrong else "caught no fault"
    if wrong or "errors: 0" not in done.stdout or "max search depth" in done.stdout:
        return False, done.stdout
    states = int(re.search(r"(\d+) states, stored", done.stdout)[1])
    return True, f"{states:,} states, none wrong"


def python_asan(folder, options):
    """
    The module, built with sanitizers into a folder of its own, under the Python tests. The
    interpreter is as it is: the sanitizers are loaded before it, it takes its memory from
    them, and what it never frees is no matter.
    """
    source, target = folder / "source", folder / "target"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", "build", "*.so", "include"))
    if options.broken:
        shutil.rmtree(source / "csrc")
        broken(OVERREAD, source / "csrc")
    # With the compiler, so that setup.py's probes link as well.
    compiler = " ".join(["gcc", *SANITIZE])
    install = "install -q --no-build-isolation --no-deps --no-cache-dir --target".split()
    done = run(
        [sys.executable, "-m", "pip", *install, target, source],
        folder,
        CC=compiler,
        LDSHARED=f"{compiler} -shared",
        CFLAGS="-g -O1",
    )
    if done.returncode != 0:
        return False, f"does not build\n{done.stdout}"

    libraries = [
        subprocess.check_output(["gcc", f"-print-file-name={name}.so"], text=True).strip()
        for name in ("libasan", "libubsan")
    ]
    done = run(
        # Sanitizers write to where pytest would have kept it to itself when they end it.
        [sys.executable, "-m", "pytest", "-q", "-x", "--capture=sys", "-p", "no:cacheprovider"]
        + ["--rootdir", source, "-c", source / "pyproject.toml"]
        + ["--deselect", "tests/test_output_cache.py::test_default"]
        + [source / "tests" / name for name in PYTHON_TESTS],
        target,
        PYTHONPATH=str(target),
        PYTHONMALLOC="malloc",
        LD_PRELOAD=" ".join(libraries),
        ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1",
        UBSAN_OPTIONS="print_stacktrace=1",
    )
    if options.broken:
        caught = re.search(".*ERROR: AddressSanitizer.*", done.stdout)
        return bool(caught), caught[0] if caught else f"nothing was caught\n{done.stdout}"
    lines = done.stdout.strip().splitlines()
    return done.returncode == 0, lines[-1] if done.returncode == 0 else done.stdout


def processors(folder, options):
    """One program, which uses whatever it finds, on each model: none may be found wrongly."""
    sources = broken(PROCESSORS_FAULT, folder / "csrc") if options.broken else ROOT / "csrc"
    program = [HERE / "kernels.c", sources / "relu_ext.c", "-o", "kernels", "-lm"]
    done = run(["gcc", *STRICT, "-O3", "-static", f"-I{sources}", *program], folder)
    if done.returncode != 0:
        return False, f"does not build\n{done.stdout}"
    wrong, elements = [], 0
    for want, models in PROCESSORS.items():
        for name in models.split():
            done = run(["qemu-x86_64", "-cpu", name, "./kernels", "2", "64"], folder)
            said = re.search(r"^(.*) x \d+ functions: (\d+) elements compared", done.stdout, re.M)
            if done.returncode == 0 and said and said[1] == want:
                elements += int(said[2])
            else:
                got = said[1] if said else f"exit status {done.returncode}"
                wrong.append(f"{name}: {got} instead of {want}")
                if options.broken:
                    return True, f"caught the fault: {wrong[0]}"
    if options.broken:
        return False, "caught no fault"
    count = sum(len(models.split()) for models in PROCESSORS.values())
    return not wrong, "; ".join(wrong) or f"{count} models: {elements:,} elements compared"


# What is more than a program that is built and run: function, about, tools, only_named.
SPECIAL = {
    MODEL: (model, MODEL_ABOUT, ["spin", "gcc"], False),
    PYTHON_ASAN: (python_asan, PYTHON_ASAN_ABOUT, ["gcc"], True),
    PROCESSORS_NAME: (processors, PROCESSORS_ABOUT, ["gcc", "qemu-x86_64"], True),
}
ONLY_NAMED = "; runs only when it is named"


def run(command, folder, **environment):
    """What a command prints, errors too. OMP_NUM_THREADS: more threads than this machine may
    have; the settings of sanitizers hold only where something is built with them."""
    settings = {
        "OMP_NUM_THREADS": "3",
        "ASAN_OPTIONS": "detect_leaks=1",
        "TSAN_OPTIONS": "ignore_noninstrumented_modules=1 halt_on_error=1",
        "WINEPREFIX": str(folder / "wine"),
        "WINEDEBUG": "-all",
    }
    return subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=os.environ | settings | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


if __name__ == "__main__":
    sys.exit(main())
