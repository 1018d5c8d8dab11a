# Builds cython_example.pyx; needs no kernels compiled or linked, only the header:
#
#     $ python cython_setup.py build_ext --inplace
from setuptools import Extension, setup

import relu_ext

setup(
    name="cython_example",
    ext_modules=[
        Extension("cython_example", ["cython_example.pyx"], include_dirs=[relu_ext.get_include()])
    ],
)
