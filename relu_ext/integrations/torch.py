"""ReLU on PyTorch's CPU tensors, with its gradient: the kernels work on the tensors' memory."""

import numpy as np

import relu_ext

try:
    import torch
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError(
        "relu_ext.integrations.torch needs PyTorch, which is not installed: pip install torch"
    ) from None

# Dtypes that NumPy has from ml_dtypes alone: the integers that carry the bits over, and the name.
_CARRIED = {
    torch.bfloat16: (torch.int16, "bfloat16"),
    torch.float8_e5m2: (torch.int8, "float8_e5m2"),
    torch.float8_e4m3fn: (torch.int8, "float8_e4m3fn"),
}


def relu(x: torch.Tensor) -> torch.Tensor:
    """ReLU of a tensor, for PyTorch's autograd.

    Parameters
    ----------
    x : torch.Tensor
        On the CPU, dense, of any shape and strides; any dtype of `relu_ext.relu`.
        bfloat16, float8_e5m2 and float8_e4m3fn need ml_dtypes.

    Returns
    -------
    torch.Tensor
        ``max(x, 0)``, of the shape and dtype of `x`, with the rules of
        `relu_ext.relu` for NaN and zero. Its gradient is `relu_ext.relu_grad`, and
        can itself be differentiated in reverse; there is no forward mode and no
        ``torch.vmap``.

    Raises
    ------
    TypeError
        If `x` is not a tensor, is not dense on the CPU, or has a dtype that
        `relu_ext.relu` does not know.

    Notes
    -----
    `relu_ext.relu_` works in place on memory that needs no gradient.

    Examples
    --------
    >>> import torch
    >>> from relu_ext.integrations.torch import relu
    >>> x = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    >>> relu(x).sum().backward()
    >>> x.grad
    tensor([0., 0., 1.])
    """
    if not isinstance(x, torch.Tensor):
        raise TypeError(
            f"x must be a tensor, not of type {type(x).__name__}; relu_ext.relu takes arrays "
            "and what can become one"
        )
    return _Relu.apply(x)


class _Relu(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return _call(relu_ext.relu, x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        # The output serves the gradient as well as the input, which can then be let go of.
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx, dy):
        return _ReluGrad.apply(dy, *ctx.saved_tensors)


class _ReluGrad(torch.autograd.Function):
    """The gradient is linear in dy and constant in y, so that it is its own gradient."""

    @staticmethod
    def forward(dy, y):
        return _call(relu_ext.relu_grad, dy, y)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx, ddx):
        return _ReluGrad.apply(ddx, *ctx.saved_tensors), None


def _call(ufunc, *tensors):
    dtype = tensors[0].dtype
    result = np.asarray(ufunc(*(_array(tensor) for tensor in tensors)))
    if dtype in _CARRIED:
        return torch.from_numpy(result.view(f"i{result.itemsize}")).view(dtype)
    return torch.from_numpy(result)


def _array(tensor):
    """The tensor's own memory."""
    if tensor.device.type != "cpu":
        raise TypeError(
            f"the tensor is on {tensor.device}, and relu_ext works in the memory of the CPU: "
            "use torch.relu there, or tensor.cpu()"
        )
    tensor = tensor.detach().resolve_neg()
    if tensor.dtype in _CARRIED:
        bits, name = _CARRIED[tensor.dtype]
        try:
            import ml_dtypes
        except ModuleNotFoundError:
            raise TypeError(
                f"relu of a {name} tensor needs ml_dtypes, which is not installed: "
                "pip install ml_dtypes, or use another dtype"
            ) from None
        return tensor.view(bits).numpy().view(getattr(ml_dtypes, name))
    return tensor.numpy()
