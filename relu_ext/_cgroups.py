"""What the control groups of this process allow it (Linux)."""

import contextlib
import os


def limits(controller, version_2, version_1, proc="/proc/self/cgroup", root="/sys/fs/cgroup"):
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
        The words of all the files of one group. Groups without these files are left out.
    """
    try:
        with open(proc, errors="surrogateescape") as file:
            groups = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return
    for _, controllers, path in groups:
        if controllers == "":  # version 2
            base, names = root, version_2
        elif controller in controllers.split(","):
            base, names = os.path.join(root, controllers), version_1
        else:
            continue
        while True:
            with contextlib.suppress(OSError):
                fields = []
                for name in names:
                    with open(os.path.join(base, path.lstrip("/"), name)) as file:
                        fields += file.read().split()
                yield fields
            if path in ("", "/"):
                break
            path = os.path.dirname(path)
