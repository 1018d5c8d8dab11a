"""The dtypes that ml_dtypes adds to NumPy, through the ordinary ufunc call."""

import itertools
import pickle
import subprocess
import sys

import numpy as np
import pytest
import reference
from arrays import samples, specials

from relu_ext import relu, relu_, relu_grad, relu_grad_

ml_dtypes = pytest.importorskip("ml_dtypes")

# The format's name in the oracle, and the dtype.
TYPES = [
    ("bf16", ml_dtypes.bfloat16),
    ("f8e5m2", ml_dtypes.float8_e5m2),
    ("f8e4m3fn", ml_dtypes.float8_e4m3fn),
]
each_type = pytest.mark.parametrize("name, dtype", TYPES, ids=[name for name, _ in TYPES])


def bits(a):
    return np.ascontiguousarray(a).view(f"u{a.itemsize}")


@each_type
def test_every_pattern(isa, name, dtype):
    size = np.dtype(dtype).itemsize
    x = np.arange(2 ** (8 * size), dtype=f"u{size}").view(dtype)
    want = reference.relu(bits(x).view(reference.STORAGE[name]), name)
    for got in (relu(x), relu(x, where=True), relu(x, out=np.empty_like(x)), relu_(x.copy())):
        assert got.dtype == x.dtype
        assert np.array_equal(bits(got), bits(want))


@each_type
def test_gradient(isa, name, dtype):
    pairs = np.array(list(itertools.product(specials(name), repeat=2)))
    dy, x = (np.ascontiguousarray(column) for column in pairs.T)
    want = reference.relu_grad(dy, x, name)
    dy, x = dy.view(dtype), x.view(dtype)
    for got in (relu_grad(dy, x), relu_grad(dy, x, where=True), relu_grad_(dy.copy(), x)):
        assert got.dtype == dtype
        assert np.array_equal(bits(got), bits(want))


LAYOUTS = [lambda a: a[::2], lambda a: a[::-1], lambda a: a.reshape(-1, 7).T, lambda a: a[:, None]]


@each_type
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(name, dtype, layout, rng):
    raw = samples(name, 2002, rng)
    x = layout(raw.view(dtype))
    assert np.array_equal(bits(relu(x)), bits(reference.relu(layout(raw), name)))


@each_type
def test_scalars_and_large_arrays(name, dtype, rng):
    assert relu(dtype(-2)) == 0 and relu(dtype(2)) == 2
    raw = samples(name, 2_000_001, rng)
    want = reference.relu(raw, name)
    assert np.array_equal(bits(relu(raw.view(dtype))), bits(want))


def test_importing_takes_nothing_else_along():
    """What would make it slow."""
    code = (
        "import sys, numpy; before = set(sys.modules); import relu_ext;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split()) - sys.stdlib_module_names
    assert loaded == {"relu_ext", "_cffi_backend", "ml_dtypes"}


def test_the_ufuncs_still_pickle():
    assert pickle.loads(pickle.dumps(relu)) is relu
