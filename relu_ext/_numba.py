"""Numba calls `register` by itself, through the entry point ``numba_extensions``."""


def register():
    """Let compiled functions call what ``relu_ext.lib`` has, and use ``relu_ext.ffi``."""
    from numba.core.typing import cffi_utils

    from relu_ext import _relu_ext

    cffi_utils.register_module(_relu_ext)
