"""Who competes. A contender is one class here and one line in ``ALL`` at the end.

A contender says, per operation, how one calls it: statements over the names `x`, `dy`
and `out` and whatever else its `names` gives. Where a library has several ways to say
the same, all of them are here, and the fastest one is taken in each case.
"""

import dataclasses
import functools
import importlib
import importlib.metadata
import operator
import os
from collections.abc import Callable

import numpy as np

import relu_ext
from bench import roof
from bench.cases import DTYPES, OPERATIONS, pointer

BFLOAT16 = DTYPES["bf16"].storage
ROOFS = ("copy_c", "copy_c_streaming", "memcpy")


@dataclasses.dataclass
class Call:
    """One way to have an operation done, so many times; `prepare` runs before it is timed."""

    statement: str
    names: dict
    prepare: Callable = lambda: None
    times: int = 1


class Unsupported(Exception):
    """The contender does not take part in that case; with a reason if it needs saying."""


class Contender:
    name = ""
    label = ""
    distribution = None  # whose version is reported
    dtypes = tuple(DTYPES)
    one_thread = False  # in cases of one thread only
    peer = True  # somebody's ReLU; False: there for scale
    spellings = {}  # operation: statements

    def __init__(self):
        """Import the library; ImportError or Unsupported where there is none."""

    def use_threads(self, n):
        """Set the library's number of threads for the process."""

    def names(self, arrays, threads):
        """What the statements refer to."""
        return {"x": arrays.x, "dy": arrays.dy, "out": arrays.out}

    def calls(self, case, arrays):
        """The ways to have the case done, or Unsupported."""
        self.require(case)
        names = self.names(arrays, case.threads)
        prepare = functools.partial(self.use_threads, case.threads)
        return [Call(statement, names, prepare) for statement in self.spellings[case.op]]

    def require(self, case):
        if case.op not in self.spellings:
            raise Unsupported
        if case.dtype not in self.dtypes:
            raise Unsupported(f"has no {case.dtype}")
        if self.one_thread and case.threads > 1:
            raise Unsupported

    def expected(self, op, arrays):
        """What its result must be equal to; None if it has none."""
        return arrays.expected(op)

    def to_numpy(self, returned):
        return np.asarray(returned)


class ReluExt(Contender):
    name = label = "relu_ext"
    peer = False
    spellings = {
        "forward": ["relu(x, out)"],
        "inplace": ["relu_(out)", "relu(out, out)"],
        "allocating": ["relu(x)"],
        "rebinding": ["(last := relu(x))"],
        "first": ["relu_in_new_memory(x)"],
        "gradient": ["relu_grad(dy, x, out)"],
        "leaky": ["leaky_relu(x, slope, out)"],
        "clipped": ["clipped_relu(x, ceiling, out)"],
        "add": ["add_relu(dy, x, out)"],
        "bits": ["(relu_bits(x, y, bits), relu_grad_bits(dy, bits, out))[1]"],
        "sparsity": ["sparsity(x)"],
        "activity": ["activity(matrix)"],
        "dead": ["dead_units(matrix)"],
    }

    def use_threads(self, n):
        relu_ext.set_num_threads(n)

    def names(self, arrays, threads):
        functions = {name: getattr(relu_ext, name) for name in relu_ext.__all__}
        functions["relu_in_new_memory"] = relu_in_new_memory
        others = {"y": arrays.y, "bits": arrays.bits, "matrix": arrays.matrix}
        # Next to a Python number NumPy would make bfloat16 float32.
        number = BFLOAT16.type if arrays.dtype == "bf16" else lambda value: value
        others |= {
            "slope": number(OPERATIONS["leaky"].parameter),
            "ceiling": number(OPERATIONS["clipped"].parameter),
        }
        return super().names(arrays, threads) | functions | others


def relu_in_new_memory(x):
    """As if it were the first call; the memory goes back at once, as that of others does."""
    limit = relu_ext.get_output_cache().limit
    relu_ext.set_output_cache(0)
    relu_ext.set_output_cache(limit)
    return relu_ext.relu(x)


class ReluExtOneThread(ReluExt):
    """What the threads gain: in the same rounds as relu_ext with all of them."""

    name, label = "relu_ext_1_thread", "relu_ext, 1 thread"

    def use_threads(self, n):
        super().use_threads(1)

    def require(self, case):
        if case.threads == 1:
            raise Unsupported
        super().require(case)


class ReluExtOut(ReluExt):
    """What new arrays cost: the same without any."""

    name, label = "relu_ext_out", "relu(x, out=y)"
    spellings = {"allocating": ["relu(x, out)"], "rebinding": ["relu(x, out)"]}


class ReluExtWithoutBits(ReluExt):
    """What relu_bits has to beat: the gradient from x itself, 32 times as much to keep."""

    name, label = "relu_ext_without_bits", "relu_ext, relu and relu_grad"
    spellings = {"bits": ["(relu(x, y), relu_grad(dy, x, out))[1]"]}


class ReluExtC(Contender):
    """The kernel that other extensions embed: serial, on addresses."""

    name, label = "relu_ext_c", "relu_ext C via cffi"
    one_thread = True
    peer = False
    spellings = {
        "forward": ["relu(x, out, n)"],
        "inplace": ["relu(out, out, n)"],
        "gradient": ["relu_grad(dy, x, out, n)"],
        "leaky": ["leaky_relu(x, slope, out, n)"],
        "clipped": ["clipped_relu(x, ceiling, out, n)"],
        "add": ["add_relu(dy, x, out, n)"],
    }

    def names(self, arrays, threads):
        pointers = {n: pointer(array) for n, array in super().names(arrays, threads).items()}
        kernels = {o.kernel: o.find_kernel(arrays.dtype) for o in OPERATIONS.values()}
        parameters = {
            name: OPERATIONS[op].parameters(arrays.dtype)[0]
            for name, op in (("slope", "leaky"), ("ceiling", "clipped"))
        }
        return pointers | kernels | parameters | {"n": arrays.n}


class ReluExtCLoop(ReluExtC):
    """The same called from C: what those who embed it pay."""

    name, label = "relu_ext_c_loop", "relu_ext C in a C loop"
    spellings = {
        "forward": ["call_1(relu, x, out, n, {times})"],
        "inplace": ["call_1(relu, out, out, n, {times})"],
        "gradient": ["call_2(relu_grad, dy, x, out, n, {times})"],
        "add": ["call_2(add_relu, dy, x, out, n, {times})"],
    }

    def __init__(self):
        if roof.lib is None:
            raise Unsupported

    def names(self, arrays, threads):
        names = super().names(arrays, threads)
        addresses = {
            name: roof.ffi.cast("void *", int(relu_ext.ffi.cast("intptr_t", value)))
            for name, value in names.items()
            if isinstance(value, relu_ext.ffi.CData) or callable(value)
        }
        calls = {"call_1": roof.lib.roof_kernel_1, "call_2": roof.lib.roof_kernel_2}
        return addresses | calls | {"n": arrays.n}

    def calls(self, case, arrays):
        times = repetitions(case)
        return [
            dataclasses.replace(call, statement=call.statement.format(times=times), times=times)
            for call in super().calls(case, arrays)
        ]


def repetitions(case):
    """How often a call from Python goes over the arrays in C: about 1 MiB of them."""
    return 1 if case.cache == "cold" else -(-(2**20) // case.bytes)


class NumPy(Contender):
    """Has one thread, and is shown next to all threads too: it is what people have."""

    name, label = "numpy", "NumPy"
    distribution = "numpy"
    spellings = {
        "forward": ["maximum(x, 0, out=out)"],
        "inplace": ["maximum(out, 0, out=out)"],
        "allocating": ["maximum(x, 0)"],
        "rebinding": ["(last := maximum(x, 0))"],
        "first": ["maximum(x, 0)"],
        "gradient": ["dy * (x > 0)", "multiply(dy, x > 0, out=out)"],
        "leaky": ["maximum(x, multiply(x, 0.01, out=out), out=out)"],
        "clipped": ["clip(x, 0, 6, out=out)"],
        "add": ["maximum(add(dy, x, out=out), 0, out=out)"],
        "bits": ["multiply(dy, maximum(x, 0, out=y) > 0, out=out)"],
        "sparsity": ["(x == 0).mean()"],
        "activity": ["(matrix > 0).sum(0)"],
        "dead": ["~(matrix > 0).any(0)"],
    }

    def names(self, arrays, threads):
        others = {"y": arrays.y, "matrix": arrays.matrix}
        functions = {f.__name__: f for f in (np.maximum, np.multiply, np.clip, np.add)}
        return super().names(arrays, threads) | functions | others


class Copy(Contender):
    """For scale: moves the same arrays, computes nothing."""

    peer = False

    def expected(self, op, arrays):
        return arrays.x


class CopyTo(Copy):
    name, label = "copyto", "np.copyto"
    one_thread = True
    spellings = {"forward": ["copyto(out, x)"], "allocating": ["x.copy()"]}

    def names(self, arrays, threads):
        return super().names(arrays, threads) | {"copyto": np.copyto}


class CopyC(Copy):
    """A pass of roof.c; on all threads or on one, whichever is faster at that size."""

    name, label = "copy_c", "C copy"
    streaming = (0,)  # values of that argument to choose from
    spellings = {
        "forward": ["copy(out, x, nbytes, {threads}, {streaming}, {times})"],
        "inplace": ["touch(out, nbytes, {threads}, {streaming}, {times})"],
        "gradient": ["combine(out, dy, x, nbytes, {threads}, {streaming}, {times})"],
    }

    def __init__(self):
        if roof.lib is None or (any(self.streaming) and not roof.lib.roof_can_stream()):
            raise Unsupported
        self.one_thread = not roof.lib.roof_has_threads()

    def names(self, arrays, threads):
        pointers = {name: roof.pointer(a) for name, a in super().names(arrays, threads).items()}
        passes = ("copy", "touch", "combine", "memcpy")
        functions = {name: getattr(roof.lib, f"roof_{name}") for name in passes}
        return pointers | functions | {"nbytes": arrays.nbytes}

    def calls(self, case, arrays):
        times = self.times(case)
        return [
            dataclasses.replace(call, statement=call.statement.format(**locals()), times=times)
            for call in super().calls(case, arrays)
            for threads in sorted({1, case.threads})
            for streaming in self.streaming
        ]

    def times(self, case):
        """How often one call goes over the arrays."""
        return 1

    def expected(self, op, arrays):
        if op == "gradient":
            return (arrays.dy.view(np.uint8) ^ arrays.x.view(np.uint8)).view(arrays.x.dtype)
        return arrays.x


class CopyCStreaming(CopyC):
    name, label = "copy_c_streaming", "C copy, streaming"
    streaming = (1,)


class Memcpy(CopyC):
    name = label = "memcpy"
    spellings = {"forward": ["memcpy(out, x, nbytes, {threads}, {times})"]}


class Roof(CopyC):
    """The faster of the two copies, in a loop in C: the limit, with no call from Python."""

    name, label = "roof", "C copy in a C loop"

    def __init__(self):
        super().__init__()
        self.streaming = (0, 1) if roof.lib.roof_can_stream() else (0,)

    def require(self, case):
        if case.cache == "cold":  # once is enough, and the best copy it is
            raise Unsupported
        super().require(case)

    def times(self, case):
        return repetitions(case)


class Torch(Contender):
    name, label = "torch", "PyTorch"
    distribution = "torch"
    spellings = {
        "forward": [
            "clamp_min(x, 0, out=out)",
            "maximum(x, zero, out=out)",
            "relu_out(x, out=out)",
        ],
        "inplace": ["out.relu_()", "relu_(out)"],
        "allocating": ["relu(x)", "x.relu()"],
        "rebinding": ["(last := relu(x))", "(last := x.relu())"],
        "first": ["relu(x)"],
        "gradient": ["threshold_backward_out(dy, x, 0, grad_input=out)"],
        "leaky": ["leaky_relu_out(x, 0.01, out=out)"],
        "clipped": ["clamp(x, 0, 6, out=out)", "hardtanh_out(x, 0, 6, out=out)"],
        "add": ["add(dy, x, out=out).relu_()"],
    }

    def __init__(self):
        self.torch = importlib.import_module("torch")
        # For the life of the process: without the bookkeeping for autograd, calls are faster.
        self.mode = self.torch.inference_mode()
        self.mode.__enter__()

    def use_threads(self, n):
        self.torch.set_num_threads(n)

    def names(self, arrays, threads):
        torch = self.torch
        tensors = {n: self.tensor(array) for n, array in super().names(arrays, threads).items()}
        return tensors | {
            "zero": torch.zeros((), dtype=tensors["x"].dtype),
            "clamp_min": torch.clamp_min,
            "maximum": torch.maximum,
            "relu": torch.relu,
            "relu_": torch.relu_,
            "relu_out": torch.ops.aten.relu.out,
            "leaky_relu_out": torch.ops.aten.leaky_relu.out,
            "hardtanh_out": torch.ops.aten.hardtanh.out,
            "clamp": torch.clamp,
            "add": torch.add,
            "threshold_backward_out": torch.ops.aten.threshold_backward.grad_input,
        }

    def tensor(self, array):
        """On the array's memory. PyTorch and NumPy share no bfloat16, but its bits."""
        if array.dtype == BFLOAT16:
            return self.torch.from_numpy(array.view(np.uint16)).view(self.torch.bfloat16)
        return self.torch.from_numpy(array)

    def to_numpy(self, returned):
        if returned.dtype == self.torch.bfloat16:
            return returned.view(self.torch.uint16).numpy().view(BFLOAT16)
        return returned.numpy()


class TorchOperator(Torch):
    """On the same tensors as PyTorch's."""

    name, label = "torch_operator", "relu_ext's PyTorch operator"
    peer = False
    spellings = {"allocating": ["operator(x)"], "rebinding": ["(last := operator(x))"]}

    def __init__(self):
        importlib.import_module("relu_ext.integrations.torch")
        super().__init__()

    def use_threads(self, n):
        super().use_threads(n)
        relu_ext.set_num_threads(n)

    def names(self, arrays, threads):
        operator = self.torch.ops.relu_ext.relu.default
        return super().names(arrays, threads) | {"operator": operator}


class Numba(Contender):
    name, label = "numba", "Numba"
    distribution = "numba"
    dtypes = ("f32", "f64", "i8")
    spellings = {
        "forward": ["{}relu(x, out)"],
        "inplace": ["{}relu_(out)"],
        "allocating": ["{}relu_new(x)"],
        "gradient": ["{}relu_grad(dy, x, out)"],
    }

    def __init__(self):
        self.numba = importlib.import_module("numba")
        parallel = self._compile(parallel=True).items()
        self.functions = self._compile(parallel=False) | {f"parallel_{k}": f for k, f in parallel}

    def _compile(self, parallel):
        """The loops; in place has its own, as two names for one array keep LLVM from SIMD."""
        njit = self.numba.njit(parallel=parallel)
        prange = self.numba.prange

        @njit
        def relu(x, out):
            for i in prange(x.size):
                out[i] = x[i] if x[i] > 0 else 0

        @njit
        def relu_(x):
            for i in prange(x.size):
                x[i] = x[i] if x[i] > 0 else 0

        @njit
        def relu_new(x):
            out = np.empty_like(x)
            for i in prange(x.size):
                out[i] = x[i] if x[i] > 0 else 0
            return out

        @njit
        def relu_grad(dy, x, out):
            for i in prange(x.size):
                out[i] = dy[i] if x[i] > 0 else 0

        return {"relu": relu, "relu_": relu_, "relu_new": relu_new, "relu_grad": relu_grad}

    def use_threads(self, n):
        self.numba.set_num_threads(min(n, self.numba.config.NUMBA_NUM_THREADS))

    def names(self, arrays, threads):
        return super().names(arrays, threads) | self.functions

    def calls(self, case, arrays):
        """Serial loops too next to all threads: for small arrays they are the faster ones."""
        return [
            dataclasses.replace(call, statement=call.statement.format(prefix))
            for call in super().calls(case, arrays)
            for prefix in ("", "parallel_")[: case.threads]
        ]


class Jax(Contender):
    """Has no way to write into a given array, so its gradient allocates."""

    name, label = "jax", "JAX"
    distribution = "jax"
    spellings = {
        "allocating": ["relu(x).block_until_ready()"],
        "gradient": ["relu_grad(dy, x).block_until_ready()"],
    }

    def __init__(self):
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        jax = self.jax = importlib.import_module("jax")
        jax.config.update("jax_enable_x64", True)
        self.functions = {
            "relu": jax.jit(jax.nn.relu),
            "relu_grad": jax.jit(lambda dy, x: jax.vjp(jax.nn.relu, x)[1](dy)[0]),
        }

    def require(self, case):
        super().require(case)
        if case.threads == 1:
            raise Unsupported("cannot limit its threads at run time: not in cases of 1 thread")
        if case.cache == "cold":
            raise Unsupported("has buffers of its own that cannot be flushed: not in cold cases")

    def names(self, arrays, threads):
        put = self.jax.device_put
        return {"x": put(arrays.x), "dy": put(arrays.dy)} | self.functions


class OnnxRuntime(Contender):
    """One Relu node, bound to the buffers beforehand."""

    name, label = "onnxruntime", "ONNX Runtime"
    distribution = "onnxruntime"
    dtypes = ("f32", "f64", "f16", "i8")
    spellings = {
        "forward": ["run_with_iobinding(binding)"],
        "allocating": ["run(None, feed)"],
    }

    def __init__(self):
        self.onnx = importlib.import_module("onnx")
        self.runtime = importlib.import_module("onnxruntime")

    def names(self, arrays, threads):
        session = self._session(arrays.x.dtype, threads)
        binding = session.io_binding()
        for bind, name, array in (
            (binding.bind_input, "x", arrays.x),
            (binding.bind_output, "out", arrays.out),
        ):
            bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        return {
            "run": session.run,
            "run_with_iobinding": session.run_with_iobinding,
            "binding": binding,
            "feed": {"x": arrays.x},
        }

    def _session(self, dtype, threads):
        helper = self.onnx.helper
        element = helper.np_dtype_to_tensor_dtype(dtype)
        ends = [helper.make_tensor_value_info(name, element, ["n"]) for name in ("x", "out")]
        node = helper.make_node("Relu", ["x"], ["out"])
        graph = helper.make_graph([node], "relu", ends[:1], ends[1:])
        # The oldest versions that have every dtype: any runtime of recent years takes them.
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        return self.runtime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def to_numpy(self, returned):
        return returned[0]


class NumExpr(Contender):
    name = label = "numexpr"
    distribution = "numexpr"
    dtypes = ("f32", "f64", "f16", "i8")
    spellings = {  # expressions in its own language
        "forward": ["where(x > 0, x, 0)", "maximum(x, 0)"],
        "inplace": ["where(out > 0, out, 0)", "maximum(out, 0)"],
        "gradient": ["where(x > 0, dy, 0)", "dy * (x > 0)"],
    }

    def __init__(self):
        self.numexpr = importlib.import_module("numexpr")

    def calls(self, case, arrays):
        self.require(case)
        return [self._call(text, case, arrays) for text in self.spellings[case.op]]

    def _call(self, text, case, arrays):
        """re_evaluate spares the parsing; it repeats what was validated last."""
        operands = self.names(arrays, case.threads)

        def prepare():
            self.numexpr.set_num_threads(case.threads)
            error = self.numexpr.validate(text, operands, {}, out=arrays.out, casting="same_kind")
            if error is not None:
                raise error

        names = {"re_evaluate": self.numexpr.re_evaluate, "operands": operands}
        return Call(f"re_evaluate(operands)  # {text}", names, prepare)


class Empty(Contender):
    """What the timing loop and a call cost that does nothing. It is not subtracted."""

    name, label = "empty", "empty call"
    peer = False
    spellings = {op: ["is_(x, out)"] for op in OPERATIONS}

    def names(self, arrays, threads):
        return super().names(arrays, threads) | {"is_": operator.is_}

    def expected(self, op, arrays):
        return None


class Custom(Contender):
    """Anybody's f(x, out) for float32."""

    dtypes = ("f32",)
    spellings = {"forward": ["f(x, out)"]}

    def __init__(self, name, function):
        self.name = self.label = name
        self.function = function

    def names(self, arrays, threads):
        return super().names(arrays, threads) | {"f": self.function}


ALL = (
    ReluExt,
    ReluExtOneThread,
    ReluExtOut,
    ReluExtWithoutBits,
    ReluExtC,
    ReluExtCLoop,
    NumPy,
    CopyTo,
    CopyC,
    CopyCStreaming,
    Memcpy,
    Roof,
    Torch,
    TorchOperator,
    Numba,
    Jax,
    OnnxRuntime,
    NumExpr,
    Empty,
)
