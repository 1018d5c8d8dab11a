"""
The paths that large arrays take, streaming, threads and rows, forced on small ones: every
length and offset matters there too.
"""

import sys

import numpy as np
import pytest
import reference
from arrays import address, assert_same_bits, new, samples
from test_kernels import call, each_kernel, inputs_of, oracle
from test_threads import call_until_helped

import relu_ext
from relu_ext import lib, relu, relu_grad

NEVER = sys.maxsize
GUARD, OUTSIDE = 64, 0xCD

# From the shortest that streams to several blocks, not a multiple of anything.
LENGTHS = [2048, 2049, 3071, 3072, 3073, 4160, 10007]  # bytes


@pytest.fixture
def streaming():
    lib.relu_ext_set_stream_bytes(1)
    yield
    lib.relu_ext_set_stream_bytes(0)


@pytest.fixture(params=[2, 3])
def threads(request):
    lib.relu_ext_set_parallel_bytes(1)
    with relu_ext.num_threads(request.param):
        assert relu_ext.get_num_threads() == request.param
        yield request.param
    lib.relu_ext_set_parallel_bytes(0)


@pytest.fixture(params=["plain", "streaming"])
def stores(request):
    lib.relu_ext_set_stream_bytes(1 if request.param == "streaming" else NEVER)
    yield request.param
    lib.relu_ext_set_stream_bytes(0)


@each_kernel
@pytest.mark.parametrize("nbytes", LENGTHS)
def test_streaming_at_every_offset(isa, streaming, operation, name, nbytes, rng):
    n = nbytes // reference.STORAGE[name].itemsize
    inputs = [samples(name, n, rng) for _ in range(inputs_of(operation, name))]
    want = oracle(operation, name, *inputs)
    memory = np.empty(want.nbytes + 2 * GUARD + 64, dtype=np.uint8)
    start = -address(memory) % 64
    for offset in range(64):
        memory[:] = OUTSIDE
        begin = start + GUARD + offset
        call(operation, name, *map(address, inputs), address(memory) + begin, n=n)
        got = memory[begin : begin + want.nbytes].copy().view(want.dtype)
        assert_same_bits(got, want)
        assert (memory[:begin] == OUTSIDE).all()
        assert (memory[begin + want.nbytes :] == OUTSIDE).all()


@each_kernel
def test_streaming_threshold_leaves_in_place_alone(isa, streaming, operation, name, rng):
    for k in range(inputs_of(operation, name)):
        inputs = [samples(name, 5000, rng) for _ in range(inputs_of(operation, name))]
        want = oracle(operation, name, *inputs)
        call(operation, name, *map(address, inputs), address(inputs[k]), n=5000)
        assert_same_bits(inputs[k], want)


@pytest.mark.parametrize("char", ["b", "B", "e", "f", "d", "g"])
@pytest.mark.parametrize("n", [1, 2, 3, 1000, 4096, 20011])
def test_threads_split_one_run(isa, threads, stores, char, n, rng):
    x = new(char, n, rng)
    out = np.zeros(n + 2, x.dtype)
    relu(x, out[1:-1])
    assert_same_bits(out[1:-1], reference.relu(x))
    assert out[0] == out[-1] == 0
    want = reference.relu(x)
    relu(x, x)
    assert_same_bits(x, want)


@pytest.mark.parametrize("char", ["e", "f", "d", "g"])
def test_threads_split_the_gradient(isa, threads, stores, char, rng):
    dy, x = new(char, 20011, rng), new(char, 20011, rng)
    want = reference.relu_grad(dy, x)
    assert_same_bits(relu_grad(dy, x, np.empty_like(dy)), want)
    assert_same_bits(relu_grad(dy, x), want)
    assert_same_bits(relu_grad(dy, x, x), want)


ROWS = {
    "left columns": lambda a: a[:, :-3],
    "right columns": lambda a: a[:, 3:],
    "every other row": lambda a: a[::2],
    "one row": lambda a: a[2:3, 1:-1],
    "no rows": lambda a: a[:0, :3],
    "no columns": lambda a: a[:, :0],
    "one column": lambda a: a[:, 1:2],
    "backwards": lambda a: a[::-1, 2:],
}


@pytest.mark.parametrize("view", ROWS.values(), ids=ROWS.keys())
@pytest.mark.parametrize("char", ["b", "e", "f", "g"])
def test_threads_split_rows(threads, stores, char, view, rng):
    base = new(char, (7, 401), rng)
    x = view(base)
    want = reference.relu(x)
    assert_same_bits(relu(x), want)
    assert relu(x).strides == relu(x, where=True).strides
    assert_same_bits(relu(x, out=np.empty_like(want)), want)

    target = new(char, (7, 401), rng)
    expected = target.copy()
    view(expected)[...] = want
    relu(x, out=view(target))
    assert_same_bits(target, expected)

    expected = base.copy()
    view(expected)[...] = want
    relu(x, out=x)
    assert_same_bits(base, expected)


def test_rows_interleaved_with_the_output(threads, rng):
    base = new("f", (50, 200), rng)
    want = base.copy()
    want[:, 100:] = reference.relu(base[:, :100])
    relu(base[:, :100], out=base[:, 100:])
    assert_same_bits(base, want)


STRIDED = {
    "every other": lambda a: a[::2],
    "backwards": lambda a: a[::-1],
    "every third, backwards": lambda a: a[::-3],
    "one": lambda a: a[5:6],
}


@pytest.mark.parametrize("view", STRIDED.values(), ids=STRIDED.keys())
@pytest.mark.parametrize("char", ["b", "e", "f", "d", "g"])
def test_threads_split_strided_runs(isa, threads, char, view, rng):
    base = new(char, 50_021, rng)
    x, dy = view(base), view(base[::-1].copy())
    want = reference.relu(x)
    assert_same_bits(relu(x), want)
    if char != "b":
        assert_same_bits(relu_grad(dy, x), reference.relu_grad(dy, x))
    for out in (np.zeros_like(base), base.copy()):
        expected = out.copy()
        view(expected)[...] = want
        relu(x, view(out))
        assert_same_bits(out, expected)
    expected = base.copy()
    view(expected)[...] = want
    relu(x, x)
    assert_same_bits(base, expected)


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("ahead", [1, 7, 500])
def test_overlapping_strided_runs_stay_in_order(threads, step, ahead, rng):
    """NumPy hands reductions their earlier outputs, and operands ahead of the output."""
    base = new("f", 50_021, rng)
    source, target = base[ahead * step :: step], base[: -ahead * step : step]
    want = reference.relu(source.copy())
    relu(source, target)
    assert_same_bits(target, want)
    x = new("f", 20_000, rng)
    assert_same_bits(np.array(relu_ext.add_relu.accumulate(x[::2])), serial_sums(x[::2]))


def serial_sums(x):
    with relu_ext.num_threads(1):
        return np.array(relu_ext.add_relu.accumulate(x))


def test_helpers_take_part_in_strided_work(rng):
    x, y = new("f", 2**22, rng)[::2], np.empty(2**21, np.float32)
    with relu_ext.num_threads(3):
        call_until_helped(lambda: relu(x, y))
