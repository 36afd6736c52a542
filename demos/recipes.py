"""Draw what `benchmarks/compare_recipes.py` measured: python demos/recipes.py

Reads `benchmarks/results/recipes.json`; writes `docs/recipes.png` and the tables of
`docs/recipes.md`, which stand between markers there.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "recipes.json"
DOCUMENT, PICTURE = ROOT / "docs" / "recipes.md", ROOT / "docs" / "recipes.png"

Run = Mapping[str, Any]


def final(run: Run) -> float:
    """Held-out loss after the last step."""
    return run["curve"][-1]["held_out"]["all"]


def at_best(results: Mapping[str, Any]) -> dict[str, dict[int, Run]]:
    """Recipe -> seed -> its run at the rate that was best for the recipe at seed 0."""
    found = {}
    for name in results["recipes"]:
        runs = [run for run in results["runs"] if run["recipe"] == name]
        if runs:
            rate = min((r for r in runs if r["seed"] == 0), key=final)["rate"]
            chosen = (run for run in runs if run["rate"] == rate)
            found[name] = {run["seed"]: run for run in sorted(chosen, key=lambda r: r["seed"])}
    return found


def label(results: Mapping[str, Any], name: str) -> str:
    """A recipe's name in tables."""
    return results["recipes"][name]["label"]


def steps_to(run: Run, loss: float) -> float | None:
    """The step from which on the held-out loss is at most `loss`; None if it never is."""
    points = [(point["step"], point["held_out"]["all"]) for point in run["curve"]]
    above = [index for index, (_, value) in enumerate(points) if value > loss]
    if not above:
        return points[0][0]
    if above[-1] + 1 == len(points):
        return None
    (first, high), (last, low) = points[above[-1] : above[-1] + 2]
    return first + (last - first) * (high - loss) / (high - low)


def pace(results: Mapping[str, Any], name: str) -> float:
    """Seconds per step: the least disturbed run of all recipes whose steps do the same work."""

    def work(recipe: str) -> tuple[Any, ...]:
        about = results["recipes"][recipe]
        return about["train"].get("optimizer"), about["stochastic_depth"]

    same = (run for run in results["runs"] if work(run["recipe"]) == work(name))
    return min(run["step_seconds"] for run in same)


def recipes(results: Mapping[str, Any]) -> list[str]:
    """Each recipe beside the paper's at the same seeds."""
    chosen = at_best(results)
    base = chosen["paper"]
    lines = head(
        ("recipe", "peak rate", "held-out loss by seed", "minus the paper's"),
        ("steps to the paper's last loss", "time of a step", "time to the paper's last loss"),
    )
    for name, by_seed in chosen.items():
        shared = [seed for seed in by_seed if seed in base]
        gains = (final(by_seed[seed]) - final(base[seed]) for seed in shared)
        reached = [steps_to(by_seed[seed], final(base[seed])) for seed in shared]
        ratio = pace(results, name) / pace(results, "paper")
        lines += row(
            label(results, name),
            f"{by_seed[0]['rate']:g}",
            joined(f"{final(run):.3f}" for run in by_seed.values()),
            "" if name == "paper" else joined(f"{gain:+.3f}" for gain in gains),
            joined(share(step, results["steps"]) for step in reached),
            f"{ratio:.2f}",
            joined(share(step and step * ratio, results["steps"]) for step in reached),
        )
    return lines


def rates(results: Mapping[str, Any]) -> list[str]:
    """Held-out losses of seed 0 by recipe and rate."""
    first = [run for run in results["runs"] if run["seed"] == 0]
    columns = sorted({run["rate"] for run in first})
    lines = head(("recipe", *(f"{rate:g}" for rate in columns)))
    for name in at_best(results):
        losses = {run["rate"]: f"{final(run):.3f}" for run in first if run["recipe"] == name}
        lines += row(label(results, name), *(losses.get(rate, "") for rate in columns))
    return lines


def means(results: Mapping[str, Any]) -> list[str]:
    """Held-out losses of the last weights and of their running means, by seed."""
    chosen = at_best(results)
    decays = list(chosen["paper"][0]["curve"][-1]["ema"])
    lines = head(("recipe", "last weights", *(f"mean, decay {decay}" for decay in decays)))
    for name, by_seed in chosen.items():
        last = [run["curve"][-1] for run in by_seed.values()]
        judged = [[point["held_out"] for point in last]]
        judged += [[point["ema"][decay] for point in last] for decay in decays]
        cells = (joined(f"{losses['all']:.3f}" for losses in column) for column in judged)
        lines += row(label(results, name), *cells)
    return lines


def domains(results: Mapping[str, Any]) -> list[str]:
    """Held-out losses by domain, means over the seeds."""
    chosen = at_best(results)
    names = [name for name in chosen["paper"][0]["curve"][-1]["held_out"] if name != "all"]
    lines = head(("recipe", *(f"`{name}`" for name in names)))
    for name, by_seed in chosen.items():
        last = [run["curve"][-1]["held_out"] for run in by_seed.values()]
        cells = (f"{statistics.fmean(losses[domain] for losses in last):.3f}" for domain in names)
        lines += row(label(results, name), *cells)
    return lines


TABLES = {"recipes": recipes, "rates": rates, "means": means, "domains": domains}


def head(*names: tuple[str, ...]) -> list[str]:
    """The head of a table."""
    columns = [name for group in names for name in group]
    return [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]


def row(*cells: str) -> list[str]:
    """A line of a table."""
    return [f"| {' | '.join(cells)} |"]


def joined(cells: Iterable[str]) -> str:
    """One cell for all seeds."""
    return ", ".join(cells)


def share(step: float | None, steps: int) -> str:
    """Of the run's length."""
    return "not reached" if step is None else f"{step / steps:.0%}"


def fill(text: str, lines: Mapping[str, Sequence[str]]) -> str:
    """Put each table between its markers.

    Raises:
        ValueError: a marker is missing.
    """
    for name, table in lines.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if begin not in text or end not in text:
            raise ValueError(f"the document lacks the markers {begin.strip()} and {end}")
        before, _, rest = text.partition(begin)
        text = before + begin + "\n".join(table) + "\n" + end + rest.partition(end)[2]
    return text


def draw(results: Mapping[str, Any]) -> Figure:
    """Held-out losses by step, and by time at each recipe's pace; later seeds are pale."""
    figure = Figure(figsize=(10, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    for number, (name, by_seed) in enumerate(at_best(results).items()):
        for seed, run in by_seed.items():
            steps = [point["step"] for point in run["curve"]]
            losses = [point["held_out"]["all"] for point in run["curve"]]
            text = f"{label(results, name)}, rate {run['rate']:g}"
            style = {"color": f"C{number}", "linewidth": 1.3, "alpha": 0.4 if seed else 1}
            left.plot(steps, losses, label=None if seed else text, **style)
            right.plot([step * pace(results, name) for step in steps], losses, **style)
    left.set(xlabel="step", ylabel="held-out loss, nats per target", yscale="log")
    left.yaxis.set_major_formatter(ScalarFormatter())
    left.yaxis.set_minor_formatter(ScalarFormatter())
    right.set(xlabel="seconds of one core")
    for axes in (left, right):
        axes.grid(alpha=0.3, which="both")
    left.legend(fontsize=8)
    return figure


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args(arguments)
    results = json.loads(RESULTS.read_text())
    draw(results).savefig(PICTURE)
    tables = {name: make(results) for name, make in TABLES.items()}
    DOCUMENT.write_text(fill(DOCUMENT.read_text(), tables))
    return 0


if __name__ == "__main__":
    sys.exit(main())
