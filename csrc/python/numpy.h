/* Python's and NumPy's headers, as each file that uses them must include them. */
#ifndef RELU_EXT_NUMPY_H
#define RELU_EXT_NUMPY_H

#include <Python.h>

#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION

/* One file imports NumPy's function table, the others share it. */
#define PY_ARRAY_UNIQUE_SYMBOL relu_ext_array_api
#define PY_UFUNC_UNIQUE_SYMBOL relu_ext_ufunc_api
#ifndef RELU_EXT_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#define NO_IMPORT_UFUNC
#endif
#include <numpy/arrayobject.h>
#include <numpy/ufuncobject.h>

/*
 * Lets go of the GIL for a call that works on so many bytes, if that is worth more to other threads
 * than it costs. What comes back is for relu_ext_acquire_gil.
 */
static inline PyThreadState *relu_ext_release_gil(size_t bytes)
{
    return bytes > (size_t)64 << 10 ? PyEval_SaveThread() : NULL;
}

static inline void relu_ext_acquire_gil(PyThreadState *thread)
{
    if (thread != NULL)
        PyEval_RestoreThread(thread);
}

/*
 * For a new object that is never freed and that calls on every thread use. Threads of a
 * free-threaded interpreter would wait for one another to count their references to it, for longer
 * than a small call takes.
 */
static inline void relu_ext_share_among_threads(PyObject *object)
{
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030F0000
    PyUnstable_SetImmortal(object);
#elif defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000
    /* From 3.14.7 on it takes one that the garbage collector knows, as NumPy's ufuncs are not. */
    if (PyObject_IS_GC(object) && !PyObject_GC_IsTracked(object))
        PyObject_GC_Track(object);
    PyUnstable_Object_EnableDeferredRefcount(object);
#else
    (void)object;
#endif
}

#endif
