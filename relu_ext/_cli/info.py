"""``relu-ext info``: what a bug report needs."""

import json
import os
import platform
from importlib import metadata
from pathlib import Path

import relu_ext
from relu_ext._threads import _INT_MAX, _cpu_quota

# What the names begin with of the variables that bear on speed or results.
VARIABLES = ("RELU_EXT_", "OMP_", "GOMP_", "KMP_", "NPY_", "OPENBLAS_", "MKL_")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def add(commands):
    parser = commands.add_parser(
        "info",
        help="say what a bug report needs: versions, instruction sets, threads, caches",
        epilog="examples: relu-ext info; relu-ext info --json | jq .threads",
    )
    parser.add_argument("--json", action="store_true", help="as JSON instead of lines")
    parser.set_defaults(run=run)


def run(args):
    found = describe()
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    for section, facts in found.items():
        print(section)
        for name, value in facts.items():
            if isinstance(value, list):
                value = ", ".join(map(str, value))
            print(f"  {name:22}{'none' if value in (None, '') else value}")
    return 0


def describe():
    """Dicts of facts by section: strings, numbers, lists of strings, or None for what is not."""
    lib = relu_ext.lib
    asked = lib.relu_ext_get_num_threads_asked()
    # Before threadpoolctl is imported, which sets one.
    environment = {
        name: value for name, value in sorted(os.environ.items()) if name.startswith(VARIABLES)
    }
    return {
        "versions": {
            "relu_ext": relu_ext.__version__,
            "Python": f"{platform.python_version()} ({platform.python_implementation()})",
            **{name: _version(name) for name in ("numpy", "ml_dtypes", "cffi")},
            "system": platform.platform(),
        },
        "processor": {
            "model": cpu_model(),
            "architecture": platform.machine(),
            "caches": [f"{name} {format_bytes(size)}" for name, size in cache_sizes()],
            "instruction set": relu_ext.isa(),
            "others available": [isa for isa in relu_ext.available_isas() if isa != relu_ext.isa()],
        },
        "threads": {
            "in effect": relu_ext.get_num_threads(),
            "asked for": None if asked == _INT_MAX else asked,
            "CPUs": os.cpu_count(),
            "CPUs usable": _usable_cpus(),
            "CPU quota": _cpu_quota(),
            "OpenMP": _openmp(),
        },
        "thresholds": {
            "threads from": format_bytes(lib.relu_ext_get_parallel_bytes()),
            "past the caches from": format_bytes(lib.relu_ext_get_stream_bytes()),
            "output cache up to": format_bytes(relu_ext.get_output_cache().limit),
            "shortcut for calls": "on" if lib.relu_ext_fast_calls() else "off",
        },
        "environment": environment,
    }


def format_bytes(size):
    """The largest unit that leaves an integer."""
    for unit, name in ((2**20, "MiB"), (2**10, "KiB")):
        if size and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} bytes"


def cache_sizes():
    """Pairs like ``("L1", 49152)``, as far as the system tells."""
    for index in sorted(_CACHES.glob("index*")):
        level, kind, size = (read(index / name) for name in ("level", "type", "size"))
        if kind != "Instruction" and size and size.endswith("K"):
            yield f"L{level}", int(size[:-1]) * 2**10


def cpu_model():
    return cpuinfo().get("model name") or platform.processor() or "unknown"


def cpuinfo():
    """What /proc/cpuinfo says of the first CPU."""
    lines = (read(Path("/proc/cpuinfo")) or "").split("\n\n")[0].splitlines()
    facts = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, _, value in facts}


def read(path):
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _usable_cpus():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _openmp():
    """The version built with, and what threadpoolctl, where installed, says of the libraries."""
    date = relu_ext.lib.relu_ext_openmp()
    found = [f"_OPENMP {date}" if date else "built without"]
    try:
        import threadpoolctl
    except ImportError:
        return found
    for library in threadpoolctl.threadpool_info():
        if library["user_api"] == "openmp":
            file = os.path.basename(library["filepath"])
            found.append(f"{file} with {library['num_threads']} threads")
    return found
