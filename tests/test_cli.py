"""The command relu-ext, and what one sees who has not built the package."""

import ast
import contextlib
import io
import itertools
import json
import os
import re
import shutil
import signal
import site
import stat
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
import types
import warnings
import zipfile
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import power_cut
import pytest
import reference
from arrays import assert_same_bits, new

import relu_ext
from relu_ext.__main__ import main
from relu_ext._cli import apply, check, plot, replace
from relu_ext._cli.source import Source


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


@pytest.mark.parametrize(
    "threads, cpu, interruptions, shares",
    [
        (1, 1, 200, None),
        (1, 0.5, 0, ("50%", "50%")),
        (2, 2, 200, None),
        (2, 1, 0, None),  # its threads wait for each other, not for the processor
        (2, 1, 200, ("50%", "100%")),
    ],
)
def test_first_run_on_a_busy_machine(threads, cpu, interruptions, shares, monkeypatch, capsys):
    """Each call takes a second by the clock, and `cpu` seconds of CPU in all its threads."""
    counted = itertools.count(0, interruptions).__next__
    monkeypatch.setattr(check, "_involuntary_switches", counted)
    clocks = {
        "perf_counter": itertools.count().__next__,
        "process_time": itertools.count(0, cpu).__next__,
    }
    monkeypatch.setattr(check, "time", types.SimpleNamespace(**clocks))
    monkeypatch.setattr(relu_ext, "get_num_threads", lambda: threads)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    check.run(mebibytes=1, rounds=2)
    said = capsys.readouterr().out
    assert ("busy" in said) == (shares is not None)
    for share in shares or ():
        assert share in said


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


def built_without(tmp_path, **environment):
    """What building a copy of the source tree says."""
    root = Path(__file__).parents[1]
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(root / name, tmp_path)
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "include", "__pycache__")
    for name in ("relu_ext", "csrc"):
        shutil.copytree(root / name, tmp_path / name, ignore=ignored)
    return subprocess.run(
        [sys.executable, "setup.py", "-q", "build"],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif(os.name == "nt", reason="there the compiler is not found by its name")
@pytest.mark.parametrize(
    "compiler, missing, help",
    [
        ("no-such-compiler", "no C compiler .* works .tried: no-such-compiler.", "build-essential"),
        ("false", "no C compiler .* works .tried: false.", "build-essential"),
        ("{path}/without-headers", "Python.h is not here", "python3-dev"),
    ],
)
def test_build_without_a_compiler(compiler, missing, help, tmp_path):
    """The reason and what to do, in the last two lines, before anything was built."""
    pytest.importorskip("setuptools")
    wrapper = tmp_path / "without-headers"
    wrapper.write_text(
        '#!/bin/sh\nfor a; do case $a in *.c) grep -q Python.h "$a" && exit 1;; esac; done\n'
        'exec cc "$@"\n'
    )
    wrapper.chmod(0o755)
    done = built_without(tmp_path, CC=compiler.format(path=tmp_path))
    assert done.returncode == 1
    why, what = done.stderr.splitlines()[-2:]
    assert re.search(missing, why), done.stderr
    assert help in what
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "build").exists()


def test_the_benchmark_without_its_extra():
    root = Path(__file__).parents[1]
    if not (root / "bench").is_dir():
        pytest.skip("bench/ is not here, as in an sdist")
    code = (
        "import runpy, sys; sys.modules['rich'] = None; sys.argv = ['-m']; "
        "runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    for module in ("bench", "bench.images", "bench.memory", "bench.training"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(module=module)],
            cwd=root,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert re.fullmatch(
            r"the benchmark needs .*\brich\b.*: run `pip install -e '\.\[bench\]'`\n", done.stderr
        ), done.stderr


def test_import_from_a_zip_file(tmp_path):
    package = Path(relu_ext.__file__).parent
    with zipfile.ZipFile(tmp_path / "packages.zip", "w") as file:
        for source in package.rglob("*.py"):
            file.write(source, Path("relu_ext", source.relative_to(package)))
    path = [str(tmp_path / "packages.zip"), *site.getsitepackages()]
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import relu_ext"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith("ImportError: relu_ext cannot be imported from a zip file, ")
    assert "packages.zip" in message and "pip install" in message
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

    target.chmod(0o626)  # more than the umask would allow
    link.symlink_to(target.name)
    target.write_bytes(b"")
    assert run("apply", source, link).returncode == 0
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o626
    assert np.load(target).tolist() == [0.0, 2.0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_apply_writes_into_a_pipe(tmp_path):
    source, pipe = tmp_path / "in.npy", tmp_path / "pipe"
    np.save(source, np.array([-1.0, 2.0]))
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "relu_ext", "apply", source, pipe]
    with subprocess.Popen(command) as process, open(pipe, "rb") as file:
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


@pytest.mark.parametrize("piped", [False, True])
def test_apply_archive(piped, tmp_path):
    np.savez(tmp_path / "in.npz", np.ones(3))
    with open(tmp_path / "in.npz", "rb") as file:
        done = run("apply", "-" if piped else file.name, tmp_path / "out.npy", stdin=file)
    assert done.returncode == 2
    assert "is a zip archive, such as a .npz; save the array that you mean" in done.stderr
    assert not (tmp_path / "out.npy").exists()


def save(path, x, version=None):
    with open(path, "wb") as file:
        np.lib.format.write_array(file, x, version)


# Several blocks of apply's, and a rest.
LONG = 3 * 2**20 // 4 + 12345


@pytest.mark.parametrize("dtype", ["f", "b", ">f4", "g"])
def test_apply_many_blocks(dtype, rng, tmp_path):
    x = np.resize(new(dtype, 4099, rng), LONG)
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    np.save(source, x)
    assert run("apply", source, target).returncode == 0
    assert_same_bits(np.load(target), reference.relu(x))
    assert target.stat().st_size == source.stat().st_size


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_apply_header_versions(version, tmp_path):
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    save(source, np.array([-1.0, 2.0]), version)
    assert run("apply", source, target).returncode == 0
    assert np.load(target).tolist() == [0.0, 2.0]
    # The header is the same, byte for byte, be it laid out as NumPy would do or not.
    assert target.read_bytes()[:-16] == source.read_bytes()[:-16]


@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS.keys())
def test_apply_in_place(make, rng, tmp_path):
    x = make(rng)
    path = tmp_path / "x.npy"
    np.save(path, x)
    inode = path.stat().st_ino
    done = run("apply", "--in-place", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_bits(np.load(path), reference.relu(x))
    assert path.stat().st_ino == inode


def test_apply_in_place_to_several(rng, tmp_path):
    arrays = {tmp_path / f"{n}.npy": new("f", n, rng) for n in (1, LONG)}
    for path, x in arrays.items():
        np.save(path, x)
    assert run("apply", "--in-place", *arrays).returncode == 0
    for path, x in arrays.items():
        assert_same_bits(np.load(path), reference.relu(x))


@pytest.mark.parametrize("dtype", ["e", "f", "d", "g", ">f8"])
def test_apply_gradient(dtype, rng, tmp_path):
    x, dy = (np.resize(new(dtype, 4099, rng), LONG) for _ in range(2))
    paths = [tmp_path / f"{name}.npy" for name in ("dy", "x", "dx")]
    np.save(paths[0], dy)
    np.save(paths[1], x)
    done = run("apply", "--gradient", *paths)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_bits(np.load(paths[2]), reference.relu_grad(dy, x))
    # The result may take the place of either.
    assert run("apply", "--gradient", *paths[:2], paths[0]).returncode == 0
    assert paths[0].read_bytes() == paths[2].read_bytes()


def test_apply_gradient_in_fortran_order(rng, tmp_path):
    x, dy = (np.asfortranarray(new("f", (31, 17), rng)) for _ in range(2))
    paths = [tmp_path / f"{name}.npy" for name in ("dy", "x", "dx")]
    np.save(paths[0], dy)
    np.save(paths[1], x)
    assert run("apply", "--gradient", *paths).returncode == 0
    assert_same_bits(np.load(paths[2]), reference.relu_grad(dy, x))
    np.save(paths[1], np.ascontiguousarray(x))
    assert_refused(done := run("apply", "--gradient", *paths))
    assert "Fortran order" in done.stderr


@pytest.mark.parametrize(
    "dy, x",
    [
        (np.ones(3), np.ones(4)),
        (np.ones((2, 3)), np.ones((3, 2))),
        (np.ones(3), np.ones(3, np.float32)),
        (np.ones(3, np.int8), np.ones(3, np.int8)),
    ],
    ids=["lengths", "shapes", "dtypes", "integers"],
)
def test_apply_gradient_refuses(dy, x, tmp_path):
    paths = [tmp_path / f"{name}.npy" for name in ("dy", "x", "dx")]
    np.save(paths[0], dy)
    np.save(paths[1], x)
    assert_refused(done := run("apply", "--gradient", *paths))
    assert str(paths[0]) in done.stderr
    assert not paths[2].exists()


@pytest.mark.parametrize("dtype", ["float32", ">f4", "int8", "float64"])
def test_apply_raw(dtype, rng, tmp_path):
    x = new(dtype, LONG, rng)
    source, target = tmp_path / "in.bin", tmp_path / "out.bin"
    x.tofile(source)
    done = run("apply", "--dtype", dtype, source, target)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_bits(np.fromfile(target, dtype), reference.relu(x))
    assert run("apply", "--dtype", dtype, "--in-place", source).returncode == 0
    assert source.read_bytes() == target.read_bytes()


def test_apply_raw_gradient(rng, tmp_path):
    x, dy = new("f", LONG, rng), new("f", LONG, rng)
    paths = [tmp_path / f"{name}.bin" for name in ("dy", "x", "dx")]
    dy.tofile(paths[0])
    x.tofile(paths[1])
    assert run("apply", "--dtype", "float32", "--gradient", *paths).returncode == 0
    assert_same_bits(np.fromfile(paths[2], "f"), reference.relu_grad(dy, x))
    x[1:].tofile(paths[1])
    before = paths[2].read_bytes()
    assert_refused(done := run("apply", "--dtype", "float32", "--gradient", *paths))
    assert "differ in length" in done.stderr
    assert paths[2].read_bytes() == before


def test_apply_bfloat16(rng, tmp_path):
    """Raw, and in a .npy file, of which NumPy says only that it has 2 bytes an element."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    bits = new(np.uint16, 1001, rng)
    want = reference.relu(bits, "bf16")
    raw, npy, target = (tmp_path / name for name in ("x.bin", "x.npy", "out"))
    bits.tofile(raw)
    assert run("apply", "--dtype", "bfloat16", raw, target).returncode == 0
    assert_same_bits(np.fromfile(target, np.uint16), want)
    np.save(npy, bits.view(ml_dtypes.bfloat16))
    assert_refused(done := run("apply", npy, target))
    assert "--dtype" in done.stderr
    assert run("apply", "--dtype", "bfloat16", npy, target).returncode == 0
    assert_same_bits(np.load(target).view(np.uint16), want)


def test_apply_dtype_is_not_the_files(tmp_path):
    np.save(tmp_path / "in.npy", np.ones(3))
    assert_refused(run("apply", "--dtype", "float32", tmp_path / "in.npy", tmp_path / "out.npy"))
    assert [path.name for path in tmp_path.iterdir()] == ["in.npy"]


def test_apply_pipes(rng, tmp_path):
    x = np.resize(new("f", 4099, rng), LONG)
    np.save(tmp_path / "in.npy", x)
    content = (tmp_path / "in.npy").read_bytes()
    command = [sys.executable, "-m", "relu_ext", "apply"]
    done = subprocess.run([*command, "-", "-"], input=content, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert_same_bits(np.load(io.BytesIO(done.stdout)), reference.relu(x))

    command += ["--dtype", "float32", "-", "-"]
    done = subprocess.run(command, input=x.tobytes(), capture_output=True)
    assert done.stdout == reference.relu(x).tobytes()

    # A file as standard input, from where it is read on.
    with open(tmp_path / "in.npy", "rb") as file:
        file.seek(len(content) - x.nbytes)
        done = subprocess.run(command, stdin=file, capture_output=True)
    assert done.stdout == reference.relu(x).tobytes()


@pytest.mark.parametrize(
    "arguments, content",
    [
        ([], b""),
        ([], b"\x93NUMPY\x09\x00"),
        ([], b"\x93NUMPY\x02\x00\xff\xff\xff\xff"),
        (["--dtype", "float32"], b"12345"),
    ],
    ids=["nothing", "version", "long header", "odd length"],
)
def test_apply_refuses_standard_input(arguments, content, tmp_path):
    command = [sys.executable, "-m", "relu_ext", "apply", *arguments, "-", tmp_path / "out"]
    done = subprocess.run(command, input=content, capture_output=True)
    assert done.returncode == 2
    assert done.stderr.startswith(b"relu-ext: the standard input ")
    assert done.stderr.count(b"\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0"])
@pytest.mark.parametrize("piped", [False, True])
def test_apply_refuses_wrong_lengths(change, piped, tmp_path):
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    np.save(source, np.ones(LONG, np.float32))
    source.write_bytes(change(source.read_bytes()))
    target.write_bytes(b"from before")
    with open(source, "rb") as file:
        cat = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE) if piped else None
        done = run("apply", "-" if piped else source, target, stdin=cat and cat.stdout)
        if cat:
            cat.stdout.close()
            cat.wait()
    assert_refused(done)
    assert target.read_bytes() == b"from before"
    assert sorted(tmp_path.iterdir()) == [source, target]


def test_apply_in_place_refuses_before_it_writes(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, -np.ones(LONG, np.float32))
    content = path.read_bytes()
    for wrong in (content[:-1], content + b"\0"):
        path.write_bytes(wrong)
        assert_refused(done := run("apply", "--in-place", path))
        assert str(path) in done.stderr
        assert path.read_bytes() == wrong
    assert_refused(run("apply", "--in-place", os.devnull))
    assert_refused(run("apply", "--in-place", "-", stdin=subprocess.DEVNULL))


def test_apply_into_a_directory(rng, tmp_path):
    arrays = {name: new("f", 1001, rng) for name in ("a.npy", "b.npy")}
    for name, x in arrays.items():
        np.save(tmp_path / name, x)
    (tmp_path / "results").mkdir()
    inputs = [tmp_path / name for name in arrays]
    assert run("apply", *inputs, tmp_path / "results").returncode == 0
    for name, x in arrays.items():
        assert_same_bits(np.load(tmp_path / "results" / name), reference.relu(x))
    # One alone as well, if the slash says so; and onto itself.
    assert run("apply", inputs[0], f"{tmp_path}/").returncode == 0
    assert_same_bits(np.load(inputs[0]), reference.relu(arrays["a.npy"]))


def test_apply_refuses_several(tmp_path):
    """Whatever is wrong with one, nothing is done with any."""
    for folder in ("a", "b", "results"):
        (tmp_path / folder).mkdir()
    a, b, bad = tmp_path / "a" / "x.npy", tmp_path / "b" / "x.npy", tmp_path / "bad.npy"
    np.save(a, -np.ones(3))
    np.save(b, -np.ones(4))
    cut_short(bad)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.npy")}
    for arguments, problem in [
        ([a, bad, tmp_path / "results"], "bad.npy"),
        ([a, tmp_path / "a", tmp_path / "results"], "not an ordinary file"),
        ([a, b, tmp_path / "results"], "both become"),
        ([a, b, bad], "not a directory"),
        ([a, tmp_path / "missing.npy", tmp_path / "results"], "missing.npy"),
        ([a, "-", tmp_path / "results"], "standard input"),
        (["--in-place", a, bad], "bad.npy"),
    ]:
        assert_refused(done := run("apply", *arguments))
        assert problem in done.stderr
        assert {path: path.read_bytes() for path in tmp_path.rglob("*.npy")} == files
    (tmp_path / "a" / "z.npy").symlink_to("x.npy")
    assert_refused(done := run("apply", a, tmp_path / "a" / "z.npy", tmp_path / "a"))
    assert "both become" in done.stderr


def test_apply_says_which_file_is_full(tmp_path):
    resource = pytest.importorskip("resource")
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    np.save(source, np.ones(LONG, np.float32))
    limit = 2**20
    done = run(
        "apply",
        source,
        target,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert_refused(done)
    assert str(target) in done.stderr
    assert list(tmp_path.iterdir()) == [source]


def wait(process, condition):
    """Until it holds, while the process runs."""
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


needs_signals = pytest.mark.skipif(os.name == "nt", reason="no such signals there")


@needs_signals
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("before", [None, b"from before"])
def test_apply_interrupted(number, before, tmp_path):
    target = tmp_path / "out.npy"
    if before:
        target.write_bytes(before)
    with subprocess.Popen(
        [sys.executable, "-m", "relu_ext", "apply", "-", target],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        np.lib.format.write_array_header_1_0(
            process.stdin, {"descr": "<f4", "fortran_order": False, "shape": (2**24,)}
        )
        process.stdin.write(bytes(3 * 2**20))
        process.stdin.flush()
        # The input stalls, and something lies beside the target.
        wait(process, lambda: any(path != target for path in tmp_path.iterdir()))
        process.send_signal(number)
        _, message = process.communicate()
    assert process.returncode == -number
    assert message.decode() == f"relu-ext: interrupted; {target} is as it was\n"
    assert list(tmp_path.iterdir()) == ([target] if before else [])
    assert not before or target.read_bytes() == before


@needs_signals
def test_apply_ignores_what_it_was_told_to(tmp_path):
    """As nohup does with SIGHUP."""
    with subprocess.Popen(
        [sys.executable, "-m", "relu_ext", "apply", "--dtype", "int8", "-", tmp_path / "out"],
        stdin=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    ) as process:
        process.stdin.write(b"\xff")
        process.stdin.flush()
        wait(process, lambda: any(tmp_path.iterdir()))
        process.send_signal(signal.SIGHUP)
        process.communicate(b"\x01")
    assert process.returncode == 0
    assert (tmp_path / "out").read_bytes() == b"\x00\x01"


@needs_signals
def test_apply_in_place_interrupted(tmp_path, monkeypatch):
    """Every element is done or not, and running it again finishes."""
    path = tmp_path / "x.npy"
    x = np.resize(np.array([-1.0, 2.0], np.float32), LONG)
    np.save(path, x)
    write = apply.write

    def interrupted(file, data):
        write(file, data)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(apply, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        apply.run(
            None, types.SimpleNamespace(files=[str(path)], in_place=True, gradient=None, dtype=None)
        )
    monkeypatch.undo()
    found = np.load(path)
    block = apply.BLOCK_BYTES // 4
    assert_same_bits(found[:block], reference.relu(x[:block]))
    assert_same_bits(found[block:], x[block:])
    assert run("apply", "--in-place", path).returncode == 0
    assert_same_bits(np.load(path), reference.relu(x))


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system does not tell")
def test_apply_needs_little_memory(tmp_path):
    """A large file, all holes but for its end."""
    source = tmp_path / "in.npy"
    n = 2**29 + 2**20
    end = np.array([-1, 2, 127, -128], np.int8)
    with open(source, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|i1", "fortran_order": False, "shape": (n,)}
        )
        start = file.tell()
        file.seek(n - len(end), io.SEEK_CUR)
        file.write(end.tobytes())
    code = (
        "import sys; from relu_ext.__main__ import main; assert main(sys.argv[1:]) == 0; "
        "sys.stderr.write(open('/proc/self/status').read())"
    )
    # The result goes through a pipe, not to make as much on the disk.
    with subprocess.Popen(
        [sys.executable, "-c", code, "apply", source, "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=False,
        bufsize=0,
    ) as process:
        count, last, buffer = 0, b"", bytearray(2**20)
        while got := process.stdout.readinto(buffer):
            count += got
            last = (last + buffer[max(0, got - 8) : got])[-8:]
        status = process.stderr.read().decode()
    assert process.returncode == 0
    assert count == start + n
    assert last == bytes([0, 0, 0, 0, 0, 2, 127, 0])
    (peak,) = re.findall(r"VmHWM:\s*(\d+) kB", status)
    assert int(peak) < 150 * 1024


def run_on_terminal(*arguments, **options):
    """What the command writes to its standard error, when that is a terminal."""
    pty, fcntl, termios = (
        pytest.importorskip(name, reason="no such terminals here")
        for name in ("pty", "fcntl", "termios")
    )
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-m", "relu_ext", *map(str, arguments)], stderr=theirs, **options
    ) as process:
        os.close(theirs)
        yield process
        shown = b""
        with contextlib.suppress(OSError):  # Linux's way to say that the other end is closed
            while data := os.read(ours, 4096):
                shown += data
    os.close(ours)
    assert process.returncode == 0
    yield shown.decode()


def test_apply_shows_a_bar_when_it_takes_long(tmp_path):
    pytest.importorskip("tqdm")
    x = -np.ones(LONG, np.float32)
    steps = run_on_terminal("apply", "-", tmp_path / "out.npy", stdin=subprocess.PIPE)
    process = next(steps)
    np.lib.format.write_array_header_1_0(process.stdin, np.lib.format.header_data_from_array_1_0(x))
    data = x.tobytes()
    process.stdin.write(data[: len(data) // 2])
    process.stdin.flush()
    wait(process, lambda: any(tmp_path.iterdir()))
    time.sleep(1.2)
    process.stdin.write(data[len(data) // 2 :])
    process.stdin.close()
    shown = next(steps)
    assert "100%" in shown and "B/s" in shown


def test_apply_shows_nothing_elsewhere(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "relu_ext", "apply", "--dtype", "f4", "-", tmp_path / "out"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdin.write(bytes(2**21))
        process.stdin.flush()
        time.sleep(1.2)
        _, shown = process.communicate(bytes(2**21))
    assert (process.returncode, shown) == (0, b"")


def run_after(before, *arguments, **options):
    """The command after some Python in its process; as bytes."""
    code = "import os, sys; from relu_ext.__main__ import main\n"
    code += "from relu_ext._cli import apply\n"
    code += textwrap.dedent(before) + "\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "apply", *map(str, arguments)]
    return subprocess.run(command, **{"capture_output": True, "timeout": 60} | options)


def run_shell(line, folder, **options):
    """A line for bash in which $apply is the command."""
    bash = shutil.which("bash")
    if bash is None or os.name == "nt":
        pytest.skip("no bash here")
    environment = os.environ | {"apply": f"{sys.executable} -m relu_ext apply"}
    return subprocess.run(
        [bash, "-c", line], cwd=folder, env=environment, capture_output=True, timeout=60, **options
    )


posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows has other descriptors and modes")


@posix_only
@pytest.mark.parametrize("before", [None, b"from before"])
def test_apply_replaces_only_by_what_is_on_the_disk(before, tmp_path, monkeypatch):
    """Written, synced, renamed, and the folder synced."""
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    np.save(source, np.array([-1.0, 2.0]))
    whole = len(source.read_bytes())
    if before is not None:
        target.write_bytes(before)
    events = []
    fsync, rename = os.fsync, os.replace

    def recorded_fsync(fd):
        fsync(fd)
        status = os.fstat(fd)
        is_folder = stat.S_ISDIR(status.st_mode)
        events.append((os.fsync, status.st_ino, None if is_folder else status.st_size))

    def recorded_replace(source, target, **options):
        status = os.stat(source, dir_fd=options["src_dir_fd"])
        rename(source, target, **options)
        events.append((os.replace, status.st_ino, status.st_size))

    monkeypatch.setattr(replace, "fcntl", None)  # which macOS has a call of its own in
    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    assert main(["apply", str(source), str(target)]) == 0
    inode = target.stat().st_ino
    assert events == [
        (recorded_fsync, inode, whole),
        (recorded_replace, inode, whole),
        (recorded_fsync, tmp_path.stat().st_ino, None),
    ]


def test_apply_in_place_ends_when_all_is_on_the_disk(tmp_path, monkeypatch):
    path = tmp_path / "x.npy"
    np.save(path, np.array([-1.0, 2.0]))
    synced = []
    monkeypatch.setattr(replace, "fcntl", None)
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append((os.fstat(fd).st_ino, np.load(path))))
    assert main(["apply", "--in-place", str(path)]) == 0
    ((inode, content),) = synced
    assert inode == path.stat().st_ino
    assert content.tolist() == [0.0, 2.0]


def test_apply_survives_a_power_cut():
    if problem := power_cut.unavailable():
        pytest.skip(problem)
    found = power_cut.cut([0.0])
    assert set(found.values()) == {"the result"}, found


@pytest.mark.parametrize("descr", ["('<f4', (300000,))", "('<f4', (2,))", "[('a', '<f4')]", "'|O'"])
def test_apply_refuses_elements_that_are_no_numbers(descr, tmp_path):
    """More than a block, less, and others that an operation would take apart."""
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (2,)}}\n".encode()
    size = 2 * np.dtype(ast.literal_eval(descr)).itemsize
    source.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(size))
    assert_refused(done := run("apply", source, target))
    assert "it holds" in done.stderr
    assert not target.exists()


@pytest.mark.parametrize("name", ["(300000,)f4", "2f4", "f4,f4", "O", "finfo", "V0", "(((("])
def test_apply_refuses_a_dtype_that_is_no_number(name, tmp_path):
    pytest.importorskip("ml_dtypes")
    source = tmp_path / "in.bin"
    source.write_bytes(b"\xff" * 2_400_000)
    done = run("apply", "--dtype", name, source, tmp_path / "out.bin")
    assert (done.returncode, done.stdout) == (2, "")
    assert "argument --dtype" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [source]


def test_apply_ends_well_only_with_what_was_promised(tmp_path):
    """Whatever it is that has less written."""
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    np.save(source, np.array([-1.0, 2.0]))
    target.write_bytes(b"from before")
    done = run_after("apply.transform = lambda *arguments: None", source, target)
    assert done.returncode == 2
    assert target.read_bytes() == b"from before"
    assert sorted(tmp_path.iterdir()) == [source, target]


needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be somebody else"
)
ALICE, BOB, SECRET = 12_001, 12_002, 12_003  # whom nobody needs to know


@pytest.fixture
def shared():
    """A folder where everybody may write; pytest's own is closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


def become(user, *groups):
    return f"os.setgroups({[*groups]}); os.setgid({user}); os.setuid({user}); os.umask(0)"


@needs_root
@pytest.mark.parametrize(
    "user, groups, before, after",
    [
        (0, [], (ALICE, SECRET, 0o640), (ALICE, SECRET, 0o640)),
        (0, [], (BOB, BOB, 0o6755), (BOB, BOB, 0o755)),
        (0, [], (0, 0, 0o1777), (0, 0, 0o777)),
        (ALICE, [], (ALICE, ALICE, 0o4755), (ALICE, ALICE, 0o755)),
        (ALICE, [SECRET], (ALICE, SECRET, 0o2660), (ALICE, SECRET, 0o660)),
        (ALICE, [SECRET], (BOB, SECRET, 0o660), (ALICE, SECRET, 0o660)),
        # Not of the group that the old file has, so that its members are others.
        (ALICE, [], (ALICE, SECRET, 0o640), (ALICE, ALICE, 0o600)),
        (ALICE, [], (ALICE, SECRET, 0o664), (ALICE, ALICE, 0o644)),
        (ALICE, [], (ALICE, SECRET, 0o604), (ALICE, ALICE, 0o600)),
        (ALICE, [], (BOB, BOB, 0o646), (ALICE, ALICE, 0o644)),
    ],
)
def test_apply_gives_access_to_nobody_who_had_none(user, groups, before, after, shared):
    source, target = shared / "in.npy", shared / "out.npy"
    np.save(source, np.array([-1.0, 2.0]))
    source.chmod(0o644)
    target.touch()
    os.chown(target, *before[:2])
    target.chmod(before[2])
    done = run_after(become(user, *groups) if user else "", source, target)
    assert (done.returncode, done.stderr) == (0, b"")
    found = target.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == after
    assert np.load(target).tolist() == [0.0, 2.0]


@posix_only
def test_apply_keeps_no_set_id_bits(tmp_path):
    """Of one's own file, where one is not root."""
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    np.save(source, np.array([-1.0, 2.0]))
    target.touch()
    target.chmod(0o6755)
    assert run("apply", source, target).returncode == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o755


@needs_root
@pytest.mark.parametrize("protected", ["file", "folder"])
def test_apply_refuses_what_is_write_protected(protected, shared):
    source, target = shared / "in.npy", shared / "out.npy"
    np.save(source, np.array([-1.0, 2.0]))
    source.chmod(0o644)
    target.write_bytes(b"from before")
    os.chown(target, ALICE, ALICE)
    if protected == "file":
        target.chmod(0o444)
    else:
        shared.chmod(0o755)
    done = run_after(become(ALICE), source, target)
    assert done.returncode == 2
    assert str(target).encode() in done.stderr
    assert b"must be writable" in done.stderr or protected == "file"
    assert target.read_bytes() == b"from before"
    assert sorted(shared.iterdir()) == [source, target]


@needs_root
def test_apply_says_what_cannot_be_replaced(shared):
    """Another user's file in a folder with the sticky bit may be written to, not renamed over."""
    source, target = shared / "in.npy", shared / "out.npy"
    np.save(source, np.array([-1.0, 2.0]))
    source.chmod(0o644)
    target.write_bytes(b"from before")
    os.chown(target, BOB, BOB)
    target.chmod(0o666)
    shared.chmod(0o1777)
    done = run_after(become(ALICE), source, target)
    assert done.returncode == 2
    assert b"cannot be replaced; write to another name" in done.stderr
    assert str(target).encode() in done.stderr
    assert target.read_bytes() == b"from before"
    assert sorted(shared.iterdir()) == [source, target]


def acl(*entries):
    """As the system stores it: tags, rights and ids."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 2**32 - 1
ALICE_READS = acl(
    (1, 6, NOBODY), (2, 4, ALICE), (4, 0, NOBODY), (0x10, 4, NOBODY), (0x20, 0, NOBODY)
)


def set_acl(path, name="system.posix_acl_access"):
    try:
        os.setxattr(path, name, ALICE_READS)
    except (AttributeError, OSError) as error:
        pytest.skip(f"no access-control lists here: {error}")


@pytest.fixture
def source_and_target(tmp_path):
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    np.save(source, np.array([-1.0, 2.0]))
    target.write_bytes(b"from before")
    target.chmod(0o640)
    return source, target


def test_apply_keeps_the_access_control_list(source_and_target):
    source, target = source_and_target
    set_acl(target)
    assert run("apply", source, target).returncode == 0
    assert os.getxattr(target, "system.posix_acl_access") == ALICE_READS


@pytest.mark.parametrize("refused", ["getxattr", "setxattr"])
def test_apply_closes_what_had_a_list_that_cannot_be_kept(refused, source_and_target):
    source, target = source_and_target
    set_acl(target)
    done = run_after(
        f"""
        def refuse(*arguments):
            raise PermissionError(1, "not allowed")
        os.{refused} = refuse
        """,
        source,
        target,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_apply_takes_no_list_from_the_folder(source_and_target):
    source, target = source_and_target
    set_acl(target.parent, "system.posix_acl_default")
    assert run("apply", source, target).returncode == 0
    assert "system.posix_acl_access" not in os.listxattr(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_apply_keeps_attributes(source_and_target):
    source, target = source_and_target
    try:
        os.setxattr(target, "user.note", b"mine")
    except (AttributeError, OSError) as error:
        pytest.skip(f"no attributes here: {error}")
    assert run("apply", source, target).returncode == 0
    assert os.getxattr(target, "user.note") == b"mine"


@posix_only
@pytest.mark.parametrize("swapped", ["beside", "target"])
def test_apply_is_not_led_to_another_file(swapped, shared):
    """Somebody who may write to the folder puts a link in place of a file."""
    source, target, key = (shared / name for name in ("in.npy", "out.npy", "key"))
    np.save(source, np.array([-1.0, 2.0]))
    key.write_bytes(b"secret")
    key.chmod(0o600)
    target.write_bytes(b"from before")
    target.chmod(0o666)
    done = run_after(
        f"""
        transform = apply.transform
        def swap(*arguments):
            transform(*arguments)
            (name,) = [n for n in os.listdir() if n not in ("in.npy", "key", "out.npy")]
            name = name if {swapped == "beside"} else "out.npy"
            os.unlink(name)
            os.symlink("key", name)
        apply.transform = swap
        """,
        source,
        target,
        cwd=shared,
    )
    assert done.returncode == 2
    assert b"another process" in done.stderr
    assert key.read_bytes() == b"secret"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    if swapped == "beside":
        assert target.read_bytes() == b"from before"
        assert sorted(shared.iterdir()) == [source, key, target]


@posix_only
def test_apply_leaves_other_names_of_the_file_alone(source_and_target):
    source, target = source_and_target
    other = target.with_name("other.npy")
    os.link(target, other)
    assert run("apply", source, target).returncode == 0
    assert other.read_bytes() == b"from before"
    assert np.load(target).tolist() == [0.0, 2.0]


def pieces(content, sizes):
    for size in sizes:
        yield content[:size]
        content = content[size:]
    yield content


@posix_only
@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("raw", [True, False])
def test_apply_reads_pipes_that_give_little_at_a_time(raw, blocking, rng, tmp_path):
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    x = new("f", 1001, rng).astype(">f4")
    file = io.BytesIO()
    np.save(file, x)
    content = x.tobytes() if raw else file.getvalue()
    ours, theirs = os.pipe()
    os.set_blocking(ours, blocking)
    # With --dtype, what begins as no .npy file does is raw, and its first number negative.
    command = [sys.executable, "-m", "relu_ext", "apply", "--dtype", ">f4", "-", tmp_path / "out"]
    with subprocess.Popen(command, stdin=ours, stderr=subprocess.PIPE) as process:
        for piece in pieces(content, [1, 2, 2, 4, 100, 1001]):
            os.write(theirs, piece)
            # Until the command has read it, and has had time to ask for more.
            wait(process, lambda: not any(fcntl.ioctl(ours, termios.FIONREAD, bytes(4))))
            time.sleep(0.01)
        os.close(theirs)
        os.close(ours)
        assert process.communicate()[1] == b""
    assert process.returncode == 0
    found = np.fromfile(tmp_path / "out", ">f4") if raw else np.load(tmp_path / "out")
    assert_same_bits(found, reference.relu(x))


def test_apply_takes_no_pipe_for_two(tmp_path):
    """Of which either would have a part."""
    line = "head -c 4194304 /dev/zero | $apply --dtype f4 --gradient /dev/stdin - out"
    done = run_shell(line, tmp_path)
    assert done.returncode == 2
    assert b"are one pipe" in done.stderr
    assert not any(tmp_path.iterdir())


@posix_only
def test_apply_writes_to_what_does_not_block(rng, tmp_path):
    x = new("f", LONG, rng)
    np.save(tmp_path / "in.npy", x)
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    command = [sys.executable, "-m", "relu_ext", "apply", tmp_path / "in.npy", "-"]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE) as process:
        os.close(theirs)
        with open(ours, "rb") as file:
            found = np.load(io.BytesIO(file.read()))
        assert process.communicate()[1] == b""
    assert_same_bits(found, reference.relu(x))


@pytest.mark.parametrize(
    "line",
    [
        "$apply in.npy /dev/stdout >> log",
        "$apply in.npy /dev/fd/7 7>> log",
        "ln -s /dev/fd/7 link && $apply in.npy link 7>> log",
        "ln -s /dev/stdout a && ln -s a b && $apply in.npy b >> log",
        "$apply in.npy /dev/stdout | cat >> log",
        "$apply in.npy >(cat >> log); wait $!",
        "$apply in.npy - >> log",
    ],
)
def test_apply_writes_to_descriptors_as_they_are(line, tmp_path):
    np.save(tmp_path / "in.npy", np.array([-1.0, 2.0]))
    (tmp_path / "log").write_bytes(b"before\n")
    done = run_shell(line, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    before, _, after = (tmp_path / "log").read_bytes().partition(b"\n")
    assert before == b"before"
    assert np.load(io.BytesIO(after)).tolist() == [0.0, 2.0]


def test_apply_reads_no_file_that_it_appends_to(tmp_path):
    np.save(tmp_path / "in.npy", np.array([-1.0, 2.0]))
    before = (tmp_path / "in.npy").read_bytes()
    done = run_shell("$apply in.npy - >> in.npy", tmp_path)
    assert done.returncode == 2
    assert b"still to be read" in done.stderr
    assert (tmp_path / "in.npy").read_bytes() == before


@posix_only
@pytest.mark.parametrize("to", ["link.npy", "missing.npy", "missing/out.npy"])
def test_apply_refuses_links_that_lead_nowhere(to, tmp_path):
    source, link = tmp_path / "in.npy", tmp_path / "link.npy"
    np.save(source, np.array([-1.0, 2.0]))
    link.symlink_to(to)
    assert_refused(done := run("apply", source, link))
    assert str(link) in done.stderr
    assert sorted(tmp_path.iterdir()) == [source, link]
    assert os.readlink(link) == to


def header(shape="(2,)", descr="'<f4'", order="False"):
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


SHAPES = ["(True, 4)", "(False,)", "(-1,)", "(-2, -2)", f"({2**61},)", f"({2**62},)", f"({2**64},)"]
SHAPES += [f"({2**31}, {2**31})", f"(0, {2**62}, {2**62})", "(1,) * 65", f"({'1, ' * 65})"]
SHAPES += ["(2.0,)", "2", "[2]", "(None,)", "('2',)", "(2, [])", "2,", f"({'9' * 5000},)"]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape[:30])
@pytest.mark.parametrize("piped", [False, True])
def test_apply_refuses_headers_that_numpy_refuses(shape, piped, tmp_path):
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    source.write_bytes(header(shape) + bytes(16))
    try:
        accepted = np.load(source).size * 4 == 16
    except Exception:
        accepted = False
    assert not accepted or shape == "(-1,)"  # of which NumPy 2.0 makes what there is
    if piped:
        with subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import shutil, sys; shutil.copyfileobj("
                "open(sys.argv[1], 'rb'), sys.stdout.buffer)",
                source,
            ],
            stdout=subprocess.PIPE,
        ) as process:
            done = run("apply", "-", target, stdin=process.stdout)
    else:
        done = run("apply", source, target)
    assert_refused(done)
    assert list(tmp_path.iterdir()) == [source]


DESCRS = ["'<f4'", "'>f4'", "'f'", "'2f4'", "'f4,f4'", "('<f4', (2,))", "('<f4', ())"]
DESCRS += ["('<f4', 1)", "[]", "[('', '<f4')]", "()", "None", "''", "'<f3'", "'|O'", "'V4'"]
DESCRS += ["'|V0'", "'S0'", "'T'", "'M8[s]'", "'c8'", "1", "True", "b'<f4'", "'<f4' ''"]
LOADED = ["(2,)", "()", "(1, 2)", "(2L,)", "(0x2,)", "(+2,)", "(2 ,)"]
CHANGES = st.tuples(st.integers(0, 99), st.sampled_from(b"019(){}[]',L#\\-\0\xff "))


@hypothesis.given(
    st.sampled_from(SHAPES + LOADED * 5),
    st.sampled_from(DESCRS + ["'<f4'"] * len(DESCRS)),
    st.sampled_from(["False"] * 6 + ["True", "0", "None"]),
    st.sampled_from([1, 2, 3]),
    st.just([]) | st.lists(CHANGES, max_size=2),
)
def test_apply_accepts_no_header_that_numpy_refuses(shape, descr, order, version, changes):
    text = bytearray(header(shape, descr, order)[10:])
    for place, byte in changes:
        text[place % len(text)] = byte
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = os.path.join(folder, "x.npy")
        for size in (0, 4, 8, 16):
            content = b"\x93NUMPY" + bytes([version, 0]) + length + text + bytes(size)
            Path(path).write_bytes(content)
            try:
                with Source(path, None) as source:
                    apply.check_operands([source])
            except (TypeError, ValueError):
                continue
            x = np.load(path)
            assert (x.shape, x.dtype, x.nbytes) == (source.shape, source.dtype, size)


@pytest.mark.parametrize("change", [(b"(2,)", b"(2L,)"), (b"\n", b"#\xff\n")])
def test_apply_refuses_what_no_version_3_has(change, tmp_path):
    """The forms of Python 2, and what is no UTF-8."""
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    text = header()[10:].replace(*change)
    content = struct.pack("<I", len(text)) + text + bytes(8)
    source.write_bytes(b"\x93NUMPY\2\0" + content)
    assert run("apply", source, target).returncode == 0
    target.unlink()
    source.write_bytes(b"\x93NUMPY\3\0" + content)
    with pytest.raises(ValueError):
        np.load(source)
    assert_refused(run("apply", source, target))


@pytest.mark.parametrize("text", ["(2L,)", "(1L, 2L)"])
def test_apply_reads_headers_of_python_2_without_a_word(text, tmp_path):
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    source.write_bytes(header(text) + np.array([-1, 2], "f4").tobytes())
    done = run("apply", source, target)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert target.read_bytes() == header(text) + np.array([0, 2], "f4").tobytes()


@pytest.mark.parametrize(
    "line, code",
    [
        ("$apply missing.npy - 2>&-", 2),
        ("$apply --no-such-option 2>&-", 2),
        ("$apply - - 0<&- 2>&-", 2),
        ("$apply - out.npy 0<&-", 2),
        ("$apply --gradient - in.npy out.npy 0<&-", 2),
        ("$apply --dtype f8 - out.npy 0<&-", 2),
        ("$apply in.npy - >&-", 2),
        ("$apply in.npy /dev/stdout >&-", 2),
        ("$apply in.npy out.npy 0<&- >&- 2>&-", 0),
        pytest.param(
            "$apply missing.npy - 2>/dev/full",
            2,
            marks=pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device"),
        ),
    ],
)
def test_apply_with_standard_files_closed(line, code, tmp_path):
    """No message is in the data, and no other file is taken for them."""
    np.save(tmp_path / "in.npy", np.array([-1.0, 2.0]))
    before = (tmp_path / "in.npy").read_bytes()
    done = run_shell(line, tmp_path)
    assert (done.returncode, done.stdout) == (code, b"")
    assert b"Traceback" not in done.stderr
    assert (tmp_path / "in.npy").read_bytes() == before
    assert (tmp_path / "out.npy").exists() == (code == 0)


@posix_only
def test_apply_has_no_file_where_the_standard_error_was(tmp_path):
    """What libraries write there is not in the data."""
    path = tmp_path / "x.npy"
    np.save(path, np.array([-1.0, 2.0]))
    size = path.stat().st_size
    done = run_after(
        """
        transform = apply.transform
        def warn(*arguments):
            transform(*arguments)
            try:
                os.write(2, b"warning")
            except OSError:
                pass
        apply.transform = warn
        """,
        "--in-place",
        path,
        preexec_fn=lambda: os.closerange(1, 3),
    )
    assert done.returncode == 0
    assert np.load(path).tolist() == [0.0, 2.0]
    assert path.stat().st_size == size


@needs_signals
@pytest.mark.parametrize("moment", ["before", "after"])
def test_apply_interrupted_around_the_renaming_tells_the_truth(moment, source_and_target):
    source, target = source_and_target
    done = run_after(
        f"""
        import signal
        replace = os.replace
        def interrupted(*arguments, **options):
            if {moment == "after"}:
                replace(*arguments, **options)
            os.kill(os.getpid(), signal.SIGINT)
        os.replace = interrupted
        """,
        source,
        target,
    )
    assert done.returncode == -signal.SIGINT
    state = "complete" if moment == "after" else "as it was"
    assert done.stderr.decode() == f"relu-ext: interrupted; {target} is {state}\n"
    if moment == "after":
        assert np.load(target).tolist() == [0.0, 2.0]
    else:
        assert target.read_bytes() == b"from before"
    assert sorted(target.parent.iterdir()) == [source, target]


@needs_signals
@pytest.mark.parametrize("name", ["out.npy", "\N{SNOWMAN}" * 80])
def test_apply_killed_leaves_a_name_that_tells(name, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "relu_ext", "apply", "--dtype", "f4", "-", tmp_path / name],
        stdin=subprocess.PIPE,
    ) as process:
        process.stdin.write(bytes(2**20))
        process.stdin.flush()
        wait(process, lambda: any(tmp_path.iterdir()))
        process.kill()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(f".{name[:50]}.relu-ext-")


@pytest.mark.parametrize("piped", [False, True])
def test_apply_says_what_an_array_of_objects_is(piped, tmp_path):
    """Its length is not what the header says, as what follows is a pickle."""
    objects(tmp_path / "in.npy")
    with open(tmp_path / "in.npy", "rb") as file:
        done = run("apply", "-" if piped else file.name, tmp_path / "out.npy", stdin=file)
    assert_refused(done)
    assert "it holds objects" in done.stderr and "damaged" not in done.stderr


def test_apply_in_place_says_that_there_is_no_out(tmp_path):
    np.save(tmp_path / "x.npy", -np.ones(3))
    assert_refused(done := run("apply", "--in-place", "x.npy", "y.npy", cwd=tmp_path))
    assert "there is no y.npy" in done.stderr and "every file is an IN" in done.stderr
    assert np.load(tmp_path / "x.npy").tolist() == [-1.0] * 3


@pytest.mark.parametrize(
    "arguments", [["apply", "--inplace", "x.npy"], ["plot", "--rnage", "1", "2"], ["info", "x"]]
)
def test_usage_is_that_of_the_command(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: relu-ext {arguments[0]} ")
    assert f"unrecognized arguments: {arguments[1]}" in done.stderr


def test_info():
    done = run("info")
    assert (done.returncode, done.stderr) == (0, "")
    for word in (relu_ext.__version__, np.__version__, relu_ext.isa(), "MiB"):
        assert word in done.stdout

    environment = os.environ | {"RELU_EXT_NUM_THREADS": "1", "RELU_EXT_OUTPUT_CACHE": "40M"}
    environment.pop("OMP_NUM_THREADS", None)
    done = run("info", "--json", env=environment)
    found = json.loads(done.stdout)
    assert found["threads"]["asked for"] == found["threads"]["in effect"] == 1
    assert found["environment"]["RELU_EXT_OUTPUT_CACHE"] == "40M"
    assert "OMP_NUM_THREADS" not in found["environment"]
    assert found["thresholds"]["output cache up to"] == "40 MiB"


def without(module):
    """Code that runs the command as if the module were not installed."""
    return (
        f"import sys; sys.modules[{module!r}] = None; from relu_ext.__main__ import main; "
        "sys.exit(main(sys.argv[1:]))"
    )


def test_apply_without_tqdm(tmp_path):
    np.save(tmp_path / "x.npy", -np.ones(3))
    command = [sys.executable, "-c", without("tqdm"), "apply", "--in-place", tmp_path / "x.npy"]
    assert subprocess.run(command).returncode == 0
    assert not np.load(tmp_path / "x.npy").any()


def test_plot_without_matplotlib(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", without("matplotlib"), "plot", "-o", tmp_path / "relu.png"],
        capture_output=True,
        text=True,
    )
    assert_refused(done)
    assert "pip install matplotlib" in done.stderr
    assert not any(tmp_path.iterdir())


def no_display(tmp_path, **variables):
    names = ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")
    rest = {name: value for name, value in os.environ.items() if name not in names}
    return rest | {"MPLCONFIGDIR": str(tmp_path / "matplotlib")} | variables


@pytest.mark.parametrize("options", [[], ["--range", "-1", "0.5"], ["--range", "2", "3"]])
def test_plot(options, tmp_path):
    pytest.importorskip("matplotlib")
    Image = pytest.importorskip("PIL.Image")
    path = tmp_path / "relu.png"
    done = run("plot", "--family", *options, "-o", path, env=no_display(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(path) as image:
        assert image.size == (1200, 900)
        colours = image.convert("RGB").getcolors(maxcolors=2**24)
    assert any(count > 1000 and colour == (0xD5, 0x5E, 0x00) for count, colour in colours)


def test_plot_draws_the_derivative_at_0():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    plot.draw(figure, -5, 10, plot.family(False))
    _, derivative = figure.axes
    line, *dots = [
        line
        for line in derivative.lines
        if line.get_color() == "#D55E00" or line.get_marker() == "o"
    ]
    faces = {
        (float(dot.get_xdata()[0]), float(dot.get_ydata()[0])): dot.get_markerfacecolor()
        for dot in dots
    }
    assert faces == {(0.0, 0.0): "#D55E00", (0.0, 1.0): "white"}
    x, y = line.get_data()
    drawn = ~np.isnan(x)
    assert_same_bits(y[drawn], reference.relu_grad(np.ones(drawn.sum()), x[drawn]))
    assert drawn.sum() == len(x) - 1  # a gap, and no upright line


def test_plot_svg_is_the_same_every_time(tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        assert run("plot", "-o", tmp_path / name, env=no_display(tmp_path)).returncode == 0
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is a display")
def test_plot_without_a_display(tmp_path):
    pytest.importorskip("matplotlib")
    environment = no_display(tmp_path)
    done = run("plot", cwd=tmp_path, env=environment)
    assert (done.returncode, done.stdout) == (0, "relu.png\n")
    assert (tmp_path / "relu.png").exists()
    assert_refused(run("plot", "--show", "-o", "other.png", cwd=tmp_path, env=environment))
    assert not (tmp_path / "other.png").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is a display")
def test_plot_opens_a_window(tmp_path):
    """By a backend that has windows in name only."""
    pytest.importorskip("matplotlib")
    (tmp_path / "windows.py").write_text(
        "from matplotlib.backends.backend_agg import FigureCanvasAgg\n"
        "class FigureCanvas(FigureCanvasAgg):\n"
        "    required_interactive_framework = 'headless'\n"
        "def show(*, block=None):\n"
        "    print('shown')\n"
    )
    environment = no_display(tmp_path, MPLBACKEND="module://windows", PYTHONPATH=str(tmp_path))
    done = run("plot", cwd=tmp_path, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "shown\n", "")
    assert not (tmp_path / "relu.png").exists()
    done = run("plot", "--show", "-o", "relu.svg", cwd=tmp_path, env=environment)
    assert done.stdout == "relu.svg\nshown\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["plot", "--range", "1", "1"],
        ["plot", "--range", "nan", "1"],
        ["plot", "-o", "relu.txt"],
        ["apply", "--dtype", "float33", "in.bin", "out.bin"],
        ["apply", "--dtype", "S", "in.bin", "out.bin"],
        ["apply", "--in-place", "--gradient", "dy.npy", "x.npy"],
        ["apply", "--gradient", "dy.npy", "x.npy", "y.npy", "./"],
        ["apply", "--gradient", "-", "-", "dx.npy"],
    ],
)
def test_more_usage_errors(arguments, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "usage" in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["apply", "plot", "info", "config"])
def test_help_has_examples(command):
    done = run(command, "--help")
    assert done.returncode == 0
    assert "example" in done.stdout and f"relu-ext {command}" in done.stdout
    assert "\x1b" not in done.stdout
