"""PyTorch: where its ReLU agrees with ours bit for bit, and ours under its autograd."""

import doctest
import shutil
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
    get_output_cache,
    leaky_relu,
    leaky_relu_grad,
    prelu,
    prelu_slope_grad,
    relu,
    relu_grad,
)

torch = pytest.importorskip("torch")
ml_dtypes = pytest.importorskip("ml_dtypes")

from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

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
    want = reference.clipped_relu(x.numpy(), np.asarray(1, x.numpy().dtype))
    assert_same_bits(integration.clipped_relu(x, 1).numpy(), want)


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
    for x in (torch.ones(3).to_sparse(), torch.ones(3).to_mkldnn()):
        with pytest.raises(TypeError, match="to_dense"):
            integration.relu(x)
        with pytest.raises(TypeError, match="to_dense"):
            integration.relu_grad(torch.ones(3), x)
    with pytest.raises(TypeError, match="relu"):
        integration.relu(torch.ones(3, dtype=torch.complex64))
    # There is no other device to try it on than one whose tensors are let through.
    has_kernel = torch._C._dispatch_has_computed_kernel_for_dispatch_key
    assert has_kernel("relu_ext::relu", "CUDA")
    with pytest.raises(TypeError, match=r"on meta, .*tensor.cpu\(\)"):
        integration._refuse(torch.ones(3), torch.ones(3, device="meta"))
    with pytest.raises(TypeError, match="one shape and one dtype"):
        integration.relu_grad(torch.ones(3), torch.ones(2))
    with pytest.raises(TypeError, match="one shape and one dtype"):
        OPERATORS.add_relu(torch.ones(3), torch.ones(3, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"6\.5; for int32 it must be a whole number"):
        integration.clipped_relu(torch.ones(3, dtype=torch.int32), 6.5)
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(TypeError, match="pip install ml_dtypes"):
        integration.relu(torch.ones(3, dtype=torch.bfloat16))


@pytest.mark.parametrize("name", ["relu", "relu_bits"])
def test_example_in_docstring(name):
    (examples,) = doctest.DocTestFinder(recurse=False).find(getattr(integration, name), name)
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


# The operators. PyTorch's forward mode, compiler and exporter warn of PyTorch's own old ways.

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
    pytest.mark.filterwarnings("ignore:.*treespec:FutureWarning"),
]
OPERATORS = torch.ops.relu_ext
LAYOUTS = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.to(memory_format=torch.channels_last),
    "one channel": lambda x: x[:, :1].to(memory_format=torch.channels_last),
    "transposed": lambda x: x.permute(2, 0, 3, 1),
    "strided": lambda x: x[::2, :, 1:, ::2],
    "expanded": lambda x: x[:, :1].expand(-1, 3, -1, -1),
    "empty": lambda x: x[:, :0].permute(1, 0, 3, 2),
    "0-d": lambda x: x[0, 0, 0, 0],
}
each_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
# What comes after the tensors, and how PyTorch says the same of x.
FAMILY = {
    "relu": ("x", torch.relu),
    "leaky_relu": ("x", lambda x: torch.nn.functional.leaky_relu(x, 0.25)),
    "clipped_relu": ("x", lambda x: torch.nn.functional.hardtanh(x, 0.0, 0.25)),
    "add_relu": ("dy x", lambda x: torch.relu(x + x)),
    "relu_bits": ("x", torch.relu),
    "relu_grad": ("dy x", None),
    "leaky_relu_grad": ("dy x", None),
    "clipped_relu_grad": ("dy x", None),
    "relu_grad_bits": ("dy bits", None),
}
each_operator = pytest.mark.parametrize("op", FAMILY)
each_forward = pytest.mark.parametrize("op", [op for op, (_, same) in FAMILY.items() if same])


def parameters(op):
    return (0.25,) if op.startswith(("leaky", "clipped")) else ()


def arguments(op, layout, name, theirs, values=samples):
    """Tensors of such values in that layout, and parameters."""
    rng = np.random.default_rng(5)
    raw = [values(name, 2 * 3 * 4 * 5, rng).reshape(2, 3, 4, 5) for _ in range(2)]
    x, dy = (layout(tensor(a.view(f"u{a.itemsize}"), theirs)) for a in raw)
    packed = torch.from_numpy(rng.integers(0, 256, (x.numel() + 7) // 8, dtype=np.uint8))
    tensors = {"x": x, "dy": dy, "bits": packed}
    return [tensors[name] for name in FAMILY[op][0].split()] + [*parameters(op)]


def differentiable(args):
    """The same, the floats among them requiring gradients."""
    return [
        a.detach().requires_grad_() if isinstance(a, torch.Tensor) and a.is_floating_point() else a
        for a in args
    ]


def call(op):
    """The operator as a function of its tensors with one result."""
    function = getattr(integration, op)
    if op == "relu_bits":
        return lambda *args: function(*args)[0]
    if op == "add_relu":
        return lambda x, *other: function(x, *other or (x,))
    return function


def of_x(op):
    return lambda x: call(op)(x, *parameters(op))


@each_operator
@each_layout
@each_type
def test_operators(op, layout, name, theirs, ours):
    """Bit for bit the oracle's, in a memory order of PyTorch's own."""
    args = arguments(op, layout, name, theirs)
    before = [bits(a).tobytes() for a in args if isinstance(a, torch.Tensor) and a.itemsize > 1]
    got = getattr(OPERATORS, op)(*args)
    after = [bits(a).tobytes() for a in args if isinstance(a, torch.Tensor) and a.itemsize > 1]
    assert before == after

    arrays = [bits(a).view(reference.STORAGE[name]) for a in args[: len(before)]]
    if op == "relu_grad_bits":
        arrays.append(args[1].numpy())
    numbers = [tensor_bits_of(n, theirs).view(reference.STORAGE[name]) for n in parameters(op)]
    if op == "relu_bits":
        got, packed = got
        assert np.array_equal(packed.numpy(), reference.bits_of(arrays[0], name))
        want = reference.relu(arrays[0], name)
    elif op == "relu_grad_bits":
        want = reference.relu_grad_bits(*arrays)
    else:
        want = getattr(reference, op)(*arrays, *numbers, name)
    assert got.dtype == theirs
    assert_same_bits(bits(got).view(reference.STORAGE[name]), want)

    tensors = [a for a in args if isinstance(a, torch.Tensor) and a.itemsize > 1]
    like = torch.relu(tensors[0]) if len(tensors) == 1 else torch.add(*tensors)
    assert got.stride() == like.stride()
    assert got.is_contiguous(memory_format=torch.contiguous_format) == like.is_contiguous()


def tensor_bits_of(number, dtype):
    return bits(torch.tensor(number, dtype=dtype))


@each_operator
@each_layout
@each_type
def test_opcheck(op, layout, name, theirs, ours):
    """PyTorch's own checks: the schema, autograd, fake tensors, tracing with symbolic shapes.

    They hold no NaN equal to itself.
    """
    numbers = lambda name, n, rng: bits(torch.from_numpy(rng.standard_normal(n)).to(theirs))
    args = differentiable(arguments(op, layout, name, theirs, numbers))
    outcome = torch.library.opcheck(getattr(OPERATORS, op).default, tuple(args))
    assert list(outcome.values()) == ["SUCCESS"] * 4


@each_forward
def test_derivatives(op):
    """In both modes, twice, over batches, in any order: those of PyTorch's own functions."""
    same, func = FAMILY[op][1], torch.func
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for transform in (
        func.jacrev,
        func.jacfwd,
        lambda f: func.hessian(lambda x: f(x).square().sum()),
        lambda f: func.jacrev(func.jacrev(lambda x: f(x).square().sum())),
        lambda f: func.vmap(func.grad(lambda x: f(x).square().sum())),
        lambda f: func.vmap(func.jacfwd(f), in_dims=1, out_dims=2),
        lambda f: func.vmap(func.vmap(f, in_dims=0), in_dims=0),
        lambda f: lambda x: func.jvp(f, (x,), (x.cos(),)),
        lambda f: lambda x: func.jvp(func.grad(lambda x: f(x).square().sum()), (x,), (x,))[1],
    ):
        got, want = transform(of_x(op))(x), transform(same)(x)
        torch.testing.assert_close(got, want, rtol=0, atol=1e-15)
        assert any(t.any() for t in (want if isinstance(want, tuple) else [want]))
    x.requires_grad_()
    assert torch.autograd.gradcheck(
        of_x(op),
        x,
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=True,
    )
    assert torch.autograd.gradgradcheck(of_x(op), x, check_fwd_over_rev=True)


@pytest.mark.parametrize("in_dims", [(0, 0), (1, 1), (0, 1), (None, 0), (1, None)], ids=str)
@pytest.mark.parametrize("op", ["relu_grad", "leaky_relu_grad", "clipped_relu_grad", "add_relu"])
def test_batches_of_pairs(op, in_dims):
    samples = [torch.randn(5, 3, generator=torch.Generator().manual_seed(i)) for i in (0, 1)]
    args = [s[0] if dim is None else s.movedim(0, dim) for s, dim in zip(samples, in_dims)]
    function = lambda a, b: getattr(OPERATORS, op)(a, b, *parameters(op))
    rows = [[s[0] if d is None else s[i] for s, d in zip(samples, in_dims)] for i in range(5)]
    want = torch.stack([function(*row) for row in rows])
    assert torch.equal(torch.vmap(function, in_dims)(*args), want)


@pytest.mark.parametrize("shape", [(3,), (8,), (2, 5), (0,), ()], ids=str)
def test_batches_of_bits(shape):
    """Each sample's bits begin a byte."""
    x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    y, packed = torch.vmap(integration.relu_bits)(x)
    for sample, *got in zip(x, y, packed):
        for one, want in zip(got, integration.relu_bits(sample)):
            assert torch.equal(one, want)
    assert torch.equal(torch.vmap(integration.relu_grad_bits)(x, packed), x.relu())
    for in_dims, args in (((0, None), (x, packed[0])), ((None, 0), (x[0], packed))):
        got = torch.vmap(integration.relu_grad_bits, in_dims)(*args)
        rows = [[a if d is None else a[i] for a, d in zip(args, in_dims)] for i in range(len(x))]
        assert torch.equal(got, torch.stack([integration.relu_grad_bits(*row) for row in rows]))


class Network(torch.nn.Module):
    """Every function that has a gradient, between layers that have weights."""

    def __init__(self, functions):
        super().__init__()
        torch.manual_seed(0)
        self.functions = functions
        self.layers = torch.nn.ModuleList([torch.nn.Linear(6, 6) for _ in functions])

    def forward(self, x):
        for layer, function in zip(self.layers, self.functions):
            x = function(layer(x)) + 0.5 * x
        return x


OURS = [of_x(op) for op, (_, same) in FAMILY.items() if same]
THEIRS = [same for _, same in FAMILY.values() if same]
FORWARD = ["relu", "leaky_relu", "clipped_relu", "add_relu", "relu_bits"]


def step(network, x):
    """The result and all gradients."""
    network.zero_grad()
    y = network(x)
    y.square().sum().backward()
    return [y.detach(), *(p.grad.clone() for p in network.parameters())]


def operators_in(graph):
    return [node.target._opname for node in graph.nodes if "relu_ext" in str(node.target)]


# Inductor compiles C++ for what is not ours.
BACKEND = "inductor" if shutil.which("g++") or shutil.which("clang++") else "aot_eager"


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_compiled_whole(dynamic):
    """Without a break in the graph, training and inference."""
    torch.compiler.reset()
    x = torch.randn(7, 6, generator=torch.Generator().manual_seed(1))
    network, same = Network(OURS), Network(THEIRS)
    compiled = torch.compile(network, fullgraph=True, backend=BACKEND, dynamic=dynamic)
    for rows in (7, 4):
        for got, eager, want in zip(*(step(n, x[:rows]) for n in (compiled, network, same))):
            torch.testing.assert_close(got, eager)
            torch.testing.assert_close(got, want)
        with torch.no_grad():
            torch.testing.assert_close(compiled(x[:rows]), same(x[:rows]))


@pytest.mark.parametrize("transform", ["hessian", "vmap of grad", "vmap of jacfwd"])
def test_compiled_transformations(transform):
    func, scalar = torch.func, lambda x: integration.relu(x).square().sum()
    function = {
        "hessian": func.hessian(scalar),
        "vmap of grad": func.vmap(func.grad(scalar)),
        "vmap of jacfwd": func.vmap(func.jacfwd(integration.relu)),
    }[transform]
    torch.compiler.reset()
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), function(x))


def test_exported():
    """As operators, for batches of any size; decompositions leave them alone."""
    network = Network(OURS)
    x = torch.randn(7, 6, generator=torch.Generator().manual_seed(1))
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(network, (x,), dynamic_shapes=({0: batch},))
    for exported in (program, program.run_decompositions()):
        assert operators_in(exported.graph) == FORWARD
        for rows in (7, 4):
            torch.testing.assert_close(exported.module()(x[:rows]), network(x[:rows]))


@each_operator
def test_traced(op):
    """As an operator, not as the result that it had for the tensors of the trace."""
    function = call(op)
    args = arguments(op, LAYOUTS["channels_last"], "f32", torch.float32)
    tensors = [a for a in args if isinstance(a, torch.Tensor)]
    numbers = args[len(tensors) :]
    traced = make_fx(lambda *tensors: function(*tensors, *numbers), tracing_mode="symbolic")(
        *tensors
    )
    assert operators_in(traced.graph) == [op]
    others = [t.flip(0) for t in tensors]
    assert_same_bits(traced(*others).numpy(), function(*others, *numbers).numpy())


def test_traced_through_its_gradient():
    x = torch.randn(5, generator=torch.Generator().manual_seed(0))
    function = torch.func.grad(lambda x: integration.relu(x).square().sum())
    traced = make_fx(function, tracing_mode="symbolic")(x)
    assert operators_in(traced.graph) == ["relu", "relu_grad"]
    assert torch.equal(traced(-x), function(-x))


@each_operator
@each_layout
def test_meta_and_fake_tensors(op, layout):
    args = arguments(op, layout, "bf16", torch.bfloat16)
    want = getattr(OPERATORS, op)(*args)
    metas = [a.to("meta") if isinstance(a, torch.Tensor) else a for a in args]
    with torch._subclasses.FakeTensorMode() as mode:
        fakes = [mode.from_tensor(a) if isinstance(a, torch.Tensor) else a for a in args]
        faked = getattr(OPERATORS, op)(*fakes)
    for got in (getattr(OPERATORS, op)(*metas), faked):
        for g, w in zip(*([t] if isinstance(t, torch.Tensor) else t for t in (got, want))):
            assert (g.shape, g.dtype) == (w.shape, w.dtype)
    strides = lambda t: [s for s, n in zip(t.stride(), t.shape) if n > 1 and t.numel()]
    first = lambda t: t if isinstance(t, torch.Tensor) else t[0]
    assert strides(first(faked)) == strides(first(want))


def test_autocast():
    """Computes in what arrives, as torch.relu does; a sum of two dtypes in the wider one."""
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        network, same = Network(OURS[:1]), Network(THEIRS[:1])
        assert network.layers[0](x).dtype == torch.bfloat16
        for got, want in zip(step(network, x), step(same, x)):
            assert got.dtype == want.dtype
            assert torch.equal(got, want)
        a = x.clone().requires_grad_()
        b = torch.nn.functional.linear(x, x)[:, :1]
        assert b.dtype == torch.bfloat16
        y = integration.add_relu(a, b)
        want = torch.relu(a + b)
    assert torch.equal(y, want)
    assert y.dtype == want.dtype == torch.float32
    assert torch.equal(*(torch.autograd.grad(t.sum(), a)[0] for t in (y, want)))


def test_inference_mode():
    x = torch.randn(4, 6)
    with torch.inference_mode():
        y = integration.relu(x)
        assert y.is_inference()
        assert torch.equal(integration.relu(y - 1), torch.relu(y - 1))
    assert torch.equal(y, torch.relu(x))


def test_channels_last_through_a_network():
    layers = [torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 5, 3)]
    x = torch.randn(2, 3, 9, 9).to(memory_format=torch.channels_last)
    for layer in layers:
        layer.to(memory_format=torch.channels_last)
        for op in FORWARD:
            y = of_x(op)(layer(x))
            assert y.is_contiguous(memory_format=torch.channels_last)
            assert not y.is_contiguous()
        x = y


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has the cache")
@pytest.mark.parametrize("grad", [False, True], ids=["", "with gradient"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "transposed"])
@pytest.mark.parametrize(
    "op, dtype",
    [(op, torch.float32) for op in ("relu", "leaky_relu", "clipped_relu", "add_relu")]
    + [(op, torch.bfloat16) for op in ("relu", "add_relu")],
)
def test_output_cache(op, dtype, layout, grad):
    """Where relu_ext's results come from; nothing is asked of PyTorch's allocator."""
    x = LAYOUTS[layout](torch.ones(8, 3, 128, 128, dtype=dtype)).requires_grad_(grad)
    function = of_x(op)
    y = function(x)
    del y
    before = get_output_cache()
    with torch.profiler.profile(profile_memory=True) as profile:
        y = function(x)
    after = get_output_cache()
    assert (after.hits, after.misses) == (before.hits + 1, before.misses)
    assert y.requires_grad == grad
    allocated = sum(max(e.self_cpu_memory_usage, 0) for e in profile.events())
    assert allocated < 4096


def saved(function, x):
    """The bytes that autograd keeps, each memory once."""
    kept = {}

    def pack(t):
        kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        y = function(x)
    y.sum().backward()
    return sum(kept.values())


def test_bits_save_memory():
    """In a small model, where nobody else keeps what the activation returns."""
    x = torch.randn(16, 64, 8, 8, generator=torch.Generator().manual_seed(0))
    gradients = []

    def keep_of_activation(relu):
        torch.manual_seed(0)
        convolution = torch.nn.Conv2d(64, 64, 3, padding=1)
        without = saved(convolution, x)
        convolution.zero_grad()
        total = saved(lambda x: relu(convolution(x)).mean((2, 3)), x)
        gradients.append(convolution.weight.grad.clone())
        return total - without

    full = x.numel() * x.itemsize
    assert keep_of_activation(torch.relu) == full
    assert keep_of_activation(integration.relu) == full
    assert keep_of_activation(lambda x: integration.relu_bits(x)[0]) == full // 32
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


def test_forward_mode_is_not_deaf():
    x = torch.tensor([-1.0, 2.0])
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, torch.tensor([3.0, 4.0]))
        for op in FORWARD:
            assert forward_ad.unpack_dual(of_x(op)(dual)).tangent is not None, op
        y, packed = integration.relu_bits(dual)
        assert forward_ad.unpack_dual(y).tangent.tolist() == [0, 4]
        assert forward_ad.unpack_dual(packed).tangent is None


def test_overwritten_result_is_noticed():
    """By the gradient that needs it, as with torch.relu."""
    x = torch.ones(3, requires_grad=True)
    for function in (torch.relu, integration.relu):
        y = function(x)
        y.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()
    y, _ = integration.relu_bits(x)
    y.add_(1)
    y.sum().backward()
    assert x.grad.tolist() == [1, 1, 1]
