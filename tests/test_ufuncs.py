"""The operations as NumPy ufuncs: every type, layout and way to call them."""

import copy
import doctest
import itertools
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import reference
from arrays import (
    ALL_TYPES,
    FLOAT_TYPES,
    UFUNCS,
    assert_same_bits,
    block,
    new,
    specials,
    swapped,
    unaligned,
)

import relu_ext
from relu_ext import relu, relu_grad
from relu_ext._ufunc_docs import DOCS

# Every ufunc with every type that it has a loop for; of the others, which share theirs with
# relu and relu_grad and whose kernels are tried elsewhere, one of each kind.
LOOPS = [
    (ufunc, types[0])
    for ufunc in UFUNCS
    for types in ufunc.types
    if ufunc in (relu, relu_grad) or types[0] in "bfg"
]
each_ufunc = pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda u: u.__name__)
each_loop = pytest.mark.parametrize(
    "ufunc, char", LOOPS, ids=[f"{ufunc.__name__}-{np.dtype(char).name}" for ufunc, char in LOOPS]
)


def oracle(ufunc, *inputs):
    return getattr(reference, ufunc.__name__)(*inputs)


def inputs_for(ufunc, char, shape, rng):
    return [new(char, shape, rng) for _ in range(ufunc.nin)]


def test_types():
    assert {types[0] for types in relu.types} >= set(ALL_TYPES)
    assert {types[0] for types in relu_grad.types} >= set(FLOAT_TYPES)


@each_loop
def test_result_has_the_type_of_the_input(ufunc, char, rng):
    # long and longlong may be the same size, and are still two types.
    assert ufunc(*inputs_for(ufunc, char, 3, rng)).dtype.char == char


# Layouts: the shape of a base array, and the view of it that is given to the ufunc.

LAYOUTS = {
    "contiguous": (37, lambda a: a),
    "every other": (74, lambda a: a[::2]),
    "backwards": (37, lambda a: a[::-1]),
    "every third, backwards": (112, lambda a: a[::-3]),
    "long": (20011, lambda a: a),
    "long, every other": (20011, lambda a: a[1::2]),
    "long, backwards": (20011, lambda a: a[::-1]),
    "wide rows": ((3, 7001), lambda a: a[:, 1:]),
    "0-d": ((), lambda a: a),
    "0-d of 1-d": (5, lambda a: a[2:3].reshape(())),
    "2-d": ((5, 7), lambda a: a),
    "inner block": ((9, 40), lambda a: a[1:-1, 2:37]),
    "one column": ((70, 6), lambda a: a[:, 3]),
    "some columns": ((30, 9), lambda a: a[:, ::3]),
    "transposed": ((5, 37), lambda a: a.T),
    "Fortran order": ((7, 40), lambda a: a.reshape(a.shape[::-1]).T),
    "flipped": ((6, 35), lambda a: a[::-1, ::-1]),
    "axis moved": ((3, 4, 35), lambda a: np.moveaxis(a, 0, -1)),
    "new axes": ((4, 5), lambda a: a[:, None, ::2, None]),
    "5-d": ((2, 3, 2, 3, 4), lambda a: a[..., ::2, :]),
    "empty": (0, lambda a: a),
    "empty slice": (6, lambda a: a[4:4]),
    "empty, 3-d": ((3, 0, 4), lambda a: a[:, ::-1, 1:]),
}
BROADCASTS = {
    "one element": (1, lambda a: np.broadcast_to(a, (50,))),
    "a row": (37, lambda a: np.broadcast_to(a, (5, 37))),
    "a column": ((5, 1), lambda a: np.broadcast_to(a, (5, 37))),
    "a scalar": ((), lambda a: np.broadcast_to(a, (3, 20))),
    "windows": (90, lambda a: np.lib.stride_tricks.sliding_window_view(a, 50)),
}


def layouts(which):
    return pytest.mark.parametrize("shape, view", which.values(), ids=which.keys())


@each_loop
@layouts(LAYOUTS | BROADCASTS)
def test_layouts_of_inputs(ufunc, char, shape, view, rng):
    inputs = [view(a) for a in inputs_for(ufunc, char, shape, rng)]
    assert_same_bits(ufunc(*inputs), oracle(ufunc, *inputs))


@pytest.mark.parametrize("char", FLOAT_TYPES)
@layouts(LAYOUTS | BROADCASTS)
def test_one_input_contiguous_the_other_not(char, shape, view, rng):
    dy, x = (view(a) for a in inputs_for(relu_grad, char, shape, rng))
    want = oracle(relu_grad, dy, x)
    assert_same_bits(relu_grad(dy.copy(), x), want)
    assert_same_bits(relu_grad(dy, x.copy()), want)


@each_loop
@layouts(LAYOUTS)
def test_layouts_of_the_output(ufunc, char, shape, view, rng):
    """Which elements of the base array are written, and that no other is."""
    base = new(char, shape, rng)
    inputs = inputs_for(ufunc, char, view(base).shape, rng)
    want = base.copy()
    view(want)[...] = oracle(ufunc, *inputs)

    out = view(base)
    assert ufunc(*inputs, out=out) is out
    assert_same_bits(base, want)


@each_loop
@layouts(LAYOUTS)
def test_layouts_in_place(ufunc, char, shape, view, rng):
    for k in range(ufunc.nin):
        bases = inputs_for(ufunc, char, shape, rng)
        inputs = [view(a) for a in bases]
        want = bases[k].copy()
        view(want)[...] = oracle(ufunc, *inputs)
        others = [a.copy() for a in bases]

        ufunc(*inputs, out=inputs[k])
        assert_same_bits(bases[k], want)
        for i in set(range(ufunc.nin)) - {k}:
            assert_same_bits(bases[i], others[i])


@each_loop
@pytest.mark.parametrize("n", [1, 5, 100, 20_011])
@pytest.mark.parametrize("step", [1, 2, -1])
def test_unaligned_and_byte_swapped(ufunc, char, n, step, rng):
    changes = [unaligned, swapped, lambda a: unaligned(swapped(a))]
    for change in changes:
        inputs = inputs_for(ufunc, char, n, rng)
        want = oracle(ufunc, *inputs)[::step]
        given = [change(a)[::step] for a in inputs]
        assert_same_bits(ufunc(*given), want)
        out = change(np.ones_like(want))
        ufunc(*(a[::step] for a in inputs), out=out)
        assert_same_bits(out, want)
        ufunc(*given, out=given[0])
        assert_same_bits(given[0], want)


@each_loop
def test_fields_of_records(ufunc, char, rng):
    """Strided and, as records are packed, unaligned."""
    record = [("before", "u1"), ("value", char), ("after", "u2")]
    inputs = inputs_for(ufunc, char, 500, rng)
    records = np.zeros(500, dtype=record)
    records["value"] = inputs[0]
    records["before"] = records["after"] = 0xAB
    assert_same_bits(ufunc(records["value"], *inputs[1:]), oracle(ufunc, *inputs))

    ufunc(records["value"], *inputs[1:], out=records["value"])
    assert_same_bits(records["value"], oracle(ufunc, *inputs))
    assert (records["before"] == 0xAB).all()
    assert (records["after"] == 0xAB).all()


def test_inputs_broadcast(rng):
    dy, x = new("f", (5, 1), rng), new("f", (3, 1, 40), rng)
    want = oracle(relu_grad, dy, x)
    assert want.shape == (3, 5, 40)
    assert_same_bits(relu_grad(dy, x), want)
    assert_same_bits(relu_grad(x, dy), oracle(relu_grad, x, dy))


def test_input_broadcasts_to_output(rng):
    x, y = new("f", 40, rng), np.ones((6, 40), np.float32)
    relu(x, out=y)
    assert_same_bits(y, np.broadcast_to(oracle(relu, x), y.shape))


def test_order_of_the_result(rng):
    x = np.asfortranarray(new("f", (5, 7), rng))
    assert relu(x).flags.f_contiguous
    assert relu(x, order="C").flags.c_contiguous


# Overlap: the result is as if the inputs had been copied first.


@each_loop
@pytest.mark.parametrize("n", [1, 40, 3000, 70_000])
def test_output_shifted_against_the_input(ufunc, char, n, rng):
    for shift in (1, 2, 3, 16, 17, 64):
        for forward in (True, False):
            shared = new(char, n + shift, rng)
            x, out = shared[:n], shared[shift:]
            if not forward:
                x, out = out, x
            inputs = [*inputs_for(ufunc, char, n, rng)[1:], x]
            want = oracle(ufunc, *inputs)
            ufunc(*inputs, out=out)
            assert_same_bits(out, want)


@each_loop
@pytest.mark.parametrize("n", [1, 2, 41, 3000, 70_001])
def test_output_over_the_input_otherwise(ufunc, char, n, rng):
    middle = slice(n // 2, n // 2 + 1)
    for views in (
        lambda a: (a, a[::-1]),
        lambda a: (a[: (n + 1) // 2], a[::2]),  # spread out
        lambda a: (a[::2], a[: (n + 1) // 2]),  # gathered
        lambda a: (a[: n // 2 * 2 : 2], a[1::2]),  # into the gaps
        lambda a: (np.broadcast_to(a[middle], n), a),  # one element everywhere
    ):
        x, out = views(new(char, n, rng))
        inputs = [*inputs_for(ufunc, char, x.shape, rng)[1:], x]
        want = oracle(ufunc, *inputs)
        ufunc(*inputs, out=out)
        assert_same_bits(out, want)


@pytest.mark.parametrize("char", FLOAT_TYPES)
@pytest.mark.parametrize("n", [1, 40, 3000, 70_000])
def test_both_inputs_and_the_output_overlap(char, n, rng):
    starts = [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 0, 1), (1, 1, 0), (0, 1, 0), (0, 1, 1)]
    for starts_of in starts:
        shared = new(char, n + 2, rng)
        dy, x, out = (shared[start : start + n] for start in starts_of)
        want = oracle(relu_grad, dy, x)
        relu_grad(dy, x, out)
        assert_same_bits(out, want)


OVERLAPS = {
    "transposed": lambda a: (a, a.T),
    "rows reversed": lambda a: (a[::-1], a),
    "rows reversed and shifted": lambda a: (a[-2::-1], a[1:]),
    "shifted": lambda a: (a[:-1, 1:], a[1:, :-1]),
    "columns, interleaved": lambda a: (a[:, :25], a[:, 25:]),
    "columns, shared": lambda a: (a[:, :30], a[:, 20:]),
    "rows spread out": lambda a: (a[::2, :40], a[:25, 10:]),
    "one row everywhere": lambda a: (np.broadcast_to(a[20], a.shape), a),
    "one column everywhere": lambda a: (np.broadcast_to(a[:, 20:21], a.shape), a),
}


@each_ufunc
@pytest.mark.parametrize("views", OVERLAPS.values(), ids=OVERLAPS.keys())
def test_overlap_in_two_dimensions(ufunc, views, rng):
    x, out = views(new("f", (50, 50), rng))
    inputs = [*inputs_for(ufunc, "f", x.shape, rng)[1:], x]
    want = oracle(ufunc, *inputs)
    ufunc(*inputs, out=out)
    assert_same_bits(out, want)


def test_same_array_for_everything(rng):
    x = new("f", 1000, rng)
    want = oracle(relu_grad, x, x)
    relu_grad(x, x, x)
    assert_same_bits(x, want)


# Lengths from none to more than threads, streaming and any cache take to begin.


@each_loop
def test_short(isa, ufunc, char, rng):
    """Every length up to a few vectors, by every way in and out."""
    inputs = inputs_for(ufunc, char, 260, rng)
    want = oracle(ufunc, *inputs)
    for n in range(131):
        for part in (slice(0, n), slice(1, 2 * n + 1, 2), slice(n, 0, -1)):
            given = [a[part] for a in inputs]
            assert_same_bits(ufunc(*given), want[part])
            out = np.ones(n + 2, dtype=char)
            ufunc(*given, out[1:-1])
            assert_same_bits(out[1:-1], want[part])
            assert out[0] == out[-1] == 1
            copies = [a.copy() for a in given]
            ufunc(*copies, out=copies[-1])
            assert_same_bits(copies[-1], want[part])


@each_loop
@pytest.mark.parametrize("n", [65_535, 65_537, 2**20 + 3])
def test_large(isa, ufunc, char, n):
    blocks = [block(reference.format_of(char), seed).view(char) for seed in range(ufunc.nin)]
    whole = np.resize(oracle(ufunc, *blocks), n)
    for step in (1, 2):
        inputs = [np.resize(a, n)[::step] for a in blocks]
        want = whole[::step]
        assert_same_bits(ufunc(*inputs), want)
        out = np.ones(n, dtype=char)
        ufunc(*inputs, out=out[::step])
        assert_same_bits(out[::step], want)
        assert step == 1 or (out[1::step] == 1).all()
        ufunc(*inputs, out=inputs[0])
        assert_same_bits(inputs[0], want)


@each_ufunc
@pytest.mark.parametrize("char", "df")
def test_larger_than_any_cache(isa, ufunc, char):
    n = 2**26 // np.dtype(char).itemsize + 1  # 64 MiB for each array
    blocks = [block(reference.format_of(char), seed) for seed in range(ufunc.nin)]
    inputs = [np.resize(a, n) for a in blocks]
    # An odd element first and last: what is written must not depend on the alignment.
    memory = np.full(n + 2, 7, dtype=char)
    out = memory[1:-1]
    ufunc(*inputs, out=out)
    want = np.resize(oracle(ufunc, *blocks), n)
    assert_same_bits(out, want)
    assert memory[0] == memory[-1] == 7
    ufunc(*inputs, out=inputs[0])
    assert_same_bits(inputs[0], want)


def test_many_threads(rng):
    x = np.resize(block("f32"), 1_000_000)
    want = oracle(relu, x)
    y = np.empty_like(x)
    slices = [slice(start, start + 10_007) for start in range(0, x.size, 10_007)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda part: relu(x[part], out=y[part]), slices))
        assert_same_bits(y, want)
        for result in pool.map(relu, [x] * 16):
            assert_same_bits(result, want)


# where=, dtype=, casting=.


@each_loop
@pytest.mark.parametrize("n", [7, 100, 30_000])
def test_where(ufunc, char, n, rng):
    inputs = inputs_for(ufunc, char, n, rng)
    # Long runs and single elements.
    where = np.repeat(rng.integers(0, 2, n, dtype=bool), rng.choice([1, 1, 90], n))[:n]
    out = new(char, n, rng)
    want = np.where(where, oracle(ufunc, *inputs), out)
    ufunc(*inputs, out=out, where=where)
    assert_same_bits(out, want)

    want = np.where(where, oracle(ufunc, *inputs), inputs[0])
    ufunc(*inputs, out=inputs[0], where=where)
    assert_same_bits(inputs[0], want)


@pytest.mark.filterwarnings("ignore:'where' used without 'out'")
def test_where_without_out():
    """What is masked is undefined, but the mask is not the output, even if it could be."""
    x, where = np.ones(100, bool), np.arange(100) % 2 == 0
    got = relu(x, where=where)
    assert got is not where
    assert got[where].all()
    assert np.array_equal(where, np.arange(100) % 2 == 0)


def test_where_broadcasts(rng):
    x, where = new("f", (6, 50), rng), np.arange(6)[:, np.newaxis] % 2 == 0
    out = np.ones_like(x)
    relu(x, out=out, where=where)
    assert_same_bits(out, np.where(where, oracle(relu, x), np.float32(1)))


def test_dtype(rng):
    x = new("b", 1000, rng)
    assert_same_bits(relu(x, dtype=np.float32), oracle(relu, x.astype(np.float32)))
    assert_same_bits(relu_grad(x, x, dtype="d"), oracle(relu_grad, *[x.astype("d")] * 2))
    assert_same_bits(relu(x, signature="d->d"), oracle(relu, x.astype("d")))
    x = np.linspace(-3, 3, 101)
    assert_same_bits(relu(x, dtype="f"), oracle(relu, x.astype("f")))


def test_output_of_another_dtype(rng):
    x = np.linspace(-3, 3, 101, dtype=np.float32)
    for char in "edg":
        out = np.ones(101, dtype=char)
        relu(x, out=out)
        assert_same_bits(out, oracle(relu, x).astype(char))
    with pytest.raises(TypeError):
        relu(x, out=np.ones(101, dtype=int))
    out = np.ones(101, dtype=int)
    relu(x, out=out, casting="unsafe")
    assert_same_bits(out, oracle(relu, x).astype(int))
    with pytest.raises(TypeError):
        relu(swapped(x), casting="no")


def test_inputs_of_different_dtypes():
    dy, x = np.linspace(1, 2, 50, dtype=np.float16), np.linspace(-1, 1, 50, dtype=np.float32)
    assert_same_bits(relu_grad(dy, x), oracle(relu_grad, dy.astype("f"), x))
    assert_same_bits(relu_grad(x, dy), oracle(relu_grad, x, dy.astype("f")))
    assert_same_bits(relu_grad(2.5, x), oracle(relu_grad, np.float32(2.5), x))


# What is no plain array.


@each_loop
def test_numpy_scalars(ufunc, char):
    values = specials(reference.format_of(char)).view(char)
    for value in values:
        for inputs in itertools.product([value], *[values] * (ufunc.nin - 1)):
            arrays = [np.asarray(a) for a in inputs]
            for got in (ufunc(*inputs), ufunc(*arrays)):
                assert type(got) is type(value)
                assert_same_bits(got, oracle(ufunc, *arrays))


@pytest.mark.parametrize(
    "x", [True, 0, -3, 3, -1.5, 2.5, -0.0, [], [-1, 2], [[-1.5], [2.5]], (0.5, -1), range(-2, 3)]
)
def test_python_objects(x):
    assert_same_bits(relu(x), oracle(relu, np.asarray(x)))
    assert_same_bits(relu_grad(2.5, x), oracle(relu_grad, np.float64(2.5), np.asarray(x, float)))


class Tagged(np.ndarray):
    """A subclass that hands an attribute on."""

    def __array_finalize__(self, other):
        self.tag = getattr(other, "tag", None)


@each_ufunc
def test_subclass(ufunc, rng):
    inputs = inputs_for(ufunc, "f", 100, rng)
    want = oracle(ufunc, *inputs)
    tagged = inputs[0].view(Tagged)
    tagged.tag = "kept"
    got = ufunc(tagged, *inputs[1:])
    assert type(got) is Tagged
    assert got.tag == "kept"
    assert_same_bits(got, want)
    assert type(ufunc(tagged, *inputs[1:], subok=False)) is np.ndarray
    out = np.ones(100, np.float32).view(Tagged)
    assert ufunc(*inputs, out=out) is out
    assert_same_bits(out, want)


@each_ufunc
def test_masked_array(ufunc, rng):
    inputs = inputs_for(ufunc, "d", 200, rng)
    masks = [rng.integers(0, 4, 200) == 0 for _ in inputs]
    got = ufunc(*(np.ma.array(a, mask=m) for a, m in zip(inputs, masks)))
    mask = np.any(masks, axis=0)
    assert type(got) is np.ma.MaskedArray
    assert np.array_equal(got.mask, mask)
    assert_same_bits(got.data[~mask], oracle(ufunc, *inputs)[~mask])


class Handles:
    """Something that brings its own answer, as a Dask or xarray array does."""

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return ufunc, method, kwargs


@each_ufunc
def test_array_ufunc_protocol(ufunc):
    ones = [np.ones(3)] * (ufunc.nin - 1)
    assert ufunc(Handles(), *ones) == (ufunc, "__call__", {})
    assert ufunc(Handles(), *ones, dtype="f") == (ufunc, "__call__", {"dtype": "f"})
    out = Handles()
    assert ufunc(*ones, np.ones(3), out=out) == (ufunc, "__call__", {"out": (out,)})


def test_array_protocol():
    class Array:
        def __array__(self, dtype=None, copy=None):
            return np.array([-1.0, 2.0])

    assert_same_bits(relu(Array()), np.array([0.0, 2.0]))


# The methods of a ufunc: one element after the other, each result the next one's dy.


def accumulated(x):
    """What relu_grad.accumulate gives in one dimension."""
    out = x.copy()
    for i in range(1, len(x)):
        out[i : i + 1] = reference.relu_grad(out[i - 1 : i], x[i : i + 1])
    return out


def positive_but_one(char, n, at):
    """Results stay those of the first element up to the negative one, and are 0 from there."""
    x = np.arange(1, n + 1).astype(char)
    x[at] = -1
    return x


@pytest.mark.parametrize("char", FLOAT_TYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 9, 33, 70, 300])
def test_reduce_and_accumulate(isa, char, n):
    for at in {0, 1 % n, n // 2, n - 1}:
        x = positive_but_one(char, n, at)
        want = accumulated(x)
        for given in (x, x.repeat(2)[::2], x[::-1].copy()[::-1]):
            assert_same_bits(relu_grad.accumulate(given), want)
            assert_same_bits(relu_grad.reduce(given), want[-1])
        assert_same_bits(relu_grad.accumulate(x.copy(), out=x), want)


@pytest.mark.parametrize("char", FLOAT_TYPES)
@pytest.mark.parametrize("axis", [0, 1])
def test_reduce_and_accumulate_along_an_axis(char, axis, rng):
    x = np.stack([positive_but_one(char, 40, at) for at in range(40)])
    x[::3, 5] = np.nan
    want = np.apply_along_axis(accumulated, axis, x)
    assert_same_bits(relu_grad.accumulate(x, axis=axis), want)
    assert_same_bits(relu_grad.reduce(x, axis=axis), want.take(-1, axis))
    assert_same_bits(relu_grad.reduce(x, axis=axis, keepdims=True), want.take([-1], axis))


def test_reduce_large():
    """The order counts for long arrays, too: threads cannot share this one."""
    x = positive_but_one("f", 300_000, 299_000)
    want = np.where(np.arange(300_000) < 299_000, x[0], np.float32(0))
    assert_same_bits(relu_grad.accumulate(x), want)
    assert relu_grad.reduce(x) == 0
    assert relu_grad.reduce(x[:299_000]) == x[0]


def test_reduce_has_no_identity_and_an_order():
    assert relu.identity is None
    assert relu_grad.identity is None
    with pytest.raises(ValueError):
        relu_grad.reduce(np.ones(0))
    with pytest.raises(ValueError):
        relu_grad.reduce(np.ones((2, 2)), axis=(0, 1))
    with pytest.raises(ValueError):
        relu.reduce(np.ones(3))


def test_reduce_with_initial_and_where():
    x = np.array([5.0, -1.0, 2.0])
    assert relu_grad.reduce(x, initial=7.0) == 0
    assert relu_grad.reduce(x, initial=7.0, where=[True, False, True]) == 7


def test_reduceat():
    x = positive_but_one("f", 40, 20)
    starts = [0, 10, 25, 30]
    want = [accumulated(part)[-1] for part in np.split(x, starts[1:])]
    assert_same_bits(relu_grad.reduceat(x, starts), np.array(want))


def test_outer(rng):
    dy, x = new("f", 50, rng), new("f", (3, 70), rng)
    want = oracle(relu_grad, dy[:, np.newaxis, np.newaxis], x)
    assert_same_bits(relu_grad.outer(dy, x), want)


@pytest.mark.parametrize(
    "ufunc, char",
    [(ufunc, char) for ufunc, char in LOOPS if ufunc.nin < 3],  # as NumPy has it
)
def test_at(isa, ufunc, char, rng):
    a, *rest = inputs_for(ufunc, char, 60, rng)
    indices = rng.integers(-60, 60, 200)
    others = [b[indices] for b in rest]
    want = a.copy()
    for i, index in enumerate(indices % 60):
        element = slice(index, index + 1)
        want[element] = oracle(ufunc, want[element], *(b[i : i + 1] for b in others))
    ufunc.at(a, indices, *others)
    assert_same_bits(a, want)


def test_at_is_sequential():
    a = np.full(3, 5.0)
    relu_grad.at(a, [0, 0, 1, 1, 2, 2], [1.0, 2.0, -1.0, 1.0, 1.0, np.nan])
    assert_same_bits(a, np.array([5.0, 0.0, 5.0]))


# No floating-point error.


@each_loop
@pytest.mark.parametrize("n", [1, 10, 1000])
def test_no_warning(isa, ufunc, char, n, rng):
    name = reference.format_of(char)
    for value in specials(name):
        inputs = [np.full(n, value).view(char)] * ufunc.nin
        with np.errstate(all="raise"):
            whole, half = ufunc(*inputs), ufunc(*(a[::2] for a in inputs))
        assert_same_bits(whole, oracle(ufunc, *inputs))
        assert_same_bits(half, whole[::2])


# Being a ufunc.


@each_ufunc
def test_is_a_ufunc(ufunc):
    assert isinstance(ufunc, np.ufunc)
    assert getattr(relu_ext, ufunc.__name__) is ufunc
    assert ufunc.nout == 1


@each_ufunc
def test_copy_and_pickle(ufunc):
    assert copy.copy(ufunc) is ufunc
    assert copy.deepcopy(ufunc) is ufunc
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(ufunc, protocol)) is ufunc


@each_ufunc
def test_pickle_loads_in_another_process(ufunc):
    script = "import pickle, sys; print(pickle.load(sys.stdin.buffer)([-1, 2], *[[3, 4]] * {}))"
    done = subprocess.run(
        [sys.executable, "-c", script.format(ufunc.nin - 1)],
        input=pickle.dumps(ufunc),
        stdout=subprocess.PIPE,
        check=True,
    )
    want = ufunc([-1, 2], *[[3, 4]] * (ufunc.nin - 1))
    assert done.stdout.decode().strip() == str(want)


@each_ufunc
def test_docstring_is_kept(ufunc):
    """NumPy has only a pointer to it."""
    assert ufunc.__doc__.endswith(")\n\n" + DOCS[ufunc.__name__])


@pytest.mark.parametrize(
    "name",
    [*(u.__name__ for u in UFUNCS), "relu_", "relu_grad_", "scale_shift", "scale_shift_relu"],
)
def test_examples_in_docstrings(name):
    (examples,) = doctest.DocTestFinder(recurse=False).find(getattr(relu_ext, name), name)
    results = doctest.DocTestRunner().run(examples)
    assert results.attempted > 0
    assert results.failed == 0


# Errors; test_bad_input.py has more of them.


@pytest.mark.parametrize("dtype", ["F", "D", "O", "M8[s]", "S"])
def test_refused_dtype_argument(dtype):
    with pytest.raises(TypeError):
        relu(np.ones(3), dtype=dtype)


@each_ufunc
def test_refused_outputs(ufunc):
    inputs = [np.ones((4, 3), np.float32)] * ufunc.nin
    read_only = np.full((4, 3), 7, np.float32)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        ufunc(*inputs, out=read_only)
    assert (read_only == 7).all()

    # Some with as many elements as the inputs have.
    for shape in [(3, 4), (12,), (3,), (4, 1), (1, 4, 2), (2, 6), (0,), ()]:
        out = np.full(shape, 7, np.float32)
        with pytest.raises(ValueError):
            ufunc(*inputs, out=out)
        assert (out == 7).all()

    for out in (np.full((4, 3), 7), np.full((4, 3), True)):
        before = out.copy()
        with pytest.raises(TypeError):
            ufunc(*inputs, out=out)
        assert_same_bits(out, before)

    for out in ([0.0] * 3, 0.0, "out"):
        with pytest.raises(TypeError):
            ufunc(*inputs, out=out)


def test_outputs_of_equal_size_and_other_shape():
    """One element, or as many, is not enough: the shapes have to agree."""
    with pytest.raises(ValueError):
        relu(np.ones((1, 3)), np.ones(3))
    with pytest.raises(ValueError):
        relu(np.ones((3, 1)), np.ones((1, 3)))
    with pytest.raises(ValueError):
        relu(np.ones(1), np.ones(()))
    with pytest.raises(ValueError):
        relu_grad(np.ones(3), np.ones((3, 1)), np.ones(3))
    y = np.ones((1, 3))
    relu(np.full(3, -1.0), y)
    assert_same_bits(y, np.zeros((1, 3)))


@each_ufunc
def test_ways_to_name_the_output(ufunc, rng):
    inputs = inputs_for(ufunc, "f", 20, rng)
    want = oracle(ufunc, *inputs)
    for give in (
        lambda y: ufunc(*inputs, y),
        lambda y: ufunc(*inputs, out=y),
        lambda y: ufunc(*inputs, out=(y,)),
    ):
        y = np.ones(20, np.float32)
        assert give(y) is y
        assert_same_bits(y, want)
    assert_same_bits(ufunc(*inputs, None), want)
    assert_same_bits(ufunc(*inputs, out=None), want)
