"""
Forks, pools of processes, threads, signals and sub-interpreters: each in a process of its
own under a time-out, since what goes wrong there hangs or crashes.
"""

import os
import signal
import subprocess
import sys
import sysconfig
import textwrap
import time

import pytest

PRELUDE = """
import os, sys, threading, warnings
sys.path.insert(0, {tests!r})
import numpy as np, relu_ext, reference
from arrays import assert_same_bits, block
warnings.filterwarnings("ignore", category=DeprecationWarning)  # fork with threads: on purpose
N = 2**20 + 3
BLOCK = block("f32")
WANT = np.resize(reference.relu(BLOCK), N)
def inputs():
    return np.resize(BLOCK, N)
"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def write(path, code, prelude=PRELUDE):
    path.write_text(prelude.format(tests=os.path.dirname(__file__)) + textwrap.dedent(code))
    return [sys.executable, str(path)]


@pytest.fixture
def run(tmp_path):
    """Runs code as a file, which is what spawned children want to import; gives its output."""

    def run(code, prelude=PRELUDE):
        done = subprocess.run(
            write(tmp_path / "program.py", code, prelude),
            # Two threads at least, whatever the machine; and the limit is for a hang.
            env={**os.environ, "OMP_NUM_THREADS": "3", "RELU_EXT_NUM_THREADS": "3"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@needs_fork
def test_fork_while_another_thread_computes(run):
    """The GIL is let go of in large calls, so a fork can come in the middle of one."""
    run("""
    stop = threading.Event()
    def compute():
        x, y = inputs(), np.empty(N, np.float32)
        while not stop.is_set():
            relu_ext.relu(x, y)
            relu_ext.relu(np.ones(2**23 + 1, np.float32))  # a kept result
    threads = [threading.Thread(target=compute) for _ in range(2)]
    for thread in threads:
        thread.start()
    relu_ext.relu(inputs())  # so that this thread has helpers, too
    for _ in range(20):
        child = os.fork()
        if child == 0:
            assert_same_bits(relu_ext.relu(inputs()), WANT)
            assert relu_ext.relu(np.full(2**23 + 1, -1, np.float32)).any() == False
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    for thread in threads:
        thread.join()
    """)


@needs_fork
@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit()"])
def test_fork_during_the_first_threaded_call(run, end):
    """While the first helpers are made."""
    for _ in range(4):
        run(f"""
        import signal
        threads = [threading.Thread(target=relu_ext.relu, args=[inputs()]) for _ in range(3)]
        x = inputs()
        for thread in threads:
            thread.start()
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            assert_same_bits(relu_ext.relu(x), WANT)
            {end}
        assert os.waitpid(child, 0)[1] == 0
        for thread in threads:
            thread.join()
        """)


@needs_fork
def test_fork_of_a_fork(run):
    run("""
    relu_ext.relu(inputs())
    for level in range(3):
        child = os.fork()
        if child:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            sys.stdout.flush()
            os._exit(code)
        assert relu_ext.get_num_threads() == 3
        assert_same_bits(relu_ext.relu(inputs()), WANT)
    """)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pool_of_processes(run, method):
    import multiprocessing

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    run(f"""
    import multiprocessing
    def work(seed):
        x = np.resize(block("f32", seed), N)
        dy = inputs()
        return relu_ext.relu(x), relu_ext.relu_grad_(dy, x), relu_ext.get_num_threads()
    if __name__ == "__main__":
        assert_same_bits(relu_ext.relu(inputs()), WANT)  # threads run before the first child
        with multiprocessing.get_context({method!r}).Pool(3) as pool:
            for seed, (y, dx, threads) in enumerate(pool.map(work, range(6))):
                x = block("f32", seed)
                assert_same_bits(y, np.resize(reference.relu(x), N))
                assert_same_bits(dx, np.resize(reference.relu_grad(BLOCK, x), N))
                assert threads == 3
        assert_same_bits(relu_ext.relu(inputs()), WANT)
    """)


def test_sixteen_threads(run):
    """On the same inputs, on parts of one output, and each on its own, all at once."""
    run("""
    sys.setswitchinterval(1e-5)
    shared, mine = inputs(), [inputs() for _ in range(16)]
    together = np.empty((16, N), np.float32)
    small = BLOCK[:100].copy()
    small_want = reference.relu(small)
    errors, racing = [], threading.Event()
    def race():
        while not racing.is_set():
            for n in (1, 2, 3, 10**12):
                relu_ext.set_num_threads(n)
                assert 1 <= relu_ext.get_num_threads() <= 3
            with relu_ext.num_threads(2):
                pass
    def hammer(k):
        try:
            for _ in range(6):
                relu_ext.relu(shared, together[k])
                assert_same_bits(together[k], WANT)
                relu_ext.relu_(mine[k])  # of its own output it makes the same
                assert_same_bits(mine[k], WANT)
                for _ in range(200):
                    assert relu_ext.relu(small).tobytes() == small_want.tobytes()
                assert_same_bits(relu_ext.relu(shared), WANT)
        except BaseException as error:
            errors.append(error)
            raise
    racer = threading.Thread(target=race)
    threads = [threading.Thread(target=hammer, args=(k,)) for k in range(16)]
    for thread in (racer, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    racing.set()
    racer.join()
    assert not errors
    """)


def test_threads_in_place_on_one_buffer(run):
    """ReLU of ReLU is ReLU: whoever comes first, the bits are the same."""
    run("""
    x = inputs()
    threads = [threading.Thread(target=relu_ext.relu_, args=(x,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_same_bits(x, WANT)
    """)


BARE = "import sys, threading\nsys.path.insert(0, {tests!r})\n"


def test_first_import_in_a_thread(run):
    run(
        """
        def work():
            import numpy as np, relu_ext
            y = relu_ext.relu(np.full(2**20, -1, np.float32))
            done.append(not y.any())
        done = []
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert done == [True]
        import numpy as np, relu_ext
        assert not relu_ext.relu(np.full(2**20, -1, np.float32)).any()
        """,
        BARE,
    )


def test_first_import_in_many_threads(run):
    run(
        """
        sys.setswitchinterval(1e-5)
        def work():
            start.wait()
            import relu_ext
            found.append((relu_ext.relu, relu_ext.relu_grad, relu_ext.relu([-1, 1]).tolist()))
        found, start = [], threading.Barrier(8)
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        import relu_ext
        assert found == [(relu_ext.relu, relu_ext.relu_grad, [0, 1])] * 8
        """,
        BARE,
    )


# Signals.

LONG_CALL = """
x = np.broadcast_to(inputs(), (400, N))  # 400 M elements, a second at most; not much memory
y = np.empty(N, np.float32)
print("ready", flush=True)
try:
    while True:
        relu_ext.relu(x, np.lib.stride_tricks.as_strided(y, x.shape, (0, 4)))
except KeyboardInterrupt:
    assert_same_bits(y, WANT)
    assert_same_bits(relu_ext.relu(inputs()), WANT)
    raise
"""


@pytest.mark.skipif(os.name == "nt", reason="no such signals there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_in_a_long_call(tmp_path, number):
    """The call in progress is finished; KeyboardInterrupt comes after it, as from any C code."""
    command = write(tmp_path / "program.py", LONG_CALL)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.3)  # for being inside; should it not, nothing fails
            process.send_signal(number)
            _, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == -number
    last = errors.strip().splitlines()[-1:]
    assert last == (["KeyboardInterrupt"] if number == signal.SIGINT else [])


# Interpreters in one process.

INTERPRETERS = """
try:
    import _interpreters
    create, run = lambda: _interpreters.create({kind!r}), _interpreters.run_string
except ImportError:
    import _xxsubinterpreters as _interpreters
    how = {{"isolated": {kind!r} == "isolated"}} if sys.version_info >= (3, 12) else {{}}
    create, run = lambda: _interpreters.create(**how), _interpreters.run_string
CODE = '''
import warnings
warnings.simplefilter("ignore")  # NumPy's, about sub-interpreters
try:
    import numpy as np, relu_ext
except ImportError as error:
    print("refused:", str(error).strip().splitlines()[-1])
else:
    assert relu_ext.relu(np.array([-1.0, 2.0])).tolist() == [0, 2]
    assert relu_ext.relu_grad([1.0, 2.0], [-1, 3]).tolist() == [0, 2]
    assert not relu_ext.relu(np.full(2**22, -1, np.float32)).any()
    for wrong in (1j, "x"):
        try:
            relu_ext.relu(wrong)
        except TypeError:
            pass
        else:
            raise AssertionError(wrong)
    print("works")
print(end="", flush=True)
'''
"""

REFUSALS = (
    "another interpreter of this process has imported relu_ext",  # ours
    "cannot load module more than once per process",  # NumPy's from 2.3 on
    "does not support loading in subinterpreters",  # CPython's, for an interpreter with its own GIL
)


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="CPython's module")
@pytest.mark.parametrize("kind", ["legacy", "isolated"])
@pytest.mark.parametrize("order", ["main first", "main last", "main never"])
def test_interpreters(run, kind, order):
    """One interpreter has it, the first that asks; others are told so, and none crashes."""
    main = "import relu_ext; assert relu_ext.relu([-1, 1]).tolist() == [0, 1]\n"
    code = INTERPRETERS.format(kind=kind)
    code += main if order == "main first" else ""
    code += "first, second = create(), create()\n"
    code += "for which in (first, second, first):\n    assert run(which, CODE) is None\n"
    code += "exec(CODE)\n" if order == "main last" else ""
    code += "_interpreters.destroy(first); _interpreters.destroy(second)\n"
    code += main if order == "main first" else ""
    lines = run(code, "import sys\n").splitlines()

    # Those of an interpreter without a GIL are as strict as those with a GIL of their own.
    own_gil = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    own_gil |= kind == "isolated" and sys.version_info >= (3, 12)
    works = [line == "works" for line in lines]
    expected = [order != "main first" and not own_gil, False]
    expected += expected[:1]
    if order == "main last":
        expected.append(own_gil)
    assert works == expected, lines
    for line in lines:
        assert line == "works" or any(refusal in line for refusal in REFUSALS), line
