// A pybind11 module with the kernels borrowed from the relu_ext that Python has installed.
//
//     $ flags="-O2 -std=c++17 -shared -fPIC $(relu-ext config --includes)"
//     $ c++ $flags $(python -m pybind11 --includes) borrowed.cpp -o borrowed.so
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "relu_ext_capi.h"

namespace py = pybind11;

static void relu_inplace(py::array_t<float, py::array::c_style> x)
{
    float *data = x.mutable_data(); // throws if x is read-only
    const auto n = static_cast<size_t>(x.size());
    py::gil_scoped_release released; // the kernels touch nothing of Python's
    relu_f32(data, data, n);
}

PYBIND11_MODULE(borrowed, module)
{
    // Once, before any kernel is called.
    if (relu_ext_import() < 0)
        throw py::error_already_set();
    // noconvert: else another dtype or order would be copied, and the result lost with the copy.
    module.def("relu_inplace", &relu_inplace, py::arg("x").noconvert());
}
