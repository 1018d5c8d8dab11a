"""How many threads, and what forks do."""

import contextlib
import itertools
import os
import platform
import subprocess
import sys
import sysconfig
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from arrays import UFUNCS
from test_sandbox import SECCOMP

import relu_ext
from relu_ext import _core, _threads


def run(code, **environment):
    """The output of a fresh interpreter, under a time-out: a lost thread waits for ever."""
    inherited = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def parts_helped():
    """How many parts of operations threads other than the callers have done by now."""
    count, parts = relu_ext.ffi.new("int *"), relu_ext.ffi.new("size_t *")
    relu_ext.lib.relu_ext_get_helpers(count, parts)
    return parts[0]


def call_until_helped(call, least=1):
    """Until helpers have done so many parts of it. However busy the machine is, and though they
    pause when it is, at some time there is a CPU for one: a minute without is a fault."""
    before, deadline = parts_helped(), time.monotonic() + 60
    while parts_helped() < before + least:
        assert time.monotonic() < deadline, "no helper takes part"
        call()


def test_set_and_get():
    with relu_ext.num_threads(10**12):
        most = relu_ext.get_num_threads()
        relu_ext.set_num_threads(1)
        assert relu_ext.get_num_threads() == 1
        relu_ext.set_num_threads(10**12)
        assert relu_ext.get_num_threads() == most


def test_with_block_restores_after_an_error():
    before = relu_ext.get_num_threads()
    with pytest.raises(KeyError), relu_ext.num_threads(1):
        assert relu_ext.get_num_threads() == 1
        raise KeyError
    assert relu_ext.get_num_threads() == before


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))], ids=str)
def test_blocks_of_threads_that_overlap(order):
    """The one entered last holds, and when all have been left, in any order, what was before."""
    before, numbers = relu_ext.lib.relu_ext_get_num_threads_asked(), [11, 12, 13]
    blocks = [relu_ext.num_threads(n) for n in numbers]
    with contextlib.ExitStack() as stack:
        threads = [stack.enter_context(ThreadPoolExecutor(1)) for _ in blocks]
        for thread, block, n in zip(threads, blocks, numbers):
            thread.submit(block.__enter__).result()
            assert relu_ext.lib.relu_ext_get_num_threads_asked() == n
        for k in order:
            threads[k].submit(blocks[k].__exit__, None, None, None).result()
            numbers[k] = None
            left = [n for n in numbers if n is not None]
            assert relu_ext.lib.relu_ext_get_num_threads_asked() == [before, *left][-1]


def test_what_is_set_inside_a_block_ends_with_it():
    before = relu_ext.lib.relu_ext_get_num_threads_asked()
    with relu_ext.num_threads(11), relu_ext.num_threads(12):
        relu_ext.set_num_threads(13)
        assert relu_ext.lib.relu_ext_get_num_threads_asked() == 13
    assert relu_ext.lib.relu_ext_get_num_threads_asked() == before


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="a GIL lets one thread count at a time"
)
def test_no_thread_counts_references():
    """To what every call uses: the number stands for that nobody looks at it."""
    builtins = [_core.bits, _core.convert, _core.count, _core.scale_shift, _core.slope_sums]
    assert all(sys.getrefcount(function) > 2**30 for function in [*UFUNCS, *builtins])


PRINT_THREADS = "import relu_ext; print(relu_ext.get_num_threads())"


GARBAGE = ["", " ", "x", "-1", "0", "1.5", "9" * 99, "3x", ",", "\udcff"]


@pytest.mark.parametrize(
    "environment, threads",
    [
        ({"OMP_NUM_THREADS": "3"}, "3"),
        ({"OMP_NUM_THREADS": "3", "RELU_EXT_NUM_THREADS": "2"}, "2"),
        ({"OMP_NUM_THREADS": "3", "RELU_EXT_NUM_THREADS": "5"}, "3"),
        ({"OMP_NUM_THREADS": " 3 , 2"}, "3"),
        ({"OMP_NUM_THREADS": "3", "OMP_THREAD_LIMIT": "1"}, "1"),
        ({"OMP_NUM_THREADS": "1000"}, "64"),
        ({"OMP_THREAD_LIMIT": "1"}, "1"),
        *(({"OMP_NUM_THREADS": text, "OMP_THREAD_LIMIT": "1"}, "1") for text in GARBAGE),
    ],
)
def test_environment(environment, threads):
    assert run(PRINT_THREADS, **environment).stdout.strip() == threads


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity here")
def test_affinity():
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);" + PRINT_THREADS
    assert run(code).stdout.strip() == "1"


ON_ONE_CPU = """
import os
import numpy as np
from relu_ext import ffi, lib, relu
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
lib.relu_ext_set_most_threads(2, 64)
x = np.random.default_rng(0).standard_normal(1 << 20, np.float32)
want = np.maximum(x, 0)
for n in (1 << 18, 1 << 20):
    for _ in range(200):
        assert (relu(x[:n]) == want[:n]).all()
helpers = ffi.new("int *")
lib.relu_ext_get_helpers(helpers, ffi.new("size_t *"))
assert helpers[0] == 1
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity here")
def test_a_helper_on_its_callers_cpu():
    """It cannot get away from there."""
    ended = run(ON_ONE_CPU)
    assert ended.returncode == 0, ended.stderr


def test_threadpoolctl():
    threadpoolctl = pytest.importorskip("threadpoolctl", minversion="3.5")
    import relu_ext.integrations.threadpoolctl

    with relu_ext.num_threads(10**12):
        most = relu_ext.get_num_threads()
        with threadpoolctl.threadpool_limits(1):
            assert relu_ext.get_num_threads() == 1
        assert relu_ext.get_num_threads() == most > 1
        with threadpoolctl.threadpool_limits({"relu_ext": 2}):
            assert relu_ext.get_num_threads() == 2
    found = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "relu_ext"]
    assert [info["version"] for info in found] == [relu_ext.__version__]
    assert found[0]["num_threads"] == relu_ext.get_num_threads()


@pytest.mark.parametrize("order", [("threadpoolctl", "relu_ext"), ("relu_ext", "threadpoolctl")])
def test_threadpoolctl_is_told_of_the_threads(order):
    pytest.importorskip("threadpoolctl", minversion="3.5")
    code = "import {}, {}, sys;".format(*order)
    if order[0] == "relu_ext":
        code += "import relu_ext.integrations.threadpoolctl;"
    code += "found = threadpoolctl.threadpool_info();"
    code += "print([i['num_threads'] for i in found if i['user_api'] == 'relu_ext'])"
    assert run(code, OMP_NUM_THREADS="3").stdout.strip() == "[3]"


def test_threadpoolctl_is_not_imported():
    assert run("import relu_ext, sys; print('threadpoolctl' in sys.modules)").stdout == "False\n"


@pytest.mark.parametrize(
    "files, quota",
    [
        ({"group/cpu.max": "150000 100000\n"}, 2),
        ({"group/cpu.max": "max 100000\n"}, None),
        ({"group/cpu.max": "400000 100000\n", "cpu.max": "100000 100000\n"}, 1),
        ({}, None),
    ],
)
def test_quota_version_2(tmp_path, files, quota):
    (tmp_path / "group").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "self").write_text("0::/group\n")
    assert _threads._cpu_quota(tmp_path / "self", tmp_path) == quota


@pytest.mark.parametrize("cfs_quota, quota", [("250000", 3), ("-1", None)])
def test_quota_version_1(tmp_path, cfs_quota, quota):
    group = tmp_path / "cpu,cpuacct" / "group"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text(cfs_quota)
    (group / "cpu.cfs_period_us").write_text("100000")
    (tmp_path / "self").write_text("2:memory:/group\n1:cpu,cpuacct:/group\n")
    assert _threads._cpu_quota(tmp_path / "self", tmp_path) == quota


def test_no_control_groups(tmp_path):
    assert _threads._cpu_quota(tmp_path / "missing", tmp_path) is None


FORK = """
import multiprocessing, numpy as np, relu_ext

def child():
    x = np.full(2**22, -1, np.float32)
    relu_ext.relu(x, x)
    assert relu_ext.get_num_threads() == 2
    raise SystemExit(int(x.any()))

x = np.ones(2**22, np.float32)
relu_ext.relu(x, x)
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join(30)
assert process.exitcode == 0, process.exitcode
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_child_has_threads_of_its_own():
    done = run(FORK, OMP_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr


# Helpers that cannot be had: the call goes on alone, or with fewer.

USE = """
import resource, sys, threading, numpy as np, relu_ext
{denial}
x = np.linspace(-1, 1, 2**22, dtype=np.float32)
y = np.empty_like(x)
for _ in range(3):
    relu_ext.relu(x, y)
    assert (y == np.maximum(x, 0)).all()
    assert relu_ext.activity(x.reshape(-1, 64)).sum() == (x > 0).sum()
    relu_ext.scale_shift_relu(x.reshape(-1, 64), np.ones(64), np.zeros(64))
assert relu_ext.get_num_threads() == {threads}
count, parts = relu_ext.ffi.new("int *"), relu_ext.ffi.new("size_t *")
relu_ext.lib.relu_ext_get_helpers(count, parts)
print(count[0])
"""
NO_PROCESSES = """
import os
os.setgroups([]), os.setgid(54321), os.setuid(54321)
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has these limits")
def test_no_processes():
    if os.getuid() != 0:
        pytest.skip("the limit is of a user's processes: a user without any takes root")
    done = run(USE.format(denial=NO_PROCESSES, threads=3), OMP_NUM_THREADS="3")
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has seccomp")
@pytest.mark.parametrize("errno", [1, 11, 12], ids=["EPERM", "EAGAIN", "ENOMEM"])
def test_threads_denied(errno):
    numbers = {"x86_64": [56, 435], "aarch64": [220, 435]}.get(platform.machine())
    if numbers is None:
        pytest.skip("the system calls' numbers are not known here")
    denial = SECCOMP.format(numbers=numbers, errno=errno)
    done = run(USE.format(denial=denial, threads=3), OMP_NUM_THREADS="3")
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


@pytest.mark.skipif(os.name == "nt", reason="no such limit there")
@pytest.mark.parametrize("kib", [256, 1024])
def test_small_stacks(kib):
    """What `ulimit -s` says, which threads have by default, and OMP_STACKSIZE."""
    limit = f"resource.setrlimit(resource.RLIMIT_STACK, ({kib << 10}, {kib << 10}))"
    code = f"""
import os, resource, sys; {limit}
os.execv(sys.executable, [sys.executable, "-c", {USE.format(denial="pass", threads=3)!r}])
"""
    done = run(code, OMP_NUM_THREADS="3", OMP_STACKSIZE="32k")
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says what is mapped")
def test_no_address_space():
    code = """
import resource, numpy as np, relu_ext
x = np.linspace(-1, 1, 2**22, dtype=np.float32)
want, y = np.maximum(x, 0), np.empty_like(x)
small = bytearray(65536)
mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + 65536, resource.RLIM_INFINITY))
relu_ext.relu(x, y)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert (y == want).all()
count, parts = relu_ext.ffi.new("int *"), relu_ext.ffi.new("size_t *")
relu_ext.lib.relu_ext_get_helpers(count, parts)
print(count[0])
"""
    done = run(code, OMP_NUM_THREADS="3")
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def test_more_stack_than_there_is():
    done = run(USE.format(denial="pass", threads=3), OMP_NUM_THREADS="3", OMP_STACKSIZE="1000G")
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forks_of_forks_and_ends_while_helpers_wait():
    """Each child computes on helpers of its own, and ends at once, while they are awake."""
    code = """
import os, warnings, numpy as np, relu_ext
warnings.simplefilter("ignore")
x, y = np.full(2**20, -1, np.float32), np.ones(2**20, np.float32)
def compute():
    for _ in range(10):
        relu_ext.relu(x, y)
        assert not y.any()
        y[:] = 1
for _ in range(30):
    compute()
    if os.fork() == 0:
        compute()
        child = os.fork()
        compute()
        if child:
            assert os.waitpid(child, 0)[1] == 0
        raise SystemExit
    assert os.wait()[1] == 0
"""
    done = run(code, OMP_NUM_THREADS="3")
    assert done.returncode == 0, done.stderr
