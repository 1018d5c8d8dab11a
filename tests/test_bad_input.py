"""
What is refused, with which error, and that every byte is then as it was.

A row is a call that is wrong, the exception's type, and the whole of its text as a pattern.
Where the text is NumPy's, which changes it at times, the pattern has the words that matter.
"""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import relu_ext
from relu_ext import ffi, lib, relu, relu_, relu_grad, relu_grad_, set_num_threads


def operands():
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    read_only = x.copy()
    read_only.flags.writeable = False
    return {
        "x": x,
        "y": x + 5,
        "read_only": read_only,
        "broadcast": np.broadcast_to(np.float32(-1), (3, 4)),
        "double": x.astype(np.float64),
        "integers": (10 * x).astype(np.int32),
        "bytes8": (10 * x).astype(np.int8),
        "swapped": x.astype(x.dtype.newbyteorder()),
        "complex": x.astype(np.complex64),
        "complex128": x.astype(np.complex128),
        "clongdouble": x.astype(np.clongdouble),
        "objects": x.astype(object),
        "text": x.astype("U4"),
        "bytes": x.astype("S4"),
        "strings": np.array(["a", "b"], dtype=np.dtypes.StringDType()),
        "times": np.arange(3).astype("M8[s]"),
        "durations": np.arange(3).astype("m8[s]"),
        "void": np.ones(3, "V4"),
        "records": np.ones(3, [("value", "f")]),
        "short": np.full(3, -1, np.float32),
        "transposed": x.T.copy(),
        "none": np.full((0, 4), -1, np.float32),
        "one": np.full((), -1, np.float32),
        "flags": np.ones((2, 4), bool),
    }


LOOP = "ufunc 'relu' not supported for the input types.*"
LOOP_GRAD = "ufunc 'relu_grad' not supported for the input types.*"
BROADCAST = "operands could not be broadcast together with shapes .*"
READ_ONLY = "output array is read-only"
NO_ARRAY = (
    r"out is an? \w+, which (gives no access to its memory|does not say what its bytes are).*"
)
SIGNATURE = "No loop matching the specified signature and casting was found for ufunc relu"
THREADS = "the number of threads must be "
BYTES = "the number of bytes to keep must be "


def cast(ufunc, what, a, b, rule):
    return rf"Cannot cast ufunc '{ufunc}' {what} from dtype\('{a}'\) to dtype\('{b}'\) .*'{rule}'"


def in_place(name, instead, of):
    return rf"{name} is {of}\b.*; use {re.escape(instead)} .*"


def overwritten(text, name, described):
    return rf"{text}; {name}, to be overwritten, has {described}: pass shapes that fit .*\.types"


class Deciding:
    """As a Series of polars: has a say in what ufuncs do, and refuses to be overwritten."""

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        raise NotImplementedError("I do not want")


ROWS = [
    # How many arguments, and their names.
    (lambda o: relu(), TypeError, r"relu\(\) takes from 1 to 2 positional arguments but 0 .*"),
    (lambda o: relu(o.x, o.y, o.y), TypeError, r"relu\(\) takes from 1 to 2 .* but 3 .*"),
    (lambda o: relu(x=o.x), TypeError, r"relu\(\) takes from 1 to 2 positional arguments but 0 .*"),
    (lambda o: relu(o.x, outt=o.y), TypeError, r"relu\(\) got an unexpected .* 'outt'"),
    (lambda o: relu(o.x, axis=0), TypeError, r"relu\(\) got an unexpected keyword .* 'axis'"),
    (lambda o: relu(o.x, o.y, out=o.y), TypeError, "cannot specify 'out' as both a positional .*"),
    (lambda o: relu(o.x, out=(o.y, o.y)), ValueError, "The 'out' tuple must have exactly one .*"),
    (lambda o: relu(o.x, out=()), ValueError, "The 'out' tuple must have exactly one entry .*"),
    (lambda o: relu_grad(), TypeError, r"relu_grad\(\) takes from 2 to 3 .* but 0 .*"),
    (lambda o: relu_grad(o.x), TypeError, r"relu_grad\(\) takes from 2 to 3 .* but 1 .*"),
    (lambda o: relu_grad(o.x, out=o.y), TypeError, r"relu_grad\(\) takes from 2 to 3 .* but 1 .*"),
    (lambda o: relu_grad(o.x, o.x, o.y, o.y), TypeError, r"relu_grad\(\) takes .* but 4 .*"),
    (lambda o: relu_(), TypeError, r"relu_\(\) missing 1 required positional argument: 'x'"),
    (lambda o: relu_(o.x, o.y), TypeError, r"relu_\(\) takes 1 positional argument but 2 .*"),
    (lambda o: relu_grad_(o.x), TypeError, r"relu_grad_\(\) missing 1 required .*: 'x'"),
    # What has no ReLU.
    (lambda o: relu(o.complex), TypeError, LOOP),
    (lambda o: relu(o.complex128), TypeError, LOOP),
    (lambda o: relu(o.clongdouble), TypeError, LOOP),
    (lambda o: relu(o.objects), TypeError, LOOP),
    (lambda o: relu(o.text), TypeError, LOOP),
    (lambda o: relu(o.bytes), TypeError, LOOP),
    (lambda o: relu(o.strings), TypeError, f"{LOOP}|.*StringDType.*"),
    (lambda o: relu(o.times), TypeError, LOOP),
    (lambda o: relu(o.durations), TypeError, LOOP),
    (lambda o: relu(o.void), TypeError, LOOP),
    (lambda o: relu(o.records), TypeError, LOOP),
    (lambda o: relu(None), TypeError, LOOP),
    (lambda o: relu("text"), TypeError, LOOP),
    (lambda o: relu(b"bytes"), TypeError, LOOP),
    (lambda o: relu({}), TypeError, LOOP),
    (lambda o: relu(object()), TypeError, LOOP),
    (lambda o: relu(i for i in (1, 2)), TypeError, LOOP),
    (lambda o: relu(1j), TypeError, LOOP),
    (lambda o: relu(10**30), TypeError, LOOP),  # NumPy makes an object of it
    (lambda o: relu([[1, 2], [3]]), ValueError, "setting an array element with a sequence.*"),
    (lambda o: relu_grad(o.complex, o.x), TypeError, LOOP_GRAD),
    (lambda o: relu_grad(o.x, o.objects), TypeError, LOOP_GRAD),
    (lambda o: relu_grad(o.x[0], o.text[0]), TypeError, LOOP_GRAD),
    (lambda o: relu_grad(o.void, o.void), TypeError, LOOP_GRAD),
    (lambda o: relu_grad(o.x, None), TypeError, LOOP_GRAD),
    (lambda o: relu_grad(o.x, "x"), TypeError, LOOP_GRAD),
    (lambda o: relu_grad(o.times, o.short), TypeError, LOOP_GRAD),
    # Outputs.
    (lambda o: relu(o.x, o.read_only), ValueError, READ_ONLY),
    (lambda o: relu(o.read_only, out=o.read_only), ValueError, READ_ONLY),
    (lambda o: relu(o.x, o.broadcast), ValueError, READ_ONLY),
    (lambda o: relu_grad(o.x, o.y, o.read_only), ValueError, READ_ONLY),
    (lambda o: relu(o.x, o.short), ValueError, BROADCAST),
    (lambda o: relu(o.x, o.transposed), ValueError, BROADCAST),
    (lambda o: relu(o.x, o.y.reshape(12)), ValueError, BROADCAST),
    (lambda o: relu(o.x, o.none), ValueError, BROADCAST),
    (lambda o: relu(o.x, o.one), ValueError, "non-broadcastable output operand .*"),
    (lambda o: relu(o.x, o.y[:1]), ValueError, "non-broadcastable output operand .*"),
    (lambda o: relu(o.short[:1], o.one), ValueError, "non-broadcastable output operand .*"),
    (lambda o: relu_grad(o.x, o.x, o.short), ValueError, BROADCAST),
    (lambda o: relu_grad(o.short, o.y[:, :1], o.short), ValueError, "non-broadcastable output .*"),
    (lambda o: relu(o.x, "y"), TypeError, NO_ARRAY),
    (lambda o: relu(o.x, 3), TypeError, NO_ARRAY),
    (lambda o: relu(o.x, [0.0] * 12), TypeError, NO_ARRAY),
    (lambda o: relu(o.x, out=bytearray(48)), TypeError, NO_ARRAY),
    (lambda o: relu_grad(o.x, o.short), ValueError, BROADCAST),
    # Types that do not go together.
    (
        lambda o: relu(o.x, o.integers),
        TypeError,
        cast("relu", "output", "float32", "int32", "same_kind"),
    ),
    (
        lambda o: relu(o.double, o.y, casting="safe"),
        TypeError,
        cast("relu", "output", "float64", "float32", "safe"),
    ),
    (
        lambda o: relu(o.swapped, casting="no"),
        TypeError,
        cast("relu", "input", "[<>]f4", "float32", "no"),
    ),
    (
        lambda o: relu(o.x, dtype="i4"),
        TypeError,
        cast("relu", "input", "float32", "int32", "same_kind"),
    ),
    (
        lambda o: relu_grad(o.integers, o.integers, o.integers),
        TypeError,
        cast("relu_grad", "output", "float64", "int32", "same_kind"),
    ),
    (
        lambda o: relu_grad(o.x, o.double, o.y, casting="safe"),
        TypeError,
        cast("relu_grad", "output", "float64", "float32", "safe"),
    ),
    (lambda o: relu(o.x, dtype="F"), TypeError, SIGNATURE),
    (lambda o: relu(o.x, signature="F->F"), TypeError, SIGNATURE),
    (lambda o: relu(o.x, signature="ff->f"), ValueError, "a type-string for relu, 1 typecode.*"),
    (lambda o: relu(o.x, dtype="nothing"), TypeError, "data type 'nothing' not understood"),
    (lambda o: relu(o.x, casting="never"), ValueError, "casting must be one of .*'never'.*"),
    (lambda o: relu(o.x, order="Z"), ValueError, "order must be one of .*'Z'.*"),
    (lambda o: relu(o.x, subok="no"), TypeError, "'subok' must be a boolean"),
    # Masks.
    (lambda o: relu(o.x, o.y, where=o.flags), ValueError, BROADCAST),
    (lambda o: relu(o.x, o.y, where=o.flags[:, :3]), ValueError, BROADCAST),
    (
        lambda o: relu(o.x, o.y, where=o.x),
        TypeError,
        r"Cannot cast array data from dtype\('float32'\) to dtype\('bool'\) .*",
    ),
    (
        lambda o: relu_grad(o.x, o.x, o.y, where=o.integers),
        TypeError,
        r"Cannot cast array data from dtype\('int32'\) to dtype\('bool'\) .*",
    ),
    # Methods.
    (lambda o: relu.reduce(o.x), ValueError, "reduce only supported for binary functions"),
    (lambda o: relu.accumulate(o.x), ValueError, "accumulate only supported for binary .*"),
    (lambda o: relu.outer(o.x, o.x), ValueError, "outer product only supported for binary .*"),
    (lambda o: relu_grad.reduce(o.none), ValueError, "zero-size array .* has no identity"),
    (lambda o: relu_grad.reduce(o.x, axis=(0, 1)), ValueError, ".* is not reorderable.*"),
    (lambda o: relu.at(o.read_only, [0]), ValueError, ".* read-only"),
    (lambda o: relu.at(o.x, [99]), IndexError, "index 99 is out of bounds .*"),
    (lambda o: relu.at(o.complex, [0]), TypeError, LOOP),
    # In place.
    (lambda o: relu_([-1.0]), TypeError, in_place("x", "relu(x)", "a list")),
    (lambda o: relu_("text"), TypeError, in_place("x", "relu(x)", "a str")),
    (lambda o: relu_(None), TypeError, in_place("x", "relu(x)", "None")),
    (lambda o: relu_(-1), TypeError, in_place("x", "relu(x)", "an int")),
    (lambda o: relu_(np.float32(-1)), TypeError, in_place("x", "relu(x)", "a float32")),
    (
        lambda o: relu_(Deciding()),
        TypeError,
        r"x is a Deciding that cannot be overwritten \(I do not want\): pass an ndarray, .* "
        r"buffer, DLPack or __array_interface__; use relu\(x\) for a new array",
    ),
    (
        lambda o: relu_grad_(Deciding(), o.x),
        TypeError,
        r"dy is a Deciding that cannot be overwritten \(I do not want\): .*; use relu_grad\(dy, .*",
    ),
    (lambda o: relu_(object()), TypeError, in_place("x", "relu(x)", "an object")),
    (lambda o: relu_(i for i in (1, 2)), TypeError, in_place("x", "relu(x)", "a generator")),
    (lambda o: relu_(o.read_only), ValueError, r"x is read-only; use relu\(x\) for a new array"),
    (lambda o: relu_(o.broadcast), ValueError, r"x is read-only; use relu\(x\) for a new array"),
    (
        lambda o: relu_(o.complex),
        TypeError,
        overwritten(LOOP, "x", r"dtype complex64 and shape \(3, 4\)"),
    ),
    (
        lambda o: relu_(o.objects),
        TypeError,
        overwritten(LOOP, "x", r"dtype object and shape \(3, 4\)"),
    ),
    (
        lambda o: relu_(o.times),
        TypeError,
        overwritten(LOOP, "x", r"dtype datetime64\[s\] and shape \(3,\)"),
    ),
    (lambda o: relu_grad_([1.0], o.x), TypeError, in_place("dy", "relu_grad(dy, x)", "a list")),
    (lambda o: relu_grad_("text", o.x), TypeError, in_place("dy", "relu_grad(dy, x)", "a str")),
    (
        lambda o: relu_grad_(o.read_only, o.x),
        ValueError,
        r"dy is read-only; use relu_grad\(dy, x\) for a new array",
    ),
    (
        lambda o: relu_grad_(o.short, o.x),
        ValueError,
        overwritten(BROADCAST, "dy", r"dtype float32 and shape \(3,\)"),
    ),
    (
        lambda o: relu_grad_(o.x, o.complex),
        TypeError,
        overwritten(LOOP_GRAD, "dy", r"dtype float32 and shape \(3, 4\)"),
    ),
    (
        lambda o: relu_grad_(o.integers, o.integers),
        TypeError,
        overwritten("Cannot cast .*", "dy", r"dtype int32 and shape \(3, 4\)"),
    ),
    (
        lambda o: relu_grad_(o.bytes8, o.x),
        TypeError,
        overwritten("Cannot cast .*", "dy", r"dtype int8 and shape \(3, 4\)"),
    ),
    # Threads.
    (lambda o: set_num_threads(0), ValueError, THREADS + "at least 1, not 0"),
    (lambda o: set_num_threads(-5), ValueError, THREADS + "at least 1, not -5"),
    (lambda o: set_num_threads(1.0), TypeError, THREADS + r"an integer, not 1\.0"),
    (lambda o: set_num_threads("2"), TypeError, THREADS + "an integer, not '2'"),
    (lambda o: set_num_threads(None), TypeError, THREADS + "an integer, not None"),
    (lambda o: relu_ext.num_threads(0).__enter__(), ValueError, THREADS + "at least 1, not 0"),
    (lambda o: relu_ext.num_threads([]).__enter__(), TypeError, THREADS + r"an integer, not \[\]"),
    # Bytes to keep.
    (lambda o: relu_ext.set_output_cache(-1), ValueError, BYTES + "at least 0, not -1"),
    (lambda o: relu_ext.set_output_cache(1.5), TypeError, BYTES + r"an integer, .*, not 1\.5"),
    (lambda o: relu_ext.set_output_cache(b"1M"), TypeError, BYTES + "an integer, .*, not b'1M'"),
    (lambda o: relu_ext.set_output_cache(None), TypeError, BYTES + "an integer, .*, not None"),
    (lambda o: relu_ext.set_output_cache("1 M"), ValueError, "'1 M' is not a number of bytes .*"),
    # Pointers.
    (lambda o: lib.relu_f32(o.x, o.y), TypeError, "relu_f32 expected 3 arguments, got 2"),
    (lambda o: lib.relu_f32(o.x, o.y, 12), TypeError, ".* must be a cdata pointer, not .*ndarray"),
    (lambda o: lib.relu_f32(ffi.NULL, ffi.NULL, -1), OverflowError, "can't convert negative .*"),
    (
        lambda o: ffi.from_buffer("float[]", o.read_only, require_writable=True),
        (ValueError, BufferError),
        ".*read-only.*",
    ),
]


class Operands:
    def __init__(self):
        self.__dict__ = operands()


def shown(row):
    """The call, as it stands above."""
    line = ROWS_SOURCE[row[0].__code__.co_firstlineno - 1]
    return re.sub(r"^\s*\(lambda o: |, \(?\w*Error.*$", "", line).strip()


with open(__file__, encoding="utf-8") as file:
    ROWS_SOURCE = file.read().splitlines()


@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize("call, error, text", ROWS, ids=map(shown, ROWS))
def test_refused(call, error, text, shortcut, monkeypatch):
    o = Operands()
    before = {name: (a.dtype, a.shape, a.tobytes()) for name, a in vars(o).items()}
    threads = relu_ext.get_num_threads()
    if not shortcut:
        # `where=True` changes nothing but that the call goes NumPy's way.
        monkeypatch.setitem(globals(), "relu", slow(relu))
        monkeypatch.setitem(globals(), "relu_grad", slow(relu_grad))
    with pytest.raises(error) as raised:
        call(o)
    assert re.fullmatch(text, str(raised.value).strip(), re.DOTALL), str(raised.value)
    assert before == {name: (a.dtype, a.shape, a.tobytes()) for name, a in vars(o).items()}
    assert relu_ext.get_num_threads() == threads


class slow:
    def __init__(self, ufunc):
        self.ufunc = ufunc

    def __call__(self, *args, **keywords):
        return self.ufunc(*args, **{"where": True, **keywords})

    def __getattr__(self, name):
        return getattr(self.ufunc, name)


# What the environment may say.

ISAS = re.escape(", ".join(relu_ext.available_isas()))
# Digits and letters of other scripts, which Python's functions take for 2, 1K, ...
ODD = ["٢", "２", "²", "1\N{KELVIN SIGN}", "1Ｋ", "+2", " 2", "2 ", "2\n", "1_0", "0x2"]
ENVIRONMENT = [
    *(
        ("RELU_EXT_ISA", value, f".* is not an instruction set that this CPU can run; .*: {ISAS}")
        for value in (
            "avx1024",
            "AVX2",
            "avx2 ",
            "ａｖｘ２",
            "ba\N{LATIN SMALL LETTER LONG S}eline",
            "0",
            "\udcff",
            "x" * 10_000,
        )
    ),
    *(
        ("RELU_EXT_NUM_THREADS", value, ".* is not a number of threads; valid are 1, 2, 3, ...")
        for value in (*ODD, "0", "-1", "two", "1.5", " ", "9" * 5000)
    ),
    *(
        ("RELU_EXT_OUTPUT_CACHE", value, ".* is not a number of bytes .*; valid are 0 .*, 256M, .*")
        for value in (*ODD, "-1", "many", "1.5", " ", "1T", "9" * 5000)
    ),
    *(
        ("RELU_EXT_FAST_CALL", value, ".* must be 1, the default, or 0")
        for value in (*ODD, "٠", "00", "2", "off", "True", " ")
    ),
]


@pytest.mark.parametrize(
    "name, value, text", ENVIRONMENT, ids=[f"{n}={ascii(v)[:20]}" for n, v, _ in ENVIRONMENT]
)
def test_environment(name, value, text):
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", "import relu_ext"],
        env=os.environ | {name: value},
        capture_output=True,
        text=True,
        errors="backslashreplace",
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert re.fullmatch(f"ImportError: {name}=" + text, last), last


# The command: exit code 2, one line that names the file, the target as it was, nothing beside.

HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"


def npy(header, data=b"1234" * 3, version=b"\1\0", claimed=None):
    text = header.encode("latin1") + b"\n"
    length = len(text) if claimed is None else claimed
    return b"\x93NUMPY" + version + length.to_bytes(2, "little") + text + data


DAMAGED = {
    "magic alone": b"\x93NUMPY",
    "wrong magic": b"\x93NUMPZ\1\0" + npy(HEADER % "3,")[8:],
    "no such version": npy(HEADER % "3,", version=b"\x09\0"),
    "header cut short": npy(HEADER % "3,")[:30],
    "header said to be longer": npy(HEADER % "3,", claimed=60_000),
    "data cut short": npy(HEADER % "3,", b"1234" * 2 + b"123"),
    "no data": npy(HEADER % "3,", b""),
    "negative shape": npy(HEADER % "-4, 5"),
    "shape of text": npy(HEADER % "'3',"),
    "no such type": npy(HEADER.replace("<f4", "<q9") % "3,"),
    "objects": npy(HEADER.replace("<f4", "|O") % "3,"),
    "code for a header": npy("__import__('os').remove('target')"),
}

# Sound as such, and still nothing to take the ReLU of.
UNSUITABLE = {
    "records": npy(HEADER.replace("'<f4'", "[('a', '<f4')]") % "3,"),
    "complex": npy(HEADER.replace("<f4", "<c8") % "1,", b"12345678"),
    "times": npy(HEADER.replace("<f4", "<M8[s]") % "1,", b"12345678"),
    "2**60 elements": npy(HEADER % f"{2**60},"),
    "2**70 elements": npy(HEADER % f"{2**70},"),
}


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def apply(*arguments, before="", **options):
    code = textwrap.dedent(before) + "import sys; from relu_ext.__main__ import main; "
    code += "sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "apply", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def assert_one_line(done, *names):
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("relu-ext: ")
    assert all(str(name) in done.stderr for name in names), done.stderr


@pytest.mark.parametrize(
    "content", [*DAMAGED.values(), *UNSUITABLE.values()], ids=[*DAMAGED, *UNSUITABLE]
)
def test_file_without_numbers(content, tmp_path):
    source, target = tmp_path / "in.npy", tmp_path / "target"
    source.write_bytes(content)
    target.write_bytes(b"from before")
    before = files(tmp_path)
    named = [source] if content in DAMAGED.values() else []
    assert_one_line(apply(source, target, cwd=tmp_path), *named)
    assert files(tmp_path) == before


@pytest.fixture
def source_and_target(tmp_path):
    source, target = tmp_path / "in.npy", tmp_path / "target.npy"
    np.save(source, np.linspace(-1, 1, 100_000))
    target.write_bytes(b"from before")
    return source, target


def test_full_disk(source_and_target):
    """A limit on the size of files stands for the disk: writes fail in the middle."""
    pytest.importorskip("resource", reason="no limits here")
    source, target = source_and_target
    before = files(target.parent)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10_000,) * 2)\n"
    assert_one_line(apply(source, target, before=limit))
    assert files(target.parent) == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device here")
def test_full_device(source_and_target):
    assert_one_line(apply(source_and_target[0], "/dev/full"))


def test_out_of_memory(tmp_path):
    """The file is fine, and larger than what the process may have."""
    pytest.importorskip("resource", reason="no limits here")
    source, target = tmp_path / "in.npy", tmp_path / "target.npy"
    with open(source, "wb") as file:
        file.write(npy(HEADER % f"{2**38},", b""))
        file.truncate(file.tell() + 2**40)  # takes no room on the disk
    target.write_bytes(b"from before")
    limit = "import relu_ext, resource; resource.setrlimit(resource.RLIMIT_AS, (2**33,) * 2)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000,) * 2)\n"
    assert_one_line(apply(source, target, before=limit))
    assert target.read_bytes() == b"from before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npy", "target.npy"]


@pytest.mark.skipif(os.name == "nt", reason="no such signals there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("after", [0.0, 0.05, 0.1, 0.2])
def test_interrupted(number, after, tmp_path):
    """The target is what it was or, if that was in time, what it was to be."""
    source, target = tmp_path / "in.npy", tmp_path / "target.npy"
    x = np.ones(2**22, np.float64)
    np.save(source, x)
    target.write_bytes(b"from before")
    code = "import sys; from relu_ext.__main__ import main; print(flush=True); "
    code += "sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "apply", str(source), str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdout.readline()
        time.sleep(after)
        process.send_signal(number)
        process.communicate(timeout=60)
    if target.read_bytes() != b"from before":
        assert np.array_equal(np.load(target), x)
    else:
        assert process.returncode != 0
    if number == signal.SIGINT:  # the others leave no time to remove what is beside
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npy", "target.npy"]
