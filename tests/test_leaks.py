"""Nothing is kept by any call: leaks.py, in short."""

import sys

import leaks
import pytest

import relu_ext

PUBLIC = set(relu_ext.__all__) - {"_C_API", "ffi", "lib"}


def test_every_public_function_is_there():
    assert set(leaks.CALLS) == PUBLIC


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("name", leaks.CALLS)
def test_nothing_grows(name):
    with relu_ext.num_threads(2):
        grown, _ = leaks.check(name, 20_000)
    assert not grown


def test_a_leak_is_seen(monkeypatch):
    """A call that keeps one reference, or a few bytes, in one way of many."""
    kept = []
    for what in (lambda o: kept.append(o["x"]), lambda o: kept.append(bytearray(100))):
        ways = [(False, what), *leaks.CALLS["relu"]]
        monkeypatch.setitem(leaks.CALLS, "relu", ways)
        grown, _ = leaks.check("relu", 20_000)
        assert grown
