# cython: language_level=3
from relu_ext cimport relu_ext_import, relu_f32

relu_ext_import()  # once, before any kernel is called; without it they crash


def relu_inplace(float[::1] x):
    if x.shape[0] == 0:
        return  # there is no x[0] whose address could be taken
    with nogil:
        relu_f32(&x[0], &x[0], x.shape[0])
