"""ReLU and its family in JAX: the bits, the transformations, and the way that XLA calls them.

Tests with "ffi" in their names are about XLA's foreign function interface; the others hold for
callbacks to Python as well, and are run again with them.
"""

import ctypes
import doctest
import functools
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import cffi
import numpy as np
import pytest
import reference
from arrays import samples
from test_embedding import need, run

jax = pytest.importorskip("jax")
ml_dtypes = pytest.importorskip("ml_dtypes")
jnp = jax.numpy

from jax.test_util import check_grads

from relu_ext._core import xla_handlers
from relu_ext.integrations import jax as integration
from relu_ext.integrations.jax import (
    add_relu,
    clipped_relu,
    clipped_relu_grad,
    leaky_relu,
    leaky_relu_grad,
    relu,
    relu_grad,
)

CSRC = Path(__file__).parents[2] / "csrc"

# The format's name in the oracle, and the dtype.
TYPES = [
    ("f8e5m2", ml_dtypes.float8_e5m2),
    ("f8e4m3fn", ml_dtypes.float8_e4m3fn),
    ("f16", np.float16),
    ("bf16", ml_dtypes.bfloat16),
    ("f32", np.float32),
    ("f64", np.float64),
]
each_type = pytest.mark.parametrize("name, dtype", TYPES, ids=[name for name, _ in TYPES])
each_number_type = pytest.mark.parametrize(
    "name, dtype", TYPES[2:], ids=[name for name, _ in TYPES[2:]]
)
each_transform = pytest.mark.parametrize(
    "transform", [lambda f: f, jax.jit, jax.vmap], ids=["plain", "jit", "vmap"]
)
# Each operation as a function of one array, and of two.
ONE = {
    "relu": relu,
    "leaky_relu": functools.partial(leaky_relu, slope=0.3),
    "leaky_relu_by_input": functools.partial(leaky_relu, slope=-0.3),
    "clipped_relu": functools.partial(clipped_relu, ceiling=1.5),
    "clipped_relu_by_input": functools.partial(clipped_relu, ceiling=np.nan),
}
TWO = {
    "add_relu": add_relu,
    "relu_grad": relu_grad,
    "leaky_relu_grad": functools.partial(leaky_relu_grad, slope=0.3),
    "clipped_relu_grad": functools.partial(clipped_relu_grad, ceiling=1.5),
}
each_of_one = pytest.mark.parametrize("f", ONE.values(), ids=ONE)
each_of_two = pytest.mark.parametrize("f", TWO.values(), ids=TWO)


@pytest.fixture(autouse=True)
def x64():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def bits(a):
    a = np.asarray(a)
    return a.view(f"u{a.itemsize}")


def assert_bits(got, want, dtype):
    assert got.dtype == dtype
    assert np.array_equal(bits(got), bits(want))


@each_type
@each_transform
def test_forward_and_gradient(name, dtype, transform, rng):
    """Signalling NaNs and subnormals included: nothing between the caller and us touches them."""
    x, dy = (samples(name, 3000, rng).reshape(30, 100) for _ in range(2))
    gradient = transform(lambda dy, x: jax.vjp(relu, x)[1](dy)[0])
    tangent = transform(lambda dx, x: jax.jvp(relu, (x,), (dx,))[1])
    arrays = jnp.asarray(dy.view(dtype)), jnp.asarray(x.view(dtype))
    assert_bits(transform(relu)(arrays[1]), reference.relu(x, name), dtype)
    want = reference.relu_grad(dy, x, name)
    assert_bits(transform(relu_grad)(*arrays), want, dtype)
    assert_bits(gradient(*arrays), want, dtype)
    assert_bits(tangent(*arrays), want, dtype)


@each_number_type
@each_transform
@pytest.mark.parametrize("slope", [0.25, -1.5, 0.0, np.nan])
def test_leaky_relu(name, dtype, transform, slope, rng):
    check_family(name, dtype, transform, "leaky_relu", leaky_relu, leaky_relu_grad, slope, rng)


@each_type
@each_transform
@pytest.mark.parametrize("ceiling", [6.0, -1.0, -0.0, np.nan])
def test_clipped_relu(name, dtype, transform, ceiling, rng):
    check_family(
        name, dtype, transform, "clipped_relu", clipped_relu, clipped_relu_grad, ceiling, rng
    )


def check_family(name, dtype, transform, operation, function, gradient, parameter, rng):
    x, dy = (samples(name, 3000, rng).reshape(30, 100) for _ in range(2))
    arrays = jnp.asarray(dy.view(dtype)), jnp.asarray(x.view(dtype))
    raw = np.asarray(parameter).astype(dtype).view(x.dtype)
    function = functools.partial(function, **{operation_parameter(operation): parameter})
    gradient = functools.partial(gradient, **{operation_parameter(operation): parameter})
    want = getattr(reference, operation)(x, raw, name)
    assert_bits(transform(function)(arrays[1]), want, dtype)
    want = getattr(reference, f"{operation}_grad")(dy, x, raw, name)
    assert_bits(transform(gradient)(*arrays), want, dtype)
    by_vjp = transform(lambda dy, x: jax.vjp(function, x)[1](dy)[0])
    assert_bits(by_vjp(*arrays), want, dtype)


def operation_parameter(operation):
    return {"leaky_relu": "slope", "clipped_relu": "ceiling"}[operation]


@each_number_type
@each_transform
def test_add_relu(name, dtype, transform, rng):
    a, b, dy = (samples(name, 3000, rng).reshape(30, 100) for _ in range(3))
    want = reference.add_relu(a, b, name)
    arrays = [jnp.asarray(each.view(dtype)) for each in (a, b, dy)]
    assert_bits(transform(add_relu)(*arrays[:2]), want, dtype)
    gradients = transform(lambda a, b, dy: jax.vjp(add_relu, a, b)[1](dy))(*arrays)
    for gradient in gradients:
        assert_bits(gradient, reference.relu_grad(dy, want, name), dtype)


def test_add_relu_as_a_sum():
    """Shapes broadcast, and dtypes are promoted."""
    a, b = jnp.ones((3, 1), jnp.float16), jnp.full(4, -2.5, jnp.float32)
    got = add_relu(a, b)
    assert (got.shape, got.dtype) == ((3, 4), jnp.float32)
    assert add_relu(a, 2.0).dtype == jnp.float16
    gradients = jax.grad(lambda a, b: add_relu(a, -b).sum(), argnums=(0, 1))(a, b)
    assert [g.tolist() for g in gradients] == [[[4], [4], [4]], [-3] * 4]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "int64", "bool"])
def test_integers(dtype):
    x = np.array([0, 1, 5, 200, -3]).astype(dtype)
    for transform in (lambda f: f), jax.jit:
        assert_bits(transform(relu)(x), reference.relu(x), dtype)
        got = transform(functools.partial(clipped_relu, ceiling=1))(x)
        assert_bits(got, reference.clipped_relu(x, x.dtype.type(1)), dtype)
        if dtype != "bool":
            assert_bits(transform(add_relu)(x, x), reference.add_relu(x, x), dtype)


# Weak types: those of Python's numbers.


def test_weak_types():
    """relu(2.0) * bfloat16 stays bfloat16, as with jax.nn.relu."""
    for f in [*ONE.values(), lambda x: add_relu(x, 1.0), lambda x: relu_grad(x, x)]:
        y = f(2.0)
        assert y.weak_type
        assert (y * jnp.bfloat16(3)).dtype == jnp.bfloat16
        assert (jax.jit(f)(2.0) * jnp.float16(3)).dtype == jnp.float16
        assert not f(jnp.float32(2)).weak_type


# Derivatives, in all modes and orders.


def test_gradient_of_a_scalar_function():
    def loss(relu, w, x):
        return (relu(x @ w) ** 2).sum()

    w, x = np.random.default_rng(0).standard_normal((2, 16, 16))
    got = jax.jit(jax.grad(loss, argnums=1), static_argnums=0)(relu, w, x)
    want = jax.jit(jax.grad(loss, argnums=1), static_argnums=0)(jax.nn.relu, w, x)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    assert jax.grad(relu)(0.0) == 0


def numbers(*shape):
    """None of them near a kink of one of the operations."""
    x = np.random.default_rng(0).uniform(0.1, 1.3, shape)
    return x * np.where(np.arange(x.size).reshape(shape) % 3, 1, -1)


@pytest.mark.parametrize("f", list(ONE.values())[:-1], ids=list(ONE)[:-1])
def test_finite_differences(f):
    x = numbers(6, 5)
    check_grads(f, (x,), order=2, modes=["fwd", "rev"])
    check_grads(lambda dy, x: jax.vjp(f, x)[1](dy)[0], (x[::-1], x), 2, modes=["fwd", "rev"])


@each_of_two
def test_finite_differences_of_two(f):
    x = numbers(6, 5)
    check_grads(f, (x, 0.5 * x), order=2, modes=["fwd", "rev"])
    check_grads(lambda x: f(x, x), (x,), order=2, modes=["fwd", "rev"])


def test_hessian_and_linearize():
    """By reverse over forward, and forward over reverse."""
    x = numbers(7)

    def loss(relu, x):
        return (relu(jnp.sin(x) * x) ** 2).sum()

    for derivative in (
        jax.hessian,
        lambda f: jax.jacrev(jax.jacfwd(f)),
        lambda f: jax.jacrev(jax.grad(f)),
    ):
        got = jax.jit(derivative(functools.partial(loss, relu)))(x)
        want = derivative(functools.partial(loss, jax.nn.relu))(x)
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
    y, linear = jax.linearize(relu, x)
    assert np.array_equal(y, reference.relu(x))
    assert np.array_equal(linear(x + 1), reference.relu_grad(x + 1, x))
    assert np.array_equal(jax.linear_transpose(linear, x)(x)[0], reference.relu_grad(x, x))


@each_of_one
def test_what_the_gradient_keeps(f):
    """The output, unless that does not say enough: then a network keeps no tensor for it."""
    _, derivative = jax.vjp(f, jnp.arange(8.0))
    kept = [k for k in jax.tree_util.tree_leaves(derivative) if np.shape(k) == (8,)]
    by_input = f in (ONE["leaky_relu_by_input"], ONE["clipped_relu_by_input"])
    want = jnp.arange(8.0) if by_input else f(jnp.arange(8.0))
    assert len(kept) == 1
    assert np.array_equal(kept[0], want)


# Batches.


@each_of_two
def test_mapped_over_one_operand_only(f, rng):
    a, b = rng.standard_normal((2, 3, 40))
    got = jax.vmap(f, in_axes=(0, None))(a, b[0])
    assert np.array_equal(bits(got), bits(f(a, np.broadcast_to(b[0], a.shape))))
    got = jax.vmap(f, in_axes=(None, 0), out_axes=1)(a[0], b)
    assert np.array_equal(bits(got), bits(f(np.broadcast_to(a[0], b.shape), b)).T)
    got = jax.vmap(f, in_axes=(0, 1))(a, b.T)
    assert np.array_equal(bits(got), bits(f(a, b)))
    got = jax.vmap(jax.vmap(f, in_axes=(None, 0)), in_axes=(0, None))(a, b)
    want = f(*np.broadcast_arrays(a[:, None], b[None]))
    assert np.array_equal(bits(got), bits(want))


@each_of_two
def test_one_call_for_a_batch(f):
    """And no loop."""
    mapped = jax.vmap(jax.vmap(f), in_axes=(0, None))
    jaxpr = str(jax.make_jaxpr(mapped)(jnp.ones((4, 3, 5)), jnp.ones((3, 5))))
    assert jaxpr.count("relu_ext_") == 1
    assert "scan" not in jaxpr
    assert "while" not in jaxpr


# What becomes of operands.


def test_large(rng):
    """Over threads, from an odd number of elements on."""
    x = np.resize(np.array([-1, 2, np.nan], np.float32), 2**22 + 7)
    got = jax.jit(relu)(x)
    assert np.array_equal(bits(got), bits(reference.relu(x)))
    got = jax.jit(functools.partial(leaky_relu, slope=0.5))(x)
    assert np.array_equal(bits(got), bits(reference.leaky_relu(x, np.float32(0.5))))


@pytest.mark.parametrize("x", [-2.5, 2.5, -2, [-1, 2], np.zeros((0, 3)), np.array([True])])
def test_what_becomes_an_array(x):
    want = reference.relu(np.asarray(jnp.asarray(x)))
    for f in relu, jax.jit(relu):
        got = f(jnp.asarray(x))
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        assert np.array_equal(got, want)
    assert np.array_equal(relu(x), want)


def test_layouts():
    """A transposed operand, which XLA may keep as it is."""
    x = numbers(40, 30)
    got = jax.jit(lambda x: relu(x.T) + relu_grad(x.T, x.T))(x)
    assert np.array_equal(got, 2 * reference.relu(x.T))


def test_control_flow():
    x = numbers(8)

    def body(carry, _):
        return relu(carry - 0.1), carry.sum()

    got, _ = jax.jit(lambda x: jax.lax.scan(body, x, length=3))(x)
    want = functools.reduce(lambda x, _: reference.relu(x - 0.1), range(3), x)
    assert np.array_equal(got, want)
    got = jax.jit(lambda x: jax.lax.cond(x.sum() > 0, relu, lambda x: x, x))(x)
    assert np.array_equal(got, reference.relu(x))
    got = jax.grad(jax.checkpoint(lambda x: relu(relu(x) * 2).sum()))(x)
    assert np.array_equal(got, reference.relu_grad(np.full(8, 2.0), x))


# Refusals.


@pytest.mark.parametrize("dtype", ["complex64", "int4", "float8_e4m3b11fnuz"])
def test_refused(dtype):
    """When it is traced, not when it is run."""
    with pytest.raises(TypeError, match="relu"):
        jax.eval_shape(relu, jax.ShapeDtypeStruct((3,), jnp.dtype(dtype)))


X = np.arange(3.0)
I8 = np.ones(3, np.int8)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: relu_grad(X, X[:2]), TypeError, "dy and x must have one shape and one dtype"),
        (lambda: relu_grad(X, np.float32(X)), TypeError, "float64 and (3,), float32"),
        (lambda: relu_grad(I8, I8), TypeError, "dy has dtype int8; it must be one that"),
        (lambda: leaky_relu(I8, 1), TypeError, "x has dtype int8; it must be one that"),
        (lambda: add_relu(X, X[:2]), ValueError, "shape"),
        (lambda: jax.jit(leaky_relu)(X, 0.1), TypeError, "slope must be a number, not one that is"),
        (lambda: jax.grad(clipped_relu, 1)(1.0, 6.0), TypeError, "ceiling must be a number, not"),
        (lambda: leaky_relu(X, [1.0, 2.0]), TypeError, "slope must be one number, not of shape"),
        (lambda: clipped_relu(I8, 1.5), ValueError, "ceiling is 1.5; for int8 it must be a whole"),
        (lambda: clipped_relu(I8, 300), OverflowError, "300 out of bounds for int8"),
    ],
)
def test_bad_arguments(call, error, words):
    with pytest.raises(error, match=re.escape(words)):
        call()


def test_example_in_docstring():
    (examples,) = doctest.DocTestFinder(recurse=False).find(relu, "relu")
    results = doctest.DocTestRunner().run(examples)
    assert results.attempted > 0
    assert results.failed == 0


# By XLA's foreign function interface.


def compiled(f, *arrays, **options):
    """What the program does, an operation a line; what it fuses into one is one."""
    text = jax.jit(f, **options).lower(*arrays).compile().as_text()
    return [line.strip() for line in text.partition("\nENTRY ")[2].splitlines() if " = " in line]


def test_ffi_in_use():
    """With the JAX that users get, there is no way back to Python in a program."""
    assert integration.implementation == "ffi"
    x = jnp.ones((4, 5))
    for f in [*ONE.values(), jax.grad(lambda x: relu(x).sum()), lambda x: add_relu(x, x)]:
        text = "\n".join(compiled(f, x))
        assert re.search('custom_call_target="relu_ext_', text)
        assert "callback" not in text


def test_ffi_in_place():
    """Where the operand was donated or is a result that nobody needs any more; and only there."""
    w = jnp.ones((64, 64))
    for f in [*ONE.values(), lambda x: add_relu(x, w), lambda x: relu_grad(x, w)]:
        x = jnp.full((64, 64), 1.25)
        want = np.asarray(f(x))
        before = x.unsafe_buffer_pointer()
        y = jax.jit(f, donate_argnums=0)(x)
        assert y.unsafe_buffer_pointer() == before
        assert x.is_deleted()
        assert np.array_equal(y, want, equal_nan=True)
        assert not any("copy" in line for line in compiled(f, y, donate_argnums=0))
        # Without a donation an alias would be a copy.
        assert not any("copy" in line or "aliasing" in line for line in compiled(f, y))
    x = jnp.full((64, 64), -1.0)
    assert np.array_equal(jax.jit(lambda x: x + relu(x), donate_argnums=0)(x), np.full_like(w, -1))

    def layers(x):
        return relu(relu(x @ w) @ w).sum()

    for f in layers, jax.grad(layers):
        lines = compiled(f, w)
        calls = [line for line in lines if 'custom_call_target="relu_ext_' in line]
        assert len(calls) == (2 if f is layers else 4)
        assert all("output_to_operand_aliasing" in line for line in calls)
        assert not any(re.match(r"(ROOT )?%copy\S* = f64\[64,64\]", line) for line in lines)


def test_ffi_operands_are_never_changed():
    """One that is not donated, one that is needed later, and one that comes twice."""
    x = jnp.asarray(numbers(50))
    before = np.asarray(x).copy()
    y, z, twice = jax.jit(lambda x: (relu(x), relu(x * 2) - x * 2, add_relu(x * 2, x * 2)))(x)
    assert np.array_equal(x, before)
    assert np.array_equal(y, reference.relu(before))
    assert np.array_equal(z, reference.relu(2 * before) - 2 * before)
    assert np.array_equal(twice, reference.relu(4 * before))


@pytest.mark.parametrize("shape", ["5, 3", "a, b", "2*a"])
def test_ffi_export(shape):
    """Where JAX is told that the custom calls are wanted; with unknown shapes, too."""
    from jax import export

    x = numbers(*(4, 3) if "," in shape else (4,))
    x = numbers(5, 3) if shape == "5, 3" else x
    argument = jax.ShapeDtypeStruct(export.symbolic_shape(shape), x.dtype)
    if shape == "5, 3":
        argument = jax.ShapeDtypeStruct((5, 3), x.dtype)
    allowed = [
        export.DisabledSafetyCheck.custom_call(f"relu_ext_{name}") for name in ("relu", "relu_grad")
    ]
    with pytest.raises(ValueError, match="relu_ext_relu"):
        export.export(jax.jit(relu))(argument)
    exported = export.export(jax.jit(relu), disabled_checks=allowed)(argument)
    again = export.deserialize(exported.serialize(vjp_order=1))
    assert np.array_equal(again.call(x), reference.relu(x))
    gradient = jax.grad(lambda x: (again.call(x) * 3).sum())(x)
    assert np.array_equal(gradient, reference.relu_grad(np.full_like(x, 3), x))


def run_python(script, **environment):
    """The script in an interpreter of its own, and what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},
        check=True,
        text=True,
    )
    return done.stdout


def test_ffi_sharding():
    """Each of two devices computes its part, along every axis, and nothing is gathered."""
    script = """
        import jax, numpy as np
        from jax.sharding import Mesh, NamedSharding, PartitionSpec
        from relu_ext.integrations.jax import add_relu, leaky_relu, relu, relu_grad
        try:
            from jax import shard_map
        except ImportError:
            from jax.experimental.shard_map import shard_map

        mesh = Mesh(np.array(jax.devices()), ("i",))
        assert mesh.size == 2

        def gradient(x):
            return jax.grad(lambda x: (relu(x) ** 2).sum())(x)

        functions = [relu, gradient, lambda x: leaky_relu(2 * x, 0.5), lambda x: add_relu(x, -x)]
        functions.append(lambda x: relu_grad(x, x))
        rng = np.random.default_rng(0)
        for shape in (8,), (8, 6), (4, 2, 6), (2,) * 20:
            x = rng.standard_normal(shape, np.float32)
            for axis in {0, len(shape) // 2, len(shape) - 1}:
                spec = PartitionSpec(*[None] * axis, "i")
                split = jax.device_put(x, NamedSharding(mesh, spec))
                for f in functions:
                    program = jax.jit(f).lower(split).compile()
                    y = program(split)
                    assert y.sharding.is_equivalent_to(split.sharding, x.ndim), (shape, spec)
                    assert "all-" not in program.as_text(), (shape, spec)
                    assert np.array_equal(y, f(x))
                    y = jax.jit(shard_map(f, mesh=mesh, in_specs=spec, out_specs=spec))(split)
                    assert np.array_equal(y, f(x))
                y = jax.jit(relu, donate_argnums=0)(split)
                assert np.array_equal(y, relu(x))
        x = jax.device_put(np.float32(-2), NamedSharding(mesh, PartitionSpec()))
        assert jax.jit(relu)(x) == 0
        print("done")
    """
    flags = "--xla_force_host_platform_device_count=2"
    assert run_python(script, XLA_FLAGS=flags) == "done\n"


@pytest.mark.skipif(not hasattr(jax, "shard_map"), reason="this version of JAX has no shard_map")
def test_ffi_shard_map():
    """Of operands one of which is the same on all devices, and over some of the mesh's axes."""
    script = """
        import jax, jax.numpy as jnp, numpy as np
        from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
        from relu_ext.integrations.jax import add_relu, relu, relu_grad

        devices = np.array(jax.devices())
        mesh = Mesh(devices, ("i",))
        a = jnp.array(np.random.default_rng(0).standard_normal((4, 4), np.float32))
        bias = a[2]

        def split(f, *specs):
            return jax.jit(jax.shard_map(f, mesh=mesh, in_specs=specs, out_specs=P("i")))

        def agree(f, like, *operands):
            for got, want in zip(jax.tree.leaves(f(*operands)), jax.tree.leaves(like(*operands))):
                assert np.allclose(got, want, rtol=1e-6), (got, want)

        for f in add_relu, lambda a, b: jax.vmap(add_relu, in_axes=(0, None))(a, b):
            agree(split(f, P("i"), P()), lambda a, b: jax.nn.relu(a + b), a, bias)
        agree(split(lambda a: add_relu(a, 1.0), P("i")), lambda a: jax.nn.relu(a + 1), a)
        ones = lambda a: jnp.ones(a.shape)
        agree(split(lambda a: relu_grad(ones(a), a), P("i")), lambda a: 1.0 * (a > 0), a)
        agree(split(lambda a: jax.jvp(relu, (a,), (ones(a),)), P("i")),
              lambda a: (jax.nn.relu(a), 1.0 * (a > 0)), a)
        loss = lambda f: jax.grad(lambda a, b: (f(a, b) ** 2).sum(), argnums=(0, 1))
        agree(loss(split(add_relu, P("i"), P())), loss(lambda a, b: jax.nn.relu(a + b)), a, bias)

        mesh = Mesh(devices.reshape(2, 2), ("i", "j"))
        spread = jax.device_put(a, NamedSharding(mesh, P("i", "j")))
        f = jax.jit(jax.shard_map(relu, mesh=mesh, in_specs=P("i"), out_specs=P("i"),
                                  axis_names={"i"}))
        if jax.__version_info__ >= (0, 10):  # 0.6 gathers here
            assert "all-" not in f.lower(spread).compile().as_text()
        assert np.array_equal(f(spread), relu(a))
        print("done")
    """
    flags = "--xla_force_host_platform_device_count=4"
    assert run_python(script, XLA_FLAGS=flags) == "done\n"


@pytest.mark.parametrize("number", [None, "0.5", np.complex64(1)])
def test_parameters_that_are_no_real_numbers(number):
    x = jnp.array([-2.0, 1.0])
    with pytest.raises(TypeError, match="slope must be a real number"):
        integration.leaky_relu(x, number)


def test_ceilings_beyond_a_dtype_without_infinity():
    x = jnp.array([-2.0, 1.0], jnp.float8_e4m3fn)
    with pytest.raises(ValueError, match="no number that large"):
        integration.clipped_relu(x, np.inf)
    assert integration.clipped_relu(x, 448).tolist() == [0, 1]


SMALL = jax.ShapeDtypeStruct((3,), np.float32)


@pytest.mark.parametrize(
    "target, result, shapes, attributes, words",
    [
        ("relu", SMALL, [], {}, "it takes 1 argument and has 1 result, not 0 and 1"),
        ("relu", [SMALL, SMALL], [3], {}, "it takes 1 argument and has 1 result, not 1 and 2"),
        ("add_relu", SMALL, [3], {}, "it takes 2 arguments and has 1 result, not 1 and 1"),
        ("relu", SMALL, [4], {}, "arguments and result must be arrays of one size and dtype"),
        ("relu_grad", SMALL, [3, 2], {}, "must be arrays of one size and dtype"),
        ("relu", jax.ShapeDtypeStruct((3,), np.float16), [3], {}, "of one size and dtype"),
        ("relu", jax.ShapeDtypeStruct((3,), np.complex64), "c", {}, "that relu_ext.relu takes"),
        ("add_relu", jax.ShapeDtypeStruct((3,), bool), "??", {}, "that relu_ext.add_relu takes"),
        ("leaky_relu", SMALL, [3], {}, "there must be one attribute, an int64"),
        ("leaky_relu", SMALL, [3], {"bits": np.float32(1)}, "there must be one attribute, an"),
        ("leaky_relu", SMALL, [3], {"bits": np.int32(1)}, "there must be one attribute, an"),
        ("leaky_relu", SMALL, [3], {"a": np.int64(1), "b": np.int64(1)}, "must be one attribute"),
        ("leaky_relu", SMALL, [3], {"bits": "x"}, "there must be one attribute, an int64"),
    ],
)
def test_ffi_refuses(target, result, shapes, attributes, words):
    """What nobody but a caller of the bare target can ask for: XLA's error, and no harm."""
    if isinstance(shapes, str):
        arrays = [np.ones(3, {"c": np.complex64, "?": bool}[char]) for char in shapes]
    else:
        arrays = [np.ones(n, np.float32) for n in shapes]
    with pytest.raises(Exception, match=re.escape(words)) as error:
        call = jax.ffi.ffi_call(f"relu_ext_{target}", result)
        jax.block_until_ready(call(*arrays, **attributes))
    assert "INVALID_ARGUMENT" in str(error.value)
    assert f"relu_ext_{target}: " in str(error.value)


def test_ffi_structures(tmp_path):
    """Ours are the first members of XLA's, and the numbers are the same."""
    need("cc")
    source = Path(__file__).with_name("xla_ffi.c")
    folder = jax.ffi.include_dir()
    run(["cc", "-std=c11", "-fsyntax-only", f"-I{folder}", f"-I{CSRC}", source], tmp_path)


def test_ffi_versions():
    """The question for ours, and calls from an XLA that is too different."""
    text = (CSRC / "python/xla_ffi.h").read_text()
    head = re.search(r"#define XLA_HEAD(.*?)\n\n", text, re.DOTALL)[1].replace("\\", "")
    text = text.partition("#endif")[0].partition("enum {")[2].replace("XLA_HEAD;", f"{head};")
    ffi = cffi.FFI()
    ffi.cdef("enum {" + re.sub(r"#define.*?\n\n", "", text, flags=re.DOTALL))
    messages = []

    @ffi.callback("struct xla_error *(struct xla_error_arguments *)")
    def create_error(arguments):
        messages.append(ffi.string(arguments.message).decode())
        return ffi.cast("struct xla_error *", 1)

    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    handler = ffi.cast("xla_handler *", get_pointer(xla_handlers["relu_ext_relu"], None))

    metadata = ffi.new("struct xla_metadata *")
    asks = ffi.new("struct xla_metadata_extension *", ([0, 1], metadata))
    other = ffi.new("struct xla_extension *", [0, 77, ffi.addressof(asks.base)])
    assert handler(ffi.new("struct xla_call *", {"extensions": other})) == ffi.NULL
    assert (metadata.version.major, metadata.version.minor) == (0, 1)

    api = ffi.new("struct xla_api *", {"create_error": create_error})
    size = ffi.sizeof("struct xla_call")
    assert handler(ffi.new("struct xla_call *", {"struct_size": size - 8, "api": api})) != ffi.NULL
    api.version.major = 1
    assert handler(ffi.new("struct xla_call *", {"struct_size": size, "api": api})) != ffi.NULL
    assert [m.partition(": ")[2] for m in messages] == [
        "XLA's interface must be of version 0, from 0.1 on, not 0.0",
        "XLA's interface must be of version 0, from 0.1 on, not 1.0",
    ]


@pytest.mark.parametrize("reason", ["missing", "refused"])
def test_without_the_ffi(reason):
    """An older JAX, or one for which our version is too old: all else holds, by callbacks."""
    script = f"""
        import sys
        import jax, pytest

        def refuse(*args, **kwargs):
            raise RuntimeError("unsupported version")

        if {reason!r} == "missing":
            sys.modules["jax.ffi"] = None
            vars(jax).pop("ffi", None)
        else:
            from jax import ffi
            ffi.register_ffi_target = refuse
        from relu_ext.integrations import jax as integration
        assert integration.implementation == "callback"
        text = jax.jit(integration.relu).lower(2.0).as_text()
        assert "callback" in text and "relu_ext_" not in text
        few = "not ffi and not plain and not vmap" if {reason!r} == "missing" else "weak"
        options = ["-q", "-p", "no:cacheprovider", "--rootdir", {str(Path(__file__).parents[2])!r}]
        sys.exit(pytest.main([*options, {__file__!r}, "-k", few]))
    """
    run_python(script)


def test_imported_only_when_asked_for():
    """And said clearly when it is missing."""
    script = """
        import sys
        import relu_ext, relu_ext.integrations
        assert "jax" not in sys.modules
        sys.modules["jax"] = None
        try:
            import relu_ext.integrations.jax
        except ImportError as error:
            print(error)
    """
    printed = run_python(script)
    assert "needs JAX" in printed and "pip install jax" in printed


def test_every_handler_ffi():
    """What is registered is what the primitives call."""
    names = {f"relu_ext_{f.__name__}" for f in (relu, relu_grad, add_relu)}
    for family in "leaky_relu", "clipped_relu":
        names |= {f"relu_ext_{family}", f"relu_ext_{family}_grad"}
    assert set(xla_handlers) == names
