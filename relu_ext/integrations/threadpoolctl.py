"""Lets threadpoolctl see and limit the threads of relu_ext.

Importing this is all. ``import relu_ext`` does it where threadpoolctl is imported already.
"""

import threadpoolctl

import relu_ext
from relu_ext._threads import get_num_threads, set_num_threads


class ReluExtController(threadpoolctl.LibController):
    """The threads of relu_ext, found by the name of its extension module."""

    user_api = "relu_ext"
    internal_api = "relu_ext"
    filename_prefixes = ("_relu_ext.",)

    def get_num_threads(self):
        return get_num_threads()

    def set_num_threads(self, num_threads):
        set_num_threads(num_threads)

    def get_version(self):
        return relu_ext.__version__


threadpoolctl.register(ReluExtController)
