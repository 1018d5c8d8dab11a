"""What csrc/generate.py writes is what is there, and what is lent keeps its place."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEADER = "csrc/relu_ext.h"
CAPI = "csrc/relu_ext_capi.h"
GENERATED = [
    "csrc/relu_ext/prefix.h",
    CAPI,
    "csrc/python/cython_capi.h",
    "relu_ext/__init__.pxd",
    "relu_ext/_relu_ext.pyi",
]

NEW = "RELU_EXT_API void new_relu_f32(const float *x, float *y, size_t n);\n"
FIRST = "RELU_EXT_API void relu_i8(const int8_t *x, int8_t *y, size_t n);\n"


def generate(root, *options):
    command = [sys.executable, root / "csrc" / "generate.py", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


def replace(path, old, new):
    """In place, the last occurrence."""
    before, found, after = path.read_text(encoding="utf-8").rpartition(old)
    assert found
    path.write_text(before + new + after, encoding="utf-8")


def members(root):
    """The struct's versions: [[declaration of each member]]."""
    text = (root / CAPI).read_text(encoding="utf-8")
    struct = re.search(r"unsigned version;(.*)\} relu_ext_capi;", text, re.DOTALL)[1]
    versions = [
        re.findall(r"[^;]+;", " ".join(version.split()))
        for version in re.split(r"/\* Version \d+ \*/", struct)[1:]
    ]
    assert f"#define RELU_EXT_CAPI_VERSION {len(versions)}\n" in text
    return versions


@pytest.fixture
def copy(tmp_path):
    """Where all that the generator reads may be changed."""
    for path in [HEADER, *GENERATED, "csrc/generate.py"]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def contents(root):
    return {path: (root / path).read_bytes() for path in GENERATED}


def test_up_to_date():
    assert generate(ROOT, "--check") == (0, "")


@pytest.mark.parametrize("path", GENERATED)
def test_one_changed_byte(path, copy):
    before = contents(copy)
    replace(copy / path, "relu_f32", "relu_f33")
    code, error = generate(copy, "--check")
    assert code == 1
    assert [name for name in GENERATED if name in error] == [path]
    assert generate(copy) == (0, "")
    assert contents(copy) == before


def test_new_function_comes_last(copy):
    """Wherever it stands in the header."""
    before = members(copy)
    replace(copy / HEADER, FIRST, NEW + FIRST)
    code, error = generate(copy, "--check")
    assert code == 1
    assert [name for name in GENERATED if name in error] == GENERATED
    assert generate(copy) == (0, "")
    assert members(copy) == [*before, ["void (*new_relu_f32)(const float *x, float *y, size_t n);"]]
    assert all(b"new_relu_f32" in text for text in contents(copy).values())
    assert generate(copy, "--check") == (0, "")


@pytest.mark.parametrize(
    "changed, reason",
    [
        ("", "must keep void relu_i8(const int8_t *x, int8_t *y, size_t n)"),
        (FIRST.replace("size_t", "int"), "must keep void relu_i8("),
        (FIRST.replace("void", "int"), "must keep void relu_i8("),
        (FIRST.replace("size_t n", "int (*f)(void)"), "must be a prototype like the others"),
    ],
    ids=["taken away", "a parameter", "the result", "no prototype"],
)
def test_refused(changed, reason, copy):
    """With nothing written: modules that borrow would call another function, or none."""
    before = contents(copy)
    replace(copy / HEADER, FIRST, changed)
    for options in ([], ["--check"]):
        code, error = generate(copy, *options)
        assert code == 1
        assert reason in error
    assert contents(copy) == before
