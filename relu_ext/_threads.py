"""How many threads long operations run on."""

import contextlib
import importlib
import math
import operator
import os
import re
import sys
import threading

from relu_ext._cgroups import limits
from relu_ext._core import lib
from relu_ext._system import ask

_INT_MAX = 2**31 - 1

# What is asked for: for the whole process, then in each block of num_threads that is not left
# yet, in the order in which they were entered. The last one holds. Blocks of several threads or
# coroutines may end in any order: each takes its own number out, and puts back no other.
_asked = [[_INT_MAX]]
_lock = threading.RLock()  # entered again by a signal's handler
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


def get_num_threads():
    """The number of threads that a long operation called from here runs on.

    Returns
    -------
    int
        As many as were asked for (`set_num_threads`, the environment variable
        ``RELU_EXT_NUM_THREADS``, else the CPU quota of the control group), but
        never more than the calling thread has CPUs, which ``OMP_NUM_THREADS`` stands in
        for where it was set at import, than ``OMP_THREAD_LIMIT`` says, or than 64.

    Notes
    -----
    Operations that move less than half a MiB run on one thread, which costs less
    than to wake others. Longer ones take what other threads get to do of them: where other
    work has the CPUs, the calling thread does them alone, and where another thread of this
    process has such an operation running, so it does.
    """
    return lib.relu_ext_get_num_threads()


def set_num_threads(n):
    """Ask for a number of threads, for the whole process.

    Inside a block of `num_threads`, anybody's, it holds until that block ends.

    Parameters
    ----------
    n : int
        At least 1; 1 means serial.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1.

    See Also
    --------
    num_threads : the same for a while.
    """
    n = _number(n)
    with _lock:
        _asked[-1][0] = n
        lib.relu_ext_set_num_threads(n)


@contextlib.contextmanager
def num_threads(n):
    """Ask for a number of threads inside a ``with`` block.

    Like `set_num_threads`, this is for the whole process: other Python threads
    see it too. Of blocks that overlap, in several threads or coroutines, the one
    entered last holds, and when all have ended, what held before.

    Examples
    --------
    >>> import relu_ext
    >>> with relu_ext.num_threads(1):
    ...     relu_ext.get_num_threads()
    1
    """
    own = [_number(n)]
    try:
        with _lock:
            _asked.append(own)
            lib.relu_ext_set_num_threads(own[0])
        yield
    finally:
        with _lock:
            _asked[:] = [other for other in _asked if other is not own]
            lib.relu_ext_set_num_threads(_asked[-1][0])


def _number(n):
    try:
        n = operator.index(n)
    except TypeError:
        raise TypeError(f"the number of threads must be an integer, not {n!r}") from None
    if n < 1:
        raise ValueError(f"the number of threads must be at least 1, not {n}")
    return min(n, _INT_MAX)


def _cpu_quota(*where):
    """CPUs that the control groups of this process allow, rounded up; None if unlimited."""
    names = ("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    quotas = [ask("CPU quota", _quota, *fields) for fields in limits("cpu", *names, *where)]
    return min((quota for quota in quotas if quota), default=None)


def _quota(quota, period):
    if quota == "max" or int(quota) <= 0:
        return None
    return max(1, math.ceil(int(quota) / int(period)))


def _openmp_number(variable):
    """What a variable of OpenMP's says, whose values may be lists for nested regions; or None."""
    found = re.match(r"\s*([0-9]{1,9})\s*(,|$)", os.environ.get(variable, ""))
    return (int(found[1]) if found else 0) or None


# They are how job queues, Dask and joblib tell processes to be content with fewer CPUs.
lib.relu_ext_set_most_threads(
    _openmp_number("OMP_NUM_THREADS") or 0, _openmp_number("OMP_THREAD_LIMIT") or _INT_MAX
)
if text := os.environ.get("RELU_EXT_NUM_THREADS"):
    # int() would also take "+2", " 2 ", "1_0" and the digits of other scripts.
    if not re.fullmatch("0{0,99}[1-9][0-9]{0,99}", text):
        raise ImportError(
            f"RELU_EXT_NUM_THREADS={text!r} is not a number of threads; valid are 1, 2, 3, ..."
        )
    set_num_threads(int(text))
elif quota := _cpu_quota():
    set_num_threads(quota)

if "threadpoolctl" in sys.modules:  # it may be too old
    ask("threadpoolctl", importlib.import_module, "relu_ext.integrations.threadpoolctl")
