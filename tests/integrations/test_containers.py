"""What holds arrays and labels them: pandas, xarray, masked arrays, files; and cloudpickle."""

import numpy as np
import pytest
import reference
from arrays import assert_same_bits, new

from relu_ext import (
    activity,
    dead_units,
    prelu,
    prelu_slope_grad,
    relu,
    relu_,
    relu_bits,
    relu_grad,
    relu_grad_,
    relu_grad_bits,
    scale_shift,
    scale_shift_relu,
    sparsity,
)

both = pytest.mark.parametrize("ufunc", [relu, relu_grad], ids=lambda u: u.__name__)


def oracle(ufunc, *inputs):
    return getattr(reference, ufunc.__name__)(*inputs)


@both
def test_series(ufunc, rng):
    pandas = pytest.importorskip("pandas")
    inputs = [new("f", 300, rng) for _ in range(ufunc.nin)]
    index = pandas.date_range("2001-01-01", periods=300, name="day")
    series = [pandas.Series(a, index, name="price") for a in inputs]
    got = ufunc(*series)
    assert type(got) is pandas.Series
    assert got.name == "price"
    assert got.index.equals(index) and got.index.name == "day"
    assert_same_bits(got.to_numpy(), oracle(ufunc, *inputs))


def test_series_are_aligned():
    """As pandas does it for its own operators: by label, not by position."""
    pandas = pytest.importorskip("pandas")
    dy = pandas.Series([1.0, 2.0, 3.0], ["a", "b", "c"])
    x = pandas.Series([5.0, -5.0, 5.0], ["c", "b", "a"])
    assert relu_grad(dy, x).to_dict() == {"a": 1, "b": 0, "c": 3}


@both
def test_data_frame(ufunc, rng):
    pandas = pytest.importorskip("pandas")
    inputs = [new("f", (50, 2), rng) for _ in range(ufunc.nin)]
    frames = [pandas.DataFrame(a, range(100, 150), ["a", "b"]) for a in inputs]
    got = ufunc(*frames)
    assert type(got) is pandas.DataFrame
    assert got.index.equals(frames[0].index) and got.columns.equals(frames[0].columns)
    assert_same_bits(got.to_numpy(), oracle(ufunc, *inputs))


def test_data_frame_of_several_dtypes(rng):
    """Each column keeps its own."""
    pandas = pytest.importorskip("pandas")
    columns = {"a": new("f", 50, rng), "b": new("d", 50, rng), "c": new("b", 50, rng)}
    got = relu(pandas.DataFrame(columns))
    for name, column in columns.items():
        assert_same_bits(got[name].to_numpy(), oracle(relu, column))


def test_in_place_under_a_frame():
    """In the array that a frame was made on."""
    pandas = pytest.importorskip("pandas")
    data = np.array([[-1.0, 2.0], [3.0, -4.0]])
    frame = pandas.DataFrame(data, copy=False)
    relu_(data)
    assert frame.to_numpy().tolist() == [[0, 2], [3, 0]]


@both
def test_data_array(ufunc, rng):
    xarray = pytest.importorskip("xarray")
    inputs = [new("f", (20, 30), rng) for _ in range(ufunc.nin)]
    arrays = [
        xarray.DataArray(
            a, dims=("time", "place"), coords={"time": np.arange(20) * 10}, attrs={"unit": "K"}
        )
        for a in inputs
    ]
    with xarray.set_options(keep_attrs=True):
        got = ufunc(*arrays)
    assert type(got) is xarray.DataArray
    assert got.dims == ("time", "place")
    assert got.attrs == {"unit": "K"}
    assert got.coords["time"].equals(arrays[0].coords["time"])
    assert_same_bits(got.to_numpy(), oracle(ufunc, *inputs))


def test_data_arrays_broadcast_by_name(rng):
    xarray = pytest.importorskip("xarray")
    dy, x = new("f", (4, 5), rng), new("f", 4, rng)
    got = relu_grad(xarray.DataArray(dy, dims=("a", "b")), xarray.DataArray(x, dims="a"))
    assert_same_bits(got.to_numpy(), oracle(relu_grad, dy, x[:, np.newaxis]))


def test_data_set(rng):
    xarray = pytest.importorskip("xarray")
    a, b = new("f", 40, rng), new("i", (3, 40), rng)
    got = relu(xarray.Dataset({"a": ("x", a), "b": (("y", "x"), b)}))
    assert type(got) is xarray.Dataset
    assert_same_bits(got["a"].to_numpy(), oracle(relu, a))
    assert_same_bits(got["b"].to_numpy(), oracle(relu, b))


NOT_UFUNCS = {
    "prelu": lambda x: prelu(x, 0.5),
    "prelu_slope_grad": lambda x: prelu_slope_grad(x, x),
    "relu_bits": lambda x: relu_bits(x)[0],
    "relu_grad_bits": lambda x: relu_grad_bits(x, relu_bits(x)[1]),
    "scale_shift": lambda x: scale_shift(x, 2, 1),
    "scale_shift_relu": lambda x: scale_shift_relu(x, 2, 1),
    "sparsity": sparsity,
    "activity": activity,
    "dead_units": dead_units,
}


@pytest.mark.parametrize("function", NOT_UFUNCS.values(), ids=NOT_UFUNCS)
def test_what_is_not_a_ufunc_returns_bare_arrays(function, rng):
    xarray = pytest.importorskip("xarray")
    x = new("f", (20, 3), rng)
    got, wanted = function(xarray.DataArray(x, dims=["time", "unit"])), function(x)
    assert type(got) is type(wanted)
    assert_same_bits(np.asarray(got), np.asarray(wanted))


@pytest.mark.parametrize("name", NOT_UFUNCS)
def test_what_cannot_keep_a_mask_refuses_it(name, rng):
    x = new("f", (20, 3), rng)
    masked = np.ma.masked_array(x, x > 0)
    if name == "prelu":
        assert np.array_equal(prelu(masked, 0.5).mask, x > 0)
        return
    with pytest.raises(TypeError, match=r"masked array.*: pass \w+\.filled\(value\), or \w+\.data"):
        NOT_UFUNCS[name](masked)


def test_masked_array_in_place(rng):
    """The mask stays, and what lies under it."""
    x, mask = new("d", 500, rng), rng.integers(0, 3, 500) == 0
    masked = np.ma.array(x.copy(), mask=mask)
    assert relu(masked, out=masked) is masked
    assert np.array_equal(masked.mask, mask)
    assert_same_bits(masked.data[~mask], oracle(relu, x)[~mask])


@pytest.mark.parametrize("n", [1000, 300_000])
def test_file(n, tmp_path, rng):
    """In place in a file, through its page cache; a file that is open for reading is refused."""
    x, dy = np.resize(new("f", 1009, rng), n), np.resize(new("f", 1013, rng), n)
    x.tofile(tmp_path / "x")
    dy.tofile(tmp_path / "dy")

    mapped = np.memmap(tmp_path / "x", np.float32, "r+")
    assert relu_(mapped) is mapped
    mapped.flush()
    assert_same_bits(np.fromfile(tmp_path / "x", np.float32), oracle(relu, x))

    gradient = np.memmap(tmp_path / "dy", np.float32, "r+")
    assert relu_grad_(gradient, mapped) is gradient
    gradient.flush()
    assert_same_bits(np.fromfile(tmp_path / "dy", np.float32), oracle(relu_grad, dy, x))

    target = np.memmap(tmp_path / "y", np.float32, "w+", shape=n)
    source = np.memmap(tmp_path / "x", np.float32, "r")
    assert relu(source, out=target) is target
    target.flush()
    assert_same_bits(np.fromfile(tmp_path / "y", np.float32), oracle(relu, x))
    with pytest.raises(ValueError, match="read-only"):
        relu_(source)


@both
def test_cloudpickle(ufunc):
    cloudpickle = pytest.importorskip("cloudpickle")
    assert cloudpickle.loads(cloudpickle.dumps(ufunc)) is ufunc
    closure = cloudpickle.loads(cloudpickle.dumps(lambda: ufunc))
    assert closure() is ufunc
