"""Fixtures, and what the head of a test report says."""

import os

# More threads than two can be asked for on any machine; read at import.
os.environ.setdefault("OMP_NUM_THREADS", "3")

import hypothesis
import numpy as np
import pytest

import relu_ext

hypothesis.settings.register_profile("short", max_examples=400, deadline=None)
hypothesis.settings.register_profile("long", max_examples=100_000, deadline=None)
hypothesis.settings.load_profile("short")


def pytest_report_header():
    return (
        f"relu_ext {relu_ext.__version__}, numpy {np.__version__}, "
        f"hypothesis {hypothesis.__version__}; "
        f"instruction sets: {', '.join(relu_ext.available_isas())} (uses {relu_ext.isa()})"
    )


@pytest.fixture(params=relu_ext.available_isas())
def isa(request):
    """Each instruction set in turn, in use while the test runs."""
    before = relu_ext.isa()
    assert relu_ext.lib.relu_ext_use_isa(request.param.encode()) == 0
    yield request.param
    assert relu_ext.lib.relu_ext_use_isa(before.encode()) == 0


@pytest.fixture
def rng():
    return np.random.default_rng(20)
