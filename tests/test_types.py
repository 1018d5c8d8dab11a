"""What type checkers say to the README's code, to right and wrong calls, and to the stubs."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from test_readme import BLOCKS

import relu_ext

PACKAGE = Path(relu_ext.__file__).parent

RIGHT = """
import array
import ctypes

import numpy as np
from relu_ext import ffi, lib, num_threads, relu, relu_, relu_grad, relu_grad_
from typing_extensions import assert_type

x = np.ones((2, 3), np.float32)
assert_type(relu_(x), type_of_x)
assert_type(relu_grad_(x, [1.0, 0.0, 2.0]), type_of_x)
relu(x, out=x, where=x > 0)
relu_grad(x, x, dtype=np.float64)

floats = array.array("f", [-1.0])
assert_type(relu_(floats), "array.array[float]")
relu_grad_(floats, memoryview(floats))
assert_type(relu_(memoryview(floats)), "memoryview[int]")
assert_type(relu_(ctypes.c_float(-1)), ctypes.c_float)
relu_((ctypes.c_float * 3)())

lib.relu_f32(ffi.from_buffer("float[]", x), ffi.NULL, 0)
assert_type(ffi.string(lib.relu_ext_isa()), bytes)
with num_threads(2):
    pass
""".replace("type_of_x", '"np.ndarray[tuple[int, int], np.dtype[np.float32]]"')

# Each line is an error.
WRONG = """
relu_([1.0])
relu_(1.0)
relu_grad_([1.0], [1.0])
lib.relu_f33
lib.relu_f32(1.0, 2.0, 3)
lib.relu_grad_f32(ffi.NULL, ffi.NULL, 0)
set_num_threads("2")
""".strip().splitlines()


# What the package's own files lack in types is in its stubs. Other packages' types are not for
# us to complain of, and PyTorch's take mypy minutes to read.
MYPY = """
[mypy]
ignore_missing_imports = true
[mypy-relu_ext.*]
ignore_errors = true
[mypy-dask.*,jax.*,pandas.*,sklearn.*,torch.*,xarray.*]
follow_imports = skip
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of files to check: the README's blocks, right.py and wrong.py."""
    folder = tmp_path_factory.mktemp("types")
    folder.joinpath("mypy.ini").write_text(MYPY)
    for i, block in enumerate(BLOCKS):
        folder.joinpath(f"readme_{i}.py").write_text(block, encoding="utf-8")
    folder.joinpath("right.py").write_text(RIGHT)
    imports = "from relu_ext import ffi, lib, relu_, relu_grad_, set_num_threads"
    folder.joinpath("wrong.py").write_text("\n".join([imports, *WRONG]))
    return folder


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )


def wrong_lines(lines):
    """The errors that are not in wrong.py, after making sure of those that are."""
    lines_of_wrong = {number for name, number, _ in lines if name == "wrong.py"}
    assert lines_of_wrong == set(range(2, len(WRONG) + 2))
    return [line for line in lines if line[0] != "wrong.py"]


def test_mypy(folder):
    pytest.importorskip("mypy")
    done = run(folder, "mypy", "--strict", "--output=json", ".")
    assert done.returncode in (0, 1), done.stderr
    errors = [json.loads(line) for line in done.stdout.splitlines()]
    # The package's own functions have their types in stubs, or none.
    ours = [e for e in errors if folder.joinpath(e["file"]).parent == folder]
    assert not wrong_lines([(e["file"], e["line"], e["message"]) for e in ours])


@pytest.mark.parametrize("mode, files", [("standard", "*.py"), ("strict", "right.py")])
def test_pyright(folder, mode, files):
    """basedpyright is pyright from PyPI alone; the latter fetches its program elsewhere."""
    pytest.importorskip("basedpyright")
    configuration = {
        "typeCheckingMode": mode,
        "include": ["wrong.py", *(path.name for path in folder.glob(files))],
        "reportMissingImports": False,
        "reportMissingModuleSource": False,
    }
    path = folder / f"{mode}.json"
    path.write_text(json.dumps(configuration))
    done = run(
        folder, "basedpyright", "--outputjson", "--pythonpath", sys.executable, "-p", path.name
    )
    assert done.returncode in (0, 1), done.stderr
    lines = [
        (Path(e["file"]).name, e["range"]["start"]["line"] + 1, e["message"])
        for e in json.loads(done.stdout)["generalDiagnostics"]
        if e["severity"] == "error"
    ]
    assert not wrong_lines(lines)


def test_stubs_are_what_is_there(folder):
    pytest.importorskip("mypy")
    # These cannot be imported where the package is missing that they are for.
    # The name of an exception is deleted again.
    folder.joinpath("allowed").write_text(
        "relu_ext\\.integrations\\..*\nrelu_ext\\._\\w+\\.error\n"
    )
    done = run(
        folder,
        *("mypy.stubtest", "relu_ext", "--mypy-config-file", "mypy.ini"),
        *("--allowlist", "allowed", "--ignore-unused-allowlist"),
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_stub_of_lib_has_every_function():
    """stubtest does not look into `lib`."""
    module = ast.parse(PACKAGE.joinpath("_relu_ext.pyi").read_text(encoding="utf-8"))
    body = next(c.body for c in module.body if isinstance(c, ast.ClassDef) and c.name == "_Lib")
    names = {n.target.id if isinstance(n, ast.AnnAssign) else n.name for n in body}
    assert names == set(dir(relu_ext.lib))
