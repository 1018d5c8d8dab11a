"""PyTorch: where its ReLU agrees with ours bit for bit, and ours under its autograd."""

import doctest
import subprocess
import sys

import numpy as np
import pytest
import reference
from arrays import assert_same_bits, samples, specials

from relu_ext import (
    add_relu,
    clipped_relu,
    clipped_relu_grad,
    leaky_relu,
    leaky_relu_grad,
    prelu,
    prelu_slope_grad,
    relu,
    relu_grad,
)

torch = pytest.importorskip("torch")
ml_dtypes = pytest.importorskip("ml_dtypes")

from relu_ext.integrations import torch as integration

BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
# The format's name in the oracle, PyTorch's dtype and ours.
TYPES = [
    ("f16", torch.float16, np.float16),
    ("bf16", torch.bfloat16, ml_dtypes.bfloat16),
    ("f32", torch.float32, np.float32),
    ("f64", torch.float64, np.float64),
]
each_type = pytest.mark.parametrize("name, theirs, ours", TYPES, ids=[name for name, *_ in TYPES])


def tensor(raw, dtype):
    """Unsigned integers as a tensor of that dtype, in the same memory."""
    return torch.from_numpy(raw.view(f"i{raw.itemsize}")).view(dtype)


def bits(t):
    t = t.detach()
    return t.view(BITS[t.itemsize]).numpy().view(f"u{t.itemsize}")


def patterns(name):
    """Every float of 16 bits, or ten million: random bits, normally distributed, special."""
    if name in ("f16", "bf16"):
        return np.arange(2**16, dtype=np.uint16)
    rng = np.random.default_rng(8)
    storage = reference.STORAGE[name]
    raw = rng.integers(0, 2 ** (8 * storage.itemsize), 5_000_000, dtype=f"u{storage.itemsize}")
    normal = rng.standard_normal(5_000_000 - 1000, dtype=storage)
    special = np.resize(specials(name), 1000)
    return np.concatenate([raw, normal.view(raw.dtype), special.view(raw.dtype)])


def classes(raw, name):
    """Where the bits are those of -0.0, and where those of a NaN."""
    sign, exponent, mantissa = reference.fields(raw.view(reference.STORAGE[name]), name)
    is_nan = (exponent == 2 ** reference.FLOATS[name][0] - 1) & (mantissa != 0)
    return (sign == 1) & (exponent == 0) & (mantissa == 0), is_nan


def assert_nans_as_pytorch_has_them(got, want, name):
    """
    float32 and float64 keep their NaNs. PyTorch computes the short floats by way of float32,
    and on the way back its vector loops make any bfloat16 NaN 0xFFFF and a signalling float16
    NaN quiet; its loops for CPUs without AVX2 make it 0x7FC0, and 0x7E00 with the sign. What is
    left over behind the vectors can keep its bits.
    """
    rewritten = {
        "f16": [want | 0x0200, want & 0x8000 | 0x7E00],
        "bf16": [np.full_like(want, 0xFFFF), np.full_like(want, 0x7FC0)],
    }
    assert np.any([got == nans for nans in [want, *rewritten.get(name, [])]], axis=0).all()


@each_type
def test_forward_agrees(name, theirs, ours):
    """But for -0.0, which stays -0.0 there and is +0.0 here, and for the NaNs' payloads."""
    raw = patterns(name)
    minus_zero, is_nan = classes(raw, name)
    assert minus_zero.any() and is_nan.any()
    want = relu(raw.view(ours)).view(raw.dtype)
    for got in (
        torch.nn.functional.relu(tensor(raw, theirs)),
        torch.relu_(tensor(raw.copy(), theirs)),
    ):
        got = bits(got)
        assert np.array_equal(got[~(minus_zero | is_nan)], want[~(minus_zero | is_nan)])
        assert (got[minus_zero] == raw[minus_zero]).all()
        assert (want[minus_zero] == 0).all()
        assert_nans_as_pytorch_has_them(got[is_nan], want[is_nan], name)


@each_type
def test_gradient_agrees(name, theirs, ours):
    """Zeros and NaNs of x included; but for the payloads of dy's NaNs."""
    raw = patterns(name)
    x = tensor(raw, theirs).requires_grad_()
    for dy_raw in (raw[::-1].copy(), np.roll(raw, 12_345)):
        dy = tensor(dy_raw, theirs)
        want = relu_grad(dy_raw.view(ours), raw.view(ours)).view(raw.dtype)
        _, is_nan = classes(want, name)
        (by_autograd,) = torch.autograd.grad(torch.nn.functional.relu(x), x, dy)
        by_name = torch.ops.aten.threshold_backward(dy, x.detach(), 0)
        for got in (bits(by_autograd), bits(by_name)):
            assert np.array_equal(got[~is_nan], want[~is_nan])
            assert_nans_as_pytorch_has_them(got[is_nan], want[is_nan], name)


# The family. PyTorch multiplies short floats by the slope as a float32, and adds in float32.


def family_inputs(name):
    """Two arrays without NaNs, whose bits PyTorch may change."""
    raw = patterns(name)
    finite = raw[~classes(raw, name)[1]]
    return finite, np.random.default_rng(3).permutation(finite)


def assert_agrees(got, want, name):
    """But for what is zero of either sign, and for NaNs."""
    zero, nan = want << 1 == 0, classes(want, name)[1]
    assert np.array_equal(got << 1 == 0, zero) and np.array_equal(classes(got, name)[1], nan)
    assert np.array_equal(got[~(zero | nan)], want[~(zero | nan)])


@each_type
@pytest.mark.parametrize("slope", [0.25, -0.5, 0.0])
def test_leaky_relu_agrees(name, theirs, ours, slope):
    """Slopes that every format has; 0.01 would be rounded to the short floats first here."""
    x, dy = family_inputs(name)
    got = torch.nn.functional.leaky_relu(tensor(x, theirs), slope)
    want = leaky_relu(x.view(ours), ours(slope)).view(x.dtype)
    assert_agrees(bits(got), want, name)
    got = torch.ops.aten.leaky_relu_backward(tensor(dy, theirs), tensor(x, theirs), slope, False)
    want = leaky_relu_grad(dy.view(ours), x.view(ours), ours(slope)).view(x.dtype)
    assert_agrees(bits(got), want, name)


def test_leaky_relu_agrees_with_a_usual_slope():
    x, _ = family_inputs("f32")
    got = torch.nn.functional.leaky_relu(tensor(x, torch.float32), 0.01)
    assert_agrees(bits(got), leaky_relu(x.view(np.float32), 0.01).view(x.dtype), "f32")


@each_type
def test_prelu_agrees(name, theirs, ours):
    x, _ = family_inputs(name)
    x = x[: x.size // 64 * 64].reshape(-1, 8, 8).copy()
    slope = np.linspace(-0.5, 0.5, 8).astype(ours)
    bits_of_slope = slope.view(x.dtype)
    got = torch.nn.functional.prelu(tensor(x, theirs), tensor(bits_of_slope, theirs))
    assert_agrees(bits(got), prelu(x.view(ours), slope).view(x.dtype), name)


@each_type
def test_clipped_relu_agrees(name, theirs, ours):
    x, dy = family_inputs(name)
    want = clipped_relu(x.view(ours), ours(6)).view(x.dtype)
    assert_agrees(bits(torch.nn.functional.relu6(tensor(x, theirs))), want, name)
    got = torch.ops.aten.hardtanh_backward(tensor(dy, theirs), tensor(x, theirs), 0, 6)
    want = clipped_relu_grad(dy.view(ours), x.view(ours), ours(6)).view(x.dtype)
    assert_agrees(bits(got), want, name)


@each_type
def test_add_relu_agrees(name, theirs, ours):
    a, b = family_inputs(name)
    got = torch.relu(tensor(a, theirs) + tensor(b, theirs))
    assert_agrees(bits(got), add_relu(a.view(ours), b.view(ours)).view(a.dtype), name)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slope_gradient_agrees(axis, rng):
    x, dy = (torch.from_numpy(rng.standard_normal((5, 6, 70))) for _ in range(2))
    slope = torch.rand(x.shape[axis], dtype=torch.float64, requires_grad=True)
    moved = [a.movedim(axis, 1) if axis else a.movedim(0, 1) for a in (x, dy)]
    torch.nn.functional.prelu(moved[0], slope).backward(moved[1])
    got = prelu_slope_grad(dy.numpy(), x.numpy(), axis)
    np.testing.assert_allclose(got, slope.grad.numpy(), rtol=1e-12, atol=1e-12)


# relu_ext.integrations.torch


@each_type
def test_relu_and_its_gradient(name, theirs, ours, rng):
    x_raw, dy_raw = (samples(name, 3000, rng) for _ in range(2))
    unsigned = f"u{x_raw.itemsize}"
    x = tensor(x_raw, theirs).requires_grad_()
    y = integration.relu(x)
    assert y.dtype == theirs
    assert np.array_equal(bits(y), reference.relu(x_raw, name).view(unsigned))
    y.backward(tensor(dy_raw, theirs))
    assert np.array_equal(bits(x.grad), reference.relu_grad(dy_raw, x_raw, name).view(unsigned))


@pytest.mark.parametrize("name", ["float8_e5m2", "float8_e4m3fn"])
def test_float8(name):
    raw = np.arange(256, dtype=np.uint8)
    got = integration.relu(tensor(raw, getattr(torch, name)))
    assert got.dtype == getattr(torch, name)
    want = reference.relu(raw, name.replace("float8_", "f8"))
    assert np.array_equal(got.view(torch.uint8).numpy(), want)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8, torch.int32, torch.int64])
def test_integers(dtype):
    x = torch.tensor([[-2, -1, 0, 1, 2]]).to(dtype)
    assert_same_bits(integration.relu(x).numpy(), reference.relu(x.numpy()))


def test_gradcheck():
    x = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x += 0.1 * x.sign()  # finite differences must not cross 0
    x.requires_grad_()
    assert torch.autograd.gradcheck(integration.relu, x)
    assert torch.autograd.gradgradcheck(integration.relu, x)
    assert torch.autograd.gradcheck(lambda x: integration.relu(x.T[::2]) * 3, x)


def test_gradients_are_those_of_pytorch():
    """In a network, down to its first weights, bit for bit."""

    def gradients(relu):
        torch.manual_seed(0)
        first, second = torch.nn.Linear(20, 30), torch.nn.Linear(30, 4)
        loss = second(relu(first(torch.randn(50, 20)))).square().sum()
        loss.backward()
        return [p.grad.numpy() for p in [*first.parameters(), *second.parameters()]]

    for got, want in zip(gradients(integration.relu), gradients(torch.relu)):
        assert_same_bits(got, want)
        assert want.any()


def test_functional_gradient():
    x = torch.tensor([-1.0, 0.0, 2.0])
    assert torch.func.grad(lambda x: integration.relu(x).sum())(x).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.T,
        lambda x: x[::2, 1:],
        lambda x: x[:, :1].expand(-1, 9),
        lambda x: x[1, 2],
        lambda x: x[:0],
    ],
    ids=["transposed", "strided", "expanded", "0-d", "empty"],
)
def test_layouts(view):
    full = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    for x in (full, full.bfloat16()):
        assert torch.equal(integration.relu(view(x)), torch.relu(view(x)))
        leaf = x.clone().requires_grad_()
        integration.relu(view(leaf)).sum().backward()
        want = x.clone().requires_grad_()
        torch.relu(view(want)).sum().backward()
        assert torch.equal(leaf.grad, want.grad)


def test_negated_lazily():
    x = torch.tensor([1 + 1j, 1 - 1j]).conj().imag
    assert x.is_neg()
    assert integration.relu(x).tolist() == [0, 1]


def test_no_copy(monkeypatch):
    """relu_ext is given the tensor's own memory, and its result's memory is the tensor's."""
    seen = []

    def spy(x):
        seen.extend([x, relu(x)])
        return seen[-1]

    monkeypatch.setattr(integration.relu_ext, "relu", spy)
    for x in (torch.randn(5), torch.randn(5).bfloat16()):
        y = integration.relu(x)
        assert [a.ctypes.data for a in seen] == [x.data_ptr(), y.data_ptr()]
        seen.clear()


def test_refused(monkeypatch):
    with pytest.raises(TypeError, match="x must be a tensor, not of type ndarray"):
        integration.relu(np.ones(3))
    with pytest.raises(TypeError, match="on meta"):
        integration.relu(torch.ones(3, device="meta"))
    with pytest.raises(TypeError, match="to_dense"):
        integration.relu(torch.ones(3).to_sparse())
    with pytest.raises(TypeError, match="relu"):
        integration.relu(torch.ones(3, dtype=torch.complex64))
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(TypeError, match="pip install ml_dtypes"):
        integration.relu(torch.ones(3, dtype=torch.bfloat16))


def test_example_in_docstring():
    (examples,) = doctest.DocTestFinder(recurse=False).find(integration.relu, "relu")
    results = doctest.DocTestRunner().run(examples)
    assert results.attempted > 0
    assert results.failed == 0


def test_imported_only_when_asked_for():
    """And said clearly when it is missing."""
    script = """if True:
        import sys
        import relu_ext, relu_ext.integrations
        assert "torch" not in sys.modules
        sys.modules["torch"] = None
        try:
            import relu_ext.integrations.torch
        except ImportError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, check=True, text=True
    )
    assert "needs PyTorch" in done.stdout and "pip install torch" in done.stdout
