"""ReLU in JAX's traced functions, with its gradient: the CPU's kernels, called back."""

import numpy as np

import relu_ext

try:
    import jax
except ModuleNotFoundError as error:
    if error.name != "jax":
        raise
    raise ImportError(
        "relu_ext.integrations.jax needs JAX, which is not installed: pip install jax"
    ) from None


def relu(x: jax.typing.ArrayLike) -> jax.Array:
    """ReLU for JAX: works under ``jit``, ``vmap``, ``grad`` and ``vjp``.

    Parameters
    ----------
    x : array_like
        Any shape; any dtype of JAX that `relu_ext.relu` knows, bfloat16 among them.

    Returns
    -------
    jax.Array
        ``max(x, 0)``, of the shape and dtype of `x`, with the rules of
        `relu_ext.relu` for NaN, zero and subnormals, which differ from those of
        ``jax.nn.relu``. Its gradient is `relu_ext.relu_grad`, and can itself be
        differentiated in reverse; there is no forward mode.

    Raises
    ------
    TypeError
        If the dtype of `x` is one that `relu_ext.relu` does not know.

    Notes
    -----
    Each call leaves the compiled program for Python (``jax.pure_callback``): on a
    device that is not the CPU, the array travels there and back.

    Examples
    --------
    >>> import jax
    >>> from relu_ext.integrations.jax import relu
    >>> jax.grad(lambda x: relu(x).sum())(jax.numpy.array([-1.0, 0.0, 2.0])).tolist()
    [0.0, 0.0, 1.0]
    """
    x = jax.numpy.asarray(x)
    # Here, because JAX would turn an error of the callback into one of its runtime's.
    if relu_ext.relu.resolve_dtypes((x.dtype, None))[1] != x.dtype:
        raise TypeError(f"x has dtype {x.dtype}; it must be one that relu_ext.relu takes")
    return _relu(x)


def _call(ufunc, *arrays):
    def called_back(*arrays):
        return ufunc(*(np.asarray(a) for a in arrays))

    # What is not mapped over gets an axis of length 1 in front, and broadcasts.
    return jax.pure_callback(called_back, arrays[0], *arrays, vmap_method="expand_dims")


@jax.custom_vjp
def _relu(x):
    return _call(relu_ext.relu, x)


@jax.custom_vjp
def _relu_grad(dy, y):
    return _call(relu_ext.relu_grad, dy, y)


def _relu_forward(x):
    y = _relu(x)
    return y, y  # the output serves the gradient as well as the input


def _relu_backward(y, dy):
    return (_relu_grad(dy, y),)


def _relu_grad_forward(dy, y):
    return _relu_grad(dy, y), y


def _relu_grad_backward(y, ddx):
    # Linear in dy and constant in y.
    return _relu_grad(ddx, y), jax.numpy.zeros_like(y)


_relu.defvjp(_relu_forward, _relu_backward)
_relu_grad.defvjp(_relu_grad_forward, _relu_grad_backward)
