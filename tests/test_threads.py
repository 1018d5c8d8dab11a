"""How many threads, and what forks do."""

import os
import subprocess
import sys

import pytest

import relu_ext
from relu_ext import _threads


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


def test_threadpoolctl():
    threadpoolctl = pytest.importorskip("threadpoolctl")
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
    pytest.importorskip("threadpoolctl")
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
