"""
The shortcut in front of the ufuncs: whatever it takes or leaves, the result is NumPy's own.

`where=True` changes nothing but that the call goes NumPy's way.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
from arrays import UFUNCS, assert_same_bits, new

import relu_ext
from relu_ext import lib, relu, relu_grad

each_ufunc = pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda u: u.__name__)

SHAPES = [1, 3, 16, 1000, 20011, (), (1,), (0,), (3, 5), (2, 0, 3), (2, 3, 4), (1,) * 32]


def outcome(call):
    """What a call gives: a result, or an exception's type and text."""
    try:
        return call()
    except Exception as error:
        return type(error), str(error)


def content(a):
    """All that can differ between two arrays, of any dtype; anything else as it is."""
    if isinstance(a, tuple):
        return [content(item) for item in a]
    if not isinstance(a, (np.ndarray, np.generic)):
        return a
    plain = np.asarray(a)
    dtype = plain.dtype
    described = dtype.str, dtype.char, dtype.metadata and dict(dtype.metadata), dtype.fields
    return described, plain.shape, plain.strides, repr(plain.tolist())


def test_it_is_on_unless_turned_off():
    wanted = os.environ.get("RELU_EXT_FAST_CALL", "1") != "0"
    assert lib.relu_ext_fast_calls() == (len(UFUNCS) if wanted else 0)
    for value, ufuncs in ("0", 0), ("1", len(UFUNCS)):
        code = f"from relu_ext import lib; assert lib.relu_ext_fast_calls() == {ufuncs}"
        environment = {**os.environ, "RELU_EXT_FAST_CALL": value}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.parametrize(
    "ufunc, char",
    [(u, t[0]) for u in UFUNCS for t in u.types if u in (relu, relu_grad) or t[0] in "bef"],
)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_as_numpys_way(ufunc, char, shape, rng):
    inputs = [new(char, shape, rng) for _ in range(ufunc.nin)]
    got, want = ufunc(*inputs), ufunc(*inputs, where=True)
    assert type(got) is type(want)
    assert np.asarray(got).strides == np.asarray(want).strides
    assert got.dtype.char == want.dtype.char
    assert_same_bits(got, want)
    for call in (lambda y: ufunc(*inputs, y), lambda y: ufunc(*inputs, out=y)):
        out = np.empty_like(inputs[0])
        assert call(out) is out
        assert_same_bits(out, want)


def odd_arrays(rng):
    """Arrays of which each has something that the shortcut has to notice."""
    plain = rng.standard_normal((4, 6), np.float32)
    locked = plain.copy()
    locked.flags.writeable = False
    unaligned = np.empty(plain.nbytes + 1, np.uint8)[1:].view("f").reshape(plain.shape)
    unaligned[...] = plain
    return {
        "plain": plain,
        "Fortran order": np.asfortranarray(plain),
        "columns": np.repeat(plain, 2, axis=1)[:, :6],
        "every other column": np.repeat(plain, 2, axis=1)[:, ::2],
        "flipped": plain.copy()[::-1],
        "broadcast": np.broadcast_to(plain[:1], (4, 6)),
        "read-only": locked,
        "unaligned": unaligned,
        "byte-swapped": plain.astype(">f4" if sys.byteorder == "little" else "<f4"),
        "with metadata": plain.astype(np.dtype("f4", metadata={"unit": "m"})),
        "another type": plain.astype("d"),
        "another shape": plain[:3].copy(),
        "fewer dimensions": plain[0].copy(),
        "subclass": plain.view(np.memmap),
        "masked": np.ma.masked_less(plain.copy(), 0),
        "list": plain.tolist(),
        "complex": plain.astype("F"),
        "object": plain.astype(object),
        "none": None,
        "tuple": (plain.copy(),),
    }


ODD = [*odd_arrays(np.random.default_rng(0))]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("x", ODD)
@pytest.mark.parametrize("out", ODD)
def test_odd_arrays(x, out):
    """The same result, or the same error and the output as it was."""

    def run(**how):
        arrays = odd_arrays(np.random.default_rng(0))
        target = odd_arrays(np.random.default_rng(1))[out]
        return outcome(lambda: relu(arrays[x], out=target, **how)), target

    (got, got_target), (want, want_target) = run(), run(where=True)
    assert type(got) is type(want)
    assert content(got) == content(want)
    assert (got is got_target) == (want is want_target)
    assert content(got_target) == content(want_target)


@each_ufunc
def test_result_keeps_the_metadata_of_the_first_input(ufunc):
    a, b = (np.ones(3, np.dtype("f4", metadata={"unit": unit})) for unit in "ms")
    got, want = (ufunc(*(a, b, b)[: ufunc.nin], **how) for how in ({}, {"where": True}))
    assert got.dtype.metadata == want.dtype.metadata == {"unit": "m"}


PARAMETERS = [0.25, -1.5, 0.1, 0.0, -0.0, 5, -3, 2**24, 2**24 + 1, 2**70, 1e39, 1e-45, float("inf")]
PARAMETERS += [float("-inf"), float("nan"), True, 0.5 + 0j, np.float32(0.1), np.float64(0.1), "a"]


@pytest.mark.parametrize("parameter", PARAMETERS, ids=repr)
@pytest.mark.parametrize("char", "efdb")
@pytest.mark.parametrize("ufunc", [f for f in UFUNCS if f.nin > 1], ids=lambda u: u.__name__)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_a_number_for_the_last_input(ufunc, char, parameter, rng):
    arrays = [new(char, (7, 90), rng) for _ in range(ufunc.nin - 1)]
    for some in arrays, [a[:, 1:50] for a in arrays], [a.T for a in arrays]:
        got, want = (
            outcome(lambda k=how, some=some: ufunc(*some, parameter, **k))
            for how in ({}, {"where": True})
        )
        assert content(got) == content(want)


def test_a_number_too_large_gives_numpys_warning():
    with pytest.warns(RuntimeWarning, match="overflow"):
        relu_ext.leaky_relu(np.ones(3, "f"), 1e39)


@pytest.mark.parametrize("shift", range(-70, 71, 7))
def test_overlap(shift, rng):
    base = new("f", 2000, rng)
    x, y = base[100:-100], base[100 + shift : 1900 + shift]
    want = base.copy()
    want[100 + shift : 1900 + shift] = relu(x, where=True)
    relu(x, y)
    assert_same_bits(base, want)


def test_importing_the_package_again():
    """Interactive sessions and test runners do; the ufuncs stay the same."""
    code = """if True:
        import sys, numpy as np, relu_ext
        first = relu_ext.relu
        for _ in range(20):
            for name in [name for name in sys.modules if name.startswith("relu_ext")]:
                del sys.modules[name]
            import relu_ext
        assert relu_ext.relu is first
        assert relu_ext.relu(np.array([-1, 1], "i1")).tolist() == [0, 1]
    """
    subprocess.run([sys.executable, "-c", code], check=True)
