"""The network of bench/training.py: its gradients are its loss's, and its figures come out."""

import sys
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).parent.parent
if not (REPOSITORY / "bench").is_dir():
    pytest.skip("bench/ is not here, as in an sdist", allow_module_level=True)
sys.path.append(str(REPOSITORY))  # last, so that relu_ext stays the one installed

from bench.network import ACTIVATIONS, Network

WIDTHS = [7, 6, 5, 4]
STEP = 1e-6


def case(name, seed=0):
    rng = np.random.default_rng(seed)
    network = Network(WIDTHS, ACTIVATIONS[name], rng, bias=0.1, dtype=np.float64)
    return network, rng.standard_normal((20, WIDTHS[0])), rng.integers(0, WIDTHS[-1], 20)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients(name):
    """Against central differences, by every weight and bias."""
    network, x, labels = case(name)
    # No unit is so near its kink that the differences would step over it.
    outputs = network.forward(x)
    for y, weights, biases in zip(outputs, network.weights, network.biases):
        assert np.abs(y @ weights + biases).min() > 100 * STEP
    loss, by_weights, by_biases = network.gradients(x, labels)
    assert 0 < loss < 10
    for parameter, gradient in zip(
        network.weights + network.biases, by_weights + by_biases, strict=True
    ):
        numeric = np.empty_like(parameter)
        for index in np.ndindex(parameter.shape):
            value, losses = parameter[index], []
            for step in (STEP, -STEP):
                parameter[index] = value + step
                losses.append(network.gradients(x, labels)[0])
            parameter[index] = value
            numeric[index] = (losses[0] - losses[1]) / (2 * STEP)
        assert np.abs(gradient).max() > 1e-4
        np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_work_in_place(name):
    activation = ACTIVATIONS[name]
    x, dy = np.array([-2.0, 0.0, 3.0]), np.ones(3)
    assert activation.forward(x) is x
    assert activation.backward(dy, x) is dy


def test_clipping():
    """A step along the same gradient, as long as it may be, and no longer."""
    steps = []
    for clip in (None, 1e-3, 1e3):
        network, x, labels = case("relu")
        before = [p.copy() for p in network.weights + network.biases]
        _, norm = network.step(x, labels, 0.5, clip=clip)
        after = network.weights + network.biases
        steps.append(np.concatenate([(b - a).ravel() for b, a in zip(before, after)]))
    assert norm > 1e-3
    np.testing.assert_allclose(np.linalg.norm(steps[0]), 0.5 * norm)
    np.testing.assert_allclose(steps[1], steps[0] * 1e-3 / norm, atol=1e-12)
    np.testing.assert_allclose(steps[2], steps[0])


def test_momentum():
    network, x, labels = case("tanh")
    before = network.weights[0].copy()
    network.step(x, labels, 0.5, momentum=0.9)
    first = network.weights[0] - before
    network.step(x, labels, 0.0, momentum=0.9)
    np.testing.assert_allclose(network.weights[0] - before, 1.9 * first)


def test_quick_run(tmp_path, capsys):
    for package in ("matplotlib", "ml_dtypes", "sklearn", "threadpoolctl", "tqdm"):
        pytest.importorskip(package)
    Image = pytest.importorskip("PIL.Image")
    from bench import training

    training.main(["--quick", "--output", str(tmp_path)])
    shown = capsys.readouterr()
    for figure in ("ReLU", "Dead units", "Accuracy", "clipped"):
        assert figure in shown.out
    assert shown.err == ""
    names = {
        f"training-{name}.png"
        for name in ("gradients", "accuracy", "sparsity", "dead", "exploding")
    }
    assert {path.name for path in tmp_path.iterdir()} == names
    for name in names:
        with Image.open(tmp_path / name) as image:
            assert image.width > 600
