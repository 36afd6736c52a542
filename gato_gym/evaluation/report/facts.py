"""Facts around the scores: what the agent is, where it comes from, what it was trained on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gato_gym.data.corpus import Corpus
from gato_gym.evaluation.corpus_card import commands
from gato_gym.evaluation.corpus_stats import corpus_stats
from gato_gym.evaluation.report.scores import Scores
from gato_gym.evaluation.report.source import CONFIG, MANIFEST, WEIGHTS, RunFolder
from gato_gym.evaluation.report.values import duration, large, mapping, number, printable, whole
from gato_gym.evaluation.return_chart import Strip

_MOST_ANCESTORS = 20


@dataclass(frozen=True)
class Ancestor:
    """An agent that training went on from: its name, its weights' fingerprint, how it was made."""

    name: str
    weights: str
    steps: float | None
    command: str


@dataclass(frozen=True)
class Facts:
    """What the head of the page and its last section tell.

    summary    short facts for the head
    commands   what -> the command that did it
    origin     name -> value, of the section about where it comes from
    ancestors  what training went on from, the last one first
    versions   package -> version, that it was trained with
    settings   groups of settings: name -> (name -> value)
    """

    summary: Sequence[str]
    commands: Mapping[str, str]
    origin: Mapping[str, str]
    ancestors: Sequence[Ancestor]
    versions: Mapping[str, str]
    settings: Mapping[str, Mapping[str, Any]]

    @staticmethod
    def value(value: object) -> str:
        """A setting in words."""
        if isinstance(value, bool) or value is None:
            return {True: "yes", False: "no", None: "none"}[value]
        return printable(f"{value:g}" if isinstance(value, float) else value)


def facts(
    run: RunFolder, card: Mapping[str, Any], result: Mapping[str, Any], scores: Scores | None
) -> Facts:
    """The facts of a run.

    Args:
        run: its folder.
        card: the agent's card.json.
        result: result.json of a fine-tuning run.
        scores: what is shown of them.
    """
    tuned = mapping(card.get("finetune")) or result
    own = tuned or card
    config, manifest = run.of_agent(CONFIG), run.of_agent(MANIFEST)
    tasks = mapping(card.get("data"))
    parameters, steps = number(own.get("parameters")), number(own.get("steps"))
    tokens, seconds = number(own.get("tokens")), number(own.get("seconds"))
    summary = [f"{whole(parameters)} parameters"] if parameters else []
    if tuned:
        summary.append(f"adapted to {printable(tuned.get('task'))}")
    elif tasks:
        summary.append(f"{len(tasks)} task{'' if len(tasks) == 1 else 's'}")
    summary += [f"{whole(steps)} steps"] if steps else []
    summary += [f"{large(tokens)} tokens"] if tokens else []
    machine = printable(own["machine"]) if own.get("machine") else ""
    if seconds:
        summary.append(f"{duration(seconds)}{machine and ' on '}{machine}")
    weights = mapping(manifest.get(WEIGHTS))
    checksum = number(weights.get("crc32c"))
    origin = {
        "kind": run.kind,
        "machine": machine,
        "training time": duration(seconds) if seconds else "",
        "started from": printable(own.get("base") or ""),
        "weights": f"{whole(number(weights.get('size')))} bytes, crc32c {int(checksum):08x}"
        if checksum is not None
        else "",
        "note": printable(own["note"]) if own.get("note") else "",
    }
    told = {"training": own.get("command"), "evaluation": _evaluation(scores)}
    settings = {
        "model": mapping(card.get("model")) or config,
        "training": mapping(card.get("train")),
        "fine-tuning": mapping(tuned.get("settings")),
    }
    return Facts(
        summary=summary,
        commands={name: str(command) for name, command in told.items() if command},
        origin={name: value for name, value in origin.items() if value},
        ancestors=_ancestors(card),
        versions={
            printable(name): printable(v) for name, v in mapping(own.get("versions")).items()
        },
        settings={name: group for name, group in settings.items() if group},
    )


def _ancestors(card: Mapping[str, Any]) -> list[Ancestor]:
    """What training went on from, the last one first; none of random weights."""
    found: list[Ancestor] = []
    start = mapping(card.get("start"))
    while start and len(found) < _MOST_ANCESTORS:
        before = mapping(start.get("card"))
        found.append(
            Ancestor(
                printable(start.get("agent") or "an agent"),
                printable(start.get("weights") or ""),
                number(before.get("steps")),
                str(before.get("command") or ""),
            )
        )
        start = mapping(before.get("start"))
    return found


def _evaluation(scores: Scores | None) -> str | None:
    """The command that plays such a scorecard again, None where its tasks were played unlike."""
    if scores is None or not scores.rows:
        return None
    episodes = {row.episodes for row in scores.rows}
    seeds = {int(number(row.told.get("seed")) or 0) for row in scores.rows}
    if len(episodes) > 1 or len(seeds) > 1:
        return None
    settings, name = scores.settings, scores.checkpoint.partition(" (")[0]
    words = ["gato-gym", "eval", "--all"]
    if name in ("expert", "random"):
        words += ["--agent", name]
    elif name not in ("bundled", ""):
        words += ["--checkpoint", name]
    words += ["--episodes", str(episodes.pop()), "--seed", str(seeds.pop())]
    if settings.get("precision", "float32") != "float32":
        words += ["--precision", printable(settings["precision"])]
    words += ["--no-prompt"] if settings.get("prompt") is False else []
    words += ["--controls"] if settings.get("controls") is True else []
    return shlex.join(words)


# Data


@dataclass(frozen=True)
class TaskData:
    """Episodes of a task in the data; None where it is not known."""

    task: str
    domain: str
    share: float | None
    episodes: float | None
    steps: float | None
    tokens: float | None
    mean: float | None
    normalized: float | None
    experts: str


@dataclass(frozen=True)
class Data:
    """What the agent was trained on: of a corpus, else of its card.

    name    of the corpus, "" of a card
    totals  name -> number
    strips  returns to draw; none of a card
    """

    name: str
    totals: Mapping[str, float | None]
    rows: Sequence[TaskData]
    commands: Sequence[str]
    strips: Sequence[Strip]


def corpus_facts(path: Path | None, card: Mapping[str, Any]) -> Data | None:
    """The statistics of a corpus, or what an agent's card tells of its data; None of neither.

    Raises:
        CorpusPathError, CorruptShardError: see `Corpus.open`.
    """
    if path is not None:
        return _of_corpus(Corpus.open(path))
    told = mapping(card.get("data"))
    rows = [_of_card(task, mapping(row)) for task, row in told.items()]
    if not rows:
        return None
    totals = {
        "tasks": float(len(rows)),
        **{
            name: _sum([getattr(row, name) for row in rows])
            for name in ("episodes", "steps", "tokens")
        },
    }
    return Data("", totals, rows, [], [])


def _sum(found: Sequence[float | None]) -> float | None:
    return None if None in found else sum(value for value in found if value is not None)


def _of_corpus(corpus: Corpus) -> Data:
    stats = corpus_stats(corpus)
    if not stats["episodes"]:
        raise ValueError(f"{str(corpus.path)!r} has no episodes to show: gato-gym collect --help")
    rows = [
        TaskData(
            task=printable(task),
            domain=row["domain"],
            share=None,
            episodes=row["episodes"],
            steps=row["steps"],
            tokens=row["tokens"],
            mean=row["mean_return"],
            normalized=row["normalized"],
            experts=", ".join(row["experts"]),
        )
        for task, row in stats["by_task"].items()
    ]
    strips = [
        Strip(
            printable(task),
            row["domain"],
            [entry.episode_return for entry in corpus.episodes(task)],
            row["random"],
            row["expert"],
        )
        for task, row in stats["by_task"].items()
    ]
    totals = {name: stats[name] for name in ("tasks", "episodes", "steps", "tokens", "bytes")}
    made = commands(stats["by_task"], corpus.path.name)
    return Data(printable(corpus.path.name), totals, rows, made, strips)


def _of_card(task: str, row: Mapping[str, Any]) -> TaskData:
    parts = row.get("parts")
    experts = [mapping(part).get("expert") for part in parts] if isinstance(parts, list) else []
    return TaskData(
        task=printable(task),
        domain="",
        share=number(row.get("share")),
        episodes=number(row.get("episodes")),
        steps=number(row.get("steps")),
        tokens=number(row.get("tokens")),
        mean=None,
        normalized=None,
        experts=", ".join(sorted({printable(one) for one in experts if one})),
    )
