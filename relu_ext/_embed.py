"""Where the C sources are, for those who compile or include them."""

import os


def get_include():
    """The directory of the C headers and sources.

    Returns
    -------
    str
        A directory with ``relu_ext.h``, ``relu_ext_capi.h`` and the files that
        `get_sources` names; give it to the compiler with ``-I``.
    """
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "include")


def get_sources():
    """The C files that make the kernels of ``relu_ext.h``.

    Returns
    -------
    list of str
        Paths, for the sources of an extension. They need the directory of
        `get_include`, no option but ``-O3``, and no Python.
    """
    return [os.path.join(get_include(), "relu_ext.c")]
