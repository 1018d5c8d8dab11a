import sysconfig

from setuptools import setup

setup(
    cffi_modules=["relu_ext/_build.py:ffibuilder"],
    options=(
        {}
        if sysconfig.get_config_var("Py_GIL_DISABLED")
        else {"bdist_wheel": {"py_limited_api": "cp310"}}
    ),
)
