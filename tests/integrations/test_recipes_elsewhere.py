"""The recipes of `scale_shift` next to PyTorch's and OpenCV's, in a DataLoader and in Dask."""

import numpy as np
import pytest
from test_recipes import MEAN, SCALE, SHIFT, STD, assert_close, exact, pictures

from relu_ext import scale_shift, set_num_threads


@pytest.fixture
def photograph():
    return pytest.importorskip("sklearn.datasets").load_sample_image("china.jpg").copy()


def test_torch(photograph):
    torch = pytest.importorskip("torch")
    mean, std = (torch.from_numpy(a).float()[:, None, None] for a in (MEAN, STD))
    want = (torch.from_numpy(photograph).permute(2, 0, 1).float() / 255 - mean) / std
    out = torch.empty(want.shape)
    assert scale_shift(photograph, SCALE, SHIFT, out_axis=0, out=out) is out
    assert abs(out - want).max() < 1e-6  # theirs rounds four times
    half = torch.empty(want.shape, dtype=torch.bfloat16)
    scale_shift(torch.from_numpy(photograph.copy()), SCALE, SHIFT, out_axis=0, out=half)
    assert torch.equal(half, out.bfloat16())
    with pytest.raises(ValueError, match="out is a Tensor that cannot be used"):
        scale_shift(
            photograph, SCALE, SHIFT, out_axis=0, out=torch.empty(want.shape).requires_grad_()
        )


def test_opencv(photograph):
    """One deviation for all channels is all that it knows."""
    cv2 = pytest.importorskip("cv2")
    mean = 255 * MEAN
    want = cv2.dnn.blobFromImages([photograph] * 2, 1 / 57.375, mean=mean.tolist(), swapRB=True)
    bgr = photograph[..., ::-1]
    got = scale_shift([bgr, bgr], 1 / 57.375, -mean / 57.375, out_axis=1)
    assert abs(got - want).max() < 1e-6


class Pictures:
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return scale_shift(pictures()[i], SCALE, SHIFT, out_axis=0)


def one_thread(_):
    set_num_threads(1)


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # of JAX, if another test has it
def test_data_loader():
    data = pytest.importorskip("torch.utils.data")
    loader = data.DataLoader(Pictures(), 2, num_workers=2, worker_init_fn=one_thread)
    got = np.concatenate([batch.numpy() for batch in loader])
    assert_close(got, exact(pictures()).transpose(0, 3, 1, 2))


def test_dask_and_xarray():
    da, distributed = pytest.importorskip("dask.array"), pytest.importorskip("distributed")
    xarray = pytest.importorskip("xarray")
    x = pictures()
    images = da.from_array(x, chunks=(2, -1, -1, -1))
    n, h, w, c = images.chunks
    planar = images.map_blocks(
        scale_shift,
        SCALE,
        SHIFT,
        out_axis=1,
        dtype=np.float32,
        chunks=(n, c, h, w),
        meta=np.empty((0, 0, 0, 0), np.float32),
    )
    labelled = xarray.apply_ufunc(
        scale_shift,
        xarray.DataArray(images, dims=("image", "y", "x", "channel")),
        kwargs={"scale": SCALE, "shift": SHIFT},
        dask="parallelized",
        output_dtypes=[np.float32],
    )
    assert type(planar) is da.Array and type(labelled.data) is da.Array
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert_close(client.compute(planar).result(), exact(x).transpose(0, 3, 1, 2))
        assert_close(client.compute(labelled).result().to_numpy(), exact(x))
    for lazy in (images, xarray.DataArray(images)):
        with pytest.raises(TypeError, match=r"x is a lazy \w+; it must be computed first"):
            scale_shift(lazy, SCALE, SHIFT)
