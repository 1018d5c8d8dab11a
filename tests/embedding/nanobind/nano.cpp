#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "relu_ext_capi.h"

namespace nb = nanobind;

static void relu_inplace(nb::ndarray<float, nb::c_contig, nb::device::cpu> x)
{
    nb::gil_scoped_release released;
    relu_f32(x.data(), x.data(), x.size());
}

NB_MODULE(nano, module)
{
    if (relu_ext_import() < 0)
        throw nb::python_error();
    module.def("relu_inplace", &relu_inplace, nb::arg("x").noconvert());
}
