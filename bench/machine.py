"""The machine and the versions, as far as they matter to the figures."""

import os
import platform
from importlib import metadata
from pathlib import Path

import relu_ext

from bench import roof

_CPU = Path("/sys/devices/system/cpu/cpu0")
_USUAL_CACHE_BYTES = 32 * 2**20


def describe_machine():
    """A dict without anything that tells whose machine it is."""
    return {
        "cpu": _cpu_model(),
        "architecture": platform.machine(),
        "cpus usable": len(os.sched_getaffinity(0)),
        "caches": _caches(),
        "memory GiB": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "virtual machine": "hypervisor" in _cpuinfo().get("flags", "").split(),
        "system": f"{platform.system()} {platform.release()}",
        "transparent huge pages": _chosen(
            _read(Path("/sys/kernel/mm/transparent_hugepage/enabled"))
        ),
        "frequency governor": _read(_CPU / "cpufreq/scaling_governor"),
    }


def describe_versions(contenders):
    """Versions of everything that takes part."""
    versions = {"Python": platform.python_version(), "relu_ext": relu_ext.__version__}
    for contender in contenders:
        if contender.distribution:
            versions[contender.distribution] = metadata.version(contender.distribution)
    versions["relu_ext kernels"] = relu_ext.isa()
    if roof.lib is not None:
        versions["C compiler of the copies"] = roof.ffi.string(roof.lib.roof_compiler()).decode()
    return versions


def last_level_cache_bytes():
    """Size of the largest cache, as the system tells it; a usual one if it does not."""
    return max((size for _, size in _cache_sizes()), default=_USUAL_CACHE_BYTES)


def _caches():
    return {
        name: f"{size / 2**20:g} MiB" if size >= 2**20 else f"{size // 2**10} KiB"
        for name, size in _cache_sizes()
    }


def _cache_sizes():
    for index in sorted(_CPU.glob("cache/index*")):
        level, kind, size = (_read(index / name) for name in ("level", "type", "size"))
        if kind != "Instruction" and size and size.endswith("K"):
            yield f"L{level}", int(size[:-1]) * 2**10


def _cpu_model():
    return _cpuinfo().get("model name") or platform.processor() or "unknown"


def _cpuinfo():
    """What /proc/cpuinfo says of the first CPU."""
    lines = (_read(Path("/proc/cpuinfo")) or "").split("\n\n")[0].splitlines()
    facts = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, _, value in facts}


def _chosen(text):
    """``"always [madvise] never"`` as ``"madvise"``."""
    return text[text.find("[") + 1 : text.find("]")] if text else None


def _read(path):
    try:
        return path.read_text().strip()
    except OSError:
        return None
