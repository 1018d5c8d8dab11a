"""ReLU and its family as PyTorch's operators, ``torch.ops.relu_ext``, on the memory of tensors.

Each is an operator of `torch.library`: under autograd in both modes, ``torch.func``,
``torch.compile``, ``torch.export`` and ``make_fx`` they are what PyTorch's own are, one node of the
graph. They compute on the CPU. Results have the strides that PyTorch's elementwise operators would
give them, so that channels_last stays, and take their memory from relu_ext's output cache.
"""

import numpy as np

import relu_ext

try:
    import torch
    from torch.autograd import forward_ad
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

_FLOATS = (torch.float32, torch.float64, torch.float16)  # where a Python number stays one

_below_autograd = torch._C._AutoDispatchBelowAutograd


def relu(x: torch.Tensor) -> torch.Tensor:
    """ReLU of a tensor, ``torch.ops.relu_ext.relu``.

    Parameters
    ----------
    x : torch.Tensor
        On the CPU, dense, of any shape and strides; any dtype of `relu_ext.relu`.
        bfloat16, float8_e5m2 and float8_e4m3fn need ml_dtypes.

    Returns
    -------
    torch.Tensor
        ``max(x, 0)``, of the shape and dtype of `x`, with the rules of
        `relu_ext.relu` for NaN and zero. Its gradient is `relu_grad`, from the
        result, so that `x` is not kept for it.

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
    _check_tensor("x", x)
    return _relu(x)


def relu_grad(dy: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Gradient of `relu`: `dy` where `x` is greater than 0 or is a NaN, else +0.0.

    `x` is the input of `relu` or its output. Both have one shape and one dtype, that
    of a float. It can itself be differentiated, for `dy`.
    """
    _check_tensor("dy", dy)
    _check_tensor("x", x)
    return _relu_grad(dy, x)


def leaky_relu(x: torch.Tensor, slope: float) -> torch.Tensor:
    """`x` where it is greater than 0 or is a NaN, else ``slope * x``; float16 to float64."""
    _check_tensor("x", x)
    return _leaky_relu(x, slope)


def leaky_relu_grad(dy: torch.Tensor, x: torch.Tensor, slope: float) -> torch.Tensor:
    """Gradient of `leaky_relu`: `dy` where `x` is greater than 0 or a NaN, else ``slope * dy``."""
    _check_tensor("dy", dy)
    _check_tensor("x", x)
    return _leaky_relu_grad(dy, x, slope)


def clipped_relu(x: torch.Tensor, ceiling: float) -> torch.Tensor:
    """``min(max(x, 0), ceiling)``, ReLU6 with 6; the dtypes of `relu`."""
    _check_tensor("x", x)
    return _clipped_relu(x, ceiling)


def clipped_relu_grad(dy: torch.Tensor, x: torch.Tensor, ceiling: float) -> torch.Tensor:
    """Gradient of `clipped_relu`: `dy` where ``0 < x < ceiling`` or `x` is a NaN, else +0.0."""
    _check_tensor("dy", dy)
    _check_tensor("x", x)
    return _clipped_relu_grad(dy, x, ceiling)


def add_relu(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``max(a + b, 0)`` in one pass.

    Shapes broadcast and dtypes are promoted as in ``a + b``; the operator itself,
    ``torch.ops.relu_ext.add_relu``, takes one shape and one dtype.
    """
    _check_tensor("a", a)
    _check_tensor("b", b)
    if a.dtype != b.dtype:
        dtype = torch.result_type(a, b)
        a, b = a.to(dtype), b.to(dtype)
    if a.shape != b.shape:
        a, b = torch.broadcast_tensors(a, b)
    return _add_relu(a, b)


def relu_bits(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`relu` that keeps one bit an element for its gradient: 1/32 of what float32 takes.

    Parameters
    ----------
    x : torch.Tensor
        As for `relu`, of a float dtype. One that is not in C order is copied.

    Returns
    -------
    y : torch.Tensor
        ``relu(x)``.
    bits : torch.Tensor of uint8
        Of shape ``((x.numel() + 7) // 8,)``, as `relu_ext.relu_bits` has them. They have
        no gradient, and need no keeping: autograd does.

    Notes
    -----
    It pays where nothing else keeps `y`: before a sum, a pooling or a dropout. A matrix
    product or a convolution keeps its input, `y`, for its own gradient, and then what
    `relu` keeps is that same tensor.

    Examples
    --------
    >>> import torch
    >>> from relu_ext.integrations.torch import relu_bits
    >>> x = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    >>> y, bits = relu_bits(x)
    >>> y.sum().backward()
    >>> x.grad, bits
    (tensor([0., 0., 1.]), tensor([4], dtype=torch.uint8))
    """
    _check_tensor("x", x)
    return _relu_bits(x)


def relu_grad_bits(dy: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    """Gradient of `relu` from the bits of `relu_bits`; it can itself be differentiated."""
    _check_tensor("dy", dy)
    _check_tensor("bits", bits)
    return _relu_grad_bits(dy, bits)


def _check_tensor(name, x):
    if not isinstance(x, torch.Tensor):
        raise TypeError(
            f"{name} must be a tensor, not of type {type(x).__name__}; the functions of relu_ext "
            "itself take arrays and what can become one"
        )


# The kernels, for dense tensors of the CPU.


def _elementwise(name, count):
    """The ufunc of that name on `count` tensors and the numbers that follow them."""

    def kernel(*args):
        x = args[0]
        plain = x.dtype in _FLOATS and x.is_contiguous() and not x.requires_grad
        if plain and len(args) == 1 and x.ndim > 0 and x.numel() > 0:
            # What follows would do the same, and be a sixth of a short call's time.
            return torch.from_numpy(getattr(relu_ext, name)(x.numpy()))
        tensors, numbers = args[:count], args[count:]
        if count > 1:
            _check_alike(name, *tensors)
        arrays = [_array(t) for t in tensors]
        if numbers and x.dtype not in _FLOATS:
            numbers = [_in_dtype(n, arrays[0].dtype) for n in numbers]
        ufunc, contiguous = getattr(relu_ext, name), x.numel() > 0
        for t in tensors:
            contiguous = contiguous and t.is_contiguous()
        if contiguous:
            return _tensor(ufunc(*arrays, *numbers), x.dtype)
        # In the order of the result's memory the operands are in C order, unless they have gaps or
        # orders of their own; and such results come from the output cache.
        strides = _strides(*tensors)
        order = sorted(range(x.ndim), key=strides.__getitem__, reverse=True)
        arrays = [a.transpose(order) for a in arrays]
        how = {} if all(a.flags.c_contiguous for a in arrays) else {"order": "C"}
        y = ufunc(*arrays, *numbers, **how).transpose(np.argsort(order))
        # NumPy has other strides than PyTorch for arrays without elements.
        return _tensor(y, x.dtype) if x.numel() > 0 else x.new_empty_strided(x.shape, strides)

    return kernel


def _relu_bits_kernel(x):
    y, bits = relu_ext.relu_bits(_array(x))
    return _laid_out(_tensor(y, x.dtype), x), torch.from_numpy(bits)


def _relu_grad_bits_kernel(dy, bits):
    dx = relu_ext.relu_grad_bits(_array(dy), _array(bits.contiguous()))
    return _laid_out(_tensor(dx, dy.dtype), dy)


def _check_alike(name, a, b):
    if a.dtype != b.dtype or a.shape != b.shape:
        raise TypeError(
            f"the tensors of relu_ext::{name} must have one shape and one dtype, not "
            f"{tuple(a.shape)}, {a.dtype} and {tuple(b.shape)}, {b.dtype}"
        )


def _array(tensor):
    """The tensor's own memory."""
    if tensor.requires_grad:
        tensor = tensor.detach()
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


def _tensor(result, dtype):
    result = np.asarray(result)
    if dtype in _CARRIED:
        return torch.from_numpy(result.view(f"i{result.itemsize}")).view(dtype)
    return torch.from_numpy(result)


def _in_dtype(number, dtype):
    """What NumPy makes of a Python number by itself in its own floats."""
    converted = dtype.type(number)
    if dtype.kind in "biu" and converted != number:
        raise ValueError(f"the parameter is {number}; for {dtype} it must be a whole number")
    return converted


def _strides(*tensors):
    """Those that PyTorch's elementwise operators give to their result."""
    metas = [torch.empty_strided(t.shape, t.stride(), device="meta") for t in tensors]
    return _like(*metas).stride()


def _like(x, other=None):
    return torch.add(x, x if other is None else other)


def _laid_out(y, x):
    """`y`, which is in C order, with the strides that a result for `x` has."""
    if x.is_contiguous() and x.numel() > 0:
        return y
    return x.new_empty_strided(x.shape, _strides(x)).copy_(y)


def _refuse(*args):
    tensors = [a for a in args if isinstance(a, torch.Tensor)]
    for x in tensors:
        if x.device.type != "cpu":
            raise TypeError(
                f"a tensor is on {x.device}, and relu_ext works in the memory of the CPU: "
                "use torch.relu there, or tensor.cpu()"
            )
    kinds = ", ".join(f"{x.layout} of {x.dtype}" for x in tensors)
    raise TypeError(
        f"the tensors are {kinds}, and relu_ext works on dense ones of plain numbers: use "
        "torch.relu, tensor.to_dense() or tensor.dequantize()"
    )


# What the result is like, for tensors without memory.


def _elementwise_fake(name, count):
    def fake(*args):
        if count > 1:
            _check_alike(name, *args[:count])
        return _like(*args[:count])

    return fake


def _relu_bits_fake(x):
    return _like(x), x.new_empty((x.numel() + 7) // 8, dtype=torch.uint8)


def _relu_grad_bits_fake(dy, bits):
    return _like(dy)


# Over a batch.


def _elementwise_vmap(op, count, info, in_dims, *args):
    """The batch is one dimension more; where it is matters only if there are two."""
    tensors, dims = args[:count], in_dims[:count]
    if len(set(dims)) > 1:
        tensors, dims = [_batch_first(t, d, info) for t, d in zip(tensors, dims)], [0]
    return op(*tensors, *args[count:]), dims[0]


def _relu_bits_vmap(op, count, info, in_dims, x):
    x = _batch_first(x, in_dims[0], info)
    y, bits = op(_whole_bytes(x))
    return (_unpadded(y, x), bits.reshape(info.batch_size, -1)), (0, 0)


def _relu_grad_bits_vmap(op, count, info, in_dims, dy, bits):
    dy, bits = (_batch_first(t, d, info) for t, d in zip((dy, bits), in_dims))
    return _unpadded(op(_whole_bytes(dy), bits.flatten()), dy), 0


def _batch_first(x, dim, info):
    return x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)


def _whole_bytes(x):
    """Rows of a multiple of 8 elements, since each sample's bits begin a byte."""
    x = x.reshape(x.shape[0], x.shape[1:].numel())
    return torch.nn.functional.pad(x, (0, -x.shape[1] % 8))


def _unpadded(y, x):
    return y[:, : x.shape[1:].numel()].reshape(x.shape)


# What makes operators of them.

_library = torch.library.Library("relu_ext", "DEF")
# A call that nothing but autograd has a say in before the CPU's kernel.
_PLAIN = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
_PLAIN = (_PLAIN | torch._C.DispatchKeySet(torch._C.DispatchKey.AutogradCPU)).raw_repr()


def _operator(schema, count, kernel, fake, vmap, derivative, keep, differentiable=1):
    """One operator on `count` tensors, whose element i depends on their elements i alone.

    The Jacobian is diagonal then, and forward and reverse mode multiply by the same: the operator
    called `derivative`, of what arrives and what `keep` takes from inputs and output, for as many
    inputs as are `differentiable`. The others are constants.
    """
    name = schema.partition("(")[0]
    _library.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    _library.impl(name, kernel, "CPU")
    _library.impl(name, _refuse, "CompositeExplicitAutograd")
    torch.library.register_fake(f"relu_ext::{name}", fake, lib=_library)
    op = getattr(torch.ops.relu_ext, name).default

    # What torch.library.register_autograd makes of a formula gives zeros in forward mode, and
    # refuses torch.func.
    class Function(torch.autograd.Function):
        @staticmethod
        def forward(*args):
            with _below_autograd():
                return op(*args)

        @staticmethod
        def setup_context(ctx, inputs, output):
            kept = keep(inputs, output)
            tensors = [k for k in kept if isinstance(k, torch.Tensor)]
            ctx.save_for_backward(*tensors)
            ctx.save_for_forward(*tensors)
            ctx.numbers, ctx.constants = kept[len(tensors) :], len(inputs) - differentiable
            ctx.others = len(output) - 1 if isinstance(output, tuple) else 0
            if ctx.others:
                ctx.mark_non_differentiable(*output[1:])

        @staticmethod
        def backward(ctx, dy, *_):
            return (times(ctx, dy),) * differentiable + (None,) * ctx.constants

        @staticmethod
        def jvp(ctx, *dx):
            dy = times(ctx, sum(dx[1:differentiable], dx[0]))
            return (dy, *(None,) * ctx.others) if ctx.others else dy

        @staticmethod
        def vmap(info, in_dims, *args):
            return vmap(op, count, info, in_dims, *args)

    def times(ctx, d):
        op = getattr(torch.ops.relu_ext, derivative).default
        return op(d, *ctx.saved_tensors, *ctx.numbers)

    def dispatch(keyset, *args):
        differentiated = forward_ad._current_level >= 0
        if not differentiated and torch.is_grad_enabled():
            for t in args[:count]:
                differentiated = differentiated or t.requires_grad
        if differentiated:
            return Function.apply(*args)
        if keyset.raw_repr() == _PLAIN:  # spares a short call half its time
            return kernel(*args)
        with _below_autograd():
            return op(*args)

    _library.impl(name, dispatch, "Autograd", with_keyset=True)
    # Before torch.func takes the call apart, as it is with any autograd.Function.
    _library.impl(name, Function.apply, "FuncTorchDynamicLayerFrontMode")
    return op


def _elementwise_operator(schema, *how):
    name, count = schema.partition("(")[0], schema.count("Tensor ")
    kernel, fake = _elementwise(name, count), _elementwise_fake(name, count)
    return _operator(schema, count, kernel, fake, _elementwise_vmap, *how)


def _output(inputs, output):
    return (output,)


def _inputs(inputs, output):
    return inputs


def _decided(inputs, output):
    """What a gradient was taken by, whose own gradient is taken by the same."""
    return inputs[1:]


def _clipped(inputs, output):
    # A ceiling that is a NaN is the output, and then the output says nothing of the input.
    return (inputs[0] if inputs[1] != inputs[1] else output, inputs[1])


_relu = _elementwise_operator("relu(Tensor x) -> Tensor", "relu_grad", _output)
_relu_grad = _elementwise_operator(
    "relu_grad(Tensor dy, Tensor x) -> Tensor", "relu_grad", _decided
)
_leaky_relu = _elementwise_operator(
    "leaky_relu(Tensor x, float slope) -> Tensor", "leaky_relu_grad", _inputs
)
_leaky_relu_grad = _elementwise_operator(
    "leaky_relu_grad(Tensor dy, Tensor x, float slope) -> Tensor", "leaky_relu_grad", _decided
)
_clipped_relu = _elementwise_operator(
    "clipped_relu(Tensor x, float ceiling) -> Tensor", "clipped_relu_grad", _clipped
)
_clipped_relu_grad = _elementwise_operator(
    "clipped_relu_grad(Tensor dy, Tensor x, float ceiling) -> Tensor",
    "clipped_relu_grad",
    _decided,
)
_add_relu = _elementwise_operator("add_relu(Tensor a, Tensor b) -> Tensor", "relu_grad", _output, 2)
_relu_bits = _operator(
    "relu_bits(Tensor x) -> (Tensor y, Tensor bits)",
    1,
    _relu_bits_kernel,
    _relu_bits_fake,
    _relu_bits_vmap,
    "relu_grad_bits",
    lambda inputs, output: output[1:],
)
_relu_grad_bits = _operator(
    "relu_grad_bits(Tensor dy, Tensor bits) -> Tensor",
    2,
    _relu_grad_bits_kernel,
    _relu_grad_bits_fake,
    _relu_grad_bits_vmap,
    "relu_grad_bits",
    _decided,
)
