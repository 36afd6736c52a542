"""List the episodes of a corpus, check every byte of it, or count what it holds.

example:
    gato-gym corpus verify corpus
    gato-gym corpus stats corpus --json
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from gato_gym import envs
from gato_gym.cli.players import print_json
from gato_gym.config import MODELS
from gato_gym.data.corpus import Corpus
from gato_gym.errors import GatoGymError
from gato_gym.tokenizers.timestep import StepTokenizer
from gato_gym.tokenizers.vocabulary import Vocabulary


@dataclass(frozen=True)
class Options:
    """What to do with which corpus."""

    action: tyro.conf.Positional[Literal["list", "verify", "stats"]]
    """list: one line per episode; verify: read everything and compare checksums; stats: totals."""
    path: tyro.conf.Positional[Path]
    """The corpus."""
    json: bool = False
    """Print JSON."""


def stats(corpus: Corpus) -> dict[str, Any]:
    """Episodes, tasks, tokens and bytes, in total and by task.

    `tokens` of a task that cannot be tokenised here (not installed, or with text of variable
    length) is None, and so is the total then.
    """
    counted = corpus.stats()
    for task, row in counted["by_task"].items():
        row["tokens"] = tokens_per_step(task) and row["steps"] * tokens_per_step(task)
    tokens = [row["tokens"] for row in counted["by_task"].values()]
    return counted | {"tokens": None if None in tokens else sum(tokens)}


def tokens_per_step(task: str) -> int | None:
    """Tokens of one step of a task, None where that is not known."""
    try:
        spec = envs.task_spec(task)
        return StepTokenizer(spec, Vocabulary(MODELS["bundle"].text_size)).tokens_per_step
    except GatoGymError:
        return None


def run(options: Options) -> int:
    """Print what was asked for."""
    corpus = Corpus.open(options.path)
    if options.action == "list":
        _list(corpus, options.json)
    elif options.action == "verify":
        report = corpus.verify()
        if options.json:
            print_json(asdict(report))
        else:
            print(
                f"{report.episodes} episodes ({report.steps} steps) in {report.shards} shards, "
                f"{report.bytes:,} bytes: every byte is the one that was committed"
            )
            for name in report.orphans:
                print(f"not part of the corpus, may be deleted: shards/{name}")
    else:
        counted = stats(corpus)
        if options.json:
            print_json(counted)
        else:
            _table(counted)
    return 0


def _list(corpus: Corpus, json: bool) -> None:
    names = ("index", "task", "expert", "seed", "noise", "steps", "episode_return", "success")
    rows = [{name: getattr(entry, name) for name in names} for entry in corpus.episodes()]
    if json:
        print_json(rows)
        return
    for row in rows:
        print(
            f"{row['index']:6}  {row['task']:28}{row['expert']:26}seed {row['seed']:<9}"
            f"noise {row['noise']:<5g}{row['steps']:6} steps  return {row['episode_return']:g}"
        )


def _table(counted: dict[str, Any]) -> None:
    print(f"{'task':28}{'episodes':>9}{'steps':>11}{'tokens':>13}{'bytes':>14}{'return':>10}")
    for task, row in counted["by_task"].items():
        tokens = "?" if row["tokens"] is None else f"{row['tokens']:,}"
        print(
            f"{task:28}{row['episodes']:9,}{row['steps']:11,}{tokens:>13}{row['bytes']:14,}"
            f"{row['mean_return']:10.2f}"
        )
    tokens = "?" if counted["tokens"] is None else f"{counted['tokens']:,}"
    print(f"{'total':28}{counted['episodes']:9,}{counted['steps']:11,}{tokens:>13}", end="")
    print(f"{counted['bytes']:14,}")
