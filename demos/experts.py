"""Draw the learning curves of the learned experts that ship: python demos/experts.py

Reads `agents/experts/weights/*/policy.json` and `docs/published_scores.json`, writes
`docs/experts.png`.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gato_gym.agents.experts import WEIGHTS, learned_cards
from gato_gym.evaluation.scores import bootstrap_interval

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "docs" / "published_scores.json"
PICTURE = ROOT / "docs" / "experts.png"
COLUMNS = 6
OURS, THEIRS = "#1f5fa8", "#c4552d"


def published() -> dict[str, dict[str, Any]]:
    """Task -> {"score", "source"}."""
    return json.loads(PUBLISHED.read_text())


def draw(ax: Axes, card: Mapping[str, Any], score: float | None) -> None:
    """One expert: its returns in training, in the final evaluation, and the published one."""
    steps, returns = zip(*card["curve"], strict=True)
    ax.plot(steps, returns, color=OURS, linewidth=1.4)
    final = card["evaluation"]
    low, high = bootstrap_interval(final["returns"])
    ax.errorbar(
        [card["steps_trained"]],
        [final["mean"]],
        [[final["mean"] - low], [high - final["mean"]]],
        color=OURS,
        marker="o",
        markersize=4,
        capsize=2,
        clip_on=False,
        zorder=3,
    )
    if score is not None:
        ax.axhline(score, color=THEIRS, linewidth=1, linestyle=(0, (4, 3)))
    ax.set_title(card["task"].removesuffix("-v0").removesuffix("-v5"), fontsize=8.5)
    ax.set_xlim(0, card["steps_trained"] * 1.03)
    ax.xaxis.set_major_locator(MaxNLocator(3))
    ax.xaxis.set_major_formatter(FuncFormatter(_short))
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.yaxis.set_major_formatter(FuncFormatter(_short))
    ax.tick_params(labelsize=7)
    ax.spines[["top", "right"]].set_visible(False)


def _short(value: float, _: Any = None) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def picture(all_cards: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Draw one panel per expert."""
    scores = published()
    rows = math.ceil(len(all_cards) / COLUMNS)
    figure, axes = plt.subplots(
        rows, COLUMNS, figsize=(2.15 * COLUMNS, 1.75 * rows + 0.5), squeeze=False
    )
    for ax, card in zip(axes.flat, all_cards, strict=False):
        draw(ax, card, scores.get(card["task"], {}).get("score"))
    for ax in axes.flat[len(all_cards) :]:
        ax.set_visible(False)
    figure.suptitle(
        "Return in training (line, sampled actions), of the expert that ships (dot, 50 episodes, "
        "95 % interval) and published (dashed)",
        fontsize=9,
    )
    figure.supxlabel("training steps (decisions)", fontsize=8)
    figure.tight_layout(rect=(0, 0, 1, 0.99))
    figure.savefig(out, dpi=110)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of experts")
    parser.add_argument("--out", type=Path, default=PICTURE)
    options = parser.parse_args(arguments)
    picture(learned_cards(options.weights), options.out)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
