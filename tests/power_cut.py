"""
What the disk holds of the results of ``relu-ext apply`` when the power is cut.

    python tests/power_cut.py [SECONDS...]     after the command's end; 0, 7 and 20

The disk is an image with a file system, mounted. A copy of the image while it is mounted is
what a cut leaves: what the system has not written is not in it. The copy is mounted in its
turn, so that the journal is replayed. Takes root and loop devices.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

LENGTH = 2**20


def unavailable():
    """Why it cannot be tried here, or None."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "mounting takes root"
    for program in ("mkfs.ext4", "mount", "umount"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            with mounted(make_image(Path(folder))):
                return None
        except subprocess.CalledProcessError as error:
            return f"there are no loop devices: {error.stderr.strip()}"


def make_image(folder):
    image = folder / "disk"
    with open(image, "wb") as file:
        file.truncate(2**26)
    call("mkfs.ext4", "-q", "-F", image)
    return image


def call(*command):
    subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)


@contextlib.contextmanager
def mounted(image):
    with tempfile.TemporaryDirectory() as folder:
        call("mount", "-o", "loop", image, folder)
        try:
            yield Path(folder)
        finally:
            call("umount", folder)


def cut(seconds):
    """For each wait, what is wrong with each file: a dict of sentences."""
    x = np.linspace(-1, 1, LENGTH, dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        with mounted(make_image(folder)) as disk:
            for name in ("replaced.npy", "overwritten.npy"):
                np.save(disk / name, x)
            os.sync()
            for arguments in (
                [disk / "replaced.npy", disk / "replaced.npy"],
                [disk / "replaced.npy", disk / "new.npy"],
                ["--in-place", disk / "overwritten.npy"],
            ):
                call(sys.executable, "-m", "relu_ext", "apply", *arguments)
            end = time.monotonic()
            for after in seconds:
                time.sleep(max(0, end + after - time.monotonic()))
                call("cp", "--sparse=always", folder / "disk", folder / f"copy-{after}")
        found = {}
        for after in seconds:
            with mounted(folder / f"copy-{after}") as disk:
                for name in ("replaced.npy", "new.npy", "overwritten.npy"):
                    found[after, name] = describe(disk / name, x)
    return found


def describe(path, x):
    if not path.exists():
        return "not there"
    data = path.read_bytes()
    if not any(data):
        return f"{len(data)} zero bytes"
    y = np.load(path)
    for name, content in ("the result", np.maximum(x, 0)), ("the old content", x):
        if np.array_equal(y, content):
            return name
    return "neither the result nor the old content"


def main():
    if problem := unavailable():
        sys.exit(f"cannot be tried here: {problem}")
    found = cut([float(text) for text in sys.argv[1:]] or [0.0, 7.0, 20.0])
    for (after, name), what in found.items():
        print(f"{after:4g} s later, {name}: {what}")
    return int(set(found.values()) != {"the result"})


if __name__ == "__main__":
    sys.exit(main())
