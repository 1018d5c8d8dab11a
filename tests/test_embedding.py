"""
The kernels in other people's programs: every road there is, travelled.

The files in tests/embedding are the examples that csrc/README.md shows. What builds one stands
in its comments, after a "$", and is run from there.
"""

import ctypes
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import reference
from arrays import address, assert_same_bits, samples
from test_kernels import arguments_of, inputs_of, oracle, parameters

import relu_ext
from relu_ext import ffi, lib

EXAMPLES = Path(__file__).parent / "embedding"
INCLUDE = Path(relu_ext.get_include())
PACKAGE = Path(relu_ext.__file__).parent
PYTHON_INCLUDE = Path(sysconfig.get_path("include"))

# The commands of this interpreter's environment come first. Flags that are meant for
# relu_ext's own build, such as warnings as errors, are not for what Cython writes.
OTHERS_FLAGS = ("CC", "CXX", "LDSHARED", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in OTHERS_FLAGS}
ENVIRONMENT["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])

COMPILERS = {
    "c": [name for name in ("gcc", "clang") if shutil.which(name)],
    "c++": [name for name in ("g++", "clang++") if shutil.which(name)],
}
STRICT = "-O3 -Wall -Wextra -Wpedantic -Wconversion -Werror".split()
STRICT_C = ["-std=c11", *STRICT]
# Where names are asked for, which no optimization changes; without any, GCC's own headers warn.
QUICK_C = [*STRICT_C, "-O1"]

# No Python in what is built: neither the interpreter nor how relu_ext is built matters to it.
plain_c = pytest.mark.plain_c
each_c_compiler = pytest.mark.parametrize("compiler", COMPILERS["c"])


def need(*commands, modules=()):
    """Skip the test where one of these is missing; Python.h goes by the commands."""
    for name in commands:
        header, command = PYTHON_INCLUDE / name, shutil.which(name, path=ENVIRONMENT["PATH"])
        if not (header.exists() if name == "Python.h" else command):
            pytest.skip(f"{name} is not installed")
    for name in modules:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the Python package {name} is not installed")


def run(command, folder, **environment):
    """The output of a command, which has to succeed."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.args}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def shell(script, folder, **environment):
    return run(["sh", "-ec", script], folder, **environment)


def python(code, folder):
    return run([sys.executable, "-c", code], folder)


def config(*options):
    return run([sys.executable, "-m", "relu_ext", "config", *options], None).rstrip("\n")


def scripts(example):
    """What to type, out of an example's comments: the lines after "$ ", by paragraph."""
    paragraphs = re.split(r"\n[ *#/]*\n", (EXAMPLES / example).read_text())
    lines = [re.findall(r"^[ \t*#/]*\$ (.*)$", p, re.MULTILINE) for p in paragraphs]
    return ["\n".join(typed) for typed in lines if typed]


def copy_examples(folder, *names):
    for name in names:
        shutil.copy(EXAMPLES / name, folder)


def float32(*shape):
    return samples("f32", int(np.prod(shape)), np.random.default_rng(shape)).reshape(shape)


def check_program(program):
    """It is to write the ReLU of what it reads."""
    for n in (0, 1, 31, 4096, 100_003):
        x = float32(n)
        done = subprocess.run([program], input=x.tobytes(), stdout=subprocess.PIPE, timeout=60)
        assert done.returncode == 0
        assert_same_bits(np.frombuffer(done.stdout, np.float32), reference.relu(x))


def check_module(folder, imports, statement, ndim=1):
    """
    In a fresh interpreter in that folder, after the imports, the statement is to make of
    an array x its ReLU.
    """
    xs = [float32(*[3] * (ndim - 1), n) for n in (0, 1, 31, 100_003)]
    np.savez(folder / "x.npz", *xs)
    code = f"""
import numpy as np
{imports}
results = []
with np.load("x.npz") as file:
    for x in file.values():
        {statement}
        results.append(x)
np.savez("y.npz", *results)
"""
    python(code, folder)
    with np.load(folder / "y.npz") as ys:
        for x, y in zip(xs, ys.values(), strict=True):
            assert_same_bits(y, reference.relu(x))


def symbols(path, *options):
    """The names that an object or a library defines for others."""
    need("nm")
    lines = run(["nm", "-P", "-g", "--defined-only", *options, path], None).splitlines()
    return {line.split()[0] for line in lines}


def prototypes(text):
    """The functions declared in the header's or the .pxd's manner: {name: prototype}."""
    declared = re.findall(
        r"^ *(?:RELU_EXT_API |cdef (?:inline )?)?"
        r"(\w[\w *]*?\b(\w+)\([^()]*\))(?:;| noexcept| except)",
        text,
        re.MULTILINE,
    )
    return {
        name: re.sub(r"\s+", " ", prototype).replace("( ", "(").replace("(void)", "()")
        for prototype, name in declared
    }


HEADER = (INCLUDE / "relu_ext.h").read_text()
CAPI_HEADER = (INCLUDE / "relu_ext_capi.h").read_text()
PROTOTYPES = prototypes(HEADER)
KERNELS = [name for name in PROTOTYPES if not name.startswith("relu_ext_")]
LENT = ["relu_ext_isa", "relu_ext_scale_shift", "relu_ext_scale_shift_relu", *KERNELS]


# Compiled in


@plain_c
@pytest.mark.parametrize("way", scripts("compiled_in.c"), ids=["relu-ext config", "pkg-config"])
def test_compiled_in(way, tmp_path):
    need("cc", "relu-ext", *(["pkg-config"] if "pkg-config" in way else []))
    copy_examples(tmp_path, "compiled_in.c")
    shell(way, tmp_path)
    check_program(tmp_path / "compiled_in")


@plain_c
def test_cmake(tmp_path):
    need("cc", "make", "cmake", "relu-ext")
    copy_examples(tmp_path, "CMakeLists.txt", "compiled_in.c")
    (script,) = scripts("CMakeLists.txt")
    shell(script, tmp_path)
    check_program(tmp_path / "build" / "compiled_in")


@plain_c
def test_cmake_on_a_checkout(tmp_path):
    """find_package where nothing was installed, and so no folder `include` made."""
    need("cc", "make", "cmake")
    checkout = tmp_path / "checkout"
    shutil.copytree(PACKAGE / "cmake", checkout / "relu_ext" / "cmake")
    shutil.copytree(INCLUDE, checkout / "csrc", ignore=shutil.ignore_patterns("python"))
    copy_examples(tmp_path, "CMakeLists.txt", "compiled_in.c")
    (script,) = scripts("CMakeLists.txt")
    script = script.replace("$(relu-ext config --cmakedir)", str(checkout / "relu_ext" / "cmake"))
    # No build type, as CMake does it where none is named.
    shell(script.replace("-DCMAKE_BUILD_TYPE=Release", ""), tmp_path)
    check_program(tmp_path / "build" / "compiled_in")


@plain_c
@pytest.mark.parametrize(
    "before, after, reason",
    [
        ("LANGUAGES C)", "LANGUAGES CXX)", "add C to the LANGUAGES of project"),
        ("relu_ext 0.1", "relu_ext 99", f"version: {relu_ext.__version__}"),
    ],
    ids=["no C", "version"],
)
def test_cmake_says_why_not(before, after, reason, tmp_path):
    need("cc", "c++", "make", "cmake")
    copy_examples(tmp_path, "compiled_in.c")
    text = (EXAMPLES / "CMakeLists.txt").read_text()
    assert before in text
    (tmp_path / "CMakeLists.txt").write_text(text.replace(before, after))
    # The prefix path, the other way to name the directory.
    command = ["cmake", "-S", ".", "-B", "build", f"-DCMAKE_PREFIX_PATH={config('--cmakedir')}"]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode != 0
    assert reason in " ".join(done.stderr.split())  # CMake breaks lines where it likes


@plain_c
def test_example_in_the_header(tmp_path):
    """It compiles, and the values in its comments are those that it computes."""
    need("cc")
    head = HEADER[: HEADER.index("*/")]
    example = re.findall(r"^ \*     ((?:const )?float .*|relu_.*;.*)$", head, re.MULTILINE)
    assert len(example) == 5
    lines = []
    for line in example:
        lines.append(line)
        if match := re.search(r"// (\w+) += (\{.*\})", line):
            name, values = match.groups()
            lines.append(f"{{ const float want[] = {values};")
            lines.append(f"  if (memcmp({name}, want, sizeof want) != 0) return 1; }}")
    assert len(lines) == 5 + 2 * 2
    body = "\n".join(lines)
    (tmp_path / "example.c").write_text(
        f'#include <string.h>\n#include "relu_ext.h"\nint main(void)\n{{\n{body}\nreturn 0;\n}}\n'
    )
    sources = relu_ext.get_sources()
    run(["cc", *STRICT_C, f"-I{INCLUDE}", "example.c", *sources, "-o", "example"], tmp_path)
    run([tmp_path / "example"], tmp_path)


# Borrowed at run time


@pytest.fixture(scope="module")
def borrowed(tmp_path_factory):
    """The directory where that module is built."""
    need("c++", "relu-ext", "Python.h", modules=["pybind11"])
    folder = tmp_path_factory.mktemp("borrowed")
    copy_examples(folder, "borrowed.cpp")
    (script,) = scripts("borrowed.cpp")
    shell(script, folder)
    return folder


def test_borrowed(borrowed):
    check_module(borrowed, "import borrowed", "borrowed.relu_inplace(x)")


def test_borrowed_in_place_or_not_at_all(borrowed):
    code = """
import numpy as np, borrowed
read_only = np.ones(3, np.float32)
read_only.flags.writeable = False
for x in (np.ones(3), np.ones((3, 3), np.float32).T[1:], read_only, [1.0]):
    try:
        borrowed.relu_inplace(x)
    except (TypeError, ValueError):
        continue
    raise AssertionError(x)
"""
    python(code, borrowed)


IMPORT_ERROR = """
import sys, types
{before}
try:
    import borrowed
except ImportError as error:  # pybind11's, that the import failed, because of ours
    assert isinstance(error.__cause__, ImportError)
    print(error.__cause__)
"""


@pytest.mark.parametrize(
    "before, reason",
    [
        ("sys.modules['relu_ext'] = None", "relu_ext"),
        ("sys.modules['relu_ext'] = types.ModuleType('relu_ext')", "relu_ext has no C API"),
    ],
    ids=["missing", "before the C API"],
)
def test_nothing_to_borrow(before, reason, borrowed):
    assert reason in python(IMPORT_ERROR.format(before=before), borrowed)


def test_borrowing_from_an_older_relu_ext(tmp_path):
    need("c++", "relu-ext", "Python.h", modules=["pybind11"])
    define = "#define RELU_EXT_CAPI_VERSION "
    now, later = max(CAPI), max(CAPI) + 1
    header = CAPI_HEADER.replace(f"{define}{now}\n", f"{define}{later}\n")
    assert header != CAPI_HEADER
    (tmp_path / "relu_ext_capi.h").write_text(header)
    copy_examples(tmp_path, "borrowed.cpp")
    (script,) = scripts("borrowed.cpp")
    # A quoted #include looks beside the file first.
    shell(script.replace("-O2", "-O0"), tmp_path)
    message = python(IMPORT_ERROR.format(before=""), tmp_path)
    assert f"needs version {later} of relu_ext's C API" in message
    assert f"installed has version {now}: upgrade relu_ext" in message


@pytest.mark.parametrize("failed", [False, True], ids=["not called", "failed"])
def test_borrowing_without_the_import(failed, tmp_path):
    """As where a module has two files, and only the first one imports."""
    need("c++", "relu-ext", "Python.h", modules=["pybind11"])
    code = (EXAMPLES / "borrowed.cpp").read_text()
    start = code.index("    if (relu_ext_import()")
    end = code.index("    // noconvert")
    instead = "    if (relu_ext_import() < 0) PyErr_Clear();\n" if failed else ""
    (tmp_path / "borrowed.cpp").write_text(code[:start] + instead + code[end:])
    shell(scripts("borrowed.cpp")[0].replace("-O2", "-O0"), tmp_path)
    program = """
import sys, types, numpy as np
sys.modules["relu_ext"] = types.ModuleType("relu_ext")
import borrowed
borrowed.relu_inplace(np.ones(3, np.float32))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True)
    assert done.returncode < 0
    assert b"has not called relu_ext_import()" in done.stderr, done.stderr


# What each version of the C API appended. Modules compiled long ago count on these places:
# a line here may be added, and none ever changed.
CAPI = {
    1: """
        isa
        relu_i8 relu_i16 relu_i32 relu_i64 relu_u8 relu_u16 relu_u32 relu_u64
        relu_f8e5m2 relu_f8e4m3fn relu_f16 relu_bf16 relu_f32 relu_f64 relu_longdouble
        relu_grad_f8e5m2 relu_grad_f8e4m3fn
        relu_grad_f16 relu_grad_bf16 relu_grad_f32 relu_grad_f64 relu_grad_longdouble
    """,
    2: """
        leaky_relu_f16 leaky_relu_bf16 leaky_relu_f32 leaky_relu_f64
        leaky_relu_grad_f16 leaky_relu_grad_bf16 leaky_relu_grad_f32 leaky_relu_grad_f64
        clipped_relu_i8 clipped_relu_i16 clipped_relu_i32 clipped_relu_i64
        clipped_relu_u8 clipped_relu_u16 clipped_relu_u32 clipped_relu_u64
        clipped_relu_f8e5m2 clipped_relu_f8e4m3fn
        clipped_relu_f16 clipped_relu_bf16 clipped_relu_f32 clipped_relu_f64
        clipped_relu_longdouble
        clipped_relu_grad_f8e5m2 clipped_relu_grad_f8e4m3fn
        clipped_relu_grad_f16 clipped_relu_grad_bf16 clipped_relu_grad_f32 clipped_relu_grad_f64
        clipped_relu_grad_longdouble
        add_relu_i8 add_relu_i16 add_relu_i32 add_relu_i64
        add_relu_u8 add_relu_u16 add_relu_u32 add_relu_u64
        add_relu_f16 add_relu_bf16 add_relu_f32 add_relu_f64
        relu_bits_f8e5m2 relu_bits_f8e4m3fn
        relu_bits_f16 relu_bits_bf16 relu_bits_f32 relu_bits_f64 relu_bits_longdouble
        relu_grad_bits_f8e5m2 relu_grad_bits_f8e4m3fn relu_grad_bits_f16
        relu_grad_bits_bf16 relu_grad_bits_f32 relu_grad_bits_f64 relu_grad_bits_longdouble
        scale_shift_relu
    """,
    3: "scale_shift",
}
CAPI_ENTRIES = " ".join(CAPI.values()).split()


def test_capi_entries_never_move():
    struct = re.search(r"typedef struct \{(.*)\} relu_ext_capi;", CAPI_HEADER, re.DOTALL)[1]
    assert re.findall(r"\(\*(\w+)\)\(", struct) == CAPI_ENTRIES
    version = re.search(r"#define RELU_EXT_CAPI_VERSION (\d+)", CAPI_HEADER)[1]
    assert int(version) == max(CAPI)
    assert set(CAPI_ENTRIES) == {"isa", "scale_shift", "scale_shift_relu", *KERNELS}


def capi_functions():
    """Their addresses, by place: {entry: address}."""
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype = ctypes.c_void_p
    get_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
    table = get_pointer(relu_ext._C_API, b"relu_ext._C_API")
    assert ctypes.c_uint.from_address(table).value == max(CAPI)
    first = table + ctypes.sizeof(ctypes.c_void_p)
    pointers = (ctypes.c_void_p * len(CAPI_ENTRIES)).from_address(first)
    return dict(zip(CAPI_ENTRIES, pointers))


def addresses_of_lent():
    functions = capi_functions()
    return [functions[name.removeprefix("relu_ext_")] for name in LENT]


def test_capsule(rng):
    """Called by place, not by name, each entry computes what the list says is there."""
    functions = capi_functions()
    isa = ctypes.CFUNCTYPE(ctypes.c_char_p)(functions.pop("isa"))
    assert isa().decode() == relu_ext.isa()
    for name, function in functions.items():
        operation, dtype = name.rsplit("_", 1)
        if name.startswith("scale_shift"):
            check_scale_shift(function, name)
        elif operation.endswith("_bits"):
            check_bits(function, operation, dtype, rng)
        else:
            inputs = [samples(dtype, 1001, rng) for _ in range(inputs_of(operation, dtype))]
            call = ffi.cast(ffi.typeof(getattr(lib, name)), function)
            out = np.empty_like(inputs[0])
            given = [
                ffi.cast(ffi.getctype(arguments_of(operation, dtype)[-1], "*"), address(p))[0]
                for p in parameters(operation, dtype)
            ]
            call(
                *(ffi.cast("void *", address(a)) for a in inputs),
                *given,
                ffi.cast("void *", address(out)),
                out.size,
            )
            assert_same_bits(out, oracle(operation, dtype, *inputs))


def check_scale_shift(function, name):
    """Of scale_shift and scale_shift_relu, called by address."""
    x, y, one = np.array([-3.0, 2.0], "f"), np.empty(2, "f"), np.ones(1)
    call = ffi.cast(ffi.typeof(getattr(lib, f"relu_ext_{name}")), function)
    steps, shape = ffi.new("ptrdiff_t[]", [4, 0]), ffi.new("size_t[]", [2, 1])
    pointers = [ffi.cast("void *", address(a)) for a in (x, y)]
    numbers = ffi.cast("double *", address(one))
    assert (
        call(b"f32", pointers[0], steps, b"f32", pointers[1], steps, shape, 2, 1, numbers, numbers)
        == 0
    )
    assert y.tolist() == [0 if name.endswith("relu") else -2, 3]


def check_bits(function, operation, dtype, rng):
    """relu_bits and relu_grad_bits, called by address."""
    x = samples(dtype, 1001, rng)
    want, bits = reference.relu(x, dtype), reference.bits_of(x, dtype)
    out, got = np.empty_like(x), np.zeros_like(bits)
    buffers = (x, out, got)
    if operation == "relu_grad_bits":
        want, buffers = reference.relu_grad_bits(x, bits), (x, bits, out)
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_size_t)
    prototype(function)(*map(address, buffers), x.size)
    assert_same_bits(out, want)
    if operation == "relu_bits":
        assert np.array_equal(got, bits)


# Cython, Numba, cffi and ctypes


def test_cython(tmp_path):
    need("cc", "Python.h", "cythonize", modules=["setuptools"])
    copy_examples(tmp_path, "cython_example.pyx")
    (script,) = scripts("cython_example.pyx")
    shell(script, tmp_path, CFLAGS="-O1")
    check_module(tmp_path, "import cython_example", "cython_example.relu_inplace(x)")


def cythonize(folder, code):
    """The module `unit`."""
    need("cc", "Python.h", "cythonize", modules=["setuptools"])
    (folder / "unit.pyx").write_text(f"# cython: language_level=3\n{code}")
    shell("cythonize -i unit.pyx", folder, CFLAGS="-O0")


def test_cython_binds_every_function(tmp_path):
    """Each under the type that the .pxd gives it, which Cython compares as a text."""
    cythonize(
        tmp_path,
        f"from relu_ext cimport {', '.join(['relu_ext_import', *LENT])}\n"
        "relu_ext_import()\n"
        f"bound = [{', '.join(f'<size_t>&{name} != 0 and <size_t>{name}' for name in LENT)}]\n"
        "assert relu_ext_isa() != NULL\n",
    )
    code = """
import test_embedding, unit
assert unit.bound == test_embedding.addresses_of_lent()
"""
    run([sys.executable, "-c", code], tmp_path, PYTHONPATH=str(Path(__file__).parent))


def test_cython_with_an_older_relu_ext(tmp_path):
    """A module that wants what the relu_ext installed does not have says so at its import."""
    cythonize(
        tmp_path,
        "from relu_ext cimport relu_f32\n"
        "def f(float[::1] x):\n    relu_f32(&x[0], &x[0], x.shape[0])\n",
    )
    code = """
import relu_ext
del relu_ext.__pyx_capi__["relu_f32"]
try:
    import unit
except ImportError as error:
    print(error)
"""
    assert python(code, tmp_path) == "relu_ext does not export expected C function relu_f32\n"


def test_numba_finds_addresses_by_name():
    need(modules=["numba"])
    from numba.extending import get_cython_function_address

    found = [get_cython_function_address("relu_ext", name) for name in LENT]
    assert found == addresses_of_lent()


def test_scipy_low_level_callable():
    need(modules=["scipy"])
    from scipy import LowLevelCallable

    found = LowLevelCallable.from_cython(relu_ext, "relu_f32")
    assert found.signature == "void (float const *, float *, size_t)"


def test_numba(tmp_path):
    need(modules=["numba"])
    copy_examples(tmp_path, "numba_example.py")
    check_module(tmp_path, "import numba_example", "numba_example.relu_rows(x)", ndim=2)


@pytest.fixture(scope="module")
def cffi_rows(tmp_path_factory):
    """The directory where that module is built."""
    need("cc", "Python.h", modules=["setuptools"])
    folder = tmp_path_factory.mktemp("cffi_rows")
    copy_examples(folder, "cffi_include_example.py")
    (script,) = scripts("cffi_include_example.py")
    shell(script, folder)
    return folder


@pytest.mark.parametrize(
    "call", ["lib.relu_f32(row, row, x.size)", "lib.relu_rows(row, *x.shape, x.shape[1])"]
)
def test_cffi_include(call, cffi_rows):
    statement = f"row = ffi.from_buffer('float[]', x); {call}"
    check_module(cffi_rows, "from cffi_rows import ffi, lib", statement, ndim=2)


def test_cffi_include_shares_types(cffi_rows):
    code = """
import cffi_rows, relu_ext
assert cffi_rows.ffi.typeof("float *") is relu_ext.ffi.typeof("float *")
x = cffi_rows.ffi.new("float[]", [-1, 2])
relu_ext.lib.relu_f32(x, x, 2)
assert list(x) == [0, 2]
"""
    python(code, cffi_rows)


@pytest.mark.parametrize("function", ["relu_by_cffi", "relu_by_ctypes"])
def test_pointers(function, tmp_path):
    copy_examples(tmp_path, "pointers_example.py")
    statement = f"y = np.empty_like(x); {function}(x, y); x = y"
    check_module(tmp_path, f"from pointers_example import {function}", statement)


# Other languages and build systems: what builds each, and what it makes

ROADS = {
    "subdirectory/CMakeLists.txt": (["cc", "make", "cmake"], [], "build/compiled_in"),
    "rust/main.rs": (["cc", "ar", "rustc"], [], "program"),
    "go/main.go": (["cc", "go"], [], "program"),
    "nanobind/pyproject.toml": (
        ["c++", "Python.h", "cmake", "ninja"],
        ["nanobind", "scikit_build_core"],
        "nano",
    ),
    "meson/pyproject.toml": (["cc", "Python.h", "meson", "ninja"], ["mesonpy"], "plain"),
}


@pytest.mark.parametrize("road", ROADS)
def test_other_roads(road, tmp_path):
    commands, modules, made = ROADS[road]
    need("relu-ext", *commands, modules=modules)
    folder = tmp_path / Path(road).parent
    shutil.copytree(EXAMPLES / folder.name, folder)
    copy_examples(tmp_path, "compiled_in.c")
    (script,) = scripts(road)
    shell(script.replace("pip ", f"{sys.executable} -m pip "), folder, GOFLAGS="-buildvcs=false")
    if road.endswith(".toml"):
        imports = f"import sys; sys.path.insert(0, {str(folder / 'installed')!r}); import {made}"
        check_module(tmp_path, imports, f"{made}.relu_inplace(x)")
    else:
        check_program(folder / made)


# Compilers and symbols


def test_a_compiler_is_here():
    """Else the tests below would all pass by testing nothing."""
    assert COMPILERS["c"] and COMPILERS["c++"]


def compile_object(folder, compiler, text, *options):
    """Without Python's headers, unless an option names them."""
    source = folder / ("unit.cpp" if compiler in COMPILERS["c++"] else "unit.c")
    source.write_text(text)
    run([compiler, *options, f"-I{INCLUDE}", "-c", source.name, "-o", "unit.o"], folder)
    return folder / "unit.o"


@plain_c
@each_c_compiler
def test_sources_as_c11(compiler, tmp_path):
    (source,) = relu_ext.get_sources()
    run([compiler, *STRICT_C, "-c", source, "-o", "relu_ext.o"], tmp_path)
    assert symbols(tmp_path / "relu_ext.o") == set(PROTOTYPES)


@plain_c
@pytest.mark.parametrize(
    "option, reason",
    [("-ffast-math", "keeps NaNs"), ("-funsafe-math-optimizations", "rounds as it is written")]
    + [("-mavx2", "chooses AVX at run time")] * (platform.machine() in ("x86_64", "AMD64")),
)
def test_refused_options(option, reason, tmp_path):
    """What would change the bits, or what the program runs on."""
    need("cc")
    if "unsafe" in option:
        macros = ["cc", option, "-dM", "-E", "-x", "c", os.devnull]
        if b"__ASSOCIATIVE_MATH__" not in subprocess.run(macros, capture_output=True).stdout:
            pytest.skip("this compiler does not say that it has the option")
    (source,) = relu_ext.get_sources()
    done = subprocess.run(
        ["cc", "-std=c11", option, "-fsyntax-only", source],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert reason in done.stderr


@plain_c
@each_c_compiler
def test_prefix(compiler, tmp_path):
    prefix = "mine_"
    (source,) = relu_ext.get_sources()
    options = [*QUICK_C, f"-DRELU_EXT_PREFIX={prefix}"]
    run([compiler, *options, "-c", source, "-o", "relu_ext.o"], tmp_path)
    assert symbols(tmp_path / "relu_ext.o") == {prefix + name for name in PROTOTYPES}


@plain_c
@each_c_compiler
def test_static(compiler, tmp_path):
    text = '#define RELU_EXT_STATIC\n#include "relu_ext.c"\n'
    assert symbols(compile_object(tmp_path, compiler, text, *QUICK_C)) == set()
    text += "int mine(void);\nint mine(void) { return *relu_ext_isa(); }\n"
    assert symbols(compile_object(tmp_path, compiler, text, *QUICK_C)) == {"mine"}


def names_given_at_file_scope(text):
    """Identifiers that C code declares outside of functions: macros, types, tags, constants, ..."""
    macros = set(re.findall(r"^#define (\w+)", text, re.MULTILINE))
    text = re.sub(r"^#.*", "", text, flags=re.MULTILINE)
    text = re.sub(r'"(?:[^"\\\n]|\\.)*"', "", text)
    names, opened, words, last = set(), [], [], ""
    for token in re.findall(r"\w+|\S", text):
        if token in "({[":
            is_enum = last == "enum" or (len(words) > 1 and words[-2] == "enum")
            opened.append("enum" if token == "{" and is_enum else token)
            words = []
        elif token in ")}]":
            opened.pop()
        elif token[0].isalpha() or token[0] == "_":
            if opened in ([], ["enum"]):
                names.add(token)
            words = [*words[-1:], token] if not opened else []
        else:
            words = []
        last = token
    return macros | names


@plain_c
def test_static_gives_no_name_to_others(tmp_path):
    """Whoever has the same name of another thing could not compile it."""
    need("gcc")
    (tmp_path / "unit.c").write_text('#define RELU_EXT_STATIC\n#include "relu_ext.c"\n')
    preprocessed = run(["gcc", "-std=c11", "-E", "-dD", f"-I{INCLUDE}", "unit.c"], tmp_path)
    # What comes of our files, and not of the system's headers.
    lines, ours = [], False
    for line in preprocessed.splitlines():
        if where := re.match(r'# \d+ "(.*)"', line):
            ours = Path(where[1]).resolve().is_relative_to(INCLUDE.resolve())
        elif ours:
            lines.append(line)
    given = names_given_at_file_scope("\n".join(lines))
    assert {"RELU_EXT_NO_OVERLAP", "relu_ext_id_relu_f32", "relu_ext_stream"} <= given
    of_c = """
        _Alignas _Atomic _Bool __attribute__ __extension__ __inline __int128 atomic_bool atomic_int
        char const double enum extern float inline int int8_t int16_t int32_t int64_t long ptrdiff_t
        short signed size_t sizeof static struct typedef uint8_t uint16_t uint32_t uint64_t union
        unsigned void volatile __m128i __m256i __m512 __m512d __m512i
    """.split()
    foreign = given - set(of_c) - set(PROTOTYPES)
    assert {name for name in foreign if not name.lower().startswith("relu_ext_")} == set()


@plain_c
def test_static_bears_macros_of_others(tmp_path):
    """Names within functions and templates, too: whatever is in capitals might be a macro."""
    used = set()
    for path in [*INCLUDE.glob("relu_ext.*"), *(INCLUDE / "relu_ext").glob("*.h")]:
        code = re.sub(
            r'/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|^ *#.*', "", path.read_text(), flags=re.S | re.M
        )
        used |= set(re.findall(r"\b[A-Z][A-Z0-9_]*\b", code))
    theirs = {name for name in used if not name.startswith("RELU_EXT_")}
    of_the_system = """
        INT8_MIN INT16_MIN INT32_MIN INT64_MIN INT8_MAX INT16_MAX INT32_MAX INT64_MAX UINT64_MAX
        SIZE_MAX LDBL_MANT_DIG NULL FE_DFL_ENV FE_TONEAREST X
    """.split()
    theirs = {n for n in theirs if not n.startswith("_") and n not in of_the_system}
    text = "".join(
        f"#define {name} !!!\n" for name in [*sorted(theirs), "NAME", "BLOCK", "RUN", "T"]
    )
    text += "#define RELU_EXT_STATIC\n"
    text += '#include "relu_ext.c"\n'
    (tmp_path / "unit.c").write_text(text)
    run(["cc", "-std=c11", f"-I{INCLUDE}", "-fsyntax-only", "unit.c"], tmp_path)


@plain_c
def test_headers_hijack_no_include_of_others(tmp_path):
    """The folder of the headers may come first, and somebody has headers of the same names."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    names = [path.name for path in (INCLUDE / "relu_ext").glob("*.h")]
    assert "stream.h" in names
    for name in names:
        (theirs / name).write_text(f"#define THEIRS_{Path(name).stem} 1\n")
    text = '#include "relu_ext.h"\n' + "".join(f'#include "{name}"\n' for name in names)
    text += "".join(
        f"#ifndef THEIRS_{Path(name).stem}\n#error {name} is another\n#endif\n" for name in names
    )
    (tmp_path / "unit.c").write_text(text + "int main(void) { return 0; }\n")
    run(["cc", *shlex.split(config("--cflags")), "-Itheirs", "unit.c", "-o", "unit"], tmp_path)


@pytest.mark.parametrize(
    "compiler, standard",
    [(name, "-std=c11") for name in COMPILERS["c"]]
    + [(name, "-std=c++17") for name in COMPILERS["c++"]],
)
@pytest.mark.parametrize(
    "header, define",
    [
        ("relu_ext.h", None),
        ("relu_ext.h", "-DRELU_EXT_PREFIX=mine_"),
        ("relu_ext_capi.h", None),
    ]
    # Free-threaded interpreters have another limited API, and that from 3.15 on only.
    + [("relu_ext_capi.h", "-DPy_LIMITED_API=0x030A0000")]
    * (not sysconfig.get_config_var("Py_GIL_DISABLED")),
)
def test_headers(compiler, standard, header, define, tmp_path):
    options = [standard, *STRICT] + ([define] if define else [])
    if header == "relu_ext_capi.h":
        need("Python.h")
        options += ["-isystem", PYTHON_INCLUDE]  # where warnings are Python's own affair
    # Twice: whoever includes it need not know who else does.
    text = f'#include "{header}"\n' * 2
    compile_object(tmp_path, compiler, text, *options)


def test_module_exports_nothing_but_itself():
    from relu_ext import _relu_ext

    assert symbols(_relu_ext.__file__, "-D") == {"PyInit__relu_ext"}


# Modules with the sources compiled in, each another way: the prefix of its functions, what
# its C code includes, what is compiled along, and with which defines.
SOURCES = relu_ext.get_sources()
COPIES = {
    "plain": ("", "relu_ext.h", SOURCES, []),
    "prefixed": ("mine_", "relu_ext.h", SOURCES, [("RELU_EXT_PREFIX", "mine_")]),
    "static": ("", "relu_ext.c", [], [("RELU_EXT_STATIC", None)]),
}
COPIES_USE = ["relu_f32", "relu_ext_set_stream_bytes", "relu_ext_get_stream_bytes"]


def build_copy(module, folder):
    prefix, included, sources, defines = COPIES[module]
    functions = [re.sub(r"(\w+)\(", rf"{prefix}\1(", PROTOTYPES[name]) for name in COPIES_USE]
    code = f"""
import cffi
builder = cffi.FFI()
builder.cdef({";".join(functions)!r} + ";")
builder.set_source(
    {module!r},
    '#include "{included}"',
    sources={sources},
    include_dirs=[{str(INCLUDE)!r}],
    define_macros={defines},
    extra_compile_args=["-O1"],
)
builder.compile()
"""
    python(code, folder)


def test_copies_in_one_process(tmp_path):
    """The three and relu_ext itself."""
    need("cc", "Python.h", modules=["setuptools"])
    for module in COPIES:
        build_copy(module, tmp_path)
    imports = f"""
import os, sys
sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL)  # every chance to clash
import {", ".join(COPIES)}, relu_ext

prefixes = {[prefix for prefix, *_ in COPIES.values()] + [""]}
copies = [
    [getattr(module.lib, prefix + name) for name in {COPIES_USE}]
    for module, prefix in zip(({", ".join(COPIES)}, relu_ext), prefixes)
]
# Each has a setting of its own.
for i, (_, set_stream_bytes, _) in enumerate(copies):
    set_stream_bytes(1000 + i)
assert [get() for _, _, get in copies] == [1000, 1001, 1002, 1003]

def relu(function, x):
    y = np.empty_like(x)
    function(*(relu_ext.ffi.from_buffer("float[]", a) for a in (x, y)), x.size)
    return y
"""
    statement = (
        "ys = [relu(function, x) for function, _, _ in copies]; "
        "assert len({y.tobytes() for y in ys}) == 1; x = ys[0]"
    )
    check_module(tmp_path, imports, statement)


# What must agree


def test_config():
    assert shlex.split(config("--includes")) == [f"-I{INCLUDE}"]
    assert shlex.split(config("--sources")) == relu_ext.get_sources()
    assert shlex.split(config("--cflags")) == [f"-I{INCLUDE}", "-O3"]
    assert config("--libs") == ""
    assert config("--sources", "--cflags") == f"{config('--sources')} {config('--cflags')}"
    assert Path(config("--pkgconfigdir"), "relu_ext.pc").is_file()
    assert Path(config("--cmakedir"), "relu_ext-config.cmake").is_file()


def test_what_the_sources_include_is_there():
    """An installed package has them all, and the kernels ask for nothing else."""
    to_read = [Path(source) for source in relu_ext.get_sources()] + [INCLUDE / "relu_ext_capi.h"]
    seen = set()
    while to_read:
        path = to_read.pop()
        if path not in seen:
            seen.add(path)
            included = re.findall(r'^#include "(.+)"', path.read_text(), re.MULTILINE)
            to_read += [path.parent / name for name in included]
    names = {path.relative_to(INCLUDE).as_posix() for path in seen}
    assert {
        "relu_ext.h",
        "relu_ext/prefix.h",
        "relu_ext_capi.h",
        "relu_ext/kernels_tmpl.h",
    } <= names


def test_version_is_the_same_everywhere():
    cmake = (PACKAGE / "cmake" / "relu_ext-config-version.cmake").read_text()
    assert f"set(PACKAGE_VERSION {relu_ext.__version__})" in cmake
    need("pkg-config")
    folder = config("--pkgconfigdir")
    found = run(["pkg-config", "--modversion", "relu_ext"], None, PKG_CONFIG_PATH=folder)
    assert found.strip() == relu_ext.__version__


def test_pxd_declares_the_c_api():
    declared = prototypes((PACKAGE / "__init__.pxd").read_text())
    wanted = {name: PROTOTYPES[name] for name in LENT}
    assert declared == {"relu_ext_import": "int relu_ext_import()", **wanted}
