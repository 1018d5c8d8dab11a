"""The command ``python -m bench.images``: `scale_shift` on pictures, and its peers.

Pictures of uint8 become floats, each channel scaled and shifted, from channels last (HWC) to
channels first (CHW) or last. Apart from the other operations, as dtypes and shapes of input and
output differ. As there, the contenders are interleaved and ratios taken within a round, and of
the ways in which a library can be told, the fastest is taken and named.
"""

import argparse
import importlib
import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import relu_ext
from bench import machine, roof
from bench.measure import compile_timing, settle
from bench.report import describe, format_ratio, format_seconds
from bench.results import Spread

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@dataclass(frozen=True)
class Case:
    shape: tuple  # (H, W, C) or (N, H, W, C)
    target: str
    dtype: str

    def __str__(self):
        return f"uint8 {self.shape} HWC to {self.dtype} {self.target}"


CASES = [
    Case(shape, target, dtype)
    for shape in ((1080, 1920, 3), (224, 224, 3), (32, 224, 224, 3))
    for target, dtype in (("CHW", "float32"), ("HWC", "float32"), ("HWC", "float16"))
]

# How many times as long as relu_ext each should take at least: of all peers, and of the C copy.
AIMS = {"the fastest peer": 2.0, "C copy, converting": 0.9}


@dataclass
class Contender:
    """`statements` says, of a case, what to try; `names` what they call."""

    label: str
    names: dict
    statements: object
    use_threads: object = lambda n: None
    to_numpy: object = np.asarray
    tensors: bool = False
    distribution: str = None
    is_peer: bool = True
    computes: bool = True


class Arrays:
    """What all contenders share, and the answer."""

    def __init__(self, case):
        self.case = case
        self.x = np.random.default_rng(1).integers(0, 256, case.shape, np.uint8)
        self.scale, self.shift = ((1 / (255 * STD)).astype("f4"), (-MEAN / STD).astype("f4"))
        self.expected = self.laid_out(self.x * self.scale.astype("f8") + self.shift, case.dtype)
        self.converted = self.laid_out(self.x, case.dtype)
        self.out = np.empty_like(self.expected)
        # float32's own rounding of what the lookup tables and the others compute.
        self.tolerance = 2e-3 if case.dtype == "float16" else 1e-5

    def laid_out(self, values, dtype):
        if self.case.target == "CHW":
            values = np.moveaxis(values, -1, -3)
        return np.ascontiguousarray(values, dtype)

    @property
    def names(self):
        levels = np.arange(256)[:, None] * self.scale.astype("f8") + self.shift
        return {
            **{name: getattr(self, name) for name in ("x", "scale", "shift", "out")},
            "scales": self.scale[:, None, None],
            "shifts": self.shift[:, None, None],
            "table": np.ascontiguousarray(levels.T, self.case.dtype),
        }


def load_relu_ext():
    def statements(case):
        out_axis = len(case.shape) - 3 if case.target == "CHW" else -1
        return [f"scale_shift(x, scale, shift, out_axis={out_axis}, out=out)"]

    names = {"scale_shift": relu_ext.scale_shift}
    return Contender("relu_ext", names, statements, relu_ext.set_num_threads, is_peer=False)


def idiom(x, scale, shift, out):
    """NumPy's, without temporary arrays."""
    np.multiply(x, scale, out=out, dtype=out.dtype)
    np.add(out, shift, out=out, casting="same_kind")


def look_up(x, table, out):
    """A table of 256 results for each channel; `out` with the channels last."""
    for c, results in enumerate(table):
        out[..., c] = results[x[..., c]]


def look_up_by_take(x, table, out):
    for c, results in enumerate(table):
        np.take(results, x[..., c], out=out[..., c], mode="clip")


def load_numpy():
    def statements(case):
        if case.target == "HWC":
            calls = ["idiom(x, scale, shift, out)"]
            into = "out"
        else:
            calls = ["idiom(moveaxis(x, -1, -3), scales, shifts, out)"]
            into = "moveaxis(out, -3, -1)"
        return calls + [f"{f}(x, table, {into})" for f in ("look_up", "look_up_by_take")]

    names = {f.__name__: f for f in (idiom, look_up, look_up_by_take, np.moveaxis)}
    return Contender("NumPy", names, statements, distribution="numpy")


def load_torch():
    torch = importlib.import_module("torch")
    torch.inference_mode().__enter__()

    def statements(case):
        kind = "half()" if case.dtype == "float16" else "float()"
        if case.target == "HWC":
            return [
                "out.copy_(x).mul_(scale).add_(shift)",
                f"addcmul(shift, x.{kind}, scale, out=out)",
                f"addcmul(shift, x.{kind}, scale)",
            ] + ["addcmul(shift, x, scale, out=out)"] * (case.dtype == "float32")
        return [
            "out.copy_(x.movedim(-1, -3)).mul_(scales).add_(shifts)",
            "addcmul(shifts, x.movedim(-1, -3).float(), scales, out=out)",
            "addcmul(shifts, x.movedim(-1, -3).contiguous().float(), scales, out=out)",
            "addcmul(shift, x.float(), scale).movedim(-1, -3).contiguous()",
        ]

    return Contender(
        "PyTorch",
        {"addcmul": torch.addcmul},
        statements,
        torch.set_num_threads,
        lambda tensor: tensor.numpy(),
        tensors=True,
        distribution="torch",
    )


def load_opencv():
    cv2 = importlib.import_module("cv2")
    parameters = cv2.dnn.Image2BlobParams()
    parameters.scalefactor = tuple(1 / (255 * STD))
    parameters.mean = tuple(255 * MEAN)
    levels = np.arange(256)[:, None] / 255
    names = {
        "blob": cv2.dnn.blobFromImageWithParams,
        "blobs": cv2.dnn.blobFromImagesWithParams,
        "LUT": cv2.LUT,
        "parameters": parameters,
        "levels": ((levels - MEAN) / STD).astype("f4")[None],
    }

    def statements(case):
        if case.dtype == "float16":
            return []
        if case.target == "CHW":
            return ["blob(x, parameters)" if len(case.shape) == 3 else "blobs(x, parameters)"]
        return ["LUT(x, levels, out)"] if len(case.shape) == 3 else []

    return Contender(
        "OpenCV", names, statements, cv2.setNumThreads, distribution="opencv-python-headless"
    )


def load_albucore():
    """To channels last; what it gives is copied into the other order."""
    albucore = importlib.import_module("albucore")
    names = {"normalize": albucore.normalize, "moveaxis": np.moveaxis, "copyto": np.copyto}
    names |= {"means": (255 * MEAN).astype("f4"), "factors": (1 / (255 * STD)).astype("f4")}

    def statements(case):
        if case.dtype == "float16":
            return []
        call = "normalize(x, means, factors)"
        return [call] if case.target == "HWC" else [f"copyto(out, moveaxis({call}, -1, -3))"]

    return Contender("albucore", names, statements, distribution="albucore")


def load_numba():
    numba = importlib.import_module("numba")

    @numba.njit(parallel=True)
    def to_planes(x, scale, shift, out):
        pictures, height, width, channels = x.shape
        for row in numba.prange(pictures * height):
            n, i = row // height, row % height
            for c in range(channels):
                a, b = scale[c], shift[c]
                for j in range(width):
                    out[n, c, i, j] = x[n, i, j, c] * a + b

    @numba.njit(parallel=True)
    def interleaved(x, scale, shift, out):
        pictures, height, width, channels = x.shape
        for row in numba.prange(pictures * height):
            n, i = row // height, row % height
            for j in range(width):
                for c in range(channels):
                    out[n, i, j, c] = x[n, i, j, c] * scale[c] + shift[c]

    def statements(case):
        if case.dtype == "float16":  # Numba has no such arithmetic on the CPU
            return []
        function = "to_planes" if case.target == "CHW" else "interleaved"
        if len(case.shape) == 4:
            return [f"{function}(x, scale, shift, out)"]
        return [f"{function}(x[None], scale, shift, out[None])"]

    names = {"to_planes": to_planes, "interleaved": interleaved}
    most = numba.config.NUMBA_NUM_THREADS
    return Contender(
        "Numba",
        names,
        statements,
        lambda n: numba.set_num_threads(min(n, most)),
        distribution="numba",
    )


def load_copy():
    """For scale: converts in C, computes nothing."""
    if not roof.build():
        raise ImportError("a C compiler", name="a C compiler")
    threads = [1]

    def convert(x, out, planes):
        roof.lib.roof_convert(roof.pointer(out), roof.pointer(x), x.size, planes, threads[0])

    def use_threads(n):
        threads[0] = n

    def statements(case):
        if case.dtype != "float32":
            return []
        height, width = case.shape[-3:-1]
        return [f"convert(x, out, {height * width if case.target == 'CHW' else 0})"]

    return Contender(
        "C copy, converting",
        {"convert": convert},
        statements,
        use_threads,
        is_peer=False,
        computes=False,
    )


LOADERS = (
    load_relu_ext, load_numpy, load_torch, load_opencv, load_albucore, load_numba, load_copy
)  # fmt: skip


def load_all(notes):
    contenders = []
    for load in LOADERS:
        try:
            contenders.append(load())
        except (AttributeError, ImportError) as error:
            notes.append(f"left out: {load.__name__.removeprefix('load_')} ({error})")
    return contenders


def enter(contender, arrays, threads):
    """The contender's fastest way to have it done right, as a function that times a call."""
    names = arrays.names
    if contender.tensors:
        torch = importlib.import_module("torch")
        names = {name: torch.from_numpy(array) for name, array in names.items()}
    names |= contender.names
    expected = arrays.expected if contender.computes else arrays.converted
    timings = []
    contender.use_threads(threads)
    for statement in contender.statements(arrays.case):
        arrays.out[...] = np.nan
        returned = eval(statement, dict(names))
        result = arrays.out if returned is None else contender.to_numpy(returned)
        result = result.reshape(expected.shape)  # OpenCV makes a batch of one picture
        if not np.allclose(result, expected, rtol=arrays.tolerance, atol=arrays.tolerance):
            raise AssertionError(f"{contender.label}: `{statement}` gives something else")
        timings.append((compile_timing(statement, names), statement))
    return min(timings, key=lambda pair: min(pair[0](1) for _ in range(3)), default=None)


def measure(contenders, case, threads, rounds):
    arrays = Arrays(case)
    entries = {c.label: (c, *entry) for c in contenders if (entry := enter(c, arrays, threads))}
    seconds = {label: [] for label in entries}
    order, shuffle = list(entries), random.Random(0).shuffle
    # So many calls that a timing takes milliseconds.
    number = max(1, int(3e-3 / min(entries["relu_ext"][1](1) for _ in range(3))))
    for _ in range(rounds):
        shuffle(order)
        for label in order:
            contender, timing, _ = entries[label]
            if threads > 1:
                settle()
            contender.use_threads(threads)
            timing(1)
            seconds[label].append(timing(number) / number)
    return {
        "case": str(case),
        "threads": threads,
        "seconds": seconds,
        "peers": [label for label, (contender, *_) in entries.items() if contender.is_peer],
        "calls": {label: statement for label, (_, _, statement) in entries.items()},
    }


def print_table(console, result):
    seconds, own = result["seconds"], result["seconds"]["relu_ext"]
    ratios = {
        label: Spread.of([a / b for a, b in zip(rounds, own)]) for label, rounds in seconds.items()
    }
    fastest = min(result["peers"], key=lambda label: ratios[label].median, default=None)
    table = Table(title=f"{result['case']}, {result['threads']} threads", title_justify="left")
    for heading in ("", "median", "least", "times relu_ext", "aim", "call"):
        table.add_column(heading, justify="left" if heading == "call" else "right")
    for label, rounds in seconds.items():
        aim = AIMS.get("the fastest peer" if label == fastest else label)
        table.add_row(
            label,
            format_seconds(Spread.of(rounds).median),
            format_seconds(min(rounds)),
            format_ratio(ratios[label]),
            f"{aim}×" if aim else "",
            result["calls"][label],
        )
    console.print(table)


def main(argv=None):
    """Run the command line."""
    everything = relu_ext.get_num_threads()
    parser = argparse.ArgumentParser(prog="python -m bench.images", description=__doc__)
    parser.add_argument("--rounds", type=int, default=25, metavar="N")
    parser.add_argument(
        "--threads",
        type=int,
        action="append",
        metavar="N",
        help="may be repeated; default: 1 and all",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("build", "bench"),
        metavar="DIR",
        help="for images.json; default: %(default)s",
    )
    args = parser.parse_args(argv)
    console, notes = Console(), []
    contenders = load_all(notes)
    facts = machine.describe_machine(), machine.describe_versions(contenders)
    for text in (*map(describe, facts), *notes):
        console.print(text, markup=False, highlight=False)
    results = []
    for threads in args.threads or sorted({1, everything}):
        for case in CASES:
            results.append(measure(contenders, case, threads, args.rounds))
            print_table(console, results[-1])
    data = {"machine": facts[0], "versions": facts[1], "notes": notes, "cases": results}
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / "images.json"
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    console.print(f"wrote {path}", highlight=False)


if __name__ == "__main__":
    main()
