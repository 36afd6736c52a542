"""Look at a corpus, check it, bring several together, and exchange data with others.

examples:
    gato-gym corpus stats corpus --json
    gato-gym corpus verify corpus
    gato-gym corpus repair corpus
    gato-gym corpus merge morning evening --out corpus
    gato-gym corpus card corpus
    gato-gym corpus export --minari corpus
    gato-gym corpus import --minari D4RL/pen/human-v2 --out corpus
    gato-gym corpus read photos --as captions --task text/photos --out corpus

gato-gym corpus ACTION --help shows the options of one action.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional

from gato_gym.cli import corpus_read
from gato_gym.cli.players import print_json
from gato_gym.data.corpus import Corpus
from gato_gym.data.merge import SHARD_BYTES, merge
from gato_gym.data.repair import repair


@dataclass(frozen=True)
class List:
    """One line per episode."""

    path: Positional[Path]
    """The corpus."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True)
class Verify:
    """Read everything and compare it with its checksums."""

    path: Positional[Path]
    """The corpus."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True)
class Repair:
    """Keep all that is whole of a damaged corpus; the rest goes to its folder set_aside.

    Deletes nothing. Collecting again makes the episodes that are missing.
    """

    path: Positional[Path]
    """The corpus."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True)
class Stats:
    """Count episodes, steps, tokens and bytes, and sum up the returns of each task."""

    path: Positional[Path]
    """The corpus."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True)
class Merge:
    """Bring the episodes of several corpora into one, byte for byte, each of them once.

    The same command again goes on where it was stopped.
    """

    sources: Positional[tuple[Path, ...]]
    """The corpora; they stay as they are."""
    out: Path
    """The corpus that gets the episodes; created where there is none."""
    shard_bytes: int = SHARD_BYTES
    """Commit whenever so many bytes are together."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True)
class Card:
    """Write a data card: README.md as the Hugging Face Hub reads it, card.json, returns.png."""

    path: Positional[Path]
    """The corpus."""
    out: Path | None = None
    """Folder for the three files; default is the corpus' own."""
    license: str = "apache-2.0"
    """The data's license, as the Hub names it."""
    json: bool = False
    """Print card.json as well."""


@dataclass(frozen=True)
class Export:
    """Write one Minari data set per task, gato_gym/<task>-v0, lossless.

    The same command again goes on where it was stopped.
    """

    path: Positional[Path]
    """The corpus."""
    minari: bool = False
    """The format; there is no other yet."""
    task: tuple[str, ...] = ()
    """Only these tasks."""
    id: str | None = None
    """Another id for the data set of a single task."""
    root: Path | None = None
    """Folder of Minari data sets; default is Minari's own ($MINARI_DATASETS_PATH)."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True)
class Import:
    """Add the episodes of Minari data sets to a corpus, as our environments would have given them.

    Episodes that the corpus has already are skipped. What `export` wrote comes back exactly.
    """

    datasets: Positional[tuple[str, ...]]
    """Ids of data sets under --root, or their folders."""
    out: Path
    """The corpus; created where there is none."""
    minari: bool = False
    """The format; there is no other yet."""
    task: str | None = None
    """The task they are of; default is the environment id in the data set."""
    clip_actions: bool = False
    """Clip actions that leave the action space, instead of refusing them."""
    skip_invalid: bool = False
    """Leave out episodes with a NaN, illegal actions or no steps, instead of refusing them."""
    shard_bytes: int = SHARD_BYTES
    """Commit whenever so many bytes are together."""
    root: Path | None = None
    """Folder of Minari data sets; default is Minari's own ($MINARI_DATASETS_PATH)."""
    json: bool = False
    """Print JSON."""


Options = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
    | Annotated[Repair, tyro.conf.subcommand("repair")]
    | Annotated[Stats, tyro.conf.subcommand("stats")]
    | Annotated[Merge, tyro.conf.subcommand("merge")]
    | Annotated[Card, tyro.conf.subcommand("card")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Import, tyro.conf.subcommand("import")]
    | Annotated[corpus_read.Options, tyro.conf.subcommand("read")]
)


def run(options: Any) -> int:
    """Do what was asked for and print how it went."""
    actions: dict[type, Any] = {
        List: _list,
        Verify: _verify,
        Repair: _repair,
        Stats: _stats,
        Merge: _merge,
        Card: _card,
        Export: _export,
        Import: _import,
        corpus_read.Options: corpus_read.run,
    }
    actions[type(options)](options)
    return 0


def _list(options: List) -> None:
    names = ("index", "task", "expert", "seed", "noise", "steps", "episode_return", "success")
    entries = Corpus.open(options.path).episodes()
    rows = [{name: getattr(entry, name) for name in names} for entry in entries]
    if options.json:
        print_json(rows)
        return
    task, expert = (max([len(r[name]) for r in rows], default=0) + 2 for name in ("task", "expert"))
    for row in rows:
        print(
            f"{row['index']:6}  {row['task']:{task}}{row['expert']:{expert}}seed {row['seed']:<9}"
            f"noise {row['noise']:<5g}{row['steps']:6} steps  return {row['episode_return']:g}"
        )


def _verify(options: Verify) -> None:
    report = Corpus.open(options.path).verify()
    if options.json:
        print_json(asdict(report))
        return
    print(
        f"{report.episodes} episodes ({report.steps} steps) in {report.shards} shards, "
        f"{report.bytes:,} bytes: every byte is the one that was committed"
    )
    for name in report.orphans:
        print(f"not part of the corpus, may be deleted: shards/{name}")


def _repair(options: Repair) -> None:
    report = repair(options.path)
    if options.json:
        print_json(asdict(report))
        return
    print(
        f"{report.kept} shards kept, {report.recovered} taken in again by their labels, "
        f"{len(report.set_aside)} set aside"
    )
    for name, why in report.set_aside.items():
        print(f"{name}: {why}")


def _stats(options: Stats) -> None:
    from gato_gym.evaluation.corpus_stats import corpus_stats

    stats = corpus_stats(Corpus.open(options.path))
    if options.json:
        print_json(stats)
        return
    width = max([len(task) for task in stats["by_task"]], default=4) + 2
    print(
        f"{'task':{width}}{'episodes':>9}{'steps':>12}{'tokens':>14}{'bytes':>16}"
        f"{'return':>11}{'std':>9}{'min':>10}{'max':>10}{'success':>9}{'normalised':>12}"
    )
    for task, row in stats["by_task"].items():
        success = "" if row["success_rate"] is None else f"{row['success_rate']:.0%}"
        normalized = "" if row["normalized"] is None else f"{row['normalized']:.2f}"
        print(
            f"{task:{width}}{_counts(row)}{row['mean_return']:11.1f}{row['std_return']:9.1f}"
            f"{row['min_return']:10.1f}{row['max_return']:10.1f}{success:>9}{normalized:>12}"
        )
    print(f"{'total':{width}}{_counts(stats)}")


def _counts(row: dict[str, Any]) -> str:
    tokens = "?" if row["tokens"] is None else f"{row['tokens']:,}"
    return f"{row['episodes']:9,}{row['steps']:12,}{tokens:>14}{row['bytes']:16,}"


def _merge(options: Merge) -> None:
    report = merge(options.sources, options.out, shard_bytes=options.shard_bytes)
    if options.json:
        counts = {"episodes": report.episodes, "steps": report.steps, "skipped": report.skipped}
        print_json({"out": str(options.out), **counts, "total": len(report.corpus)})
        return
    print(
        f"{report.episodes} episodes ({report.steps} steps) added, {report.skipped} were there "
        f"already; {options.out} has {len(report.corpus)}"
    )


def _card(options: Card) -> None:
    from gato_gym.evaluation.corpus_card import write_card

    corpus = Corpus.open(options.path)
    card = write_card(corpus, options.out, license=options.license)
    if options.json:
        print_json(card)
    else:
        print(f"README.md, card.json and returns.png are in {options.out or options.path}")


def _check_format(options: Export | Import) -> None:
    if not options.minari:
        action = type(options).__name__.lower()
        raise ValueError(f"say in which format: gato-gym corpus {action} --minari ...")


def _export(options: Export) -> None:
    from gato_gym.data.minari.export import export_minari

    _check_format(options)
    rows = export_minari(
        Corpus.open(options.path), tasks=options.task, dataset_id=options.id, root=options.root
    )
    if options.json:
        print_json({"datasets": [asdict(row) for row in rows]})
        return
    for row in rows:
        done = "was there already" if row.skipped else f"{row.episodes} episodes, {row.steps} steps"
        print(f"{row.id}: {done} ({row.task})")


def _import(options: Import) -> None:
    from gato_gym.data.minari.load import import_minari

    _check_format(options)
    if not options.datasets:
        raise ValueError("name at least one data set, an id or a folder")
    rows = [
        import_minari(
            dataset,
            options.out,
            task=options.task,
            root=options.root,
            clip_actions=options.clip_actions,
            skip_invalid=options.skip_invalid,
            shard_bytes=options.shard_bytes,
        )
        for dataset in options.datasets
    ]
    if options.json:
        print_json({"out": str(options.out), "datasets": [asdict(row) for row in rows]})
        return
    for row in rows:
        invalid = f", {row.invalid} invalid ones were left out" if row.invalid else ""
        print(
            f"{row.id} ({row.task}): {row.episodes} episodes ({row.steps} steps) added, "
            f"{row.skipped} were there already{invalid}"
        )
