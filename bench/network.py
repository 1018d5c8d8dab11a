"""A multilayer perceptron in NumPy, whose activations work in place, forward and backward."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from relu_ext import relu_, relu_grad_


@dataclass(frozen=True)
class Activation:
    label: str
    forward: Callable  # overwrites its argument
    backward: Callable  # overwrites dy, given the output y of forward
    gain: float  # the initial weights' standard deviation, times the root of the inputs' number


def tanh_(x):
    return np.tanh(x, out=x)


def tanh_grad_(dy, y):
    dy *= 1 - y * y
    return dy


def sigmoid_(x):
    """By way of tanh, which does not overflow."""
    x *= 0.5
    np.tanh(x, out=x)
    x += 1
    x *= 0.5
    return x


def sigmoid_grad_(dy, y):
    dy *= y * (1 - y)
    return dy


ACTIVATIONS = {
    "relu": Activation("ReLU", relu_, relu_grad_, np.sqrt(2)),  # He et al., 2015
    "relu_1": Activation("ReLU, weights made for tanh", relu_, relu_grad_, 1),
    "tanh": Activation("tanh", tanh_, tanh_grad_, 1),
    "sigmoid": Activation("sigmoid", sigmoid_, sigmoid_grad_, 1),
}


class Network:
    """
    Layers of the given widths, the input's first and that of the classes last; all but the
    last have the activation. The loss is the mean cross-entropy of the softmax.
    """

    def __init__(self, widths, activation, rng, *, scale=1.0, bias=0.0, dtype=np.float32):
        self.activation = activation
        self.weights, self.biases = [], []
        for inputs, outputs in itertools.pairwise(widths):
            deviation = scale * activation.gain / np.sqrt(inputs)
            weights = deviation * rng.standard_normal((inputs, outputs))
            self.weights.append(weights.astype(dtype))
            self.biases.append(np.full(outputs, bias, dtype))
        self.biases[-1][...] = 0
        self.velocities = [np.zeros_like(p) for p in self.weights + self.biases]

    def forward(self, x):
        """The outputs of every layer, `x` itself first."""
        outputs = [x]
        for weights, biases in zip(self.weights, self.biases):
            z = outputs[-1] @ weights
            z += biases
            outputs.append(z if weights is self.weights[-1] else self.activation.forward(z))
        return outputs

    def gradients(self, x, labels):
        """The loss, and its gradients by the weights and by the biases of every layer."""
        outputs = self.forward(x)
        dy = outputs[-1]
        dy -= dy.max(axis=1, keepdims=True)
        rows = np.arange(len(labels))
        correct = dy[rows, labels].copy()
        np.exp(dy, out=dy)
        total = dy.sum(axis=1, keepdims=True)
        loss = float(np.mean(np.log(total[:, 0]) - correct))
        dy /= total
        dy[rows, labels] -= 1
        dy /= len(labels)
        by_weights, by_biases = [], []
        for layer in reversed(range(len(self.weights))):
            y = outputs[layer]
            by_weights.insert(0, y.T @ dy)
            by_biases.insert(0, dy.sum(axis=0))
            if layer:
                # The activation's output will do for its gradient, so its input is not kept.
                dy = self.activation.backward(dy @ self.weights[layer].T, y)
        return loss, by_weights, by_biases

    def step(self, x, labels, rate, *, momentum=0.0, clip=None):
        """
        One step of gradient descent; returns the loss and the norm of all gradients, before it
        was clipped to at most `clip`.
        """
        loss, by_weights, by_biases = self.gradients(x, labels)
        gradients = by_weights + by_biases
        norm = np.sqrt(sum(float(np.vdot(g, g)) for g in gradients))
        if clip is not None and norm > clip:
            rate = rate * clip / norm
        for parameter, gradient, velocity in zip(
            self.weights + self.biases, gradients, self.velocities
        ):
            velocity *= momentum
            gradient *= rate
            velocity -= gradient
            parameter += velocity
        return loss, norm

    def accuracy(self, x, labels):
        return float(np.mean(self.forward(x)[-1].argmax(axis=1) == labels))
