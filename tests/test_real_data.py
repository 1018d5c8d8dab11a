"""The command on what people have in files: a photograph and the digits."""

import numpy as np
import pytest
import reference
from arrays import assert_same_bits

from relu_ext.__main__ import main

datasets = pytest.importorskip("sklearn.datasets")


def standardised_photograph():
    image = datasets.load_sample_image("china.jpg").astype(np.float32)
    return (image - image.mean(axis=(0, 1))) / image.std(axis=(0, 1))


@pytest.mark.parametrize(
    "load, shape",
    [(standardised_photograph, (427, 640, 3)), (lambda: datasets.load_digits().data, (1797, 64))],
    ids=["photograph", "digits"],
)
def test_apply(load, shape, tmp_path):
    x = load()
    assert x.shape == shape
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    np.save(source, x)
    assert main(["apply", str(source), str(target)]) == 0
    assert_same_bits(np.load(target), reference.relu(x))
