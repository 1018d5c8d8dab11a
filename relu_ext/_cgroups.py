"""What the control groups of this process allow it (Linux)."""

import os
import sys

from relu_ext._system import ask

_GROUPS = "/proc/self/cgroup" if sys.platform.startswith("linux") else None


def limits(controller, version_2, version_1, proc=_GROUPS, root="/sys/fs/cgroup"):
    """What is in a controller's files, for the group of this process and each one above it.

    A limit of any of them holds. In a container the path may be the host's, of which
    only the root can be seen.

    Parameters
    ----------
    controller : str
        ``"cpu"``, ``"memory"``, ...
    version_2, version_1 : tuple of str
        The names of its files in the two versions of control groups.

    Yields
    ------
    list of str
        The words of all the files of one group. Groups without these files, or whose files
        cannot be read, are left out.
    """
    for controllers, path in (proc and ask("control groups", _groups, proc)) or ():
        if controllers == "":  # version 2
            base, names = root, version_2
        elif controller in controllers.split(","):
            base, names = os.path.join(root, controllers), version_1
        else:
            continue
        while True:
            folder = os.path.join(base, path)
            if fields := ask(f"{controller} limits of the control group", _words, folder, names):
                yield fields
            if path == "":
                break
            path = os.path.dirname(path)


def _groups(proc):
    with open(proc, errors="surrogateescape") as file:
        groups = [line.rstrip("\n").split(":", 2) for line in file]
    return [(controllers, path.strip("/")) for _, controllers, path in groups]


def _words(folder, names):
    words = []
    try:
        for name in names:
            with open(os.path.join(folder, name), errors="surrogateescape") as file:
                words += file.read().split()
    except FileNotFoundError:
        return []
    return words
