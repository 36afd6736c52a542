"""The data card of a corpus: `README.md` as the Hugging Face Hub reads it, JSON, and a picture."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import gato_gym
from gato_gym.agents.experts.noise import DEFAULT_BURST
from gato_gym.data.corpus import Corpus
from gato_gym.data.shards import fsync
from gato_gym.envs.registry import registered
from gato_gym.evaluation.corpus_stats import corpus_stats
from gato_gym.evaluation.return_chart import Strip, save_returns

README, CARD, PICTURE = "README.md", "card.json", "returns.png"
# Upper ends of the Hub's size categories.
_SIZES = ((10**3, "1K"), (10**4, "10K"), (10**5, "100K"), (10**6, "1M"), (10**7, "10M"))


def write_card(
    corpus: Corpus, folder: Path | None = None, *, license: str = "apache-2.0"
) -> dict[str, Any]:
    """Write the three files of the card and return its JSON.

    Args:
        corpus: at least one episode.
        folder: where to; the corpus' own folder if None, where the Hub looks for them.
        license: of the data, as the Hub names licenses.

    Raises:
        ValueError: the corpus is empty.
        OSError: a file cannot be written; the others are whole.
    """
    if not len(corpus):
        raise ValueError(f"{str(corpus.path)!r} has no episodes to describe")
    folder = corpus.path if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    stats = corpus_stats(corpus)
    card = {
        "name": corpus.path.name,
        "license": license,
        **stats,
        "commands": commands(stats["by_task"], corpus.path.name),
        "written_by": f"gato_gym {gato_gym.__version__}: {_card_command(corpus, folder, license)}",
    }
    strips = [
        Strip(
            task,
            row["domain"],
            [entry.episode_return for entry in corpus.episodes(task)],
            row["random"],
            row["expert"],
        )
        for task, row in stats["by_task"].items()
    ]
    title = f"Returns of {_count(stats['episodes'], 'episode')} of {_count(stats['tasks'], 'task')}"
    _replace(folder / PICTURE, lambda path: save_returns(strips, title, path))
    text = json.dumps(card, indent=1, allow_nan=False) + "\n"
    _replace(folder / CARD, lambda path: path.write_text(text, encoding="utf-8"))
    _replace(folder / README, lambda path: path.write_text(readme(card), encoding="utf-8"))
    return card


def _replace(path: Path, write: Any) -> None:
    """A file that is complete or not there."""
    part = path.with_name(f".{path.name}.part")
    try:
        write(part)
        fsync(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _card_command(corpus: Corpus, folder: Path, license: str) -> str:
    words = ["gato-gym", "corpus", "card", corpus.path.name]
    words += [] if folder.absolute() == corpus.path else ["--out", folder.name]
    words += [] if license == "apache-2.0" else ["--license", license]
    return shlex.join(words)


def commands(by_task: Mapping[str, Mapping[str, Any]], out: str) -> list[str]:
    """The commands that make such a corpus, read off its episodes.

    Tasks that were collected alike share one. Where a quality filter left seeds out, the command
    names all seeds between the first and the last.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for task, row in by_task.items():
        for part in row["parts"]:
            groups.setdefault(_options(task, part), []).append(task)
    made = []
    for options, tasks in groups.items():
        imported = options[0] == "import"
        words = ["corpus", *options] if imported else ["collect", *tasks, *options]
        made.append(shlex.join(["gato-gym", *words, "--out", out]))
    return list(dict.fromkeys(made))


def _options(task: str, part: Mapping[str, Any]) -> tuple[str, ...]:
    expert = part["expert"]
    if expert.startswith("minari/"):
        return "import", "--minari", expert.removeprefix("minari/"), "--task", task
    first, last = part["seeds"]
    options = ["--episodes", str(last - first + 1), "--seed", str(first)]
    if part["noise"]:
        options += ["--noise", f"{part['noise']:g}"]
        if tuple(part["burst"]) != DEFAULT_BURST:
            options += ["--burst", *map(str, part["burst"])]
    if part["random_start"]:
        options += ["--random-start", str(part["random_start"])]
    if part.get("max_steps"):
        options += ["--max-steps", str(part["max_steps"])]
    if part.get("learner"):
        options += ["--learner", part["learner"]]
    spec = registered(task)
    if spec is None or spec.expert != expert:
        options += ["--expert", expert]
    return tuple(options)


def readme(card: Mapping[str, Any]) -> str:
    """The card for people, with the Hub's front matter."""
    rows = [_task_row(task, row) for task, row in card["by_task"].items()]
    versions = [f"- {package} {', '.join(found)}" for package, found in card["versions"].items()]
    tokens = "" if card["tokens"] is None else f", {card['tokens']:,} tokens"
    lines = [
        "---",
        f"license: {card['license']}",
        f"pretty_name: {json.dumps(card['name'])}",
        "tags: [gato, gymnasium, imitation-learning, reinforcement-learning, robotics]",
        "task_categories: [reinforcement-learning, robotics]",
        f"size_categories: [{_size_category(card['steps'])}]",
        "---",
        "",
        f"# {card['name']}",
        "",
        f"{_count(card['episodes'], 'episode')} of {_count(card['tasks'], 'task')}: "
        f"{card['steps']:,} steps{tokens}, {card['bytes']:,} bytes.",
        "",
        "```python",
        "from gato_gym.data.corpus import Corpus",
        "",
        'corpus = Corpus.open("this folder")',
        "episode = corpus.read(corpus.episodes()[0])",
        "```",
        "",
        f"![How the returns of each task are distributed]({PICTURE})",
        "",
        "| task | episodes | return | range | length | success | normalised | experts | seeds |",
        "|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        "Return: mean and standard deviation over the episodes. Normalised: 0 is random play, 1",
        "the score of the task's expert in gato_gym's catalogue. Noise is the share of steps on",
        "which a random action was executed; the expert's own action is kept beside it, also where",
        "an agent played, which is named by the fingerprint of its weights.",
        "",
        "## Made by",
        "",
        "```bash",
        *card["commands"],
        "```",
        "",
        "with",
        "",
        *versions,
        "",
        f"`{CARD}` has all numbers. Written by `{card['written_by']}`.",
        "",
    ]
    return "\n".join(lines)


def _task_row(task: str, row: Mapping[str, Any]) -> str:
    experts = "; ".join(dict.fromkeys(map(_made, row["parts"])))
    success = "" if row["success_rate"] is None else f"{row['success_rate']:.0%}"
    normalized = "" if row["normalized"] is None else f"{row['normalized']:.2f}"
    first, last = row["seeds"]
    cells: Iterable[str] = (
        f"`{task}`",
        f"{row['episodes']:,}",
        f"{row['mean_return']:.1f} \u00b1 {row['std_return']:.1f}",
        f"{row['min_return']:.1f} to {row['max_return']:.1f}",
        f"{row['mean_length']:.0f}",
        success,
        normalized,
        experts.replace("|", "\\|"),
        f"{first} to {last}",
    )
    return f"| {' | '.join(cells)} |"


def _made(part: Mapping[str, Any]) -> str:
    led = part.get("learner")
    how = [f"played by {led}"] if led else []
    if part["noise"]:
        how += [f"on {part['noise']:g} of the steps" if led else f"noise {part['noise']:g}"]
    how += [f"random start {part['random_start']}"] if part["random_start"] else []
    how += [f"cut at {part['max_steps']} steps"] if part.get("max_steps") else []
    return part["expert"] + (f" ({', '.join(how)})" if how else "")


def _size_category(rows: int) -> str:
    low = "n"
    for bound, name in _SIZES:
        if rows < bound:
            return f"n<{name}" if low == "n" else f"{low}<n<{name}"
        low = name
    return "n>10M" if rows >= 10**7 else f"{low}<n<10M"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
