"""Draw the curves of a training run: python demos/training_curves.py RUN

Reads `train.jsonl`, `validation.jsonl` and `rollouts.jsonl` of the run's folder, writes
`RUN/curves.png`: loss by domain in training and on held-out episodes, and how well the weights
played, where the run was asked for these.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from gato_gym.cli.runlog import NAME, ROLLOUTS, VALIDATION, read_lines

Lines = Sequence[Mapping[str, Any]]


def curves(lines: Lines) -> dict[str, tuple[list[int], list[float]]]:
    """Domain -> steps and losses; by task where an older run has no domains."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    for line in lines:
        for name, loss in (line.get("domain_losses") or line["losses"]).items():
            steps, losses = found.setdefault(name, ([], []))
            steps.append(line["step"])
            losses.append(loss)
    return found


def draw_losses(ax: Axes, lines: Lines, validation: Lines, colors: Mapping[str, Any]) -> None:
    """Loss in training as lines, on held-out episodes as dots joined by dashes."""
    for name, (steps, losses) in curves(lines).items():
        ax.plot(steps, losses, color=colors[name], linewidth=1.3, label=name)
    for name, (steps, losses) in curves(validation).items():
        style = {"linestyle": (0, (4, 3)), "linewidth": 1, "marker": "o", "markersize": 3.5}
        ax.plot(steps, losses, color=colors[name], **style)
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    held_out = ", dashed: held-out episodes" if validation else ""
    ax.set_title(f"loss, nats per target{held_out}", fontsize=9)


def draw_scores(ax: Axes, rollouts: Lines, colors: Mapping[str, Any]) -> None:
    """Mean normalised score of each domain with its 95 % interval."""
    for name, color in colors.items():
        points = [
            (line["step"], line["domains"][name]["mean"], *line["domains"][name]["ci95"])
            for line in rollouts
            if line["domains"].get(name, {}).get("count")
        ]
        if points:
            steps, mean, low, high = zip(*points, strict=True)
            ax.plot(steps, mean, color=color, marker="o", markersize=3.5, linewidth=1.3)
            ax.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
    for level, name in ((0, "random"), (1, "expert")):
        ax.axhline(level, color="0.6", linewidth=0.8)
        where = ax.get_yaxis_transform()  # across in shares of the panel, up in scores
        ax.text(1.0, level, f" {name}", transform=where, fontsize=7, color="0.4", va="center")
    ax.set_title("normalised score of rollouts, 95 % interval", fontsize=9)


def picture(run: Path, out: Path) -> None:
    """Draw one run.

    Raises:
        FileNotFoundError: the folder has no log.
    """
    lines = read_lines(run / NAME)
    if not lines:
        raise FileNotFoundError(f"{run / NAME} has no lines: is {run} the --out of a training?")
    validation, rollouts = read_lines(run / VALIDATION), read_lines(run / ROLLOUTS)
    names = list(curves(lines)) + list(curves(validation))
    names += [domain for line in rollouts for domain in line["domains"]]
    cycle = plt.get_cmap("tab10" if len(set(names)) <= 10 else "tab20")
    colors = {name: cycle(i % cycle.N) for i, name in enumerate(dict.fromkeys(names))}
    panels = 2 if rollouts else 1
    figure, axes = plt.subplots(1, panels, figsize=(5.2 * panels, 3.6), squeeze=False)
    draw_losses(axes[0, 0], lines, validation, colors)
    if rollouts:
        draw_scores(axes[0, 1], rollouts, colors)
    for ax in axes.flat:
        ax.set_xlabel("step", fontsize=8)
        ax.set_xlim(0, max(line["step"] for line in [*lines, *rollouts]) * 1.02)
        ax.tick_params(labelsize=7)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].legend(fontsize=7, frameon=False, ncols=-(-len(colors) // 8))
    figure.tight_layout()
    figure.savefig(out, dpi=120)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="the --out of gato-gym train")
    parser.add_argument("--out", type=Path, help="picture; default is RUN/curves.png")
    options = parser.parse_args(arguments)
    out = options.out or options.run / "curves.png"
    try:
        picture(options.run, out)
    except FileNotFoundError as error:
        print(f"training_curves: {error}", file=sys.stderr)
        return 2
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
