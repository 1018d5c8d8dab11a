"""The tables of csrc: a row may stand anywhere in its list."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

CHECK = """
import sys
import numpy as np
sys.path.insert(0, {tests!r})
import reference
import relu_ext
from arrays import ALL_TYPES, FLOAT_TYPES, assert_same_bits, new

rng = np.random.default_rng(20)
for char in ALL_TYPES:
    x = new(char, (30, 7), rng)
    assert_same_bits(relu_ext.relu(x), reference.relu(x))
    assert_same_bits(relu_ext.clipped_relu(x, x[::-1]), reference.clipped_relu(x, x[::-1]))
    with np.errstate(all="ignore"):
        passes = (x > 0) | (x != x)
    assert (relu_ext.activity(x) == passes.sum(0)).all(), char
    assert (relu_ext.dead_units(x) == ~passes.any(0)).all(), char
    if char in FLOAT_TYPES:
        y, bits = relu_ext.relu_bits(x)
        assert_same_bits(y, reference.relu(x))
        assert (np.unpackbits(bits, count=x.size, bitorder="little") == passes.ravel()).all(), char
for char in "efd":
    x = new(char, (30, 7), rng)
    assert_same_bits(relu_ext.leaky_relu(x, x[::-1]), reference.leaky_relu(x, x[::-1]))
    assert relu_ext.prelu_slope_grad(x, x).dtype == x.dtype
    assert relu_ext.scale_shift_relu(x, 1.0, 0.0).shape == x.shape
print("right")
"""


def reversed_rows(text):
    """Every list of rows the other way round."""

    def reverse(match):
        rows = [row.rstrip(" \\") for row in match[2].strip("\n").split("\n")]
        return match[1] + " \\\n".join(reversed(rows)) + "\n"

    pattern = r"(#define RELU_EXT_(?:SIGNED|UNSIGNED|FLOATS|NUMBERS|KERNELS)\(X, \.\.\.\) *\\\n)"
    text, found = re.subn(pattern + r"((?:    .*\n)+)", reverse, text)
    assert found == 5
    return text


@pytest.mark.plain_c  # builds for itself, and once is enough
def test_the_order_of_rows_means_nothing(tmp_path):
    if not (ROOT / "csrc").is_dir() or not shutil.which("cc"):
        pytest.skip("the sources or a C compiler are not here")
    pytest.importorskip("setuptools")
    source, target = tmp_path / "source", tmp_path / "target"
    ignored = shutil.ignore_patterns(".*", "build", "*.so", "include", "tests", "bench")
    shutil.copytree(ROOT, source, ignore=ignored)
    tables = source / "csrc" / "relu_ext" / "tables.h"
    before = tables.read_text()
    tables.write_text(reversed_rows(before))
    assert before.index("X(f8e5m2") < before.index("X(longdouble")
    after = tables.read_text()
    assert after.index("X(f8e5m2") > after.index("X(longdouble")

    install = "install -q --no-build-isolation --no-deps --no-cache-dir --target".split()
    for command in (
        [sys.executable, "-m", "pip", *install, target, source],
        [sys.executable, "-c", CHECK.format(tests=str(Path(__file__).parent))],
    ):
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(target)},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "right\n"
