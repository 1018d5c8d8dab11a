"""
That nothing asked of the system ends an import or a call, whatever it refuses.

Sandboxes deny queries that nobody thinks of. Those of relu_ext only choose sizes, of the
cache of outputs and of the number of threads: something usual will do, and `relu-ext info`
says what was not available.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import textwrap

import pytest

from relu_ext import _output_cache, _system, _threads

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux has what is denied here"
)

USE = """
import numpy as np, relu_ext, os, sys
x = np.linspace(-1, 1, 1 << 20, dtype=np.float32)
for _ in range(3):
    y = relu_ext.relu(x)
    assert (y == np.maximum(x, 0)).all()
relu_ext.relu_(x)
relu_ext.get_output_cache(), relu_ext.get_num_threads(), relu_ext.lib.relu_ext_get_stream_bytes()
from relu_ext.__main__ import main
sys.exit(main(["info", "--json"]))
"""


def use_after(denial, **environment):
    """What `relu-ext info` says in a process in which something was denied before the import."""
    inherited = {name: value for name, value in os.environ.items() if "RELU_EXT_" not in name}
    done = subprocess.run(
        [sys.executable, "-c", "import numpy\n" + textwrap.dedent(denial) + USE],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)


RAISE = """
import os, resource
def refuse(*arguments):
    raise {error}
{where} = refuse
"""
REFUSED = {
    "sysconf -1": ("import os; os.sysconf = lambda name: -1", "size of the memory"),
    "sysconf 0": ("import os; os.sysconf = lambda name: 0", "size of the memory"),
    "no sysconf": ("import os; del os.sysconf", "size of the memory"),
    "no resource": ("import sys; sys.modules['resource'] = None", "RLIMIT_AS"),
    "no RLIMIT_DATA": ("import resource; del resource.RLIMIT_DATA", "RLIMIT_DATA"),
    **{
        f"{where}: {error}": (RAISE.format(where=where, error=error), name)
        for where, name in {
            "os.sysconf": "size of the memory",
            "resource.getrlimit": "RLIMIT_AS",
            "os.sched_getaffinity": "CPU affinity",
            "os.uname": "system",
        }.items()
        for error in ("OSError(1, 'no')", "PermissionError(13, 'no')", "ValueError('no')")
    },
}


@linux_only
@pytest.mark.parametrize("denial, name", REFUSED.values(), ids=REFUSED)
def test_a_refused_query(denial, name):
    found = use_after(denial)
    assert name in found["not available"], found["not available"]


@linux_only
@pytest.mark.parametrize("error", ["PermissionError(13, 'no')", "OSError(5, 'no')"])
def test_unreadable_files_of_the_system(error):
    denial = f"""
    import sys
    def hook(event, arguments):
        if event == "open" and str(arguments[0]).startswith(("/proc", "/sys")):
            raise {error}
    sys.addaudithook(hook)
    """
    found = use_after(denial)
    assert {"control groups", "/proc/cpuinfo"} <= set(found["not available"])
    assert found["processor"]["caches"] == []


def test_nothing_refused():
    assert not set(use_after("")["not available"]) & {name for _, name in REFUSED.values()}


def test_memory_of_unknown_size(monkeypatch, tmp_path):
    def refuse(*arguments):
        raise OSError("no")

    monkeypatch.setattr(os, "sysconf", refuse, raising=False)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert _output_cache._memory(tmp_path / "missing") == _output_cache._UNKNOWN


GARBAGE = [
    b"",
    b"\n",
    b"x\n",
    b"\xff\xfe\0\n",
    b"9" * 5000,
    b"1 2 3 4\n",
    b"1 0\n",
    b"-7 -7\n",
    b"1e5 1e5\n",
    b"0 0\n",
    "٣ ٣\n".encode(),
    b"9" * 400 + b" 1\n",
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: ascii(garbage[:12]))
@pytest.mark.parametrize("name", ["cpu.max", "memory.max", "self"])
def test_garbage_in_control_groups(name, garbage, tmp_path):
    where = tmp_path / "self", tmp_path
    (tmp_path / "self").write_text("0::/\n")
    (tmp_path / name).write_bytes(garbage)
    quota, memory = _threads._cpu_quota(*where), _output_cache._memory(*where)
    assert quota is None or quota >= 1
    assert memory >= 0


@pytest.mark.parametrize("path", ["//", "", "//a//b/", "a", "/a\0b", "/..", "/" + "a" * 5000])
def test_odd_paths_of_control_groups(path, tmp_path):
    (tmp_path / "self").write_text(f"0::{path}\n")
    (tmp_path / "cpu.max").write_text("200000 100000\n")
    assert _threads._cpu_quota(tmp_path / "self", tmp_path) == 2


def test_only_what_was_refused_is_noted(monkeypatch):
    monkeypatch.setattr(_system, "unanswered", {})
    assert _system.ask("one", int, "1") == 1
    assert _system.ask("two", int, "x") is None
    assert _system.unanswered == {"two": "ValueError: invalid literal for int() with base 10: 'x'"}


# System calls, denied as sandboxes do it: for good, from then on.

CALLS = {
    "x86_64": {
        "sysinfo": 99,
        "prlimit64": 302,
        "getrlimit": 97,
        "sched_getaffinity": 204,
        "madvise": 28,
        "uname": 63,
        "clock_gettime": 228,
        "getcpu": 309,
        "sched_yield": 24,
    },
    "aarch64": {
        "sysinfo": 179,
        "prlimit64": 261,
        "getrlimit": 163,
        "sched_getaffinity": 123,
        "madvise": 233,
        "uname": 160,
        "clock_gettime": 113,
        "getcpu": 168,
        "sched_yield": 124,
    },
}.get(platform.machine(), {})
SECCOMP = """
import ctypes, struct
load, equal, answer = 0x20, 0x15, 0x06
program = [(load, 0, 0, 0)]
for number in {numbers}:
    program += [(equal, 0, 1, number), (answer, 0, 0, 0x50000 | {errno})]
program.append((answer, 0, 0, 0x7FFF0000))
code = b"".join(struct.pack("HBBI", *line) for line in program)
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
no_new_privileges, set_seccomp, by_filter = 38, 22, 2
assert libc.prctl(no_new_privileges, 1, 0, 0, 0) == 0
assert libc.prctl(set_seccomp, by_filter, ctypes.byref(Filter(len(program), code))) == 0
"""


@linux_only
@pytest.mark.skipif(not CALLS, reason="the system calls' numbers are not known here")
@pytest.mark.parametrize("errno", [1, 38], ids=["EPERM", "ENOSYS"])
@pytest.mark.parametrize("name", [*CALLS, "all"])
def test_a_denied_system_call(name, errno):
    numbers = [number for call, number in CALLS.items() if name in (call, "all")]
    found = use_after(SECCOMP.format(numbers=numbers, errno=errno))
    if name in ("uname", "sched_getaffinity", "all"):
        assert found["not available"]


# Functions of the C library that fail, whoever calls them, once they are told to.

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

int denied;
int deny(int what) { denied = what; return what; }

long sysconf(int name)
{
    if (denied & 1) {
        errno = EPERM;
        return -1;
    }
    return ((long (*)(int))dlsym(RTLD_NEXT, "sysconf"))(name);
}

/* The second is what a file is compiled to call that asks for 64-bit offsets. */
#define MAP(name)                                                                      \
    void *name(void *at, size_t size, int protection, int flags, int file, off_t off)  \
    {                                                                                  \
        if (denied & 2) {                                                              \
            errno = EPERM;                                                             \
            return MAP_FAILED;                                                         \
        }                                                                              \
        void *(*next)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, #name); \
        return next(at, size, protection, flags, file, off);                           \
    }
MAP(mmap)
MAP(mmap64)

/* What glibc's pthread_atfork calls, which is no function of the shared library. */
int __register_atfork(void (*before)(void), void (*parent)(void), void (*child)(void), void *dso)
{
    if (denied & 8)
        return ENOMEM;
    return ((int (*)(void (*)(void), void (*)(void), void (*)(void), void *))dlsym(
        RTLD_NEXT, "__register_atfork"))(before, parent, child, dso);
}

int madvise(void *at, size_t size, int advice)
{
    if (denied & 4) {
        errno = EPERM;
        return -1;
    }
    return ((int (*)(void *, size_t, int))dlsym(RTLD_NEXT, "madvise"))(at, size, advice);
}
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0])
    if compiler is None:
        pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    command = [compiler, "-shared", "-fPIC", "-O1", "shim.c", "-o", "shim.so", "-ldl"]
    subprocess.run(command, cwd=folder, check=True)
    return str(folder / "shim.so")


@linux_only
@pytest.mark.parametrize(
    "what", [1, 2, 4, 8, 15], ids=["sysconf", "mmap", "madvise", "atfork", "all"]
)
def test_a_failing_function_of_the_c_library(what, shim):
    denial = f"import ctypes; ctypes.CDLL(None).deny({what})"
    if what & 9:  # what the cache cannot do without
        denial += """
import atexit
@atexit.register
def nothing_is_kept():
    assert relu_ext.get_output_cache().held == 0
"""
    found = use_after(denial, LD_PRELOAD=shim)
    assert ("size of the memory" in found["not available"]) == bool(what & 1)
