"""What the committed studies found, as tables for docs/; written by tables.py."""

import json
import statistics
from collections.abc import Mapping
from typing import Any

from score_tables import RESULTS, ROOT, SCORECARD, cells, table

from gato_gym.evaluation.prompting import table as prompts_table
from gato_gym.evaluation.robustness import table as robustness_table
from gato_gym.evaluation.scaling.text import as_markdown as scaling_lines
from gato_gym.evaluation.transfer import text as transfer_text

TRANSFER = ROOT / "docs" / "transfer" / "transfer.json"
SCALING = ROOT / "docs" / "scaling" / "scaling.json"


GENERALIST = ROOT / "docs" / "generalist"


def first_run() -> list[str]:
    """What the generalist's first run reached, by domain."""
    found = json.loads((GENERALIST / "first_run.json").read_text())
    lines = table(
        ("domain", "tasks", "at 50 % of the expert", "at 80 %"),
        ("median", "interquartile mean"),
    )
    rows = {f"`{domain}`": row for domain, row in found["domains"].items()}
    for name, row in (rows | {"**all**": found["overall"]}).items():
        counts = (row[part] for part in ("count", "at_50", "at_80"))
        lines += cells(name, *counts, *(f"{row[part]:.2f}" for part in ("median", "iqm")))
    return lines


def plateau() -> list[str]:
    """The first part's weights before the learning rate fell, beside the second part's after."""
    return _parts(
        ("after 3,000 steps", _record("plateau.json")),
        ("after the second part", _record("second_part.json")),
    )


def later_parts() -> list[str]:
    """The weights after the third and the fourth part, and the bundled ones after the fifth."""
    told = json.loads(SCORECARD.read_text())
    late = {domain: _brief(row) for domain, row in told["domains"].items()}
    return _parts(
        ("after the third part", _record("third_part.json")),
        ("after the fourth", _record("fourth_part.json")),
        ("in the end", late | {"all": _brief(told["overall"])}),
    )


def _record(name: str) -> dict[str, dict]:
    told = json.loads((GENERALIST / name).read_text())
    return told["domains"] | {"all": told["overall"]}


def _brief(row: dict) -> dict:
    above = row["above"]
    return {
        "count": row["count"],
        "median": row["median"],
        "at_50": above["50"],
        "at_80": above["80"],
    }


def _parts(*parts: tuple[str, dict[str, dict]]) -> list[str]:
    """Each domain's tasks at half and at 80 % of the expert's score, after each of the parts."""
    heads = [(f"{when} at 50 % of the expert", "at 80 %", "median") for when, _ in parts]
    lines = table(("domain", *heads[0]), *heads[1:])
    records = [record for _, record in parts]
    for domain in (name for name in records[-1] if all(name in record for record in records)):
        told = []
        for row in (record[domain] for record in records):
            told += [f"{row['at_50']} of {row['count']}", row["at_80"], f"{row['median']:.2f}"]
        lines += cells("**all**" if domain == "all" else f"`{domain}`", *told)
    return lines


def choices() -> list[str]:
    """What each choice behind the generalist gives, by `benchmarks/generalist_choices.py`."""
    found = json.loads((RESULTS / "generalist_choices.json").read_text())
    lines = table(
        ("of", "choice", "parameters", "arms", "BabyAI", "pole", "all", "all, minus the base's"),
    )
    rows = {row["choice"]: row for row in found["choices"]}
    base = _mean(rows["base"])["all"]
    for row in rows.values():
        means = _mean(row)
        lines += cells(
            row["of"],
            row["label"],
            f"{row['seeds'][0]['parameters'] / 1e6:.1f} M",
            *(f"{means[part]:.2f}" for part in ("arms", "babyai", "pole", "all")),
            "" if row["of"] == "" else f"{means['all'] - base:+.2f}",
        )
    settings, seeds = found["settings"], sorted({run["seed"] for run in rows["base"]["seeds"]})
    tokens = rows["base"]["seeds"][0]["tokens"]
    return [
        *lines,
        "",
        f"{tokens / 1e6:.1f} million tokens each, {settings['episodes']} episodes of each task, "
        f"training seed {', '.join(map(str, seeds))}. On {found['machine']}: "
        f"`{found['command']}`.",
    ]


def _mean(row: Mapping[str, Any]) -> dict[str, float]:
    """Of the seeds of a choice."""
    parts = row["seeds"][0]["groups"]
    return {part: statistics.fmean(run["groups"][part] for run in row["seeds"]) for part in parts}


def sizes() -> list[str]:
    """Score against tokens, as `gato-gym transfer scaling` found it."""
    return scaling_lines(json.loads(SCALING.read_text()))


def transfer() -> list[str]:
    """Scores from few episodes by what was learned before, as `gato-gym transfer` found them."""
    return transfer_text.as_markdown(json.loads(TRANSFER.read_text()))


def transfer_costs() -> list[str]:
    """What that study took."""
    return transfer_text.costs_as_markdown(json.loads(TRANSFER.read_text()))


def prompts() -> list[str]:
    """The bundled agent with other prompts, as `gato-gym probe prompts` played it."""
    found = json.loads((RESULTS / "prompts.json").read_text())
    tasks = " ".join(row["task"] for row in found["tasks"])
    return [*prompts_table.as_markdown(found["tasks"]), "", _told(f"prompts {tasks}", found)]


def perturbed() -> list[str]:
    """The bundled agent under other conditions, as `gato-gym probe robustness` played it."""
    found = json.loads((RESULTS / "robustness.json").read_text())
    tasks = " ".join(row["task"] for row in found["tasks"])
    lines = robustness_table.as_markdown(found["tasks"])
    return [*lines, "", _told(f"robustness {tasks}", found)]


def _told(probe: str, found: Mapping[str, Any]) -> str:
    settings = found["settings"]
    command = f"gato-gym probe {probe} --episodes {settings['episodes']} --seed {settings['seed']}"
    return f"{settings['episodes']} episodes each, weights `{settings['weights']}`: `{command}`."


def embeddings() -> list[str]:
    """How well layers tell tasks, as `gato-gym probe embeddings` found it."""
    found = json.loads((RESULTS / "embeddings.json").read_text())
    lines = table(
        ("layer", "told by neighbours", "silhouette"),
        ("random weights: told", "silhouette"),
    )
    for row in found["by_layer"]:
        beside = row["random"]
        lines += cells(
            f"**{row['layer']}**" if row["layer"] == found["layer"] else row["layer"],
            *(f"{row['accuracy']:.1%}", f"{row['silhouette']:.2f}"),
            *(f"{beside['accuracy']:.1%}", f"{beside['silhouette']:.2f}"),
        )
    return [
        *lines,
        "",
        f"{found['episodes']} episodes of {len(found['tasks'])} tasks, chance "
        f"{found['chance']:.0%}; bold is the layer of the picture: "
        "`gato-gym probe embeddings --episodes 40`.",
    ]


def embedded_tasks() -> list[str]:
    """Which tasks the middle layer takes for which, from the same file."""
    found = json.loads((RESULTS / "embeddings.json").read_text())
    lines = table(("task", "domain", "tokens of a window", "told", "taken for"))
    for row in found["tasks"]:
        taken = (f"`{name}` {count}" for name, count in row["taken_for"].items())
        lines += cells(
            f"`{row['task']}`",
            f"`{row['domain']}`",
            f"{row['mean_tokens']:.0f}",
            f"{row['accuracy']:.0%}",
            ", ".join(taken),
        )
    return lines
