"""The machine and the versions, as far as they matter to the figures."""

import os
import platform
from importlib import metadata
from pathlib import Path

import relu_ext
from bench import roof
from relu_ext._cli import info

_CPU = Path("/sys/devices/system/cpu/cpu0")
_USUAL_CACHE_BYTES = 32 * 2**20


def describe_machine():
    """A dict without anything that tells whose machine it is."""
    return {
        "cpu": info.cpu_model(),
        "architecture": platform.machine(),
        "cpus usable": len(os.sched_getaffinity(0)),
        "caches": {name: info.format_bytes(size) for name, size in info.cache_sizes()},
        "memory GiB": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "virtual machine": "hypervisor" in info.cpuinfo().get("flags", "").split(),
        "system": f"{platform.system()} {platform.release()}",
        "transparent huge pages": _chosen(
            info.read(Path("/sys/kernel/mm/transparent_hugepage/enabled"))
        ),
        "frequency governor": info.read(_CPU / "cpufreq/scaling_governor"),
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
    return max((size for _, size in info.cache_sizes()), default=_USUAL_CACHE_BYTES)


def _chosen(text):
    """``"always [madvise] never"`` as ``"madvise"``."""
    return text[text.find("[") + 1 : text.find("]")] if text else None
