"""How much of a layer's output is zero."""

import numpy as np


def sparsity(y):
    return float(np.mean(y == 0))


def dead_units(y, axis=0):
    return ~np.any(y != 0, axis=axis)
