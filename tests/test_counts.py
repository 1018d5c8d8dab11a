"""sparsity, activity and dead_units: every dtype, instruction set, axis, stride and length."""

import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import reference
from arrays import ALL_TYPES, address, new, swapped, unaligned

import relu_ext
from relu_ext import activity, dead_units, lib, relu, sparsity


def check(y, name=None, axes=((), 0)):
    """All three functions against the oracle."""
    name = name or reference.format_of(y.dtype)
    fires = reference.fires(y, name)
    zeros = reference.is_zero(y, name).sum()
    share = sparsity(y)
    assert type(share) is float
    assert share == zeros / y.size if y.size else np.isnan(share)
    for axis in axes:
        counts, dead = activity(y, axis), dead_units(y, axis)
        want = fires.sum(axis=axis, dtype=np.int64)
        assert counts.dtype == np.int64 and dead.dtype == bool
        assert np.array_equal(counts, want) and counts.shape == want.shape
        assert np.array_equal(dead, want == 0) and dead.shape == want.shape


@pytest.fixture(params=[1, 3])
def threads(request):
    """So many threads, however little there is to do."""
    lib.relu_ext_set_parallel_bytes(1)
    with relu_ext.num_threads(request.param):
        assert relu_ext.get_num_threads() == request.param
        yield request.param
    lib.relu_ext_set_parallel_bytes(0)


@pytest.mark.parametrize("char", ALL_TYPES)
def test_every_length_and_offset(isa, char, rng):
    whole = new(char, 400, rng)
    for n in range(301):
        check(whole[n % 64 :][:n], axes=[0])
    if whole.itemsize > 1:
        check(unaligned(whole))


@pytest.mark.parametrize("char", ALL_TYPES)
@pytest.mark.parametrize("zeros", [0, 0.5, 0.999])
def test_matrices(isa, threads, char, zeros, rng):
    """Rows and columns from one to several strips, more rows than narrow counters hold."""
    for shape in [
        (1, 5000),
        (2, 4097),
        (3, 1),
        (260, 1),
        (700, 3),
        (1030, 7),
        (300, 64),
        (17, 130),
        (521, 129),
        (2, 33_001),
    ]:
        y = new(char, shape, rng)
        y[rng.random(shape) < zeros] = 0
        check(y, axes=[0, 1, -1, (0, 1), None])
        check(y.T, axes=[0, 1])


@pytest.mark.parametrize("char", "bBefdg")
def test_all_fire_and_none_does(isa, threads, char):
    """Where a counter that is too narrow would overflow."""
    for value, shape in itertools.product((0, 1), [(70_000, 2), (2, 70_000), (1000, 300)]):
        check(np.full(shape, value, char), axes=[0, 1, None])


def test_more_rows_than_16_bits_count(isa):
    y = np.ones((70_000, 520), np.float16)
    assert (activity(y) == 70_000).all()
    assert (activity(y, 1) == 520).all()


STRIDES = {
    "every other": lambda a: a[::2, ::2, ::2],
    "backwards": lambda a: a[::-1, ::-1, ::-1],
    "last axis backwards": lambda a: a[..., ::-1],
    "transposed": lambda a: a.transpose(2, 0, 1),
    "Fortran": lambda a: a.T,
    "left columns": lambda a: a[..., :3],
    "a row": lambda a: a[1:2],
    "broadcast": lambda a: np.broadcast_to(a[:, :1], (6, 9, 37)),
    "broadcast in front": lambda a: np.broadcast_to(a[0], a.shape),
    "axes of one": lambda a: a[:, np.newaxis, :, :1],
    "byte-swapped": swapped,
    "unaligned": unaligned,
}


@pytest.mark.parametrize("view", STRIDES.values(), ids=STRIDES.keys())
@pytest.mark.parametrize("char", "bHefdg")
def test_strides_and_axes(isa, threads, char, view, rng):
    y = view(new(char, (6, 9, 37), rng))
    every = [axes for k in range(y.ndim + 1) for axes in itertools.permutations(range(y.ndim), k)]
    check(y, axes=[None, -1, *every])


def test_images(rng, threads):
    y = new("f", (4, 3, 8, 10), rng)
    check(y, axes=[(0, 2, 3), (0, 1, 2), (0, 3), (1, 3)])
    check(y.transpose(0, 2, 3, 1), axes=[(0, 1, 2)])


@pytest.mark.parametrize("name", ["bool", "i8", "u8", "f8e5m2", "f8e4m3fn", "f16", "bf16"])
def test_every_bit_pattern(isa, name):
    y = np.arange(256 if reference.STORAGE[name].itemsize == 1 else 65536)
    y = y.astype(f"u{reference.STORAGE[name].itemsize}")
    y = y[:2] if name == "bool" else y
    if name in ("f8e5m2", "f8e4m3fn", "bf16"):
        ml_dtypes = pytest.importorskip("ml_dtypes")
        theirs = {"f8e5m2": "float8_e5m2", "f8e4m3fn": "float8_e4m3fn", "bf16": "bfloat16"}
        y, bits = y.view(getattr(ml_dtypes, theirs[name])), y
    else:
        y = bits = y.view(reference.STORAGE[name])
    fires, zero = reference.fires(bits, name), reference.is_zero(bits, name)
    for every in (1, 3):  # in vectors, and one by one
        spread = np.zeros((y.size, every), y.dtype)
        spread[:, 0] = y
        assert np.array_equal(activity(spread[:, 0].reshape(1, -1)), fires.astype(np.int64))
        assert np.array_equal(activity(spread[:, :1], 1), fires.astype(np.int64))
        assert np.array_equal(dead_units(spread[:, :1], 1), ~fires)
        assert sparsity(spread[:, 0]) == zero.mean()


@pytest.mark.parametrize("char", "efdg")
def test_the_rule(isa, char):
    y = np.array([[np.nan, -np.nan, 0.0, -0.0, 1, -1, np.inf, -np.inf]], char)
    y = np.append(y, np.nextafter(np.zeros((1, 1), char), np.array(1, char)), axis=1)
    assert activity(y).tolist() == [1, 1, 0, 0, 1, 0, 1, 0, 1]
    assert dead_units(y).tolist() == [n == 0 for n in activity(y)]
    assert sparsity(y) == 2 / 9
    assert np.array_equal(activity(relu(y)), activity(y))


def test_empty():
    assert np.isnan(sparsity(np.empty((0, 3), np.float32)))
    assert activity(np.empty((0, 3))).tolist() == [0, 0, 0]
    assert dead_units(np.empty((0, 3))).tolist() == [True] * 3
    assert activity(np.empty((0, 3)), 1).shape == (0,)
    assert activity(np.empty((2, 0, 3)), (0, 1)).tolist() == [0, 0, 0]
    assert activity(np.empty(0), None) == 0


def test_scalars_and_lists():
    assert activity(3.5, None) == 1
    assert sparsity(0.0) == 1
    assert activity([[1, 0], [2, -1]]).tolist() == [2, 0]
    assert dead_units([1.0, 0.0]) == np.False_
    assert type(activity([1.0])) is np.int64
    assert activity(np.ones((2, 3)), np.int64(1)).tolist() == [3, 3]
    assert activity(np.ones((2,) * 20), (0, 19)).shape == (2,) * 18


@pytest.mark.parametrize("function", [activity, dead_units])
def test_bad_axes(function):
    y = np.zeros((2, 3))
    for axis in (2, -3, (0, 5)):
        with pytest.raises(np.exceptions.AxisError):
            function(y, axis)
    with pytest.raises(ValueError, match="repeated"):
        function(y, (0, -2))
    with pytest.raises(TypeError):
        function(y, 1.0)
    with pytest.raises(np.exceptions.AxisError):
        function(1.0)


@pytest.mark.parametrize("function", [sparsity, activity, dead_units])
@pytest.mark.parametrize("dtype", ["D", "M8[s]", "m8[s]", "O", "S3", "U3", "f4,f4"])
def test_bad_dtypes(function, dtype):
    with pytest.raises(TypeError, match="it must be one that relu takes"):
        function(np.zeros(3, dtype))


def test_many_threads_at_once(rng):
    y = new("f", (500, 100), rng)
    want = reference.fires(y, "f32").sum(axis=0)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: activity(y), range(50)):
            assert np.array_equal(got, want)


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
def test_nothing_is_read_outside(isa):
    """Arrays that begin or end at pages which fault, in a process of its own."""
    code = """
import numpy as np
from fences import PAGE, fenced, ffi
from relu_ext import activity, sparsity
page, memory = fenced(1)
for char in "befdg":
    size = np.dtype(char).itemsize
    for rows, columns in [(1, n) for n in range(150)] + [(9, 3), (3, 9), (2, PAGE // size // 2)]:
        for start in (page, page + PAGE - rows * columns * size):
            raw = ffi.buffer(ffi.cast("char *", start), rows * columns * size)
            y = np.frombuffer(raw, char).reshape(rows, columns)
            assert not activity(y).any() and not activity(y, 1).any()
            assert not y.size or sparsity(y) == 1
"""
    environment = {**os.environ, "RELU_EXT_ISA": isa}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_input_is_left_alone(rng):
    y = new("f", (33, 65), rng)
    before = y.copy()
    check(y)
    assert np.array_equal(y.view(np.uint8), before.view(np.uint8))
    assert address(y) != address(before)
