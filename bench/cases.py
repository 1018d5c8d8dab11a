"""What is measured: operations, dtypes, sizes, and the arrays of a case."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

import ml_dtypes
import numpy as np

import relu_ext


@dataclass(frozen=True)
class Operation:
    title: str
    kernel: str  # of relu_ext.lib, before the dtype
    inputs: tuple[str, ...]
    parameter: float | None = None  # the kernel's arguments: inputs, parameter, out, n
    new_output: bool = False
    in_place: bool = False
    smallest_bytes: int = 0  # of the output: below, it shows nothing of its own
    counts: Callable | None = None  # from the matrix, where the result is no array like x
    forward_too: bool = False  # a forward pass belongs to it, into `y`

    @property
    def arrays_moved(self):
        """Arrays read plus arrays written, each once: the STREAM way of counting."""
        return len(self.inputs) + (self.counts is None) + 2 * self.forward_too

    def parameters(self, dtype):
        """The parameter as the C function takes it: 16-bit floats by their bits; or nothing."""
        if self.parameter is None:
            return []
        value = np.array(self.parameter, DTYPES[dtype].storage)
        return [value.view(np.uint16).item() if dtype in ("f16", "bf16") else value.item()]

    def find_kernel(self, dtype):
        """The serial C function; None where there is none, as integers have no gradient."""
        return getattr(relu_ext.lib, f"{self.kernel}_{dtype}", None)


OPERATIONS = {
    "forward": Operation("forward, out=", "relu", ("x",)),
    "inplace": Operation("in place", "relu", ("out",), in_place=True),
    "allocating": Operation("forward, new array", "relu", ("x",), new_output=True),
    "rebinding": Operation(
        "forward, new array, the last one alive",
        "relu",
        ("x",),
        new_output=True,
        smallest_bytes=16 * 2**20,
    ),
    # Smaller ones glibc would keep for NumPy.
    "first": Operation(
        "forward, new array, nothing cached",
        "relu",
        ("x",),
        new_output=True,
        smallest_bytes=64 * 2**20,
    ),
    "gradient": Operation("gradient, out=", "relu_grad", ("dy", "x")),
    "leaky": Operation("leaky_relu, out=", "leaky_relu", ("x",), parameter=0.01),
    "clipped": Operation("clipped_relu, out=", "clipped_relu", ("x",), parameter=6),
    "add": Operation("add_relu, out=", "add_relu", ("dy", "x")),
    "bits": Operation(
        "forward and gradient by one bit an element", "relu_grad", ("dy", "x"), forward_too=True
    ),
    "sparsity": Operation("share of zeros", "relu", ("x",), counts=lambda m: (m == 0).mean()),
    "activity": Operation(
        "how often units fire", "relu", ("x",), counts=lambda m: (m > 0).sum(0, np.int64)
    ),
    "dead": Operation("units that never fire", "relu", ("x",), counts=lambda m: ~(m > 0).any(0)),
}


@dataclass(frozen=True)
class Dtype:
    storage: np.dtype
    from_normal: Callable  # from normally distributed float32


DTYPES = {
    "f32": Dtype(np.dtype(np.float32), lambda normal: normal),
    "f64": Dtype(np.dtype(np.float64), lambda normal: normal.astype(np.float64)),
    "f16": Dtype(np.dtype(np.float16), lambda normal: normal.astype(np.float16)),
    "bf16": Dtype(np.dtype(ml_dtypes.bfloat16), lambda normal: normal.astype(ml_dtypes.bfloat16)),
    "i8": Dtype(np.dtype(np.int8), lambda normal: (normal * 40).astype(np.int8)),
}

SIZES = tuple(4**k for k in range(14))
CACHES = ("warm", "cold")
SMALLEST_COLD = 4096


@dataclass(frozen=True)
class Case:
    op: str
    dtype: str
    n: int
    threads: int
    cache: str

    @property
    def bytes(self):
        """Bytes read plus bytes written."""
        arrays = OPERATIONS[self.op].arrays_moved
        return arrays * self.n * DTYPES[self.dtype].storage.itemsize

    def __str__(self):
        cold = ", cold cache" if self.cache == "cold" else ""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.op} {self.dtype} {format_size(self.n)}, {threads}{cold}"


class Arrays:
    """The buffers that all contenders of a case share.

    The same memory for everyone makes alignment, page size and cache state equal;
    np.empty is where users' buffers come from. In place works on `out`.
    """

    def __init__(self, dtype, n):
        self.dtype, self.n = dtype, n
        self.x = self._normal(seed=1)
        self.dy = self._normal(seed=2)
        self.out = np.empty_like(self.x)
        self._expected_of = None
        # For the few operations that use them; pages that nobody touches cost nothing.
        self.y = np.empty_like(self.x)
        self.bits = np.empty((n + 7) // 8, np.uint8)

    @property
    def matrix(self):
        """x as a batch of 32 rows, or of one."""
        return self.x.reshape(32 if self.n % 32 == 0 else 1, -1)

    def _normal(self, seed):
        dtype = DTYPES[self.dtype]
        normal = np.random.default_rng(seed).standard_normal(min(self.n, 2**20), np.float32)
        period = dtype.from_normal(normal)
        array = np.empty(self.n, dtype.storage)
        for start in range(0, self.n, period.size):
            array[start : start + period.size] = period
        return array

    @property
    def nbytes(self):
        """Bytes of one array."""
        return self.x.nbytes

    def expected(self, op):
        """The right answer, by relu_ext's serial kernel."""
        if self._expected_of != op:
            operation = OPERATIONS[op]
            self._expected_of = op
            if operation.counts:
                self._expected = np.asarray(operation.counts(self.matrix))
                return self._expected
            names = ("x" if operation.in_place else name for name in operation.inputs)
            self._expected = np.empty_like(self.x)
            inputs = [pointer(getattr(self, name)) for name in names]
            parameters = operation.parameters(self.dtype)
            kernel = operation.find_kernel(self.dtype)
            kernel(*inputs, *parameters, pointer(self._expected), self.n)
        return self._expected


def pointer(array):
    """An array's address, for relu_ext.lib."""
    return relu_ext.ffi.cast("void *", array.ctypes.data)


def equal(result, expected):
    """Whether two results agree as numbers; -0.0 equals 0.0."""
    if result.shape != expected.shape or result.dtype != expected.dtype:
        return False
    # Bits first: some dtypes take long to compare.
    word = np.uint64 if result.nbytes % 8 == 0 else np.uint8
    same_bits = np.array_equal(result.view(word), expected.view(word))
    return same_bits or np.array_equal(result, expected)


_UNITS = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def parse_size(text):
    """``"4Ki"`` as 4096."""
    match = re.fullmatch(r"(\d+) ?(|Ki|Mi|Gi)", text)
    if not match or not int(match[1]):
        raise ValueError(f"{text!r} is not a size: say 1000, 64Ki or 4Mi")
    return int(match[1]) * _UNITS[match[2]]


def format_size(n):
    """4096 as ``"4 Ki"``."""
    for unit in ("Gi", "Mi", "Ki"):
        if n % _UNITS[unit] == 0:
            return f"{n // _UNITS[unit]} {unit}"
    return str(n)


def fits_in_memory(dtype, n):
    """Whether the arrays, and the copies and temporaries of the peers, leave room."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 8 * n * DTYPES[dtype].storage.itemsize <= total / 2
