"""Large new results, whose memory is used again: never seen, but in the time it takes."""

import contextlib
import copy
import gc
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from arrays import assert_same_bits, new
from numpy._core.multiarray import get_handler_name
from test_threads import call_until_helped, parts_helped

import relu_ext
from relu_ext import _output_cache, get_output_cache, lib, relu, relu_grad, set_output_cache

MIB = 1 << 20
N = 3 * MIB + 1  # float32, and not a whole number of pages
LIMIT = 256 * MIB

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux has the cache"
)


@pytest.fixture(autouse=True, params=[LIMIT, 0], ids=["on", "off"])
def limit(request):
    """Every test with the cache on and off, empty to begin with."""
    before = get_output_cache().limit
    set_output_cache(0)
    set_output_cache(request.param)
    yield request.param
    set_output_cache(before)


def only_on(test):
    """For tests of what only the cache does, in this process."""
    works = sys.platform.startswith("linux") and lib.relu_ext_fast_calls()
    skip = pytest.mark.skipif(not works, reason="only plain calls on Linux use the cache")
    return skip(once(test))


# For tests that set the limit themselves.
once = pytest.mark.parametrize("limit", [LIMIT], ids=["on"], indirect=True)


def run(code, **environment):
    """Code in a fresh interpreter, with everything as it is by default or as asked for."""
    default = {"RELU_EXT_FAST_CALL": "1", "RELU_EXT_OUTPUT_CACHE": str(LIMIT)}
    prelude = """
    import gc, os, sys, time
    import numpy as np, relu_ext
    from relu_ext import relu, get_output_cache, set_output_cache
    MIB = 1 << 20
    def resident():
        return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(code)],
        env={**os.environ, **default, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def fill_with_garbage(*sizes):
    """Have the cache hold dirty memory of results of so many bytes."""
    results = [relu(np.ones(size, np.int8)) for size in sizes]
    for result in results:
        result.view(np.uint8)[...] = 0xA5


# NumPy's arrays are as ever.


def test_large_results_are_independent():
    """Memory of results that died is used again, and of none that lives."""
    x = np.ones(N, np.float32)
    results = [relu(x * k) for k in range(1, 4)]
    del results[1]
    results += [relu(x * 4), relu(x * 5)]
    for result, value in zip(results, (1, 3, 4, 5)):
        assert result.flags.owndata and result.flags.writeable and result.flags.aligned
        assert result.base is None
        assert (result == value).all()


@pytest.mark.parametrize("seed", range(3))
def test_sizes_of_every_kind(seed):
    """On both sides of every boundary; several alive at a time, none in another's memory."""
    rng = np.random.default_rng(seed)
    around = [256 << 10, 512 << 10, 2 * MIB, 4 * MIB, 8 * MIB, 9 * MIB, 10 * MIB]
    sizes = [size + step for size in around for step in (-4097, -49, -1, 0, 1, 48, 4096)]
    alive = {}
    for value, size in enumerate(rng.permutation(sizes * 2)):
        value %= 127
        result = relu(np.full(size, value, np.int8))
        assert result.size == size
        alive[value] = result
        if len(alive) > 5:
            value = [*alive][rng.integers(len(alive))]
            assert (alive.pop(value) == value).all()
    for value, result in alive.items():
        assert (result == value).all()


@pytest.mark.parametrize(
    "ufunc, types",
    [(ufunc, types) for ufunc in (relu, relu_grad) for types in ufunc.types],
    ids=lambda value: getattr(value, "__name__", value),
)
@pytest.mark.parametrize("step", [1, 2])
def test_every_byte_is_written(ufunc, types, step, rng):
    """Padding of long doubles among them."""
    n = step * MIB // np.dtype(types[0]).itemsize
    inputs = [np.resize(new(types[0], 1000, rng), n)[::step] for _ in range(ufunc.nin)]
    fill_with_garbage(MIB, MIB)
    hits = get_output_cache().hits
    result = ufunc(*inputs)
    assert get_output_cache().hits - hits in (0, 1)
    want = np.zeros(inputs[0].shape, types[0])
    ufunc(*inputs, out=want, where=True)
    assert result.tobytes() == want.tobytes()


def test_what_is_not_written_whole_is_numpys():
    x = np.ones(N, np.float32)
    fill_with_garbage(x.nbytes, 2 * x.nbytes)
    before = get_output_cache()
    for result in (
        relu(x, where=x > 2, out=None),
        relu(x, dtype=np.float64),
        relu_grad(x, np.float32(1)),
        relu(x, out=np.empty_like(x)),
    ):
        assert get_handler_name(result) == "default_allocator"
    assert get_output_cache()[2:] == before[2:]


@only_on
@pytest.mark.parametrize("ufunc", [relu, relu_grad], ids=lambda ufunc: ufunc.__name__)
def test_memory_is_used_again(ufunc):
    inputs = [np.ones(N, np.float32)] * ufunc.nin
    before = get_output_cache()
    result = ufunc(*inputs)
    where, name = result.ctypes.data, get_handler_name(result)
    del result
    others = np.empty_like(inputs[0])
    assert get_output_cache().held >= others.nbytes
    assert ufunc(*inputs).ctypes.data == where
    assert name == "relu_ext"
    assert get_output_cache().hits == before.hits + 1
    assert get_output_cache().misses == before.misses + 1


@only_on
def test_for_results_of_about_that_size():
    x = np.ones(10 * MIB, np.int8)
    for size, hit in [
        (10 * MIB, False),
        (10 * MIB - 1, True),
        (9 * MIB, True),
        (10 * MIB, True),
        (7 * MIB, False),
        (13 * MIB, False),
    ]:
        before = get_output_cache()
        relu(np.resize(x, size))
        after = get_output_cache()
        assert (after.hits - before.hits, after.misses - before.misses) == (hit, not hit), size


@only_on
def test_small_results_are_numpys():
    before = get_output_cache()
    assert get_handler_name(relu(np.ones(1000, np.float32))) == "default_allocator"
    assert get_output_cache() == before


def test_orders():
    x = np.ones((N // 2, 2), np.float32)
    assert relu(x).flags.c_contiguous
    assert relu(x.T).flags.f_contiguous


def test_resize():
    y = relu(np.arange(N, dtype=np.float32))
    want = y.copy()
    view = y[:1]
    with pytest.raises(ValueError, match="resize"):
        y.resize(2 * N)
    del view
    y.resize(2 * N, refcheck=False)
    assert_same_bits(y[:N], want)
    assert not y[N:].any()
    y.resize(10, refcheck=False)
    assert_same_bits(y, want[:10])
    y.resize(0, refcheck=False)
    y.resize(N, refcheck=False)
    assert not y.any()


@pytest.mark.parametrize(
    "derive",
    [
        lambda y: y[5:-5:3],
        lambda y: y.view(np.uint32).view(np.float32),
        memoryview,
        np.from_dlpack,
        np.asarray,
        lambda y: np.lib.stride_tricks.sliding_window_view(y, 3)[::7],
        lambda y: np.lib.stride_tricks.as_strided(y[2:], (9,), (8,)),
        lambda y: np.ma.masked_array(y, copy=False),
    ],
    ids=["slice", "view", "memoryview", "dlpack", "asarray", "windows", "strided", "masked"],
)
def test_views_keep_the_memory(derive):
    x = np.arange(N, dtype=np.float32)
    want = np.array(derive(x))
    view = derive(relu(x))
    for _k in range(3):
        relu(x * 0)
    assert_same_bits(np.array(view), want)


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda y: pickle.loads(pickle.dumps(y, protocol=5))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies(copied):
    x = np.arange(N, dtype=np.float32)
    y = relu(x)
    other = copied(y)
    y[...] = -1
    del y
    relu(x * 0)
    assert_same_bits(other, x)


def test_tracemalloc():
    """NumPy itself reports what its arrays take, from whatever allocator."""
    x = np.ones(N, np.float32)
    only = [tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)]

    def traced():
        return sum(t.size for t in tracemalloc.take_snapshot().filter_traces(only).traces)

    tracemalloc.start()
    try:
        before = traced()
        y = relu(x)
        assert traced() - before == y.nbytes
        del y
        assert traced() == before
    finally:
        tracemalloc.stop()


# NumPy's PyDataMem_SetHandler, which is for C.
SET_HANDLER = """
        import ctypes
        from numpy._core.multiarray import get_handler_name
        P, Z = ctypes.c_void_p, ctypes.c_size_t
        python = ctypes.pythonapi
        python.PyCapsule_GetPointer.restype = P
        python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, P]
        table = python.PyCapsule_GetPointer(np._core.multiarray._ARRAY_API, None)
        address = ctypes.cast(table, ctypes.POINTER(P))[304]
        set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(address)
"""


@linux_only
def test_handler_of_the_users_own(limit):
    """Whoever sets one gets all arrays from it."""
    run(
        SET_HANDLER
        + """
        libc = ctypes.CDLL(None)
        for name, arguments in ("malloc", [Z]), ("calloc", [Z, Z]), ("realloc", [P, Z]):
            getattr(libc, name).restype, getattr(libc, name).argtypes = P, arguments
        libc.free.argtypes = [P]
        made = []
        functions = (
            ctypes.CFUNCTYPE(P, P, Z)(lambda _, size: made.append(size) or libc.malloc(size)),
            ctypes.CFUNCTYPE(P, P, Z, Z)(lambda _, count, size: libc.calloc(count, size)),
            ctypes.CFUNCTYPE(P, P, P, Z)(lambda _, data, size: libc.realloc(data, size)),
            ctypes.CFUNCTYPE(None, P, P, Z)(lambda _, data, size: libc.free(data)),
        )
        class Handler(ctypes.Structure):
            _fields_ = [("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("ctx", P)]
            _fields_ += [(f"f{k}", type(function)) for k, function in enumerate(functions)]
        handler = Handler(b"mine", 1, None, *functions)
        python.PyCapsule_New.restype = ctypes.py_object
        python.PyCapsule_New.argtypes = [P, ctypes.c_char_p, P]
        capsule = python.PyCapsule_New(ctypes.addressof(handler), b"mem_handler", None)

        x = np.ones(4 * MIB, np.float32)
        theirs = set_handler(capsule)
        y = relu(x)
        assert get_handler_name(y) == get_handler_name() == "mine" and x.nbytes in made
        assert (y == 1).all() and get_output_cache()[1:] == (0, 0, 0)
        del y
        set_handler(theirs)
        relu(x)
        assert get_handler_name() == "default_allocator"
        assert get_output_cache().misses == (get_output_cache().limit > 0)
        """,
        RELU_EXT_OUTPUT_CACHE=str(limit),
    )


def test_numpys_handler_is_back():
    relu(np.ones(N, np.float32))
    assert get_handler_name() == "default_allocator"
    assert get_handler_name(np.empty(N, np.float32)) == "default_allocator"


@once
@linux_only
def test_arrays_of_others():
    """A finalizer that runs while NumPy's handler is changed may make any kind of array."""
    run(
        SET_HANDLER
        + """
        x = np.ones(3 * MIB, np.int8)
        y = relu(x)
        # PyArrayObject_fields: the last of ten words behind the object's head.
        last = id(y) + object.__basicsize__ + 9 * ctypes.sizeof(P)
        ours = ctypes.py_object.from_address(last).value
        dirty = [relu(x) for _ in range(4)]
        for other in dirty:
            other[...] = -1
        del other, dirty
        theirs = set_handler(ours)
        assert not np.zeros(3 * MIB, np.int8).any() and not np.zeros(100, np.int8).any()
        empty = np.zeros((0, 5))
        arrays = [np.full(1 << k, k, np.int8) for k in range(23)]
        for k, array in enumerate(arrays):
            array.resize(5 << k, refcheck=False)
            assert (array[: 1 << k] == k).all() and not array[1 << k :].any()
            array.resize(1 << k >> 1, refcheck=False)
            assert (array == k).all()
        assert {get_handler_name(array) for array in arrays} == {"relu_ext"}
        set_handler(theirs)
        """
    )


# Threads, forks, the end.


def test_many_threads(limit):
    """Made in one thread, looked at and freed in another, while the limit changes."""
    results = []  # append and pop are atomic

    def work(seed):
        rng = np.random.default_rng(seed)
        wrong = 0
        for k in range(40):
            value = int(rng.integers(1, 127))
            results.append((relu(np.full(rng.integers(1, 5 * MIB), value, np.int8)), value))
            if limit and k % 10 == 9:
                set_output_cache(int(rng.integers(1, 20)) * MIB)
            try:
                result, value = results.pop(0)
            except IndexError:
                continue
            wrong += not (result == value).all()
        return wrong

    before = get_output_cache()
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 0
    del results[:]
    after = get_output_cache()
    assert after.held <= after.limit
    # Not all of the 320 are large.
    assert after.hits + after.misses - before.hits - before.misses <= 320


@only_on
def test_lock():
    """Two threads that empty the cache without the GIL while others take from it."""
    stop = threading.Event()

    def empty():
        while not stop.is_set():
            lib.relu_ext_set_output_cache(LIMIT)
            lib.relu_ext_set_output_cache(MIB)

    def work(value):
        x = np.full(600_000, value, np.int8)
        for _ in range(300):
            a, b = relu(x), relu(x)
            a[...] = value + 10
            if not (b == value).all() or not (a == value + 10).all():
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        emptying = [pool.submit(empty) for _ in range(2)]
        try:
            assert all(pool.map(work, range(2)))
        finally:
            stop.set()
        for future in emptying:
            future.result()


@linux_only
def test_forked_child_starts_with_nothing(limit):
    run(
        """
        x = np.full(4 * MIB, 1, np.int8)
        alive, dead = relu(x), relu(x * 2)
        address = dead.ctypes.data
        del dead
        parent = get_output_cache()
        child = os.fork()
        if child == 0:
            assert get_output_cache() == (parent.limit, 0, 0, 0), get_output_cache()
            alive[...] = 3
            del alive
            assert get_output_cache().held == 0  # its pages are shared with the parent's
            y = relu(x * 4)
            assert (y == 4).all()
            del y
            assert (get_output_cache().held > 0) == (parent.limit > 0)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert (alive == 1).all() and get_output_cache() == parent
        again = relu(x * 5)
        assert (again == 5).all() and (alive == 1).all()
        assert (again.ctypes.data == address) == (parent.limit > 0) or not parent.limit
        """,
        RELU_EXT_OUTPUT_CACHE=str(limit),
    )


@linux_only
def test_fork_while_other_threads_allocate(limit):
    """A child that found the lock taken would wait for ever."""
    run(
        """
        import signal, threading, warnings
        warnings.simplefilter("ignore")
        relu_ext.set_num_threads(1)
        stop = threading.Event()
        def work(x):
            relu(x)
            while not stop.is_set():
                for _ in range(100):
                    relu_ext.lib.relu_ext_set_output_cache(get_output_cache().limit)
        threads = [threading.Thread(target=work, args=[np.ones(MIB, np.int8)]) for _ in range(3)]
        for thread in threads:
            thread.start()
        x = np.full(MIB, 7, np.int8)
        for _ in range(100):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                os._exit(relu(x).tobytes() != x.tobytes())
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for thread in threads:
            thread.join()
        """,
        RELU_EXT_OUTPUT_CACHE=str(limit),
    )


def test_at_the_end_of_the_interpreter(limit):
    """Arrays that die late, and results that are made late."""
    output = run(
        """
        import atexit
        x = np.ones(4 * MIB, np.int8)
        class Late:
            def __init__(self, y):
                self.y = y
            def __del__(self, relu=relu, x=x, write=os.write):
                # all() would import something by now.
                ones = relu(x).tobytes() == self.y.tobytes() == x.tobytes()
                write(1, b"right " if ones else b"wrong ")
        sys.kept = relu(x)
        late, os.late = Late(relu(x)), Late(relu(x))
        cycle = [Late(relu(x))]
        cycle.append(cycle)
        atexit.register(relu, x)
        atexit.register(lambda y: None, relu(x))
        """,
        RELU_EXT_OUTPUT_CACHE=str(limit),
    )
    assert output.split() == ["right"] * 3


# How much is kept, and how long.


@once
def test_set_and_get(limit):
    assert get_output_cache()._fields == ("limit", "held", "hits", "misses")
    assert get_output_cache().limit == limit
    set_output_cache(10**30)
    assert get_output_cache().limit > LIMIT
    set_output_cache(np.int64(7))
    assert get_output_cache().limit == 7


@once
@pytest.mark.parametrize("nbytes, error", [(-1, ValueError), ("1 M", ValueError), (1.5, TypeError)])
def test_not_a_number_of_bytes(nbytes, error, limit):
    with pytest.raises(error):
        set_output_cache(nbytes)
    assert get_output_cache().limit == limit


@once
def test_off(limit):
    set_output_cache(0)
    before = get_output_cache()
    assert before.held == 0
    y = relu(np.ones(N, np.float32))
    assert get_handler_name(y) == "default_allocator"
    del y
    assert get_output_cache() == before


def test_turned_off_while_results_live():
    results = [relu(np.full(N, k, np.float32)) for k in range(3)]
    set_output_cache(0)
    assert all((result == k).all() for k, result in enumerate(results))
    del results
    assert get_output_cache().held == 0


@only_on
def test_never_keeps_more_than_it_may():
    set_output_cache(40 * MIB)
    x = np.ones(N, np.float32)
    for _ in range(3):
        results = [relu(x) for _ in range(6)]
        assert all((y == 1).all() for y in results)
        del results
        assert 24 * MIB < get_output_cache().held <= 40 * MIB
    set_output_cache(16 * MIB)
    assert 0 < get_output_cache().held <= 16 * MIB
    relu(np.ones(20 * MIB, np.int8))  # does not push the others out
    assert 0 < get_output_cache().held <= 16 * MIB


@only_on
def test_many_small_ones():
    """Every one that is taken is the right one, of more than are kept."""
    results = [relu(np.full(600_000, k, np.int8)) for k in range(100)]
    del results
    held = get_output_cache().held
    assert 0 < held < 100 * 600_000
    results = [relu(np.full(600_000, k, np.int8)) for k in range(100)]
    assert all((result == k).all() for k, result in enumerate(results))
    assert get_output_cache().held == 0


@once
@linux_only
def test_lowering_the_limit_gives_memory_back():
    run("""
        y = relu(np.ones(64 * MIB, np.int8))
        del y
        before = resident()
        assert get_output_cache().held == 64 * MIB
        set_output_cache(0)
        assert before - resident() > 56 * MIB
        assert get_output_cache().held == 0
    """)


@once
@linux_only
def test_idle_memory_goes_back():
    """By small results, too; but not while it is used."""
    run("""
        x = np.ones(64 * MIB, np.int8)
        y = relu(x)
        del y
        time.sleep(1.5)
        assert relu(x).all() and get_output_cache().hits == 1
        before = resident()
        for _ in range(200):
            relu(x[:100])
        assert before - resident() < 8 * MIB
        time.sleep(1.5)
        for _ in range(200):
            relu(x[:100])
        assert before - resident() > 56 * MIB
        assert get_output_cache().held == 0
    """)


@once
@linux_only
def test_gives_back_what_is_needed():
    """A result that fits only where the kept ones were; then one that fits nowhere."""
    run("""
        import resource
        x = np.ones(36 * MIB, np.int8)
        twice = np.ones(72 * MIB, np.int8)
        huge = np.ones(512 * MIB, np.int8)
        results = [relu(x) for _ in range(4)]
        del results
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 16 * MIB,) * 2)
        assert relu(twice).all()
        try:
            relu(huge)
        except MemoryError:
            pass
        else:
            raise AssertionError
        assert np._core.multiarray.get_handler_name() == "default_allocator"
        assert relu(x).all()
    """)


@linux_only
def test_each_thread_touches_its_own_part_first(limit):
    """New pages are zeroed by whoever writes first: not all by the thread that calls."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one CPU for both threads")

    def call():
        set_output_cache(0)
        set_output_cache(limit)
        relu(x)

    def faults_of_helpers():
        faults = 0
        for path in Path("/proc/self/task").glob("*/stat"):
            with contextlib.suppress(OSError):  # a thread of another test may end meanwhile
                name, _, fields = path.read_text().rpartition(")")
                faults += int(fields.split()[7]) if name.endswith("(relu_ext") else 0
        return faults

    x = np.ones(128 * MIB, np.int8)
    before, parts = faults_of_helpers(), parts_helped()
    with relu_ext.num_threads(2):
        call_until_helped(call, least=32)
    # There are 32 parts in a call, and in each of them at least one whole huge page.
    assert faults_of_helpers() - before >= parts_helped() - parts


@once
@pytest.mark.parametrize(
    "text, nbytes",
    [("0", 0), ("1234567", 1234567), ("40M", 40 * MIB), ("2k", 2048), ("1G", 2**30)],
)
def test_limit_as_text(text, nbytes):
    """The environment variable and the function take the same."""
    code = "print(get_output_cache().limit); relu(np.ones(4 * MIB, np.int8))"
    assert int(run(code, RELU_EXT_OUTPUT_CACHE=text)) == nbytes
    set_output_cache(text)
    assert get_output_cache().limit == nbytes


@once
@pytest.mark.parametrize("text", ["many", "-1", "1.5G", "10 M", "10MB", "²"])
def test_bad_text(text):
    with pytest.raises(ValueError, match=r"'.*' is not a number of bytes .*256M"):
        set_output_cache(text)
    assert get_output_cache().limit == LIMIT
    with pytest.raises(AssertionError, match=f"ImportError: RELU_EXT_OUTPUT_CACHE='{text}"):
        run("", RELU_EXT_OUTPUT_CACHE=text, PYTHONIOENCODING="utf-8")


@once
@linux_only
@pytest.mark.parametrize(
    "files, memory",
    [
        ({"group/memory.max": "1073741824\n"}, 2**30),
        ({"group/memory.max": "max\n", "memory.max": "1073741824\n"}, 2**30),
        ({"group/memory.max": "1073741824\n", "group/memory.high": "536870912\n"}, 2**29),
        ({"memory/group/memory.limit_in_bytes": "1073741824\n"}, 2**30),
        ({"memory/group/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ({"group/memory.max": "max\n"}, None),
        ({}, None),
    ],
)
def test_memory_of_the_control_groups(tmp_path, files, memory):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "self").write_text("5:memory:/group\n0::/group\n")
    without = _output_cache._memory(tmp_path / "missing")
    found = _output_cache._memory(tmp_path / "self", tmp_path)
    assert found == (without if memory is None else min(memory, without))


@once
@linux_only
def test_default():
    code = "print(get_output_cache().limit)"
    usual = int(run(code, RELU_EXT_OUTPUT_CACHE=""))
    assert usual == min(512 * MIB, _output_cache._memory() // 16)
    limited = "import resource; resource.setrlimit(resource.RLIMIT_AS, (4 << 30,) * 2)\n"
    code = limited + "from relu_ext import _output_cache; print(_output_cache._memory())"
    assert int(run(code)) <= 4 << 30


def test_nothing_is_left_over():
    """Neither references nor memory grow with the calls."""
    x = np.ones(N, np.float32)
    relu(x)
    gc.collect()

    def references():
        """Those to immortal objects, as dtypes may be, not all code counts."""
        return [min(sys.getrefcount(a), 2**30) for a in (x, x.dtype, relu)]

    before = references()
    for _ in range(50):
        relu(x)
    assert references() == before
    assert get_output_cache().held <= 2 * x.nbytes


@once
def test_names():
    assert {"get_output_cache", "set_output_cache"} <= set(relu_ext.__all__)
