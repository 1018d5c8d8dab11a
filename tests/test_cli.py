"""The command relu-ext, and what one sees who has not built the package."""

import io
import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference
from arrays import assert_same_bits, new

import relu_ext


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "relu_ext", *map(str, arguments)],
        capture_output=True,
        text=True,
        **options,
    )


def test_first_run():
    done = run()
    assert done.returncode == 0, done.stderr
    assert relu_ext.__version__ in done.stdout
    assert "DIFFERENT" not in done.stdout
    assert done.stderr == ""


def test_installed_command():
    command = shutil.which("relu-ext", path=os.path.dirname(sys.executable))
    if command is None:
        pytest.skip("not installed, or elsewhere")
    done = subprocess.run([command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "apply" in done.stdout


ARRAYS = {
    "float32": lambda rng: new("f", 1001, rng),
    "float16": lambda rng: new("e", 1001, rng),
    "int8": lambda rng: new("b", 1001, rng),
    "bool": lambda rng: new("?", 10, rng),
    "longdouble": lambda rng: new("g", 100, rng),
    "2-d": lambda rng: new("d", (31, 17), rng),
    "Fortran order": lambda rng: np.asfortranarray(new("f", (31, 17), rng)),
    "big-endian": lambda rng: new("f", (5, 100), rng).astype(">f4"),
    "little-endian": lambda rng: new("h", (5, 100), rng).astype("<i2"),
    "0-d": lambda rng: np.array(-2.5),
    "empty": lambda rng: np.ones((3, 0)),
}


@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS.keys())
def test_apply(make, rng, tmp_path):
    x = make(rng)
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    np.save(source, x)
    before = source.read_bytes()

    done = run("apply", source, target)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_bits(np.load(target), reference.relu(x))
    assert source.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [source, target]


def test_apply_overwrites(tmp_path):
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    np.save(source, np.array([-1.0, 2.0]))
    target.write_bytes(b"something else")
    assert run("apply", source, target).returncode == 0
    assert np.load(target).tolist() == [0.0, 2.0]


def test_apply_to_itself(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.array([-1.0, 2.0]))
    assert run("apply", path, path).returncode == 0
    assert np.load(path).tolist() == [0.0, 2.0]


def no_file(path):
    pass


def not_an_npy(path):
    path.write_text("1.0, 2.0\n")


def empty_file(path):
    path.touch()


def cut_short(path):
    np.save(path, np.ones(1000))
    path.write_bytes(path.read_bytes()[:-100])


def an_npz(path):
    with open(path, "wb") as file:
        np.savez(file, np.ones(3))


def objects(path):
    np.save(path, np.array([1, None, "text"], dtype=object), allow_pickle=True)


def complex_numbers(path):
    np.save(path, np.ones(3, complex))


def text(path):
    np.save(path, np.array(["a", "b"]))


def a_directory(path):
    path.mkdir()


BAD_INPUTS = [no_file, not_an_npy, empty_file, cut_short, an_npz, a_directory]
BAD_INPUTS += [objects, complex_numbers, text]


def assert_refused(done):
    """Exit code 2 and one line, which is not the last one of a traceback."""
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("relu-ext: ")
    assert done.stderr.endswith("\n")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("make", BAD_INPUTS)
def test_apply_refuses(make, tmp_path):
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    make(source)
    files = sorted(tmp_path.iterdir())
    assert_refused(run("apply", source, target))
    assert sorted(tmp_path.iterdir()) == files


def test_a_refusal_leaves_the_output_as_it_was(tmp_path):
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    complex_numbers(source)
    target.write_bytes(b"from before")
    assert_refused(run("apply", source, target))
    assert target.read_bytes() == b"from before"


def test_apply_into_a_missing_directory(tmp_path):
    np.save(tmp_path / "in.npy", np.ones(3))
    assert_refused(run("apply", tmp_path / "in.npy", tmp_path / "missing" / "out.npy"))
    assert [path.name for path in tmp_path.iterdir()] == ["in.npy"]


def test_apply_onto_a_directory(tmp_path):
    np.save(tmp_path / "in.npy", np.ones(3))
    (tmp_path / "out.npy").mkdir()
    assert_refused(run("apply", tmp_path / "in.npy", tmp_path / "out.npy"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npy", "out.npy"]


@pytest.mark.parametrize("arguments", [["apply"], ["apply", "in.npy"], ["no-such-command"]])
def test_usage_errors(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert "usage" in done.stderr
    assert "Traceback" not in done.stderr


def test_import_from_an_unbuilt_source_tree(tmp_path):
    package = tmp_path / "relu_ext"
    package.mkdir()
    for source in Path(relu_ext.__file__).parent.glob("*.py"):
        shutil.copy(source, package)
    # -S: an editable install would add the compiled module, from wherever it is.
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import relu_ext"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(site.getsitepackages())},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith("ImportError: ")
    assert "pip install" in message
    # A sentence, and not the end of one about something that failed before it.
    assert "During handling" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="no such modes or links there")
def test_apply_keeps_modes_and_links(tmp_path):
    source, target, link = tmp_path / "in.npy", tmp_path / "out.npy", tmp_path / "link.npy"
    np.save(source, np.array([-1.0, 2.0]))
    umask = os.umask(0o027)
    try:
        assert run("apply", source, target).returncode == 0
    finally:
        os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o640

    target.chmod(0o604)
    link.symlink_to(target.name)
    target.write_bytes(b"")
    assert run("apply", source, link).returncode == 0
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o604
    assert np.load(target).tolist() == [0.0, 2.0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_apply_writes_into_a_pipe(tmp_path):
    source, pipe = tmp_path / "in.npy", tmp_path / "pipe"
    np.save(source, np.array([-1.0, 2.0]))
    os.mkfifo(pipe)
    with subprocess.Popen([sys.executable, "-m", "relu_ext", "apply", source, pipe]) as process:
        with open(pipe, "rb") as file:
            content = file.read()
    assert process.returncode == 0
    assert np.load(io.BytesIO(content)).tolist() == [0.0, 2.0]


@pytest.mark.parametrize(
    "header", ["{'descr': '<f4', 'shape': (3", "{'descr': '<f4', 'fortran_order': False}", "\0"]
)
def test_apply_damaged_header(header, tmp_path):
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    text = header.encode() + b"\n"
    source.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"1234")
    done = run("apply", source, target)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert not target.exists()
