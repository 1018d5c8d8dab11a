"""Arrays and settings that are something else when they are looked at a second time."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import relu_ext

RACE = """
import sys, threading, time, warnings
import numpy as np
import relu_ext

warnings.simplefilter("ignore")  # NumPy 2.5 on setting the shape
sys.setswitchinterval(1e-6)
relu_ext.set_num_threads(1)
n = 1 << 17
x = np.zeros((n // 8, 8), np.float32)
out, bits = np.empty((n // 8, 8), np.float32), np.empty(n // 8, np.uint8)
shapes = [(n,), (8, n // 8), (n // 8, 8)]
stop = False

def disturb():
    while not stop:
        for shape in shapes:
            x.shape = shape
            out.shape = shape[::-1]

threads = [threading.Thread(target=disturb, daemon=True) for _ in range(3)]
for thread in threads:
    thread.start()
end = time.monotonic() + 2
calls = 0
while time.monotonic() < end:
    try:
        {call}
    except (ValueError, np.exceptions.AxisError):
        pass  # another shape than it was a moment ago
    calls += 1
stop = True
for thread in threads:
    thread.join()
print(calls)
"""


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="without a GIL NumPy frees a shape while others read it: np.maximum crashes, too",
)
@pytest.mark.parametrize(
    "call",
    [
        "relu_ext.activity(x, 0)",
        "relu_ext.dead_units(x, 0)",
        "relu_ext.scale_shift_relu(x, 1.0, 0.0)",
        "relu_ext.scale_shift_relu(x, 1.0, 0.0, out=out)",
        "relu_ext.relu_bits(x, out, bits)",
        "relu_ext.prelu_slope_grad(x, x, 0)",
        "relu_ext.relu_grad(x, x, out)",
    ],
)
def test_another_thread_changes_the_shape(call):
    done = subprocess.run(
        [sys.executable, "-c", RACE.format(call=call)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 0


def test_every_setting_changes():
    """race.py, in short."""
    script = Path(__file__).with_name("race.py")
    done = subprocess.run(
        [sys.executable, script, "--calls", "400"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.endswith(" 0 wrong\n")


class Liar(np.ndarray):
    """Says that it has the shape, size, strides, dtype and flags of a larger array."""

    claimed = np.zeros(4096, np.float32)
    shape = property(lambda self: self.claimed.shape)
    size = property(lambda self: self.claimed.size)
    ndim = property(lambda self: self.claimed.ndim)
    strides = property(lambda self: self.claimed.strides)
    dtype = property(lambda self: self.claimed.dtype)
    flags = property(lambda self: self.claimed.flags)
    __array_interface__ = property(lambda self: self.claimed.__array_interface__)


class LiarOfBits(Liar):
    claimed = np.zeros(512, np.uint8)


def lying(kind, array):
    """Half of an array as a liar, and the other half, which it must not write to."""
    return array[:8].view(kind), array[8:]


@pytest.mark.parametrize(
    "call",
    [
        lambda x, out, bits: relu_ext.relu_bits(x, out),
        lambda x, out, bits: relu_ext.relu_bits(x, None, bits),
        lambda x, out, bits: relu_ext.relu_grad_bits(x, np.zeros(512, np.uint8), out),
        lambda x, out, bits: relu_ext.relu_grad_bits(x, bits),
        lambda x, out, bits: relu_ext.scale_shift_relu(x, 1.0, 0.0, out=out),
        lambda x, out, bits: relu_ext.prelu(x.reshape(2, -1), 1.0, out=out),
        lambda x, out, bits: relu_ext.relu(x, out),
    ],
)
def test_subclass_that_lies_about_itself(call):
    x = np.ones(4096, np.float32)
    out, beyond = lying(Liar, np.zeros(16, np.float32))
    bits, bits_beyond = lying(LiarOfBits, np.zeros(16, np.uint8))
    with pytest.raises(ValueError, match="shape"):
        call(x, out, bits)
    assert not np.asarray(out).any() and not beyond.any()
    assert not np.asarray(bits).any() and not bits_beyond.any()


def test_read_only_subclass_that_says_it_can_be_written():
    array = np.full(4096, -1, np.float32)
    array.flags.writeable = False
    out = array.view(Liar)
    x = np.ones(4096, np.float32)
    for call in (
        lambda: relu_ext.relu_bits(x, out),
        lambda: relu_ext.relu_grad_bits(x, np.zeros(512, np.uint8), out),
        lambda: relu_ext.scale_shift_relu(x, 1.0, 0.0, out=out),
    ):
        with pytest.raises(ValueError, match="read-only"):
            call()
    assert (array == -1).all()
