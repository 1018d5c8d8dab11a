"""ReLU in JAX's traced functions: jit, grad and vmap over callbacks to the kernels."""

import doctest
import subprocess
import sys

import numpy as np
import pytest
import reference
from arrays import samples

jax = pytest.importorskip("jax")
ml_dtypes = pytest.importorskip("ml_dtypes")
jnp = jax.numpy

from jax.test_util import check_grads

from relu_ext.integrations.jax import relu

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


@pytest.fixture(autouse=True)
def x64():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def bits(a):
    a = np.asarray(a)
    return a.view(f"u{a.itemsize}")


@each_type
@pytest.mark.parametrize(
    "transform", [lambda f: f, jax.jit, jax.vmap], ids=["plain", "jit", "vmap"]
)
def test_forward_and_gradient(name, dtype, transform, rng):
    """Signalling NaNs and subnormals included: nothing between the caller and us touches them."""
    x, dy = (samples(name, 3000, rng).reshape(30, 100) for _ in range(2))
    gradient = transform(lambda dy, x: jax.vjp(relu, x)[1](dy)[0])
    got = transform(relu)(jnp.asarray(x.view(dtype)))
    assert got.dtype == dtype
    assert np.array_equal(bits(got), bits(reference.relu(x, name)))
    got = gradient(jnp.asarray(dy.view(dtype)), jnp.asarray(x.view(dtype)))
    assert got.dtype == dtype
    assert np.array_equal(bits(got), bits(reference.relu_grad(dy, x, name)))


def test_gradient_of_a_scalar_function():
    def loss(relu, w, x):
        return (relu(x @ w) ** 2).sum()

    w, x = np.random.default_rng(0).standard_normal((2, 16, 16))
    got = jax.jit(jax.grad(loss, argnums=1), static_argnums=0)(relu, w, x)
    want = jax.jit(jax.grad(loss, argnums=1), static_argnums=0)(jax.nn.relu, w, x)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    assert jax.grad(relu)(0.0) == 0


def test_finite_differences():
    x = np.random.default_rng(0).standard_normal((6, 5))
    x += 0.1 * np.sign(x)
    check_grads(relu, (x,), order=2, modes=["rev"])
    check_grads(lambda dy, x: jax.vjp(relu, x)[1](dy)[0], (x[::-1], x), 2, modes=["rev"])


def test_mapped_over_one_operand_only(rng):
    x, dy = rng.standard_normal((2, 3, 40))

    def gradient(dy, x):
        return jax.vjp(relu, x)[1](dy)[0]

    got = jax.vmap(gradient, in_axes=(0, None))(dy, x[0])
    assert np.array_equal(bits(got), bits(reference.relu_grad(dy, x[0])))
    got = jax.vmap(gradient, in_axes=(None, 0), out_axes=1)(dy[0], x)
    assert np.array_equal(bits(got), bits(reference.relu_grad(dy[0], x).T))


def test_large():
    x = np.resize(np.array([-1, 2, np.nan], np.float32), 2**22)
    got = jax.jit(relu)(x)
    assert np.array_equal(bits(got), bits(reference.relu(x)))


@pytest.mark.parametrize("x", [-2.5, 2.5, -2, [-1, 2], np.zeros((0, 3)), np.array([True])])
def test_what_becomes_an_array(x):
    want = reference.relu(np.asarray(jnp.asarray(x)))
    got = relu(x)
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    assert np.array_equal(got, want)


@pytest.mark.parametrize("dtype", ["complex64", "int4", "float8_e4m3b11fnuz"])
def test_refused(dtype):
    """When it is traced, not when it is run."""
    with pytest.raises(TypeError, match="relu"):
        jax.eval_shape(relu, jax.ShapeDtypeStruct((3,), jnp.dtype(dtype)))


def test_example_in_docstring():
    (examples,) = doctest.DocTestFinder(recurse=False).find(relu, "relu")
    results = doctest.DocTestRunner().run(examples)
    assert results.attempted > 0
    assert results.failed == 0


def test_imported_only_when_asked_for():
    """And said clearly when it is missing."""
    script = """if True:
        import sys
        import relu_ext, relu_ext.integrations
        assert "jax" not in sys.modules
        sys.modules["jax"] = None
        try:
            import relu_ext.integrations.jax
        except ImportError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, check=True, text=True
    )
    assert "needs JAX" in done.stdout and "pip install jax" in done.stdout
