"""The recipes of `scale_shift` against plain NumPy, and in workers."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from relu_ext import num_threads, scale_shift, scale_shift_relu, set_num_threads

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
SCALE, SHIFT = 1 / (255 * STD), -MEAN / STD


def pictures(n=6, shape=(37, 41, 3)):
    return np.random.default_rng(0).integers(0, 256, (n, *shape), np.uint8)


def exact(x):
    return (x / 255 - MEAN) / STD


def assert_close(got, want):
    """To one rounding of the largest number: scale, shift and result are float32."""
    assert got.shape == want.shape
    assert abs(got - want).max() <= np.spacing(np.float32(abs(want).max()))


def planar(x):
    """At the top of a module, so that it pickles by name."""
    return scale_shift(x, SCALE, SHIFT, out_axis=0)


def test_batch():
    x = pictures()
    want = exact(x).transpose(0, 3, 1, 2)
    out = np.empty(want.shape, np.float32)
    assert scale_shift(x, SCALE, SHIFT, out_axis=1, out=out) is out
    assert_close(out, want)
    assert_close(scale_shift(list(x), SCALE, SHIFT, out_axis=1), want)
    assert_close(
        scale_shift(x[..., ::-1], SCALE, SHIFT, out_axis=1),
        exact(x[..., ::-1]).transpose(0, 3, 1, 2),
    )


def test_audio_is_exact():
    x = np.arange(-(2**15), 2**15).astype(np.int16)
    y = scale_shift(x, 2.0**-15, 0.0)
    assert y.dtype == np.float32 and y.min() == -1 and y.max() < 1
    assert np.array_equal(y.astype(np.float64) * 2**15, x)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_dequantization_and_back(dtype):
    limits = np.iinfo(dtype)
    x = np.tile(np.arange(limits.min, limits.max + 1).astype(dtype), (5, 1))
    rng = np.random.default_rng(1)
    scale, zero_point = rng.uniform(0.01, 0.1, 5), rng.integers(-9, 10, 5)
    y = scale_shift(x, scale, -zero_point * scale, axis=0)
    assert_close(y, (x - zero_point[:, np.newaxis].astype(float)) * scale[:, np.newaxis])
    assert np.array_equal(scale_shift(y, 1 / scale, zero_point, axis=0, dtype=dtype), x)


def test_folded_batch_normalization():
    rng = np.random.default_rng(2)
    gamma, beta, mean, variance = rng.uniform(0.5, 2, (4, 16, 1, 1))
    x = rng.standard_normal((3, 16, 9, 7))
    want = np.maximum((x - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0)
    scale = (gamma / np.sqrt(variance + 1e-5)).ravel()
    got = scale_shift_relu(x, scale, beta.ravel() - mean.ravel() * scale, axis=1, out=x)
    assert got is x
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


def test_pool_of_threads():
    x = pictures(16)
    out = np.empty((16, 3, 37, 41), np.float32)
    with num_threads(1), ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(scale_shift, a, SCALE, SHIFT, out_axis=0, out=b) for a, b in zip(x, out)
        ]
        for job in jobs:
            job.result()
    assert_close(out, exact(x).transpose(0, 3, 1, 2))


def test_pool_of_processes():
    x = pictures()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context, initializer=set_num_threads, initargs=(1,)) as pool:
        got = np.stack(list(pool.map(planar, x)))
    assert_close(got, exact(x).transpose(0, 3, 1, 2))
