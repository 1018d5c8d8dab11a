"""
Anything that a ufunc may be called with, against the oracle.

    pytest tests/test_fuzz.py --hypothesis-profile=long     hundreds of thousands of examples

Each example draws the types, shapes, layouts and addresses of all operands, in memory of
their own or shared; the keywords; and the way that the call takes inside.
"""

import contextlib

import numpy as np
import reference
from arrays import ALL_TYPES, UFUNCS, new
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import relu_ext
from relu_ext import lib, relu, relu_, relu_grad, relu_grad_

SHAPES = st.one_of(
    mutually_broadcastable_shapes(num_shapes=4, max_dims=4, min_side=0, max_side=5),
    mutually_broadcastable_shapes(num_shapes=4, max_dims=1, max_side=1500),
    mutually_broadcastable_shapes(num_shapes=4, min_dims=2, max_dims=2, max_side=40),
)
IN_PLACE = {relu: relu_, relu_grad: relu_grad_}


class Subclass(np.ndarray):
    pass


class Place:
    """Where an operand lies: its shape, and strides in elements."""

    def __init__(self, shape, strides):
        self.shape, self.strides = shape, strides
        spans = [(n - 1) * step for n, step in zip(shape, strides)] if 0 not in shape else []
        self.below = -sum(span for span in spans if span < 0)
        self.elements = 1 + self.below + sum(span for span in spans if span > 0)

    def view(self, memory, start):
        """The operand in this array of one dimension, from element `start` on."""
        size = memory.itemsize
        strides = [step * size for step in self.strides]
        return np.ndarray(
            self.shape, memory.dtype, memory.view(np.uint8), (start + self.below) * size, strides
        )


@st.composite
def places(draw, shape, distinct, plain):
    """
    C order, Fortran order or another, with gaps, backwards; if not distinct, repeated, too. If
    plain, rows or columns as a[:, :k] has them at most.
    """
    in_order = range(len(shape))[::-1]
    orders = st.sampled_from([in_order, in_order, in_order[::-1]])
    step = 1 if plain else draw(st.sampled_from([1, 1, 1, 1, 2, 3]))
    steps = [0] * len(shape)
    for k, axis in enumerate(draw(orders if plain else orders | st.permutations(in_order))):
        steps[axis] = step if plain else draw(st.sampled_from([step, step, -step]))
        if not plain and not distinct and draw(st.integers(0, 7)) == 0:
            steps[axis] = draw(st.integers(-3, 3))
        gap = 0 if plain and k > 0 else draw(st.sampled_from([0, 0, 0, 1, 40]))
        step = (max(shape[axis], 1) + gap) * step
    return Place(shape, steps)


def memory_for(dtype, elements, odd, swapped, finite, rng):
    """Elements of any bits in one dimension, perhaps at an odd address."""
    a = new(dtype, elements, rng)
    if finite:
        a = np.where(np.isfinite(a), a, a.dtype.type(1))
    if swapped:
        a = a.astype(a.dtype.newbyteorder())
    raw = np.empty(a.nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 16 + 32 + odd
    memory = raw[start : start + a.nbytes].view(a.dtype)
    memory[...] = a
    return memory


def loop_type(ufunc, dtypes, wanted):
    """The type that NumPy computes in; None if there is none."""
    if wanted is not None:
        return np.dtype(wanted)
    chars = [types[0] for types in ufunc.types]
    if len({dtype.char for dtype in dtypes}) == 1 and dtypes[0].char in chars:
        return dtypes[0].newbyteorder("=")
    for char in chars:
        if all(np.can_cast(dtype, np.dtype(char), "safe") for dtype in dtypes):
            return np.dtype(char)
    return None


def is_drawn(draw, one_in):
    return draw(st.integers(1, one_in)) == one_in


@contextlib.contextmanager
def inside(isa, stream_bytes, parallel_bytes):
    """The instruction set, and from how many bytes on operations stream and are split."""
    before = relu_ext.isa()
    assert lib.relu_ext_use_isa(isa.encode()) == 0
    lib.relu_ext_set_stream_bytes(stream_bytes)
    lib.relu_ext_set_parallel_bytes(parallel_bytes)
    try:
        yield
    finally:
        lib.relu_ext_use_isa(before.encode())
        lib.relu_ext_set_stream_bytes(0)
        lib.relu_ext_set_parallel_bytes(0)


@st.composite
def calls(draw):
    """The operands, in their memory, and all else that makes up a call."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ufunc = draw(st.sampled_from(UFUNCS))
    plain = draw(st.booleans())  # what the shortcut takes, and what it all but takes
    shapes, shape = draw(SHAPES)
    shapes = [shape] * ufunc.nin if plain else shapes[: ufunc.nin]
    types = [types[0] for types in ufunc.types]
    chars = [draw(st.sampled_from(types))] * ufunc.nin
    if not plain and ufunc.nin > 1 and is_drawn(draw, 6):
        mixed = [draw(st.sampled_from(ALL_TYPES)) for _ in chars]
        if loop_type(ufunc, [np.dtype(char) for char in mixed], None):
            chars = mixed

    keywords = {}
    if not plain:
        for name, values in {
            "dtype": types,
            "casting": ["no", "equiv", "safe", "same_kind", "unsafe"],
            "order": "KACF",
            "subok": [True, False],
        }.items():
            if is_drawn(draw, 5):
                keywords[name] = draw(st.sampled_from(values))

    kind = draw(st.sampled_from(["none", "own", "own", "input", "shared", "shared"]))
    result_shape = np.broadcast_shapes(*shapes)
    if kind == "input" and result_shape not in shapes:
        kind = "own"
    if kind == "none":
        out_shape = result_shape
    else:  # it may be one to which the inputs broadcast
        wider = not plain and kind != "input" and is_drawn(draw, 4)
        out_shape = shape if wider else result_shape
    loop = loop_type(ufunc, [np.dtype(char) for char in chars], keywords.get("dtype"))
    out_char = loop.char
    if kind == "own" and not plain and is_drawn(draw, 6):
        out_char = draw(st.sampled_from(ALL_TYPES))
    if kind == "shared":
        out_char = chars[0]
        chars = [out_char] * len(chars)
    # NumPy's conversions are its own, and not defined for all that is not finite.
    types = {*chars, loop.char, *([out_char] if kind != "none" else [])}
    finite = len(types) > 1
    kinds = {np.dtype(char).kind for char in types}
    if len(kinds) > 1 and keywords.get("casting") == "unsafe":
        keywords["casting"] = "same_kind"

    all_shapes = [*shapes, *([out_shape] if kind in ("own", "shared") else [])]
    where = [draw(places(s, k >= len(shapes), plain)) for k, s in enumerate(all_shapes)]
    odd, swapped = 0, False
    if not plain:
        odd, swapped = draw(st.sampled_from([0, 0, 0, 1, 3])), is_drawn(draw, 5)
    memories, operands = [], []
    if kind == "shared":
        starts = [draw(st.integers(0, 40)) for _ in where]
        longest = max(place.elements for place in where)
        if is_drawn(draw, 2):  # side by side, and not on top of each other
            starts[-1] += longest // draw(st.integers(1, 4))
        elements = max(start + place.elements for start, place in zip(starts, where))
        memories = [memory_for(out_char, elements, odd, swapped, finite, rng)]
        operands = [place.view(memories[0], start) for start, place in zip(starts, where)]
    else:
        for place, char in zip(where, [*chars, out_char]):
            memory = memory_for(char, place.elements, odd, swapped, finite, rng)
            memories.append(memory)
            operands.append(place.view(memory, 0))
            if not plain and is_drawn(draw, 3):
                odd, swapped = draw(st.sampled_from([0, 1])), draw(st.booleans())
    inputs = operands[: ufunc.nin]
    out = None
    if kind == "input":
        fitting = [a for a in inputs if a.shape == result_shape]
        out = draw(st.sampled_from(fitting))
        if len(offsets(out)) < out.size:
            out = None  # what is written several times has no one value
    elif kind != "none":
        out = operands[-1]

    mask = None
    if not plain and is_drawn(draw, 4):
        written = result_shape if out is None else out_shape
        mask_shape = tuple(draw(st.sampled_from([n, n, 1])) for n in written)
        mask = draw(places(mask_shape, False, False))
        mask = mask.view(memory_for("?", mask.elements, 0, False, False, rng), 0)
    elif is_drawn(draw, 4):
        mask = True  # which changes nothing but the way that the call takes
    if mask is not None and finite and kind in ("input", "shared"):
        mask = None  # NumPy converts there and back what is masked, too: np.positive shows it
    if mask is not None:
        keywords["where"] = mask
    if not plain and is_drawn(draw, 6):
        k = draw(st.integers(0, len(inputs) - 1))
        inputs[k] = inputs[k].view(Subclass)
    paths = (
        draw(st.sampled_from(relu_ext.available_isas())),
        draw(st.sampled_from([0, 1])),
        draw(st.sampled_from([0, 1])),
    )
    how = draw(st.sampled_from(["positional", "keyword", "tuple", "in place"]))
    return ufunc, inputs, out, how, keywords, memories, paths


def offsets(a):
    """The places in memory of a's elements, each once."""
    steps = [np.arange(n) * step for n, step in zip(a.shape, a.strides)]
    return np.unique(sum(np.ix_(*steps), np.zeros(a.shape, np.intp)))


def bytes_with(memory, view, written, values):
    """The memory's bytes, had those elements of a view of it been written."""
    copy = memory.copy()
    start = view.__array_interface__["data"][0] - memory.__array_interface__["data"][0]
    target = np.ndarray(view.shape, view.dtype, copy.view(np.uint8), start, view.strides)
    target[written] = values.astype(view.dtype)[written]
    return copy.tobytes()


@np.errstate(all="ignore")  # of NumPy's conversions
@given(calls())
def test_anything(drawn):
    ufunc, inputs, out, how, keywords, memories, paths = drawn
    casting = keywords.get("casting", "same_kind")
    loop = loop_type(ufunc, [a.dtype for a in inputs], keywords.get("dtype"))
    allowed = all(np.can_cast(a.dtype, loop, casting) for a in inputs)
    allowed = allowed and (out is None or np.can_cast(loop, out.dtype, casting))
    want = getattr(reference, ufunc.__name__)(*(np.asarray(a).astype(loop) for a in inputs))
    shape = want.shape if out is None else out.shape
    mask = keywords.get("where", True)
    if out is None:
        shape = np.broadcast_shapes(shape, np.shape(mask))
    want, written = np.broadcast_to(want, shape), np.broadcast_to(mask, shape)
    before = [memory.tobytes() for memory in memories]
    after = list(before)
    if allowed and out is not None and out.size:
        k = next(k for k, memory in enumerate(memories) if np.may_share_memory(memory, out))
        after[k] = bytes_with(memories[k], out, written, want)

    if out is None:
        if mask is not True:
            keywords["out"] = None  # without it NumPy warns: what is not written has no value
        call = lambda: ufunc(*inputs, **keywords)
    elif how == "in place" and out is inputs[0] and not keywords and ufunc in IN_PLACE:
        call = lambda: IN_PLACE[ufunc](*inputs)
    elif how == "keyword":
        call = lambda: ufunc(*inputs, out=out, **keywords)
    elif how == "tuple":
        call = lambda: ufunc(*inputs, out=(out,), **keywords)
    else:
        call = lambda: ufunc(*inputs, out, **keywords)

    error = None
    with inside(*paths):
        try:
            got = call()
        except TypeError as raised:
            error = raised
    assert (error is None) == allowed, error
    if not allowed:
        assert [memory.tobytes() for memory in memories] == before
        return

    assert [masked(m) for m in memories] == [masked_bytes(b, m) for b, m in zip(after, memories)]
    if out is not None:
        assert got is out
        return
    assert got.dtype == loop and got.shape == shape
    got_bytes, want_bytes = reference.value_bytes(np.asarray(got)), reference.value_bytes(want)
    assert np.array_equal(got_bytes[written], want_bytes[written])
    if shape == ():
        return
    subclass = any(type(a) is Subclass for a in inputs) and keywords.get("subok", True)
    assert type(got) is (Subclass if subclass else np.ndarray)
    like = ufunc(*inputs, **{**keywords, "where": mask, "out": None})  # by NumPy's way
    strides = zip(got.strides, like.strides, shape)
    assert got.size == 0 or all(a == b for a, b, n in strides if n > 1)


def masked(memory):
    """The bytes of its elements that mean something: x87's padding does not."""
    return reference.value_bytes(memory).tobytes()


def masked_bytes(raw, memory):
    return masked(np.frombuffer(raw, memory.dtype))
