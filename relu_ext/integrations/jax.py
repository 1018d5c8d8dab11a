"""ReLU and its family as JAX's primitives, computed by the CPU's kernels.

On the CPU a compiled program calls the kernels by XLA's foreign function interface (FFI), without
Python and on the arrays' own memory. `implementation` says so: it is ``"ffi"``, or ``"callback"``
where JAX has no such interface, or one that no longer knows ours. Then, and on other devices, each
call leaves the compiled program for Python. The results are the same.

All of them work under ``jit``, ``vmap``, ``grad``, ``jvp`` and what is made of these, such as
``linearize`` and ``hessian``, and on arrays that are sharded. Where an operand's memory is no
longer needed, since it was donated to ``jit`` or is an intermediate result, they work in place,
except on several devices. ``jax.export``, for one platform, must be told that the custom calls are
allowed, one for each function used::

    allowed = jax.export.DisabledSafetyCheck.custom_call("relu_ext_relu")
    jax.export.export(jax.jit(relu), disabled_checks=[allowed])(x)

Whoever calls what was exported imports this module first.
"""

import functools
import inspect

import numpy as np

import relu_ext
from relu_ext._core import convert, xla_handlers

try:
    import jax
except ModuleNotFoundError as error:
    if error.name != "jax":
        raise
    raise ImportError(
        "relu_ext.integrations.jax needs JAX, which is not installed: pip install jax"
    ) from None

from jax.extend.core import Primitive
from jax.extend.core.primitives import max_p
from jax.extend.mlir.dialects import stablehlo
from jax.interpreters import ad, batching, mlir, xla


def _register():
    """Hands the handlers to XLA, which asks them for their version; says whether it has them."""
    try:
        from jax import ffi
    except ImportError:
        return "callback"
    try:
        for name, handler in xla_handlers.items():
            ffi.register_ffi_target(name, handler, platform="cpu")
    except Exception:  # of jaxlib's own types
        return "callback"
    if hasattr(ffi, "register_ffi_target_as_batch_partitionable"):
        for name in xla_handlers:
            ffi.register_ffi_target_as_batch_partitionable(name)
    return "ffi"


implementation = _register()


def relu(x: jax.typing.ArrayLike) -> jax.Array:
    """ReLU for JAX.

    Parameters
    ----------
    x : array_like
        Any shape; any dtype of JAX that `relu_ext.relu` knows, bfloat16 among them.

    Returns
    -------
    jax.Array
        ``max(x, 0)``, of the shape and dtype of `x`, with the rules of
        `relu_ext.relu` for NaN, zero and subnormals, which differ from those of
        ``jax.nn.relu``. Its gradient is `relu_grad`.

    Raises
    ------
    TypeError
        If the dtype of `x` is one that `relu_ext.relu` does not know.

    Examples
    --------
    >>> import jax
    >>> from relu_ext.integrations.jax import relu
    >>> jax.grad(lambda x: relu(x).sum())(jax.numpy.array([-1.0, 0.0, 2.0])).tolist()
    [0.0, 0.0, 1.0]
    """
    return _call(_relu, {"x": x})


def relu_grad(dy: jax.typing.ArrayLike, x: jax.typing.ArrayLike) -> jax.Array:
    """Gradient of `relu`: `dy` where `x` is greater than 0 or is a NaN, else +0.0.

    `x` is the input of `relu` or its output. Both have one shape and one dtype, that
    of a float. It can itself be differentiated, for `dy`.
    """
    return _call(_relu_grad, {"dy": dy, "x": x})


def leaky_relu(x: jax.typing.ArrayLike, slope: float) -> jax.Array:
    """`x` where it is greater than 0 or is a NaN, else ``slope * x``; float16 to float64.

    `slope` is one number, a constant of the program: `jit` takes it by
    ``static_argnums``, and it has no gradient.
    """
    return _call(_leaky_relu, {"x": x}, "slope", slope)


def leaky_relu_grad(dy: jax.typing.ArrayLike, x: jax.typing.ArrayLike, slope: float) -> jax.Array:
    """Gradient of `leaky_relu`: `dy` where `x` is greater than 0 or a NaN, else ``slope * dy``."""
    return _call(_leaky_relu_grad, {"dy": dy, "x": x}, "slope", slope)


def clipped_relu(x: jax.typing.ArrayLike, ceiling: float) -> jax.Array:
    """``min(max(x, 0), ceiling)``, ReLU6 with 6; the dtypes of `relu`.

    `ceiling` is one number, a constant as the slope of `leaky_relu`.
    """
    return _call(_clipped_relu, {"x": x}, "ceiling", ceiling)


def clipped_relu_grad(
    dy: jax.typing.ArrayLike, x: jax.typing.ArrayLike, ceiling: float
) -> jax.Array:
    """Gradient of `clipped_relu`: `dy` where ``0 < x < ceiling`` or `x` is a NaN, else +0.0."""
    return _call(_clipped_relu_grad, {"dy": dy, "x": x}, "ceiling", ceiling)


def add_relu(a: jax.typing.ArrayLike, b: jax.typing.ArrayLike) -> jax.Array:
    """``max(a + b, 0)`` in one pass; shapes broadcast and dtypes are promoted as in ``a + b``."""
    a, b = jax.numpy.asarray(a), jax.numpy.asarray(b)
    if a.shape != b.shape:
        a, b = jax.numpy.broadcast_arrays(a, b)
    if a.dtype != b.dtype:
        dtype = jax.numpy.result_type(a, b)
        a, b = a.astype(dtype), b.astype(dtype)
    return _call(_add_relu, {"a": a, "b": b})


def _call(primitive, arrays, parameter=None, number=None):
    """Checks what the primitive takes for granted, and binds it."""
    arrays = {name: jax.numpy.asarray(a) for name, a in arrays.items()}
    (first, x), *others = arrays.items()
    for name, other in others:
        if (other.shape, other.dtype) != (x.shape, x.dtype):
            raise TypeError(
                f"{first} and {name} must have one shape and one dtype, not {x.shape}, {x.dtype} "
                f"and {other.shape}, {other.dtype}"
            )
    ufunc = _ufunc(primitive)
    if ufunc.resolve_dtypes((x.dtype,) * ufunc.nin + (None,))[-1] != x.dtype:
        raise TypeError(
            f"{first} has dtype {x.dtype}; it must be one that relu_ext.{ufunc.__name__} takes"
        )
    bits = {} if parameter is None else {"bits": _bits(parameter, number, x.dtype)}
    return _bind(primitive, *arrays.values(), **bits)


def _bind(primitive, *arrays, **bits):
    """Operands of a shard_map, some of which are the same on all of its devices, made alike."""
    if len(arrays) > 1:
        axes = [_varying(a) for a in arrays]
        every = frozenset().union(*axes)
        arrays = [
            _cast(a, tuple(every - own)) if every - own else a for a, own in zip(arrays, axes)
        ]
    return primitive.bind(*arrays, **bits)


def _varying(array):
    """The axes of the devices over which it varies, as each version of JAX names them."""
    if not hasattr(jax, "typeof"):
        return frozenset()
    kind = jax.typeof(array)
    return kind.mat.varying if hasattr(kind, "mat") else getattr(kind, "vma", frozenset())


def _cast(array, axes):
    if hasattr(jax.lax, "pcast"):
        return jax.lax.pcast(array, axes, to="varying")
    return jax.lax.pvary(array, axes)


def _bits(name, number, dtype):
    """Those of a parameter in the arrays' dtype, as an int64."""
    if isinstance(number, jax.core.Tracer):
        raise TypeError(
            f"{name} must be a number, not one that is traced: name it in jit's static_argnums, "
            "or bind it by functools.partial"
        )
    if np.ndim(number) > 0:
        raise TypeError(f"{name} must be one number, not of shape {np.shape(number)}")
    if not isinstance(number, int) and np.asarray(number).dtype.kind in "OSUmMc":
        raise TypeError(f"{name} must be a real number, not {number!r}")
    converted = convert(number, dtype)
    if dtype.kind in "biu" and converted != number:
        raise ValueError(f"{name} is {number}; for {dtype} it must be a whole number of its range")
    # Of a dtype without infinities.
    if np.isnan(converted.astype(float)) and number == number:
        raise ValueError(f"{name} is {number}; {dtype} has no number that large")
    return int(converted.view(f"i{dtype.itemsize}"))


def _number(bits, dtype):
    """The parameter that has these bits."""
    return np.array(bits).astype(f"i{dtype.itemsize}").view(dtype)


def _ufunc(primitive):
    return getattr(relu_ext, primitive.name.removeprefix("relu_ext_"))


# What a compiled program does.


def _by_callback(primitive, *arrays, bits=None):
    def called_back(*arrays):
        arrays = [np.asarray(a) for a in arrays]
        if bits is not None:
            arrays.append(_number(bits, arrays[0].dtype))
        return _ufunc(primitive)(*arrays)

    result = jax.ShapeDtypeStruct(arrays[0].shape, arrays[0].dtype)
    return jax.pure_callback(called_back, result, *arrays)


def _by_ffi(primitive, ctx, *operands, bits=None):
    attributes = {} if bits is None else {"bits": np.int64(bits)}
    devices = ctx.module_context.axis_context
    several = isinstance(devices, mlir.ShardingContext) and devices.num_devices > 1
    if isinstance(devices, mlir.SPMDAxisContext):  # in a shard_map, over some of the axes or all
        several = devices.manual_axes != frozenset(devices.mesh.axis_names)
    if several:
        shape = ctx.avals_out[0].shape
        if all(isinstance(n, int) for n in shape):
            return _on_parts(primitive, ctx, shape, operands, attributes)
    spare = [i for i, operand in enumerate(operands) if _is_spare(operand)][:1]
    aliases = dict.fromkeys(spare, 0)
    call = jax.ffi.ffi_lowering(primitive.name, operand_output_aliases=aliases)
    return call(ctx, *operands, **attributes)


def _is_spare(operand):
    """Whether the result may take the operand's memory.

    XLA copies what is needed later, so this is about speed alone: a constant, and an argument of
    the program that was not donated, would always be copied; an intermediate result seldom is.
    """
    owner = operand.owner
    if not isinstance(owner, mlir.ir.Block):
        return owner.name != "stablehlo.constant"
    if "arg_attrs" not in owner.owner.attributes:
        return False
    attributes = owner.owner.attributes["arg_attrs"][list(owner.arguments).index(operand)]
    return "tf.aliasing_output" in attributes or "jax.buffer_donor" in attributes


def _on_parts(primitive, ctx, shape, operands, attributes):
    """The call for several devices, each of which has the part that it needs.

    XLA may split the first axes of a call, but never all: here is one more, of length 1.
    """
    whole = mlir.ir.RankedTensorType(operands[0].type)
    split = mlir.ir.RankedTensorType.get([*shape, 1], whole.element_type)
    layout = tuple(range(len(shape), -1, -1))
    batch = {"num_batch_dims": mlir.ir.StringAttr.get(str(len(shape)))}
    rule = {"mhlo.frontend_attributes": mlir.ir.DictAttr.get(batch)}
    if getattr(jax.config, "jax_use_shardy_partitioner", True):
        names = [*"ijklmnopqrstuvwxyz", *(f"z_{i}" for i in range(1, len(layout)))][: len(layout)]
        axes = f"[{', '.join(names)}]"
        sizes = ", ".join(f"{name}={n}" for name, n in zip(names, split.shape))
        rule["sdy.sharding_rule"] = mlir.ir.Attribute.parse(
            f"#sdy.op_sharding_rule<({', '.join([axes] * len(operands))})->({axes}) "
            f"{{{sizes}}}, custom>"
        )
    call = jax.ffi.ffi_lowering(
        primitive.name,
        operand_layouts=[layout] * len(operands),
        result_layouts=[layout],
        result_types=[split],
        extra_attributes=rule,
    )
    (y,) = call(ctx, *(stablehlo.reshape(split, x) for x in operands), **attributes)
    return [stablehlo.reshape(whole, y)]


# What makes primitives of them.


def _batched(primitive, arrays, axes, **bits):
    """The batch is one axis more; where it is matters only if there are two."""
    if len(set(axes)) == 1:
        return _bind(primitive, *arrays, **bits), axes[0]
    (size,) = {a.shape[axis] for a, axis in zip(arrays, axes) if axis is not None}
    arrays = [
        jax.numpy.broadcast_to(a, (size, *a.shape))
        if axis is None
        else jax.numpy.moveaxis(a, axis, 0)
        for a, axis in zip(arrays, axes)
    ]
    return _bind(primitive, *arrays, **bits), 0


# JAX keeps what a rule has made for the next operands of that type, spare or not.
_not_kept = {"cacheable": False}
if "cacheable" not in inspect.signature(mlir.register_lowering).parameters:
    _not_kept = {}


def _primitive(name):
    """An operation on arrays of one shape and dtype, which the result has, too."""
    primitive = Primitive(f"relu_ext_{name}")
    primitive.def_impl(functools.partial(xla.apply_primitive, primitive))

    # Weak types, shardings and whatever else JAX knows of arrays: as for the maximum.
    @primitive.def_abstract_eval
    def like_maximum(x, other=None, bits=None):
        return max_p.abstract_eval(x, x if other is None else other)[0]

    batching.primitive_batchers[primitive] = functools.partial(_batched, primitive)
    by_callback = functools.partial(_by_callback, primitive)
    mlir.register_lowering(primitive, mlir.lower_fun(by_callback, multiple_results=False))
    if implementation == "ffi":
        by_ffi = functools.partial(_by_ffi, primitive)
        mlir.register_lowering(primitive, by_ffi, platform="cpu", **_not_kept)
    return primitive


def _gradient(name):
    """A primitive that is linear in its first operand, and constant in the other."""
    primitive = _primitive(name)
    ad.defjvp(primitive, lambda ddy, dy, x, **bits: _bind(primitive, ddy, x, **bits), None)

    def transpose(dx, dy, x, **bits):
        if type(dx) is ad.Zero:
            return ad.Zero(dy.aval), None
        return _bind(primitive, dx, x, **bits), None

    ad.primitive_transposes[primitive] = transpose
    return primitive


_relu_grad = _gradient("relu_grad")
_leaky_relu_grad = _gradient("leaky_relu_grad")
_clipped_relu_grad = _gradient("clipped_relu_grad")
_relu, _leaky_relu, _clipped_relu, _add_relu = map(
    _primitive, ("relu", "leaky_relu", "clipped_relu", "add_relu")
)

# The gradient is taken by the output wherever that says as much as the input, which then need not
# be kept.


def _leaky_relu_jvp(dx, y, x, bits):
    decides = y if 0 < float(_number(bits, y.dtype)) < np.inf else x
    return _bind(_leaky_relu_grad, dx, decides, bits=bits)


def _clipped_relu_jvp(dx, y, x, bits):
    decides = x if np.isnan(float(_number(bits, y.dtype))) else y
    return _bind(_clipped_relu_grad, dx, decides, bits=bits)


def _add_relu_jvp(operands, tangents):
    y = _bind(_add_relu, *operands)
    return y, _bind(_relu_grad, ad.add_tangents(*tangents), y)


ad.defjvp2(_relu, lambda dx, y, x: _bind(_relu_grad, dx, y))
ad.defjvp2(_leaky_relu, _leaky_relu_jvp)
ad.defjvp2(_clipped_relu, _clipped_relu_jvp)
ad.primitive_jvps[_add_relu] = _add_relu_jvp
