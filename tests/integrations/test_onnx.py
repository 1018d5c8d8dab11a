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


# The operators, and tests that must be among those found for them.
OPERATORS = [
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
    )
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
                assert (g.dtype, g.tobytes()) == (want.dtype, want.tobytes()), name
            tried.add(name)
    assert tried >= expected
