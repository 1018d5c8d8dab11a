"""``relu-ext info``: what a bug report needs."""

import json
import os
import platform
import re
from importlib import metadata
from pathlib import Path

import relu_ext
from relu_ext._system import ask, unanswered
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
        if facts:
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
    found = {
        "versions": {
            "relu_ext": relu_ext.__version__,
            "Python": f"{platform.python_version()} ({platform.python_implementation()})",
            **{name: _version(name) for name in ("numpy", "ml_dtypes", "cffi")},
            "system": ask("system", platform.platform),
        },
        "processor": {
            "model": cpu_model(),
            "architecture": ask("architecture", platform.machine),
            "caches": [f"{name} {format_bytes(size)}" for name, size in cache_sizes()],
            "instruction set": relu_ext.isa(),
            "others available": [isa for isa in relu_ext.available_isas() if isa != relu_ext.isa()],
        },
        "threads": {
            "in effect": relu_ext.get_num_threads(),
            "asked for": None if asked == _INT_MAX else asked,
            "CPUs": ask("number of CPUs", os.cpu_count),
            "CPUs usable": _usable_cpus(),
            "CPU quota": _cpu_quota(),
            "helpers": _helpers(),
        },
        "thresholds": {
            "threads from": format_bytes(lib.relu_ext_get_parallel_bytes()),
            "past the caches from": format_bytes(lib.relu_ext_get_stream_bytes()),
            "output cache up to": format_bytes(relu_ext.get_output_cache().limit),
            "shortcut for calls": "on" if lib.relu_ext_fast_calls() else "off",
        },
        "environment": environment,
    }
    # Asked in vain, here or at import, so that something usual was assumed.
    return found | {"not available": unanswered}


def format_bytes(size):
    """The largest unit that leaves an integer."""
    for unit, name in ((2**20, "MiB"), (2**10, "KiB")):
        if size and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} bytes"


def cache_sizes():
    """Pairs like ``("L1", 49152)``, as far as the system tells."""
    for index in ask("caches", sorted, _CACHES.glob("index*")) or ():
        level, kind, size = (read(index / name) or "" for name in ("level", "type", "size"))
        if kind != "Instruction" and re.fullmatch("[0-9]{1,9}K", size):
            yield f"L{level}", int(size[:-1]) * 2**10


def cpu_model():
    return cpuinfo().get("model name") or ask("processor", platform.processor) or "unknown"


def cpuinfo():
    """What /proc/cpuinfo says of the first CPU."""
    lines = (read(Path("/proc/cpuinfo")) or "").split("\n\n")[0].splitlines()
    facts = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, _, value in facts}


def read(path):
    """What is in a file of the system, or None."""
    return ask(str(path), _text, path)


def _text(path):
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return None


def _usable_cpus():
    if not hasattr(os, "sched_getaffinity"):
        return None
    return len(ask("CPU affinity", os.sched_getaffinity, 0) or ()) or None


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _helpers():
    """How many threads help with long operations by now, which the first of these makes."""
    count, parts = relu_ext.ffi.new("int *"), relu_ext.ffi.new("size_t *")
    relu_ext.lib.relu_ext_get_helpers(count, parts)
    return count[0]
