"""Large new results, whose memory is used again."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from arrays import assert_same_bits

from relu_ext import lib, relu

# Just large enough for the pool, whose mappings are multiples of 2 MiB.
N = 2**23 + 1


def test_large_results_are_independent():
    """Memory of results that died is used again, and of none that lives."""
    x = np.ones(N, np.float32)
    results = [relu(x * k) for k in range(1, 4)]
    del results[1]
    results += [relu(x * 4), relu(x * 5)]
    for result, value in zip(results, (1, 3, 4, 5)):
        assert result.flags.owndata and result.flags.writeable
        assert result[0] == result[-1] == value and (result == value).all()


linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux has the pool"
)


def run(code, **environment):
    """Code in a fresh interpreter, with the pool as it is by default or as asked for."""
    default = {"RELU_EXT_FAST_CALL": "1", "RELU_EXT_POOL_MIB": "512"}
    return subprocess.run(
        [sys.executable, "-c", "import numpy as np, relu_ext\n" + textwrap.dedent(code)],
        env={**os.environ, **default, **environment},
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )


@linux_only
def test_memory_is_used_again():
    done = run("""
        x = np.ones(2**23 + 1, np.float32)
        first = relu_ext.relu(x)
        where = first.ctypes.data
        del first
        others = np.empty_like(x)
        assert relu_ext.relu(x).ctypes.data == where
    """)
    assert done.returncode == 0, done.stderr


def test_orders():
    x = np.ones((N // 2, 2), np.float32)
    assert relu(x).flags.c_contiguous
    assert relu(x.T).flags.f_contiguous


def test_resize_and_derived_arrays():
    """What NumPy does with memory that is not its own allocator's."""
    y = relu(np.arange(N, dtype=np.float32))
    want = y.copy()
    y.resize(2 * N, refcheck=False)
    assert_same_bits(y[:N], want)
    assert not y[N:].any()
    y.resize(10, refcheck=False)
    assert_same_bits(y, want[:10])


@pytest.mark.parametrize("mebibytes", ["0", "40", "99999999999999999999"])
def test_other_sizes(mebibytes):
    done = run(
        """
        for n in (2**23, 2**24):
            assert (relu_ext.relu(np.full(n, -1, np.float32)) == 0).all()
        """,
        RELU_EXT_POOL_MIB=mebibytes,
    )
    assert done.returncode == 0, done.stderr


def test_never_keeps_more_than_it_may():
    x = np.ones(N, np.float32)
    lib.relu_ext_set_pool_bytes(40 << 20)
    try:
        for _ in range(3):
            results = [relu(x) for _ in range(6)]
            assert all((y == 1).all() for y in results)
            del results
    finally:
        lib.relu_ext_set_pool_bytes(512 << 20)


@linux_only
def test_gives_back_what_is_needed():
    """A result that fits only where the kept ones were."""
    done = run("""
        import resource
        x = np.ones(36 * 2**20, np.int8)
        twice = np.ones(72 * 2**20, np.int8)
        results = [relu_ext.relu(x) for _ in range(4)]
        del results
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**24,) * 2)
        assert relu_ext.relu(twice).all()
    """)
    assert done.returncode == 0, done.stderr
