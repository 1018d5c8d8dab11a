"""The run as pictures: speed under the roofs, and how many times slower each peer is."""

import io
import itertools
import math

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from PIL import Image

from bench.cases import OPERATIONS, format_size
from bench.results import BEST_COPY

# Okabe and Ito's colours, which colour-blind readers tell apart, and a shape for each.
STYLES = {
    "relu_ext": ("#D55E00", "o"),
    "numpy": ("#0072B2", "s"),
    "torch": ("#CC79A7", "D"),
    "numba": ("#009E73", "^"),
    "jax": ("#E69F00", "v"),
    "onnxruntime": ("#56B4E9", "P"),
    "numexpr": ("#8B5A2B", "X"),
}
CUSTOM_STYLE = ("#000000", "*")
ROOF_STYLES = {"roof": "-", BEST_COPY: "--", "copyto": ":"}
TEXT_COLOUR = "#333333"
TYPES = {"f32": "float32", "f64": "float64", "f16": "float16", "bf16": "bfloat16", "i8": "int8"}
RATIO_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SMALLEST_SPEED = 256  # below, it is the call that takes the time and not the memory

plt.rcParams.update(
    {
        "font.size": 10,
        "axes.edgecolor": "#BBBBBB",
        "axes.labelcolor": TEXT_COLOUR,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#E6E6E6",
        "xtick.color": TEXT_COLOUR,
        "ytick.color": TEXT_COLOUR,
        "lines.linewidth": 1.5,
        "lines.markersize": 4.5,
    }
)


def draw_all(results, folder):
    """Draw everything that was measured; yields the files' paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for dtype in results.data["options"]["dtypes"]:
        for cache in results.data["options"]["cache"]:
            for kind, draw in PICTURES.items():
                figure = draw(results, dtype, cache)
                if figure is not None:
                    path = folder / f"{kind}-{dtype}-{cache}.png"
                    save(figure, path)
                    yield path


def draw_speed(results, dtype, cache):
    """GB/s against size, with the copies as roofs."""

    def panel(axes, cases):
        draw_roofs(axes, results, cases)
        for name in competitors(results):
            line(axes, results, name, cases, [results.speed(case, name) for case in cases])

    def finish(axes, low, high):
        axes.set_ylim(0, high * 1.05)

    def shown(case):
        return case.n >= SMALLEST_SPEED and not OPERATIONS[case.op].new_output

    cases = select(results, dtype, cache, shown)
    return draw_grid(results, "Speed, in GB/s read and written", cases, panel, finish, "GB/s")


def draw_ratio(results, dtype, cache, ops=OPERATIONS):
    """How many times longer the peers take, against size."""

    def panel(axes, cases):
        axes.axhspan(1e-3, 1, color="#F3F3F3", zorder=0)
        for name in (*competitors(results), BEST_COPY):
            ratios = [results.ratio(case, name) for case in cases]
            line(axes, results, name, cases, [ratio and ratio.median for ratio in ratios])
            measured = [(case.n, ratio) for case, ratio in zip(cases, ratios) if ratio]
            axes.fill_between(
                [n for n, _ in measured],
                [ratio.low for _, ratio in measured],
                [ratio.high for _, ratio in measured],
                color=style(name)["color"],
                alpha=0.15,
                linewidth=0,
            )

    def finish(axes, low, high):
        axes.set_yscale("log")
        axes.set_ylim(max(0.1, min(0.6, low / 1.2)), max(3, high * 1.2))
        axes.yaxis.set_major_locator(FixedLocator(RATIO_TICKS))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}×"))
        axes.yaxis.set_minor_locator(NullLocator())

    def shown(case):  # those for few sizes only are for the tables
        return case.op in ops and not OPERATIONS[case.op].smallest_bytes

    cases = select(results, dtype, cache, shown)
    title = "Time taken, as a multiple of relu_ext’s"
    return draw_grid(results, title, cases, panel, finish, "time / relu_ext’s time")


def draw_forward(results, dtype, cache):
    """The forward pass alone, for the README."""
    return draw_ratio(results, dtype, cache, ops=["forward"])


def draw_roofs(axes, results, cases):
    """What a copy reaches, as an area, and the copies, as lines."""
    roof = [max(results.speed(case, name) or 0 for name in ("roof", BEST_COPY)) for case in cases]
    axes.fill_between(
        [case.n for case in cases], roof, color="#EAEAEA", linewidth=0, label=area_label(results)
    )
    for name in ROOF_STYLES:
        line(axes, results, name, cases, [results.speed(case, name) for case in cases])


def area_label(results):
    """Says how the copy is called, as whoever makes cheaper calls is above it."""
    looped = "roof" in results.names()
    way = "in a C loop or called from Python" if looped else "called from Python"
    return f"best C copy, {way}"


def line(axes, results, name, cases, values):
    """One contender's line."""
    values = [math.nan if value is None else value for value in values]
    if not all(map(math.isnan, values)):
        axes.plot([case.n for case in cases], values, label=results.label(name), **style(name))


def style(name):
    """How a contender's line looks."""
    if name in ROOF_STYLES:
        return {"color": "#8A8A8A", "linestyle": ROOF_STYLES[name]}
    colour, marker = STYLES.get(name, CUSTOM_STYLE)
    emphasis = {"linewidth": 3, "markersize": 6, "zorder": 5} if name == "relu_ext" else {}
    return {"color": colour, "marker": marker, **emphasis}


def competitors(results):
    return ("relu_ext", *results.names(peers_only=True))


def select(results, dtype, cache, shown):
    return [
        case
        for case in results.cases
        if case.dtype == dtype and case.cache == cache and shown(case)
    ]


def draw_grid(results, title, cases, panel, finish, ylabel):
    """Operations down, threads across; None where one cannot draw lines."""
    if len(sizes := sorted({case.n for case in cases})) < 2:
        return None
    ops = [op for op in OPERATIONS if any(case.op == op for case in cases)]
    threads = sorted({case.threads for case in cases})
    figure, grid = plt.subplots(
        len(ops),
        len(threads),
        squeeze=False,
        sharex=True,
        sharey="row",
        figsize=(0.6 + 5 * len(threads), 1.3 + 2.6 * len(ops)),
        layout="constrained",
    )
    for (op, row), (column, count) in itertools.product(zip(ops, grid), enumerate(threads)):
        axes = row[column]
        own = [case for case in cases if (case.op, case.threads) == (op, count)]
        panel(axes, sorted(own, key=lambda case: case.n))
        axes.set_title(f"{OPERATIONS[op].title}, {count} thread{'s' * (count > 1)}")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(sizes))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: format_size(int(n))))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.tick_params(length=0)
        axes.tick_params(axis="x", rotation=45)
    for row in grid:
        drawn = np.concatenate([line.get_ydata() for axes in row for line in axes.lines])
        finish(row[0], np.nanmin(drawn), np.nanmax(drawn))  # holds for the row, as y is shared
        row[0].set_ylabel(ylabel)
    for axes in grid[-1]:
        axes.set_xlabel("elements")
    what = f"{TYPES[cases[0].dtype]}, {cases[0].cache} cache"
    heading = f"{title}: {what}" if len(threads) > 1 else f"{title}\n{what}"
    add_legend(figure, grid, heading, [*results.data["labels"].values(), area_label(results)])
    figure.supxlabel(footer(results), x=0.01, ha="left", fontsize=8, color=TEXT_COLOUR)
    return figure


def add_legend(figure, grid, title, order):
    """One for all panels, under the title."""
    handles = {}
    for axes in grid.flat:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            handles.setdefault(label, handle)
    labels = sorted(handles, key=order.index)
    most = 4 * grid.shape[1] if grid.shape[1] > 1 else 3  # in a row
    rows = math.ceil(len(labels) / most)
    legend = figure.legend(
        [handles[label] for label in labels],
        labels,
        title=title,
        loc="outside upper left",
        ncols=math.ceil(len(labels) / rows),
        alignment="left",
        frameon=False,
        handlelength=2.5,
        columnspacing=1.4,
        title_fontproperties={"size": 14, "weight": "bold"},
    )
    legend.get_title().set_color(TEXT_COLOUR)


def footer(results):
    """On what it was measured."""
    machine, versions = results.data["machine"], results.data["versions"]
    caches = " ".join(f"{level} {size}" for level, size in machine["caches"].items())
    libraries = (
        f"{results.label(name)} {versions[name]}"
        for name in competitors(results)
        if name in versions
    )
    cpu = f"{machine['cpu']}, {machine['cpus usable']} CPUs, {caches}"
    return f"{cpu}\n{', '.join(libraries)}"


PICTURES = {"speed": draw_speed, "ratio": draw_ratio, "ratio-forward": draw_forward}


def save(figure, path):
    """As a PNG with a palette, which is a third of the size and looks the same."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=130)
    plt.close(figure)
    with Image.open(buffer) as image:
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
