"""scikit-learn's multilayer perceptron with relu_ext in the place of its own ReLU."""

import numpy as np
import pytest
from arrays import assert_same_bits

from relu_ext import relu_, relu_grad_

pytest.importorskip("sklearn")

from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier, _base


def train(dtype):
    x, labels = load_digits(return_X_y=True)
    x = ((x - x.mean(0)) / 16).astype(dtype)
    model = MLPClassifier(
        (32, 16), max_iter=15, n_iter_no_change=15, early_stopping=True, random_state=0
    )
    with pytest.warns(match="Maximum iterations"):
        model.fit(x, labels)
    return model, model.predict_proba(x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_is_the_same_bit_for_bit(dtype, monkeypatch):
    # Its own, whatever this process has put there before.
    monkeypatch.setitem(_base.ACTIVATIONS, "relu", _base.inplace_relu)
    monkeypatch.setitem(_base.DERIVATIVES, "relu", _base.inplace_relu_derivative)
    want, want_probabilities = train(dtype)

    calls = {"relu": 0, "derivative": 0}

    def activate(z):
        calls["relu"] += 1
        relu_(z)

    def derive(z, delta):
        calls["derivative"] += 1
        relu_grad_(delta, z)

    monkeypatch.setitem(_base.ACTIVATIONS, "relu", activate)
    monkeypatch.setitem(_base.DERIVATIVES, "relu", derive)
    got, got_probabilities = train(dtype)
    assert calls["relu"] > calls["derivative"] > 100

    assert len(got.loss_curve_) == 15
    assert got.loss_curve_ == want.loss_curve_
    assert got.validation_scores_ == want.validation_scores_
    for g, w in zip(got.coefs_ + got.intercepts_, want.coefs_ + want.intercepts_):
        assert g.dtype == dtype
        assert_same_bits(g, w)
    assert_same_bits(got_probabilities, want_probabilities)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_are_the_same_but_for_zero(dtype):
    """
    For NaNs, infinities and subnormals, too. -0.0 can stay -0.0 there and is +0.0 here, which
    is the same to the sums that follow; the derivative takes both for zero.
    """
    limits = np.finfo(dtype)
    values = [0, 1, -1, np.nan, -np.nan, np.inf, -np.inf, limits.smallest_subnormal]
    z = np.array(values * 5, dtype)
    ours, theirs = z.copy(), z.copy()
    relu_(ours)
    _base.inplace_relu(theirs)
    assert_same_bits(ours, theirs)
    zero = np.array([-0.0] * 40, dtype)
    _base.inplace_relu(zero)
    assert (zero == 0).all()

    delta = np.tile(np.array(values, dtype), (ours.size, 1))
    for y in (ours, zero):
        got, want = delta.copy(), delta.copy()
        relu_grad_(got, y[:, np.newaxis])
        _base.inplace_relu_derivative(np.broadcast_to(y[:, np.newaxis], want.shape), want)
        assert_same_bits(got, want)
