"""How much memory of deleted large results is kept for the next ones."""

import operator
import os
import re
import sys
from typing import NamedTuple

from relu_ext._cgroups import limits
from relu_ext._core import ffi, lib
from relu_ext._system import ask

_MOST = 512 << 20
_SHARE = 16
# Of memory, where nothing says how much there is: what a small container has.
_UNKNOWN = 1 << 30


class OutputCache(NamedTuple):
    """What `get_output_cache` returns."""

    limit: int
    held: int
    hits: int
    misses: int


def get_output_cache():
    """How the memory of large results is used again.

    Returns
    -------
    OutputCache
        A named tuple of ints:

        limit
            The most bytes that are kept, as `set_output_cache` or the environment
            variable ``RELU_EXT_OUTPUT_CACHE`` set it.
        held
            Bytes kept at the moment; 0 on other systems than Linux.
        hits
            Results of 256 KiB and more that got memory that had been kept.
        misses
            Those that got new memory. Results that NumPy's machinery or `out` had
            memory for are in neither number.

    Notes
    -----
    A forked child starts with nothing held and counts from 0.

    Examples
    --------
    >>> import numpy as np
    >>> import relu_ext
    >>> x = np.ones((1024, 1024), np.float32)
    >>> for _ in range(10):
    ...     y = relu_ext.relu(x)
    >>> relu_ext.get_output_cache()  # doctest: +SKIP
    OutputCache(limit=536870912, held=4194304, hits=8, misses=2)
    """
    figures = [ffi.new("size_t *") for _ in OutputCache._fields]
    lib.relu_ext_get_output_cache(*figures)
    return OutputCache(*(figure[0] for figure in figures))


def set_output_cache(nbytes):
    """Set how much memory of deleted large results is kept for the next ones.

    For the whole process, from the next result on. Memory beyond the limit goes
    back to the system at once; memory that is unused for a second goes back at the
    next result.

    Parameters
    ----------
    nbytes : int or str
        The most bytes to keep, also as a text: ``"256M"``, or with ``K`` or ``G``; 0 keeps
        nothing, and NumPy then allocates every result. Sizes are rounded up, by an eighth
        at most (from 8 to 16 MiB, by a quarter), so leave that much room.

    Raises
    ------
    TypeError
        If `nbytes` is neither an integer nor a text.
    ValueError
        If `nbytes` is negative, or a text that is not a number of bytes.

    See Also
    --------
    get_output_cache : what came of it.
    """
    if isinstance(nbytes, str):
        nbytes = _parse(nbytes)
    try:
        nbytes = operator.index(nbytes)
    except TypeError:
        raise TypeError(
            f"the number of bytes to keep must be an integer, or a text such as '256M', not "
            f"{nbytes!r}"
        ) from None
    if nbytes < 0:
        raise ValueError(f"the number of bytes to keep must be at least 0, not {nbytes}")
    lib.relu_ext_set_output_cache(min(nbytes, 2 ** (8 * ffi.sizeof("size_t")) - 1))


def _memory(*where):
    """Bytes that this process may use: of the machine, its control groups, its own limits."""
    found = [ask("size of the memory", _physical_memory)]
    for names in (
        (("memory.max",), ("memory.limit_in_bytes",)),
        (("memory.high",), ("memory.soft_limit_in_bytes",)),
    ):
        for fields in limits("memory", *names, *where):
            found += (ask("memory limit", _limit, field) for field in fields)
    found += (ask(kind, _own_limit, kind) for kind in ("RLIMIT_AS", "RLIMIT_DATA"))
    return min((size for size in found if size is not None), default=_UNKNOWN)


def _physical_memory():
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    if pages <= 0 or page <= 0:
        raise ValueError(f"the system says {pages} pages of {page} bytes")
    return pages * page


def _limit(field):
    """Of a control group; None if it has none."""
    return None if field in ("max", "-1") else max(0, int(field))


def _own_limit(kind):
    import resource  # Unix only

    soft, _ = resource.getrlimit(getattr(resource, kind))
    return None if soft == resource.RLIM_INFINITY else soft


def _parse(text):
    """Bytes of a text like ``256M``."""
    if not (match := re.fullmatch("([0-9]{1,100})([KMGkmg]?)", text)):
        raise ValueError(
            f"{text!r} is not a number of bytes to keep for large results; valid are 0 (none), "
            "1000000, 256M, 1G, ..."
        )
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2].upper()]


if text := os.environ.get("RELU_EXT_OUTPUT_CACHE"):
    try:
        set_output_cache(text)
    except ValueError as error:
        raise ImportError(f"RELU_EXT_OUTPUT_CACHE={error}") from None
elif sys.platform.startswith("linux"):  # elsewhere nothing is kept
    set_output_cache(min(_MOST, _memory() // _SHARE))
