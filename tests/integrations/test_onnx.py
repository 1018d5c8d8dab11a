"""Conformance: the backend tests that the onnx package brings, with its operators computed here."""

import functools
import warnings
from pathlib import Path

import numpy as np
import pytest

import relu_ext

onnx = pytest.importorskip("onnx")

from onnx.backend.test.case.node import collect_testcases
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun


class Relu(OpRun):
    calls = 0

    def _run(self, x):
        Relu.calls += 1
        return (relu_ext.relu(x),)


class LeakyRelu(OpRun):
    calls = 0

    def _run(self, x, alpha=None):
        LeakyRelu.calls += 1
        return (relu_ext.leaky_relu(x, alpha),)


class PRelu(OpRun):
    calls = 0

    def _run(self, x, slope):
        PRelu.calls += 1
        by_channel = slope.ndim == 1 and slope.shape != x.shape[-1:]  # in models of PyTorch's
        return (relu_ext.prelu(x, slope) if by_channel else relu_ext.leaky_relu(x, slope),)


class Clip(OpRun):
    """Our floor is 0: where theirs is another, what is clipped is the distance to it."""

    calls = 0

    def _run(self, x, low=None, high=None, min=None, max=None):
        Clip.calls += 1
        low, high = (min, max) if (low, high) == (None, None) else (low, high)
        if low is None:
            return (x if high is None else high - relu_ext.relu(high - x),)
        if high is None:
            return (relu_ext.relu(x - low) + low,)
        return (relu_ext.clipped_relu(x - low, high - low) + low,)


# The operators, and tests that must be among those found for them.
OPERATORS = [
    (LeakyRelu, {"test_leakyrelu", "test_leakyrelu_example", "test_leakyrelu_default"}),
    (PRelu, {"test_prelu_example", "test_prelu_broadcast"}),
    (Clip, {"test_clip", "test_clip_splitbounds", "test_clip_min_greater_than_max"}),
    (
        Relu,
        {
            "test_relu",
            "test_range_float16_type_positive_delta_expanded",
            "test_range_bfloat16_type_positive_delta_expanded",
            "test_range_float_type_positive_delta_expanded",
            "test_ReLU",
            "test_single_relu_model",
        },
    ),
]


@functools.cache
def cases():
    """Name, model and data sets (inputs and outputs) of every test in the package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # making the data of other operators overflows
        found = [(case.name, case.model, case.data_sets) for case in collect_testcases(None)]
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    for path in sorted(data.glob("*/*/model.onnx")):
        data_sets = [
            [[read(path) for path in sorted(folder.glob(glob))] for glob in ("input_*", "output_*")]
            for folder in path.parent.glob("test_data_set_*")
        ]
        found.append((path.parent.name, onnx.load(path), data_sets))
    return found


def read(path):
    return onnx.numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


@pytest.mark.parametrize("operator, expected", OPERATORS, ids=[op.__name__ for op, _ in OPERATORS])
def test_backend(operator, expected):
    tried = set()
    for name, model, data_sets in cases():
        if all(node.op_type != operator.__name__ for node in model.graph.node):
            continue
        evaluator = ReferenceEvaluator(model, new_ops=[operator])
        for inputs, outputs in data_sets:
            calls = operator.calls
            got = evaluator.run(None, dict(zip(evaluator.input_names, inputs)))
            assert operator.calls > calls
            assert len(got) == len(outputs) > 0
            for g, want in zip(got, map(np.asarray, outputs)):
                if operator is Clip:  # with the rounding of the distance
                    np.testing.assert_allclose(g, want, rtol=1e-6, atol=1e-6, err_msg=name)
                    assert g.dtype == want.dtype
                else:
                    assert (g.dtype, g.tobytes()) == (want.dtype, want.tobytes()), name
            tried.add(name)
    assert tried >= expected
