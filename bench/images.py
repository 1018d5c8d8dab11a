"""The command ``python -m bench.images``: `scale_shift_relu` on an image, and its peers.

A full HD image of uint8 becomes float32, each channel scaled and shifted, from channels last
(HWC) or first (CHW) to either. Apart from the other operations, as dtypes and shapes of input
and output differ. As there, the contenders are interleaved and ratios taken within a round,
and of the ways in which a library can be told, the fastest is taken.
"""

import argparse
import importlib
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import relu_ext
from bench import machine
from bench.measure import compile_timing, settle
from bench.report import describe, format_ratio, format_seconds
from bench.results import Spread

HEIGHT, WIDTH = 1080, 1920
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
LAYOUTS = [(source, target) for source in ("HWC", "CHW") for target in ("HWC", "CHW")]
BLOB_MEAN, BLOB_SCALE = (123.675, 116.28, 103.53), 1 / 57.375

# (contender, source, target): how many times as long as relu_ext on one thread it should take.
AIMS = {
    ("NumPy", "HWC", "HWC"): 15,
    ("PyTorch", "HWC", "HWC"): 12,
    ("NumPy", "CHW", "CHW"): 4,
    ("OpenCV", "HWC", "CHW"): 6,
}


@dataclass
class Contender:
    label: str
    names: dict
    statements: dict  # of a source and a target
    use_threads: object = lambda n: None
    to_numpy: object = np.asarray
    expected: object = None  # of the arrays, if it computes something else
    distribution: str = None
    peer: bool = field(default=True)


def laid_out(image, layout):
    return np.ascontiguousarray(image.transpose(2, 0, 1) if layout == "CHW" else image)


class Arrays:
    """What all contenders share, and the answer."""

    def __init__(self, source, target):
        image = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        self.source, self.target = source, target
        self.image, self.x = image, laid_out(image, source)
        self.scale, self.shift = ((1 / (255 * STD)).astype("f4"), (-MEAN / STD).astype("f4"))
        y = image * self.scale.astype("f8") + self.shift
        self.expected = laid_out(np.maximum(y, 0).astype("f4"), target)
        self.out = np.empty_like(self.expected)

    @property
    def names(self):
        columns = {f"{name}s": getattr(self, name)[:, None, None] for name in ("scale", "shift")}
        return {name: getattr(self, name) for name in ("x", "scale", "shift", "out")} | columns


def idiom(x, scale, shift, out):
    """NumPy's, without temporary arrays."""
    np.multiply(x, scale, out=out, dtype=np.float32)
    np.add(out, shift, out=out)
    np.maximum(out, 0, out=out)


def load_relu_ext():
    axes = {"HWC": -1, "CHW": 0}
    statements = {
        (source, target): [
            f"scale_shift_relu(x, scale, shift, axis={axes[source]}, out_axis={axes[target]}, "
            "out=out)"
        ]
        for source, target in LAYOUTS
    }
    names = {"scale_shift_relu": relu_ext.scale_shift_relu}
    return Contender("relu_ext", names, statements, relu_ext.set_num_threads, peer=False)


def load_numpy():
    return Contender(
        "NumPy",
        {"idiom": idiom},
        {
            ("HWC", "HWC"): ["idiom(x, scale, shift, out)"],
            ("CHW", "CHW"): ["idiom(x, scales, shifts, out)"],
            ("HWC", "CHW"): [
                "idiom(x, scale, shift, out.transpose(1, 2, 0))",
                "idiom(x.transpose(2, 0, 1), scales, shifts, out)",
            ],
            ("CHW", "HWC"): [
                "idiom(x, scales, shifts, out.transpose(2, 0, 1))",
                "idiom(x.transpose(1, 2, 0), scale, shift, out)",
            ],
        },
        distribution="numpy",
    )


def load_copyto():
    """For scale: moves the elements, computes nothing."""
    copies = {
        ("HWC", "HWC"): ["copyto(out, x)"],
        ("CHW", "CHW"): ["copyto(out, x)"],
        ("HWC", "CHW"): ["copyto(out, x.transpose(2, 0, 1))"],
        ("CHW", "HWC"): ["copyto(out, x.transpose(1, 2, 0))"],
    }
    return Contender(
        "np.copyto",
        {"copyto": np.copyto},
        copies,
        peer=False,
        expected=lambda arrays: laid_out(arrays.image.astype("f4"), arrays.target),
    )


def load_torch():
    torch = importlib.import_module("torch")
    torch.inference_mode().__enter__()
    names = {"addcmul": torch.addcmul, "relu_": torch.relu_}
    return Contender(
        "PyTorch",
        names,
        {
            ("HWC", "HWC"): [
                "relu_(addcmul(shift, x.float(), scale))",
                "relu_(addcmul(shift, x.float(), scale, out=out))",
            ],
            ("CHW", "CHW"): [
                "relu_(addcmul(shifts, x.float(), scales))",
                "relu_(addcmul(shifts, x.float(), scales, out=out))",
            ],
            ("HWC", "CHW"): [
                "relu_(addcmul(shifts, x.permute(2, 0, 1).float(), scales, out=out))",
                "relu_(addcmul(shifts, x.permute(2, 0, 1).contiguous().float(), scales, out=out))",
                "relu_(addcmul(shift, x.float(), scale)).permute(2, 0, 1).contiguous()",
            ],
            ("CHW", "HWC"): [
                "relu_(addcmul(shift, x.permute(1, 2, 0).float(), scale, out=out))",
                "relu_(addcmul(shift, x.permute(1, 2, 0).contiguous().float(), scale, out=out))",
            ],
        },
        torch.set_num_threads,
        lambda tensor: tensor.numpy(),
        distribution="torch",
    )


def load_opencv():
    """One scale for all channels, and no ReLU: less than the others do."""
    cv2 = importlib.import_module("cv2")
    names = {"blobFromImage": cv2.dnn.blobFromImage}
    calls = {("HWC", "CHW"): [f"blobFromImage(x, {BLOB_SCALE}, mean={BLOB_MEAN})"]}
    return Contender(
        "OpenCV",
        names,
        calls,
        cv2.setNumThreads,
        lambda blob: blob[0],
        lambda arrays: laid_out(
            ((arrays.image - np.array(BLOB_MEAN)) * BLOB_SCALE).astype("f4"), arrays.target
        ),
        distribution="opencv-python-headless",
    )


LOADERS = (load_relu_ext, load_numpy, load_copyto, load_torch, load_opencv)


def load_all(notes):
    contenders = []
    for load in LOADERS:
        try:
            contenders.append(load())
        except ImportError as error:
            notes.append(f"left out, as it is not installed: {error.name}")
    return contenders


def enter(contender, arrays, threads):
    """The contender's fastest way to have it done right, as a function that times a call."""
    names = arrays.names | contender.names
    if contender.label == "PyTorch":
        torch = importlib.import_module("torch")
        names |= {name: torch.from_numpy(array) for name, array in arrays.names.items()}
    expected = contender.expected(arrays) if contender.expected else arrays.expected
    timings = []
    for statement in contender.statements.get((arrays.source, arrays.target), ()):
        arrays.out[...] = np.nan
        contender.use_threads(threads)
        returned = eval(statement, dict(names))
        result = arrays.out if returned is None else contender.to_numpy(returned)
        if not np.allclose(result, expected, rtol=1e-5, atol=1e-5):
            raise AssertionError(f"{contender.label}: `{statement}` gives something else")
        timings.append((compile_timing(statement, names), statement))
    return min(timings, key=lambda pair: min(pair[0](1) for _ in range(3)), default=None)


def measure(contenders, source, target, threads, rounds):
    arrays = Arrays(source, target)
    entries = {c.label: (c, *entry) for c in contenders if (entry := enter(c, arrays, threads))}
    seconds = {label: [] for label in entries}
    order, shuffle = list(entries), random.Random(0).shuffle
    for _ in range(rounds):
        shuffle(order)
        for label in order:
            contender, timing, _ = entries[label]
            if threads > 1:
                settle()
            contender.use_threads(threads)
            timing(1)
            seconds[label].append(timing(1))
    return {
        "source": source,
        "target": target,
        "threads": threads,
        "seconds": seconds,
        "calls": {label: statement for label, (_, _, statement) in entries.items()},
    }


def print_table(console, case, labels):
    source, target, seconds = case["source"], case["target"], case["seconds"]
    table = Table(
        title=f"uint8 {source} to float32 {target}, {HEIGHT} x {WIDTH}, {case['threads']} threads",
        title_justify="left",
    )
    for heading in ("", "median", "least", "times relu_ext", "aim"):
        table.add_column(heading, justify="right")
    for label in labels:
        if rounds := seconds.get(label):
            ratio = Spread.of([a / b for a, b in zip(rounds, seconds["relu_ext"])])
            aim = AIMS.get((label, source, target)) if case["threads"] == 1 else None
            spread = Spread.of(rounds)
            table.add_row(
                label,
                format_seconds(spread.median),
                format_seconds(min(rounds)),
                format_ratio(ratio),
                f"{aim}×" if aim else "",
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
    cases = []
    for threads in args.threads or sorted({1, everything}):
        for source, target in LAYOUTS:
            cases.append(measure(contenders, source, target, threads, args.rounds))
            print_table(console, cases[-1], [contender.label for contender in contenders])
    data = {"machine": facts[0], "versions": facts[1], "notes": notes, "cases": cases}
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / "images.json"
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    console.print(f"wrote {path}", highlight=False)


if __name__ == "__main__":
    main()
