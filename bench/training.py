"""
What ReLU does to a network: the usual claims, tried on scikit-learn's digits.

Run ``python -m bench.training`` from the source tree: it prints the figures and draws a
picture for each claim, in less than three minutes on one CPU.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from bench.network import ACTIVATIONS, Network
from bench.plots import TEXT_COLOUR, plt, save
from relu_ext import dead_units, sparsity

BATCH = 64
MOMENTUM = 0.9
STYLES = {
    "relu": {"color": "#D55E00", "marker": "o", "linewidth": 3, "zorder": 5},
    "relu_1": {"color": "#E69F00", "marker": "v", "linestyle": "--"},
    "tanh": {"color": "#0072B2", "marker": "s"},
    "sigmoid": {"color": "#009E73", "marker": "^"},
}


@dataclass(frozen=True)
class Plan:
    depths: tuple = (2, 5, 10, 20)  # hidden layers
    width: int = 64
    seeds: int = 3
    epochs: int = 15
    rates: tuple = (0.003, 0.02, 0.15)  # of which each case gets the best
    killing_rates: tuple = (0.02, 0.1, 0.2, 0.25, 0.3, 0.4)
    killing_biases: tuple = (0.0, -0.5, -1.0, -2.0, -4.0)
    exploding_scales: tuple = (1.0, 1.25, 1.5)


QUICK = Plan(
    depths=(2, 5),
    width=16,
    seeds=1,
    epochs=2,
    rates=(0.02,),
    killing_rates=(0.01, 1.0),
    killing_biases=(0.0, -4.0),
    exploding_scales=(1.0, 2.0),
)


class Digits:
    """1437 images to train on and 360 to test on, around 0 and with a variance of 1 or so."""

    def __init__(self):
        images, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(images))
        images, labels = images[order], labels[order]
        training = len(images) * 4 // 5
        images = ((images - images[:training].mean(0)) / images[:training].std()).astype("f4")
        self.x, self.labels = images[:training], labels[:training]
        self.test_x, self.test_labels = images[training:], labels[training:]

    def batches(self, rng):
        order = rng.permutation(len(self.x))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            yield self.x[chosen], self.labels[chosen]


def new_network(plan, depth, name, seed, **options):
    rng = np.random.default_rng(seed)
    return Network([64, *[plan.width] * depth, 10], ACTIVATIONS[name], rng, **options), rng


def median(runs):
    """Over the first axis."""
    return np.median(np.array(runs), axis=0)


def initial_gradients(digits, plan, advance):
    """(depth, activation): the norm of the gradient by each hidden layer's weights."""
    found = {}
    for depth in plan.depths:
        for name in ACTIVATIONS:
            runs = []
            for seed in range(plan.seeds):
                network, _ = new_network(plan, depth, name, seed)
                _, by_weights, _ = network.gradients(digits.x, digits.labels)
                runs.append([float(np.linalg.norm(g)) for g in by_weights[:-1]])
            found[depth, name] = median(runs)
            advance()
    return found


@dataclass
class Training:
    rate: float
    accuracy: np.ndarray  # by epoch, the first before training
    seconds: float  # the fastest epoch
    sparsity_before: list  # by hidden layer, over the test images
    sparsity_after: list


def train_all(digits, plan, advance):
    """(depth, activation): the Training with the best of the rates, a median over the seeds."""
    found = {}
    for depth in plan.depths:
        for name in ACTIVATIONS:
            by_rate = []
            for rate in plan.rates:
                runs = [train(digits, plan, depth, name, rate, s) for s in range(plan.seeds)]
                by_rate.append(
                    Training(
                        rate,
                        median([run.accuracy for run in runs]),
                        min(run.seconds for run in runs),
                        median([run.sparsity_before for run in runs]),
                        median([run.sparsity_after for run in runs]),
                    )
                )
                advance()
            found[depth, name] = max(by_rate, key=lambda run: run.accuracy[-1])
    return found


def train(digits, plan, depth, name, rate, seed):
    network, rng = new_network(plan, depth, name, seed)

    def zeros():
        return [sparsity(y) for y in network.forward(digits.test_x)[1:-1]]

    before, times = zeros(), []
    accuracy = [network.accuracy(digits.test_x, digits.test_labels)]
    for _ in range(plan.epochs):
        start = time.perf_counter()
        for x, labels in digits.batches(rng):
            network.step(x, labels, rate, momentum=MOMENTUM)
        times.append(time.perf_counter() - start)
        accuracy.append(network.accuracy(digits.test_x, digits.test_labels))
    return Training(rate, np.array(accuracy), min(times), before, zeros())


@dataclass
class Death:
    before: float  # share of the hidden units that are zero for every training image
    after: float
    accuracy: float


def kill(digits, plan, advance, *, rate=0.02, bias=0.0):
    """ReLU with two hidden layers."""
    runs = []
    for seed in range(plan.seeds):
        network, rng = new_network(plan, 2, "relu", seed, bias=bias)

        def dead(network=network):
            return float(np.mean([dead_units(y) for y in network.forward(digits.x)[1:-1]]))

        before = dead()
        for _ in range(plan.epochs):
            for x, labels in digits.batches(rng):
                network.step(x, labels, rate, momentum=MOMENTUM)
        runs.append((before, dead(), network.accuracy(digits.test_x, digits.test_labels)))
    advance()
    return Death(*median(runs))


def explode(digits, plan, advance, *, scale, clip):
    """Gradient norm by step, and the accuracy, of the deepest network with larger weights."""
    network, rng = new_network(plan, plan.depths[-1], "relu", 0, scale=scale)
    norms = []
    for _ in range(plan.epochs):
        for x, labels in digits.batches(rng):
            norms.append(network.step(x, labels, 0.01, momentum=MOMENTUM, clip=clip)[1])
    advance()
    return np.array(norms), network.accuracy(digits.test_x, digits.test_labels)


def tick_depths(axes, depth):
    axes.set_xticks(
        sorted({1, *range(5, depth + 1, 5), depth}) if depth > 5 else range(1, depth + 1)
    )


def grid(columns, title, **options):
    figure, axes = plt.subplots(
        1,
        columns,
        figsize=(0.6 + 2.9 * columns, 4.2),
        layout="constrained",
        squeeze=False,
        sharey=True,
        **options,
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, weight="bold", color=TEXT_COLOUR)
    for each in axes.flat:
        each.tick_params(length=0)
    return figure, axes[0]


def legend(figure, axes, columns=4):
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False)


def draw_gradients(found, plan):
    figure, row = grid(
        len(plan.depths), "Before training: does the gradient reach the first layers?"
    )
    for axes, depth in zip(row, plan.depths):
        for name, activation in ACTIVATIONS.items():
            axes.plot(
                range(1, depth + 1), found[depth, name], label=activation.label, **STYLES[name]
            )
        axes.set_yscale("log")
        axes.set_title(f"{depth} hidden layers")
        axes.set_xlabel("layer")
        tick_depths(axes, depth)
    row[0].set_ylabel("norm of the gradient by the weights")
    legend(figure, row[0])
    return figure


def draw_accuracy(found, plan):
    figure, row = grid(len(plan.depths), "Accuracy on the test images, by epoch")
    for axes, depth in zip(row, plan.depths):
        for name, activation in ACTIVATIONS.items():
            accuracy = found[depth, name].accuracy
            axes.plot(range(len(accuracy)), accuracy, label=activation.label, **STYLES[name])
        axes.axhline(0.1, color="#8A8A8A", linestyle=":", label="guessing")
        axes.set_title(f"{depth} hidden layers")
        axes.set_xlabel("epoch")
        axes.set_ylim(0, 1)
    row[0].set_ylabel("accuracy")
    legend(figure, row[0], columns=5)
    return figure


def draw_sparsity(found, plan):
    figure, row = grid(len(plan.depths), "Share of exact zeros in ReLU’s output")
    for axes, depth in zip(row, plan.depths):
        run, layers = found[depth, "relu"], range(1, depth + 1)
        axes.plot(
            layers,
            run.sparsity_before,
            label="before training",
            color="#8A8A8A",
            marker="o",
            linestyle="--",
        )
        axes.plot(layers, run.sparsity_after, label="after training", **STYLES["relu"])
        axes.set_title(f"{depth} hidden layers")
        axes.set_xlabel("layer")
        tick_depths(axes, depth)
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
    row[0].set_ylabel("zeros over the test images")
    legend(figure, row[0])
    return figure


def draw_dead(by_rate, by_bias):
    figure, row = grid(2, "Dead units: zero for every training image")
    figure.set_size_inches(9.6, 4.2)
    for axes, found, label in (
        (row[0], by_rate, "learning rate (biases begin at 0)"),
        (row[1], by_bias, "biases at the beginning (learning rate 0.02)"),
    ):
        places = range(len(found))
        axes.plot(
            places,
            [death.before for death in found.values()],
            color="#8A8A8A",
            marker="o",
            linestyle="--",
            label="dead before training",
        )
        axes.plot(
            places,
            [death.after for death in found.values()],
            label="dead after training",
            **STYLES["relu"],
        )
        axes.plot(
            places,
            [death.accuracy for death in found.values()],
            color="#0072B2",
            marker="s",
            label="accuracy on the test images",
        )
        axes.set_xticks(places, [f"{value:g}" for value in found])
        axes.set_xlabel(label)
        axes.set_ylim(-0.03, 1.03)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
    legend(figure, row[0])
    return figure


def draw_exploding(found, plan):
    figure, row = grid(
        len(plan.exploding_scales),
        f"{plan.depths[-1]} hidden layers of ReLU, and initial weights too large",
    )
    figure.set_size_inches(10.6, 4.2)
    for axes, scale in zip(row, plan.exploding_scales):
        for clip, look in ((None, STYLES["relu"]), (1.0, STYLES["tanh"])):
            norms, accuracy = found[scale, clip]
            last = finite_steps(norms)
            look = {**look, "marker": None, "linewidth": 1.5, "alpha": 0.85}
            name = "clipped to 1" if clip else "as it comes"
            axes.plot(norms[:last], label=f"{name}: {accuracy:.0%} accurate", **look)
            if last < len(norms):
                axes.plot(last - 1, norms[last - 1], "X", color=look["color"], markersize=10)
                axes.annotate(
                    "overflow",
                    (last - 1, norms[last - 1]),
                    (10, 0),
                    va="center",
                    textcoords="offset points",
                    color=TEXT_COLOUR,
                )
        axes.set_yscale("log")
        axes.set_title(f"initial weights × {scale:g}")
        axes.set_xlabel("step")
        axes.legend(frameon=False, loc="upper right", title="gradient", alignment="left")
    low, high = row[0].get_ylim()
    row[0].set_ylim(low, high * 1e6)
    row[0].set_ylabel("norm of the gradient, before clipping")
    return figure


def finite_steps(norms):
    """How many steps it takes until the gradient is infinite or NaN."""
    return int(np.isfinite(norms).argmin()) if not np.isfinite(norms).all() else len(norms)


def report(gradients, training, by_rate, by_bias, exploding, plan):
    """The figures, and what they say about the claims."""
    labels = {name: activation.label for name, activation in ACTIVATIONS.items()}
    wide = max(map(len, labels.values()))

    def table(title, cell):
        yield ""
        yield title
        heads = "".join(f"{f'{d} layers':>18}" for d in plan.depths)
        yield f"{'':{wide}}{heads}"
        for name, label in labels.items():
            yield f"{label:{wide}}" + "".join(f"{cell(d, name):>18}" for d in plan.depths)

    def best(depth, name):
        run = training[depth, name]
        return f"{run.accuracy[-1]:.1%} at {run.rate:g}"

    yield from table(
        "Gradient before training, by the weights of the first and of the last hidden layer",
        lambda d, name: "{:.1g} and {:.1g}".format(*gradients[d, name][[0, -1]]),
    )
    yield from table(
        f"Accuracy after {plan.epochs} epochs, with the best of the learning rates "
        f"{', '.join(map(str, plan.rates))}",
        best,
    )
    yield from table("Fastest epoch", lambda d, n: f"{training[d, n].seconds * 1e3:.1f} ms")
    yield from table(
        "Exact zeros after training, fewest and most of the layers",
        lambda d, n: (
            f"{min(training[d, n].sparsity_after):.0%} to {max(training[d, n].sparsity_after):.0%}"
        ),
    )
    for what, found in (("learning rate", by_rate), ("bias at the beginning", by_bias)):
        yield ""
        yield f"Dead units, 2 hidden layers of ReLU, by {what}"
        for value, death in found.items():
            yield (
                f"{value:8g}: {death.before:.1%} before training, {death.after:.1%} after, "
                f"accuracy {death.accuracy:.1%}"
            )
    yield ""
    yield f"Largest gradient of all steps, {plan.depths[-1]} hidden layers of ReLU"
    for (scale, clip), (norms, accuracy) in exploding.items():
        last = finite_steps(norms)
        how = "clipped to 1" if clip else "as it comes"
        end = "" if last == len(norms) else f", overflow at step {last}"
        yield (
            f"weights × {scale:g}, {how}: {max(norms[:last], default=np.inf):.2g}, "
            f"accuracy {accuracy:.1%}{end}"
        )


def claims(gradients, training, by_rate, by_bias, exploding, plan):
    """What is usually said, and whether it holds here."""
    deep, shallow = plan.depths[-1], plan.depths[0]

    def verdict(claim, holds, because):
        return f"{'holds' if holds else 'DOES NOT HOLD':15}{claim}: {because}"

    def first_of_last(name):
        return gradients[deep, name][0] / gradients[deep, name][-1]

    def accuracy(name, depth):
        return training[depth, name].accuracy[-1]

    for name, label in (("sigmoid", "Sigmoid"), ("tanh", "Tanh")):
        yield verdict(
            f"{label}'s gradient vanishes with the depth",
            first_of_last(name) < 0.01,
            f"of {deep} layers the first has {first_of_last(name):.1g} of the last one's",
        )
    yield verdict(
        "ReLU's gradient does not vanish",
        first_of_last("relu") > 0.1,
        f"of {deep} layers the first has {first_of_last('relu'):.1g} of the last one's",
    )
    kept = np.mean(gradients[deep, "relu_1"]) / np.mean(gradients[deep, "relu"])
    yield verdict(
        "That is ReLU's doing, whatever the weights",
        kept > 0.1,
        f"with weights made for tanh, all {deep} layers have {kept:.1g} of that gradient",
    )
    for name in ("sigmoid", "tanh"):
        pairs = [(accuracy("relu", depth), accuracy(name, depth)) for depth in plan.depths]
        shown = ", ".join(
            f"{relu:.1%} and {other:.1%} at {depth}"
            for (relu, other), depth in zip(pairs, plan.depths)
        )
        better = all(relu > other for relu, other in pairs)
        yield verdict(f"ReLU trains better than {name} at every depth", better, shown)
    sparse = [share for depth in plan.depths for share in training[depth, "relu"].sparsity_after]
    yield verdict(
        "ReLU makes true zeros",
        min(sparse) > 0.1,
        f"{min(sparse):.0%} to {max(sparse):.0%} of a layer's output; none by the others; the "
        "matrix products that follow take as long as without",
    )
    relu, tanh = (training[shallow, name].seconds for name in ("relu", "tanh"))
    yield verdict(
        "ReLU makes training faster",
        relu < 0.8 * tanh,
        f"an epoch at {shallow} layers took {relu * 1e3:.1f} ms, with tanh {tanh * 1e3:.1f} ms",
    )
    for what, found in (("High learning rates", by_rate), ("Negative biases", by_bias)):
        value, death = list(found.items())[-1]
        yield verdict(
            f"{what} kill units",
            death.after > 0.1,
            f"{death.after:.0%} dead at {value:g}, and {next(iter(found.values())).after:.0%} at "
            f"{next(iter(found)):g}",
        )
    revived = {value: death for value, death in by_bias.items() if death.after < death.before}
    yield verdict(
        "A dead unit stays dead",
        not revived,
        ", ".join(
            f"{death.before:.1%} at a bias of {value:g} became {death.after:.1%}, as the layers "
            "before them moved"
            for value, death in revived.items()
        )
        or "there are as many after training",
    )
    norms, alone = exploding[plan.exploding_scales[-1], None]
    _, clipped = exploding[plan.exploding_scales[-1], 1.0]
    _, well = exploding[1.0, None]
    yield verdict(
        "ReLU's gradients can explode",
        max(norms[: finite_steps(norms)], default=np.inf) > 100,
        f"with weights {plan.exploding_scales[-1]:g} times too large",
    )
    yield verdict(
        "Clipping cures that",
        clipped > 0.9 * well,
        f"{alone:.1%} accurate without, {clipped:.1%} with clipping, {well:.1%} with the right "
        "weights and no clipping",
    )


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).with_name("results"),
        metavar="FOLDER",
        help="where the pictures go, as training-*.png (default: bench/results)",
    )
    parser.add_argument("--quick", action="store_true", help="small networks, a few seconds")
    args = parser.parse_args(argv)
    plan = QUICK if args.quick else Plan()
    args.output.mkdir(parents=True, exist_ok=True)
    digits = Digits()
    start = time.perf_counter()
    cases = len(plan.depths) * len(ACTIVATIONS)
    total = cases * (1 + len(plan.rates)) + len(plan.killing_rates + plan.killing_biases)
    total += 2 * len(plan.exploding_scales)
    # One thread: the matrices are small. Networks that diverge overflow.
    with (
        threadpool_limits(1),
        np.errstate(all="ignore"),
        tqdm(total=total, disable=None, unit="case") as bar,
    ):
        gradients = initial_gradients(digits, plan, bar.update)
        training = train_all(digits, plan, bar.update)
        by_rate = {r: kill(digits, plan, bar.update, rate=r) for r in plan.killing_rates}
        by_bias = {b: kill(digits, plan, bar.update, bias=b) for b in plan.killing_biases}
        exploding = {
            (scale, clip): explode(digits, plan, bar.update, scale=scale, clip=clip)
            for scale in plan.exploding_scales
            for clip in (None, 1.0)
        }
    print(
        f"{len(digits.x)} digits of 8 × 8, layers of {plan.width}, float32, batches of {BATCH}, "
        f"momentum {MOMENTUM}; medians over {plan.seeds} seeds; "
        f"{time.perf_counter() - start:.0f} s"
    )
    found = gradients, training, by_rate, by_bias, exploding, plan
    print(*report(*found), "", "What is said of ReLU, here:", *claims(*found), sep="\n")
    for name, figure in {
        "gradients": draw_gradients(gradients, plan),
        "accuracy": draw_accuracy(training, plan),
        "sparsity": draw_sparsity(training, plan),
        "dead": draw_dead(by_rate, by_bias),
        "exploding": draw_exploding(exploding, plan),
    }.items():
        save(figure, args.output / f"training-{name}.png")


if __name__ == "__main__":
    main()
