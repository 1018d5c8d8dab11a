"""relu_ and relu_grad_: what they overwrite and return, and what they refuse."""

import numpy as np
import pytest
import reference
from arrays import ALL_TYPES, FLOAT_TYPES, assert_same_bits, new, swapped, unaligned

from relu_ext import relu_, relu_grad_

LAYOUTS = {
    "contiguous": lambda a: a,
    "every other": lambda a: a[:, ::2],
    "backwards": lambda a: a[::-1, ::-1],
    "transposed": lambda a: a.T,
    "0-d": lambda a: a[1, 2:3].reshape(()),
    "empty": lambda a: a[:0],
    "unaligned": unaligned,
    "byte-swapped": swapped,
}
each_layout = pytest.mark.parametrize("view", LAYOUTS.values(), ids=LAYOUTS.keys())


@pytest.mark.parametrize("char", ALL_TYPES)
@each_layout
def test_relu_(char, view, rng):
    x = view(new(char, (6, 70), rng))
    want = reference.relu(x)
    assert relu_(x) is x
    assert_same_bits(x, want)


@pytest.mark.parametrize("char", FLOAT_TYPES)
@each_layout
def test_relu_grad_(char, view, rng):
    dy, x = view(new(char, (6, 70), rng)), view(new(char, (6, 70), rng))
    want, x_before = reference.relu_grad(dy, x), x.copy()
    assert relu_grad_(dy, x) is dy
    assert_same_bits(dy, want)
    assert_same_bits(x, x_before)


@pytest.mark.parametrize("char", ALL_TYPES)
def test_only_the_view_is_written(char, rng):
    base = new(char, (9, 40), rng)
    want = base.copy()
    want[2:-1, 3:33] = reference.relu(want[2:-1, 3:33])
    relu_(base[2:-1, 3:33])
    assert_same_bits(base, want)


class Subclass(np.ndarray):
    pass


def test_subclasses(rng):
    x, dy = new("f", 50, rng).view(Subclass), new("f", 50, rng).view(Subclass)
    want = reference.relu_grad(np.asarray(dy), np.asarray(x))
    assert relu_grad_(dy, x) is dy
    assert_same_bits(dy, want)
    assert relu_(x) is x

    masked = np.ma.array([-1.0, -2.0, 3.0], mask=[False, True, False])
    assert relu_(masked) is masked
    assert masked[0] == 0
    assert masked.mask.tolist() == [False, True, False]


def test_x_broadcasts_to_dy(rng):
    for shape in [(), (1,), (30,), (6, 1), (1, 1), (1, 30)]:
        dy, x = new("f", (6, 30), rng), new("f", shape, rng)
        want = reference.relu_grad(dy, x)
        assert relu_grad_(dy, x) is dy
        assert_same_bits(dy, want)


@pytest.mark.parametrize("x", [2.0, -1, [1.0, -1.0, 0.0], (1, 0, -3), np.float32(1)])
def test_x_may_be_array_like(x):
    dy = np.array([3.0, 4.0, 5.0])
    want = reference.relu_grad(dy, np.asarray(x, float))
    assert relu_grad_(dy, x) is dy
    assert_same_bits(dy, want)


def test_x_may_overlap_dy(rng):
    shared = new("f", 1001, rng)
    dy, x = shared[1:], shared[:-1]
    want = reference.relu_grad(dy, x)
    relu_grad_(dy, x)
    assert_same_bits(dy, want)


# Refusals: every one says what to do instead, and nothing was written.


def refuse(error, function, target, *inputs, match=None):
    before = np.array(target).tobytes()
    with pytest.raises(error, match=match):
        function(target, *inputs)
    assert np.array(target).tobytes() == before


@pytest.mark.parametrize(
    "target", [[-1.0, 2.0], (-1.0, 2.0), -1.0, -1, True, np.float32(-1), np.int8(-1)], ids=repr
)
def test_not_an_array(target):
    refuse(TypeError, relu_, target, match=r"relu\(x\)")
    refuse(TypeError, relu_grad_, target, np.ones(2), match=r"relu_grad\(dy, x\)")


@pytest.mark.parametrize("target", [None, "text", b"bytes", bytearray(8), {}], ids=repr)
def test_not_numbers_at_all(target):
    with pytest.raises(TypeError):
        relu_(target)
    with pytest.raises(TypeError):
        relu_grad_(target, np.ones(2))


@pytest.mark.parametrize(
    "target",
    [
        np.broadcast_to(np.float32(-1), 3),
        np.frombuffer(b"\xff" * 12, dtype=np.float32),
        np.full(0, -1.0),
    ],
    ids=["broadcast", "of bytes", "empty"],
)
def test_read_only(target):
    target.flags.writeable = False
    refuse(ValueError, relu_, target, match=r"read-only.*relu\(x\)")
    refuse(ValueError, relu_grad_, target, -1, match=r"read-only.*relu_grad\(dy, x\)")


@pytest.mark.parametrize("dtype", ["F", "D", "G", "O", "M8[s]", "m8[s]", "S2", "U2", "V4"])
def test_dtypes_without_a_loop(dtype):
    raw = b"\xfe" * 96  # complex long doubles have 16, 24 or 32 bytes
    target = np.array([-1, 2], object) if dtype == "O" else np.frombuffer(raw, dtype).copy()
    refuse(TypeError, relu_, target)
    refuse(TypeError, relu_grad_, target, np.ones(len(target)))
    dy = np.full(len(target), 3.0)
    refuse(TypeError, relu_grad_, dy, target)


@pytest.mark.parametrize("char", sorted(set(ALL_TYPES) - set(FLOAT_TYPES)))
def test_gradient_of_integers(char, rng):
    """The result is a float, which does not fit."""
    dy = new(char, 20, rng)
    refuse(TypeError, relu_grad_, dy, np.full(20, -1.0))
    refuse(TypeError, relu_grad_, dy, dy.copy())


@pytest.mark.parametrize(
    "dy_shape, x_shape",
    [((3,), (4,)), ((3,), (2, 3)), ((3, 1), (3, 2)), ((), (1,)), ((1,), (5,)), ((0,), (2,))],
)
def test_result_would_not_fit(dy_shape, x_shape):
    refuse(ValueError, relu_grad_, np.full(dy_shape, 7.0), np.full(x_shape, -1.0))


def test_wrong_number_of_arguments():
    x = np.array([-1.0])
    for call in (
        relu_,
        lambda: relu_(x, x),
        lambda: relu_grad_(x),
        lambda: relu_grad_(x, x, x),
    ):
        with pytest.raises(TypeError):
            call()
    assert x == -1
