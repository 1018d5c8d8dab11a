"""The C library from C: what tests/native/run.py builds and runs, where it takes seconds."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "native" / "run.py"


def load():
    spec = importlib.util.spec_from_file_location("native_run", RUN)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


native = load()


def run(*arguments):
    return subprocess.run(
        [sys.executable, RUN, *arguments], capture_output=True, text=True, timeout=300
    )


def need(name):
    for tool in native.CONFIGURATIONS[name].tools:
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")


@pytest.mark.parametrize("name", ["gcc", "clang", "threads"])
def test_passes(name):
    need(name)
    done = run("--quick", "--require", name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "elements compared" in done.stdout


def test_catches_a_fault():
    need("gcc")
    done = run("--quick", "--broken", "gcc")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "caught the fault" in done.stdout


@pytest.mark.parametrize("name", native.CONFIGURATIONS)
def test_the_fault_is_one_of_the_sources_as_they_are(name, tmp_path):
    native.broken(native.CONFIGURATIONS[name].fault, tmp_path / "csrc")


def test_a_missing_tool():
    """Said in any case; a failure where it is required."""
    for required, status in (([], 0), (["--require"], 1)):
        done = subprocess.run(
            [sys.executable, RUN, *required, "s390x"],
            env={"PATH": ""},
            capture_output=True,
            text=True,
        )
        assert done.returncode == status
        assert "not run: s390x-linux-gnu-gcc, qemu-s390x not installed" in done.stdout


def test_an_unknown_name():
    done = run("no-such-name")
    assert done.returncode == 2
    assert "no such name: no-such-name; --list lists them" in done.stderr
