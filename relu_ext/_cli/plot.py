"""``relu-ext plot``: ReLU and its derivative, as a picture."""

import argparse
import math

import numpy as np

import relu_ext

# name, parameters, where it has kinks, label, and how the line looks: Okabe and Ito's colours,
# which colour-blind readers tell apart. The derivative is the function named ..._grad.
RELU = (
    "relu",
    (),
    (0.0,),
    "ReLU(x) = max(x, 0)",
    {"color": "#D55E00", "linewidth": 4},
)
FAMILY = (
    (
        "leaky_relu",
        (0.1,),
        (0.0,),
        "leaky ReLU, slope 0.1",
        {"color": "#0072B2", "linewidth": 2, "linestyle": (0, (5, 2))},
    ),
    (
        "clipped_relu",
        (6.0,),
        (0.0, 6.0),
        "clipped ReLU, ceiling 6",
        {"color": "#009E73", "linewidth": 2, "linestyle": (0, (1, 1))},
    ),
)
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#BBBBBB",
    "axes.grid": True,
    "axes.labelcolor": "#333333",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "font.size": 11,
    "grid.color": "#E6E6E6",
    "svg.hashsalt": "relu_ext",  # the same file every time
    "xtick.color": "#333333",
    "ytick.color": "#333333",
}
FORMATS = (".png", ".svg", ".pdf")


def add(commands):
    parser = commands.add_parser(
        "plot",
        help="draw ReLU and its derivative",
        description="Draw ReLU and its derivative as relu_ext computes them: into a window, or "
        "where there is no display into relu.png. Needs matplotlib.",
        epilog="""\
examples:
  relu-ext plot
  relu-ext plot --family -o relu.svg
  relu-ext plot --range -2 2 -o kink.png --show

exit codes: 0 done; 2 it cannot be done, and no file was changed
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--range",
        nargs=2,
        type=float,
        default=(-5, 10),
        metavar=("A", "B"),
        help="the axis of x (default: -5 10)",
    )
    parser.add_argument(
        "--family", action="store_true", help="the variants that the package has, as well"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help=f"the picture; {', '.join(FORMATS)} say its format"
    )
    parser.add_argument("--show", action="store_true", help="a window, in addition to FILE")
    parser.set_defaults(run=lambda args: run(parser, args))


def run(parser, args):
    low, high = args.range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        parser.error(f"--range {low:g} {high:g}: must be two numbers, the lower one first")
    if args.output and not args.output.lower().endswith(FORMATS):
        parser.error(f"{args.output}: a picture's name must end in {', '.join(FORMATS)}")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "plot needs matplotlib, which is not installed here: pip install matplotlib"
        ) from None

    # Without a display, matplotlib chooses a backend that only writes files.
    figure = None
    with matplotlib.rc_context(STYLE):
        if args.show or not args.output:
            from matplotlib import pyplot

            figure = pyplot.figure(figsize=(8, 6), layout="constrained", num="ReLU")
        if figure is None or figure.canvas.required_interactive_framework is None:
            if args.show:
                raise ValueError(
                    "there is no display for a window, or no library for windows "
                    "(such as PyQt6); leave out --show to write a file"
                )
            figure, pyplot = Figure(figsize=(8, 6), layout="constrained"), None
        draw(figure, low, high, family(args.family))
        target = args.output or (None if pyplot else "relu.png")
        if target:
            # A date would make each file different.
            date = {".svg": "Date", ".pdf": "CreationDate"}.get(target.lower()[-4:])
            metadata = {date: None} if date else {}
            figure.savefig(target, dpi=150, metadata=metadata)
            print(target)
        if pyplot:
            pyplot.show()
    return 0


def family(wanted):
    """Those variants that this version of relu_ext has, after ReLU."""
    variants = [row for row in FAMILY if hasattr(relu_ext, row[0])]
    return [RELU, *(variants if wanted else ())]


def draw(figure, low, high, functions):
    """The functions above, their derivatives below."""
    above, below = figure.subplots(2, sharex=True, height_ratios=(2, 1))
    for axes in (above, below):
        axes.tick_params(length=0)
        if low < 0 < high:
            axes.axvline(0, color="#BBBBBB", linewidth=0.8, zorder=1)
    for function in functions:
        draw_function(above, below, low, high, *function)
    above.set_ylabel("y")
    below.set_ylabel("dy/dx")
    below.set_xlabel("x")
    below.set_xlim(low, high)
    below.set_ylim(-0.25, 1.25)
    below.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    if len(functions) > 1:
        above.set_title("ReLU and its family")
        above.legend(frameon=False, loc="upper left")
        below.set_title("The derivatives")
    else:
        above.set_title(RELU[3])
        below.set_title("Its derivative")
    if low < 0 < high:
        say(above, "kink at 0", (0, 0), (-24, 48), "right")
    if low <= 0 <= high and len(functions) == 1:
        say(below, "0 at x = 0", (0, 0), (24, 24), "left")


def say(axes, text, point, offset, align):
    axes.annotate(
        text,
        point,
        offset,
        textcoords="offset points",
        ha=align,
        color="#333333",
        arrowprops={"arrowstyle": "-", "color": "#333333", "shrinkB": 6},
    )


def draw_function(above, below, low, high, name, parameters, kinks, label, look):
    kinks = [kink for kink in kinks if low <= kink <= high]
    around = [
        side
        for kink in kinks
        for side in (np.nextafter(kink, -np.inf), kink, np.nextafter(kink, np.inf))
    ]
    x = np.unique([*np.linspace(low, high, 1001), *around])
    above.plot(x, getattr(relu_ext, name)(x, *parameters), label=label, **look)

    def derivative(x):
        return getattr(relu_ext, f"{name}_grad")(np.ones_like(x), x, *parameters)

    slope = derivative(x)
    jumps = 1 + np.flatnonzero(np.diff(slope))
    below.plot(np.insert(x, jumps, np.nan), np.insert(slope, jumps, np.nan), **look)
    dot = {"marker": "o", "markersize": 9, "markeredgecolor": look["color"]}
    dot["zorder"] = 6 if name == "relu" else 5
    for kink in kinks:
        left, at, right = derivative(
            np.array([np.nextafter(kink, -np.inf), kink, np.nextafter(kink, np.inf)])
        )
        for side in {left, right} - {at}:  # what the derivative comes to but does not reach
            below.plot(kink, side, markerfacecolor="white", markeredgewidth=2, **dot)
        below.plot(kink, at, markerfacecolor=look["color"], **dot)
    if 0 in kinks:
        y = getattr(relu_ext, name)(0.0, *parameters)
        above.plot(0, y, markerfacecolor=look["color"], **dot)
