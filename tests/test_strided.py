"""
Arrays that are not contiguous: tiles, threads, broadcasting and overlap. The oracle is the
reference where there is one, else NumPy's own way to the loop, which `where=True` takes.
"""

import numpy as np
import pytest
import reference
from arrays import UFUNCS, assert_same_bits, new, unaligned
from test_threads import call_until_helped

import relu_ext
from relu_ext import lib, relu, relu_grad

# Of arrays with three axes.
VIEWS = {
    "padded rows": lambda a: a[:, :, :-3],
    "every other column": lambda a: a[:, :, ::2],
    "a column": lambda a: a[..., 1],
    "transposed": lambda a: a.T,
    "channels last to first": lambda a: a.transpose(2, 0, 1),
    "channels first to last": lambda a: a.transpose(1, 2, 0),
    "planes swapped": lambda a: a.transpose(1, 0, 2),
    "backwards": lambda a: a[::-1, ::-1, ::-1],
    "transposed and backwards": lambda a: a.T[::-1, :, ::-2],
    "every other plane": lambda a: a[::2, 1:],
    "one": lambda a: a[1:2, 2:3, 1:2],
}
# Elements of these share memory: inputs only.
STRETCHED = {
    "stretched": lambda a: np.broadcast_to(a[:, :1], a.shape),
    "stretched, transposed": lambda a: np.broadcast_to(a[:1], a.shape).T,
}
# Tiles of several lines and columns and parts of some, single lines, and next to nothing.
SHAPES = [(3, 70, 130), (2, 300, 3), (150, 2, 40), (2, 5, 3), (600, 3, 4)]


def each_of(views):
    return pytest.mark.parametrize("view", views.values(), ids=views.keys())


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    lib.relu_ext_set_parallel_bytes(1)
    with relu_ext.num_threads(request.param):
        yield request.param
    lib.relu_ext_set_parallel_bytes(0)


@pytest.fixture(params=["plain", "streaming"])
def stores(request):
    lib.relu_ext_set_stream_bytes(1 if request.param == "streaming" else 2**62)
    yield
    lib.relu_ext_set_stream_bytes(0)


@each_of({**VIEWS, **STRETCHED})
@pytest.mark.parametrize("char", ["B", "e", "f", "d", "g"])
def test_views(threads, char, view, rng):
    for shape in SHAPES:
        x = view(new(char, shape, rng))
        want = reference.relu(x)
        got = relu(x)
        assert_same_bits(got, want)
        assert got.strides == relu(x, where=True).strides
        for order in "CF":
            out = np.empty(x.shape, x.dtype, order)
            assert relu(x, out) is out
            assert_same_bits(out, want)
        if char in "fg":
            dy = new(char, x.shape, rng)
            assert_same_bits(relu_grad(dy, x), reference.relu_grad(dy, x))
            assert_same_bits(relu_grad(x, dy, np.empty_like(dy)), reference.relu_grad(x, dy))


@each_of(VIEWS)
@pytest.mark.parametrize("char", ["B", "f"])
def test_views_as_outputs(threads, char, view, rng):
    """Nothing between the elements is written to; in place as well."""
    for shape in SHAPES:
        base = new(char, shape, rng)
        target, want = base.copy(), base.copy()
        view(want)[...] = reference.relu(view(base))
        relu(view(target), view(target))
        assert_same_bits(target, want)
        x = new(char, view(base).shape, rng)
        view(want)[...] = reference.relu(x)
        relu(x, view(target))
        assert_same_bits(target, want)


@pytest.mark.parametrize("ufunc", [u for u in UFUNCS if u.nin > 1], ids=lambda u: u.__name__)
@pytest.mark.parametrize(
    "small", [(), (1,), (130,), (70, 1), (1, 130), (3, 1, 1), (1, 70, 1), (3, 1, 130)], ids=str
)
def test_broadcast(threads, ufunc, small, rng):
    """Biases, slopes and ceilings of each channel; the first input stretched, too."""
    for stretched in range(ufunc.nin):
        inputs = [new("f", (3, 70, 130), rng) for _ in range(ufunc.nin)]
        inputs[stretched] = new("f", small, rng)
        want = ufunc(*(np.broadcast_to(a, (3, 70, 130)).copy() for a in inputs), where=True)
        got = ufunc(*inputs)
        assert_same_bits(got, want)
        assert got.strides == ufunc(*inputs, where=True).strides
        for k, a in enumerate(inputs):
            if k != stretched:
                out = a.copy()
                assert_same_bits(ufunc(*inputs[:k], out, *inputs[k + 1 :], out), want)


def test_an_output_larger_than_all_inputs(threads, rng):
    x, out = new("f", (70, 1), rng), np.empty((3, 70, 130), np.float32)
    relu(x, out)
    assert_same_bits(out, np.broadcast_to(reference.relu(x), out.shape))


@pytest.mark.parametrize("shape", [(4, 70), (3, 4, 1), (2, 3, 4)], ids=str)
def test_shapes_that_do_not_fit(shape):
    x, out = np.full((3, 70), -1, np.float32)[:, ::-1], np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match=r"broadcast|dimension"):
        relu(x, out)
    assert not out.any()
    assert (x == -1).all()


OVERLAPS = {
    "transposed in place": lambda a: (a[:90, :90].T, a[:90, :90]),
    "a row ahead": lambda a: (a[1:, :-3], a[:-1, :-3]),
    "a row behind": lambda a: (a[:-1, :-3], a[1:, :-3]),
    "a column ahead": lambda a: (a[:, 1:], a[:, :-1]),
    "a column behind": lambda a: (a[:, :-1], a[:, 1:]),
    "columns between columns": lambda a: (a[:, ::2], a[:, 1::2]),
    "upside down": lambda a: (a[::-1, :-1], a[:, :-1]),
    "left to right": lambda a: (a[:, ::-1], a),
    "stretched": lambda a: (a[3:4], a),
    "stretched across": lambda a: (a[:, 3:4], a),
    "every other row to the first": lambda a: (a[::2], a[: (len(a) + 1) // 2]),
}


@pytest.mark.parametrize("operands", OVERLAPS.values(), ids=OVERLAPS.keys())
@pytest.mark.parametrize("char", ["B", "f"])
def test_overlap(threads, operands, char, rng):
    """As if the input were read first, whatever lies where."""
    base = new(char, (100, 130), rng)
    want = base.copy()
    x, out = operands(want)
    out[...] = reference.relu(x.copy())
    relu(*operands(base))
    assert_same_bits(base, want)


@pytest.mark.parametrize("strides", [(4, 4), (0, 4), (4, 0), (8, 4), (-4, 8)], ids=str)
def test_outputs_whose_elements_share_memory(threads, strides, rng):
    """The last one written is what stays, in the order in which NumPy goes."""
    x = new("f", (40, 30), rng)
    got, want = (np.zeros(1000, np.float32) for _ in range(2))
    for target, how in (got, {}), (want, {"where": True}):
        relu(x, np.lib.stride_tricks.as_strided(target[500:], x.shape, strides), **how)
    assert_same_bits(got, want)


@each_of(VIEWS)
def test_what_is_left_to_numpy(threads, view, rng):
    base = new("f", (3, 70, 130), rng)
    want = reference.relu(view(base))
    assert_same_bits(relu(view(unaligned(base))), want)
    assert_same_bits(relu(view(base.astype(base.dtype.newbyteorder()))), want)
    assert_same_bits(relu(view(base).view(np.memmap)), want)


def random_view(char, shape, rng):
    """An array of that shape, and what it is a view of: axes in any order, steps, padding."""
    order = rng.permutation(len(shape)) if rng.random() < 0.6 else np.arange(len(shape))
    steps = rng.choice([1, 1, 1, 2, -1, -2], len(shape))
    lengths = [shape[i] * abs(steps[i]) + rng.choice([0, 0, 1, 3]) for i in order]
    base = new(char, lengths, rng)
    view = base[tuple(slice(None, None, steps[i]) for i in order)]
    view = view[tuple(slice(shape[i]) for i in order)]
    return base, view.transpose(np.argsort(order))


@pytest.mark.parametrize("seed", range(10))
def test_anything(threads, stores, seed):
    rng = np.random.default_rng(seed)
    for _ in range(10):
        ufunc = UFUNCS[rng.integers(len(UFUNCS))]
        char = rng.choice([types[0] for types in ufunc.types])
        shape = rng.choice([1, 2, 3, 7, 16, 33, 64, 100], rng.integers(1, 5))
        inputs = []
        for _ in range(ufunc.nin):
            some = np.where(rng.random(len(shape)) < 0.15, 1, shape)
            inputs.append(random_view(char, some, rng)[1])
        want = ufunc(*(a.copy() for a in inputs), where=True)
        got = ufunc(*inputs)
        assert_same_bits(got, want)
        assert got.strides == ufunc(*inputs, where=True).strides
        base, out = random_view(char, want.shape, rng)
        before, written = base.copy(), out.copy()
        ufunc(*inputs, out)
        assert_same_bits(out, want)
        out[...] = written
        assert_same_bits(base, before)


PARALLEL = {
    "transposed": lambda x, y: relu(x.T, y),
    "every other column": lambda x, y: relu(x[:, ::2], y[:, :512]),
    "rows of matrices": lambda x, y: relu(*(a.reshape(1024, 64, 16)[:, :, :-3] for a in (x, y))),
    "planes": lambda x, y: relu(x.view(np.uint8).reshape(1024, 1024, 4)[:, :700, 1]),
    "a bias": lambda x, y: relu_ext.add_relu(x, x[0], y),
}


@pytest.mark.skipif(not relu_ext.lib.relu_ext_fast_calls(), reason="NumPy calls for single lines")
@pytest.mark.parametrize("call", PARALLEL.values(), ids=PARALLEL.keys())
def test_helpers_take_part(call, rng):
    x, y = new("f", (1024, 1024), rng), np.empty((1024, 1024), np.float32)
    with relu_ext.num_threads(3):
        call_until_helped(lambda: call(x, y))
