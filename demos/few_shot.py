"""Draw what `benchmarks/few_shot.py` measured: python demos/few_shot.py

Reads `benchmarks/results/few_shot.json`; writes `docs/few_shot.png` and the table of
`docs/finetuning.md`, which stands between markers there.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "few_shot.json"
DOCUMENT, PICTURE = ROOT / "docs" / "finetuning.md", ROOT / "docs" / "few_shot.png"
BEGIN, END = "<!-- few-shot -->", "<!-- /few-shot -->"
COLOURS = {"all weights": "#7aa6c2", "LoRA": "#1a7f4b", "from scratch": "#b3402e"}


def table(results: Mapping[str, Any]) -> list[str]:
    """One row per run."""
    head = ("episodes", "draw", "trained", "parameters", "before", "score", "normalised", "at step")
    names = [*head, "at the end", "minutes of training"]
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    for run in results["runs"]:
        cells = [
            f"{run['episodes']}",
            f"{run['draw']}",
            run["way"],
            f"{run['trained_parameters']:,}",
            f"{run['before']:.1f}",
            f"{run['score']:.1f}",
            f"{run['normalized']:.2f}",
            f"{run['score_at_step']}",
            f"{run['last']:.1f}",
            f"{run['seconds'] / 60:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def picture(results: Mapping[str, Any]) -> Figure:
    """A panel per number of episodes: the mean return of every evaluation, a line per run."""
    runs = results["runs"]
    numbers = sorted({run["episodes"] for run in runs})
    figure = Figure(figsize=(3.4 * len(numbers) + 1, 3.0), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(numbers), sharey=True, squeeze=False)[0]
    for panel, number in zip(panels, numbers, strict=True):
        for run in (run for run in runs if run["episodes"] == number):
            steps = [point["step"] for point in run["curve"]]
            returns = [point["mean_return"] for point in run["curve"]]
            label = run["way"] if run["draw"] == 0 else None
            panel.plot(steps, returns, color=COLOURS[run["way"]], label=label, marker=".", lw=1.4)
        for name, style in (("expert", "--"), ("random", ":")):
            panel.axhline(runs[0][name], color="#777", ls=style, lw=1, label=name)
        panel.set_title(f"{number} episode{'' if number == 1 else 's'}", size=9)
        panel.set_xlabel("steps", size=8)
        panel.tick_params(labelsize=7)
    panels[0].set_ylabel(f"{results['task']}: mean return", size=8)
    # Each once, whatever panel it is in.
    lines = {line.get_label(): line for panel in panels for line in panel.get_lines()}
    lines = {label: line for label, line in lines.items() if not label.startswith("_")}
    figure.legend(list(lines.values()), list(lines), fontsize=7, loc="outside right center")
    return figure


def with_table(text: str, lines: Sequence[str]) -> str:
    """The document with the table between its markers."""
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise SystemExit(f"the document needs the markers {BEGIN} and {END}")
    return "\n".join((f"{before}{BEGIN}", *lines, f"{END}{after}"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args(arguments)
    results = json.loads(options.results.read_text())
    options.document.write_text(with_table(options.document.read_text(), table(results)))
    picture(results).savefig(options.picture, metadata={"Software": None})
    return 0


if __name__ == "__main__":
    sys.exit(main())
