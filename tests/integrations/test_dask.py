"""Dask: lazy on its arrays, and run by a cluster of processes."""

import numpy as np
import pytest
import reference
from arrays import assert_same_bits, new

from relu_ext import relu, relu_, relu_grad

da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

both = pytest.mark.parametrize("ufunc", [relu, relu_grad], ids=lambda u: u.__name__)


def oracle(ufunc, *inputs):
    return getattr(reference, ufunc.__name__)(*inputs)


@pytest.fixture(scope="module")
def client():
    """Of a cluster of two processes on this machine."""
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def inputs_for(ufunc, char, rng):
    """Arrays, and the same in chunks that do not divide them."""
    inputs = [new(char, (300, 70), rng) for _ in range(ufunc.nin)]
    return inputs, [da.from_array(a, chunks=(41, 30)) for a in inputs]


@both
def test_lazy(ufunc, rng):
    _, chunked = inputs_for(ufunc, "f", rng)

    def fail(block):
        raise AssertionError("computed before it was asked for")

    chunked[0] = chunked[0].map_blocks(fail, dtype="f", meta=np.empty((0, 0), "f"))
    got = ufunc(*chunked)
    assert type(got) is da.Array
    assert (got.shape, got.chunks, got.dtype) == ((300, 70), chunked[0].chunks, np.float32)
    with pytest.raises(AssertionError, match="before"):
        got.compute(scheduler="synchronous")


@both
@pytest.mark.parametrize("char", "efdg")
def test_on_threads(ufunc, char, rng):
    inputs, chunked = inputs_for(ufunc, char, rng)
    assert_same_bits(ufunc(*chunked).compute(scheduler="threads"), oracle(ufunc, *inputs))


@both
def test_on_a_cluster_of_processes(client, ufunc, rng):
    inputs, chunked = inputs_for(ufunc, "f", rng)
    placed = client.persist(chunked)
    distributed.wait(placed)
    result = client.persist(ufunc(*placed))
    distributed.wait(result)
    assert len(client.ncores()) == 2
    held_by = {worker for workers in client.who_has(result).values() for worker in workers}
    assert len(held_by) == 2
    assert_same_bits(client.gather(client.compute(result)), oracle(ufunc, *inputs))


def test_in_place_in_the_blocks(client, rng):
    """A block that was made on the way belongs to nobody else, so that it may be overwritten."""
    x = new("f", (300, 70), rng)
    negated = -da.from_array(x, chunks=(41, 30))
    got = negated.map_blocks(relu_, dtype="f", meta=np.empty((0, 0), "f"))
    assert_same_bits(client.compute(got).result(), oracle(relu, -x))


def test_methods_and_arguments(rng):
    """Broadcasting, out= and where= are Dask's to carry out."""
    (dy, x), (dy_chunked, x_chunked) = inputs_for(relu_grad, "f", rng)
    assert_same_bits(relu_grad(dy_chunked, x[0]).compute(), oracle(relu_grad, dy, x[0]))
    out = da.empty_like(x_chunked)
    assert relu(x_chunked, out=out) is out
    assert_same_bits(out.compute(), oracle(relu, x))
    got = relu(x_chunked, out=da.ones_like(x_chunked), where=x_chunked > 1)
    assert_same_bits(got.compute(), np.where(x > 1, x, np.float32(1)))
