"""Faults that others reported of their projects, tried here; README.md has those that passed."""

import gc
import modulefinder
import os
import subprocess
import sys
import textwrap
from multiprocessing import shared_memory

import ml_dtypes
import numpy as np
import pytest

import relu_ext


@pytest.fixture
def run(tmp_path):
    """Runs code as a file of its own, in a process of its own; gives its output as bytes."""

    def run(code, *options, stdin=b""):
        program = tmp_path / "program.py"
        program.write_text(textwrap.dedent(code))
        done = subprocess.run(
            [sys.executable, *options, str(program)],
            input=stdin,
            capture_output=True,
            cwd=tmp_path,
            timeout=120,  # for a hang
        )
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr.decode()}"
        return done.stdout

    return run


@pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.2.0", reason="NumPy's ufuncs have no __module__ yet"
)
def test_pickles_name_the_package(run):
    """dask/distributed #8442 and dill #392: `__mp_main__.exp`, which no other process has."""
    pickled = run(
        """
        import multiprocessing, pickle, sys
        from relu_ext import *
        import relu_ext, numpy
        ufuncs = [f for f in vars(relu_ext).values() if isinstance(f, numpy.ufunc)]
        sys.stdout.buffer.write(pickle.dumps(ufuncs))
        """
    )
    names = run(
        """
        import pickle, sys
        print(*(f.__name__ for f in pickle.load(sys.stdin.buffer)))
        """,
        stdin=pickled,
    )
    assert {"relu", "relu_grad", "leaky_relu", "add_relu"} <= set(names.decode().split())


STAND_INS = {
    "class": "class bfloat16: pass",  # which NumPy takes for the dtype of objects
    "mock": "from unittest.mock import MagicMock; bfloat16 = MagicMock()",
    "broken": "raise AttributeError('_ARRAY_API not found')",
    "empty": "",
}


@pytest.mark.parametrize("kind", STAND_INS)
def test_ml_dtypes_that_is_none(kind, run, tmp_path):
    """
    Sphinx #4554, a mock of a package that is believed; pandas #59203, an import that fails for an
    optional package that is broken.
    """
    (tmp_path / "ml_dtypes.py").write_text(STAND_INS[kind])
    run(
        """
        import numpy as np, relu_ext
        objects = np.array([1.5, -2.0, None])
        for function, *arguments in [
            (relu_ext.relu,),
            (relu_ext.relu_bits,),
            (relu_ext.activity,),
            (relu_ext.scale_shift_relu, 1, 0),
        ]:
            try:
                function(objects, *arguments)
            except TypeError:
                continue
            raise AssertionError(f"{function} takes objects, whose pointers are no numbers")
        assert relu_ext.relu(np.float32(-1)) == 0
        """
    )


def test_what_a_freezer_can_see():
    """PyInstaller #1684: frozen programs without `_cffi_backend`, which compiled modules import."""
    here = os.path.dirname(os.path.dirname(relu_ext.__file__))
    # Not into the standard library, over parts of which Python 3.12's finder stumbles.
    others = [*sys.stdlib_module_names, "numpy", "ml_dtypes"]
    finder = modulefinder.ModuleFinder([here, *sys.path], excludes=others)
    finder.import_hook("relu_ext")
    assert "relu_ext._core" in finder.modules
    assert "_cffi_backend" in finder.modules


def test_threads_with_little_stack(run):
    """ultrajson #254: musl gave threads 80 KiB of stack, and the program died of it."""
    run(
        """
        import os, threading, numpy as np, relu_ext
        least = os.sysconf("SC_THREAD_STACK_MIN") if hasattr(os, "sysconf") else 0
        threading.stack_size(max(80 << 10, least))
        matrices = [np.linspace(-1, 1, 70_000).reshape(-1, 7).astype(c) for c in "efd"]
        finished = []

        def call():
            for x in matrices:
                y, bits = relu_ext.relu_bits(x)
                relu_ext.relu_grad_bits(x, bits)
                for ufunc in relu_ext.relu_grad, relu_ext.leaky_relu, relu_ext.add_relu:
                    ufunc(y, x), ufunc(y[::2], x[1::2])
                for axis in 0, 1:
                    relu_ext.activity(x, axis), relu_ext.dead_units(x, axis)
                    relu_ext.prelu_slope_grad(x, x, axis)
                    for to in "efd":
                        relu_ext.scale_shift_relu(x, 2, 1, out_axis=axis, dtype=to)
            finished.append(True)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        assert finished
        """
    )


def test_daemon_threads_at_the_end(run):
    """pyqwest #164: SIGSEGV or SIGABRT when the interpreter ends while a daemon thread computes."""
    run(
        """
        import threading, numpy as np, relu_ext
        started = threading.Semaphore(0)

        def call():
            x = np.linspace(-1, 1, 2**21, dtype=np.float32)
            while True:
                relu_ext.relu_grad(relu_ext.relu(x), x)
                relu_ext.activity(x, None)
                started.release()

        for _ in range(4):
            threading.Thread(target=call, daemon=True).start()
        for _ in range(40):
            started.acquire()
        """
    )


def test_options_of_the_interpreter(run):
    """threadpoolctl #87: no import under -OO, which leaves no docstrings."""
    code = """
        import relu_ext
        assert relu_ext.relu([-1.0, 2.0]).tolist() == [0.0, 2.0]
        """
    run(code, "-OO", "-W", "error", "-bb", "-X", "dev")


def test_shared_memory_closes_after_errors():
    """NumPy #23305 and others: memory that cannot be closed, since an error still holds it."""
    memory = shared_memory.SharedMemory(create=True, size=1 << 12)
    try:
        gc.disable()

        def call():
            x = np.ndarray((4, 8), np.float32, memory.buf)
            read_only = x.view()
            read_only.flags.writeable = False
            for function, *arguments in [
                (relu_ext.relu_, read_only),
                (relu_ext.relu_, read_only.data),
                (relu_ext.relu_, x.view("M8[s]")),
                (relu_ext.relu, x, read_only),
                (relu_ext.relu_grad_, x, np.ones(3)),
                (relu_ext.relu_bits, x, read_only),
                (relu_ext.relu_grad_bits, x, np.ones(3)),
                (relu_ext.activity, x, 2),
                (relu_ext.dead_units, x, (0, 0)),
                (relu_ext.prelu, x, [1, 2]),
                (relu_ext.prelu_slope_grad, x, x[1:]),
                (relu_ext.scale_shift_relu, x, [1, 2], 1),
            ]:
                with pytest.raises((TypeError, ValueError)):
                    function(*arguments)

        call()
        memory.close()  # a BufferError if anybody held it
    finally:
        gc.enable()
        memory.unlink()


def test_bfloat16_in_the_other_byte_order(rng):
    """ml_dtypes #308: byteswap of bfloat16 left the bytes as they were."""
    x = rng.integers(0, 1 << 16, (50, 101), np.uint16).view(ml_dtypes.bfloat16)
    other = np.dtype(ml_dtypes.bfloat16).newbyteorder()
    swapped = x.view(np.uint16).byteswap().view(other)

    def native(a):
        return a.view(np.uint16).byteswap() if a.dtype == other else a.view(np.uint16)

    for function in (
        relu_ext.relu,
        lambda a: relu_ext.relu_(a.copy()),
        lambda a: relu_ext.relu(x, out=np.empty_like(a)),
        lambda a: relu_ext.relu_grad(a, a),
        lambda a: relu_ext.relu_bits(a)[0],
        lambda a: relu_ext.prelu(a, a[0]),
    ):
        assert np.array_equal(native(function(swapped)), native(function(x)))
    assert np.array_equal(relu_ext.relu_bits(swapped)[1], relu_ext.relu_bits(x)[1])
    assert np.array_equal(relu_ext.activity(swapped), relu_ext.activity(x))
    assert np.array_equal(
        relu_ext.scale_shift_relu(swapped, 2, 1), relu_ext.scale_shift_relu(x, 2, 1), equal_nan=True
    )
