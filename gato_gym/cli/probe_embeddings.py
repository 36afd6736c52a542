"""`gato-gym probe embeddings`: do the layers tell which task is played (paper, Figure 13)?"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from gato_gym.cli.choose_tasks import named_of
from gato_gym.cli.players import load_gato, print_json, write_json
from gato_gym.errors import GatoGymError, UnknownTaskError

if TYPE_CHECKING:
    from gato_gym.data.corpus import Corpus
    from gato_gym.data.jobs import Job


@dataclass(frozen=True)
class Embeddings:
    """Lay episodes out on a plane by what a layer makes of them, and count how many of them are
    nearest to their own task.

    Of each episode a random stretch of --length tokens is read; the activations of a layer are
    averaged over it, reduced to 50 principal components and by t-SNE to two. OUT gets the figure,
    light and dark, as SVG and PNG, and embeddings.json.

    example:
        gato-gym probe embeddings --out embeddings --episodes 40 --workers 2
    """

    tasks: Positional[tuple[str, ...]] = ()
    """Task ids, or patterns like 'text/*'; default is all that the checkpoint was trained on."""
    out: Path = Path("embeddings")
    """Folder of the figure and of embeddings.json."""
    checkpoint: str | None = None
    """Folder or Hub id of the model; default is the bundled one."""
    corpus: Path | None = None
    """Take episodes of this corpus; without it experts play them."""
    keep: Path | None = None
    """Keep the episodes that experts play in this corpus; what it has is not played again."""
    episodes: int = 100
    """Episodes per task."""
    episode_seed: int = 7000
    """Seed of the first episode that an expert plays; the others count up."""
    workers: int = 1
    """Processes in which experts play."""
    layer: int | None = None
    """The layer of the picture: 0 is what goes into the first block, N what block N gives. Default
    is the middle one, as in the paper."""
    length: int | None = None
    """Tokens that are averaged; default is the paper's 128, or the context where that is less."""
    neighbours: int = 5
    """Nearest neighbours that vote on an episode's task."""
    perplexity: float = 30.0
    """Of t-SNE."""
    seed: int = 0
    """Of what is drawn: stretches, t-SNE, the random weights of the control."""
    json: bool = False
    """Print JSON: embeddings.json without its points."""


def run_embeddings(options: Embeddings) -> int:
    """Collect, average, compare, draw; 1 where a task could not be played.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        UnknownTaskError: the checkpoint does not know a task, the corpus has none of it, or it has
            no expert.
        ValueError: a number is out of range, or there are too few episodes.
    """
    from gato_gym.cli.export import machine, versions
    from gato_gym.evaluation.embedding_chart import NAME, save_figures
    from gato_gym.evaluation.embedding_study import check_layer, embed
    from gato_gym.evaluation.embeddings import LENGTH, choose_windows, task_source
    from gato_gym.evaluation.separation import check_packages, check_perplexity

    _check(options)
    check_packages()
    agent = load_gato(options.checkpoint)
    layer = agent.config.layers // 2 if options.layer is None else options.layer
    check_layer(agent.config.layers, layer)
    context = agent.config.context
    length = min(LENGTH, context) if options.length is None else options.length
    if length > context:
        raise ValueError(f"--length {length} is longer than this agent's context of {context}")
    asked = named_of(options.tasks, agent.specs)
    skipped: dict[str, str] = {}
    # Before an expert plays an hour for nothing.
    if len(asked) < 2:
        raise ValueError(f"tasks are told apart from each other: name another beside {asked[0]}")
    check_perplexity(len(asked) * options.episodes, options.perplexity)
    with _corpus(options, asked, skipped) as corpus:
        tasks = _available(corpus, asked, skipped, named=bool(options.tasks))
        source = task_source(corpus, tasks, agent.specs, agent.config, agent.text)
        windows = choose_windows(source, options.episodes, length, options.seed)
        check_perplexity(len(windows), options.perplexity)
        result = embed(
            agent,
            source,
            windows,
            layer=layer,
            length=length,
            neighbours=options.neighbours,
            perplexity=options.perplexity,
            seed=options.seed,
        )
    used = versions() | {"scikit-learn": version("scikit-learn")}
    result |= {"skipped": skipped, "machine": machine(), "versions": used}
    for row in result["tasks"]:
        if row["episodes"] < options.episodes:
            _tell(f"{row['task']}: {row['episodes']} episodes, {options.episodes} were asked for")
    paths = save_figures(result, options.out)
    write_json(options.out / f"{NAME}.json", result)
    if options.json:
        told = {name: value for name, value in result.items() if name != "points"}
        print_json(told | {"figures": [str(path) for path in paths]})
    else:
        print(as_text(result))
        for path in (*paths, options.out / f"{NAME}.json"):
            _tell(str(path))
    return 1 if any(told.startswith(_FAILED) for told in skipped.values()) else 0


_FAILED = "failed: "


def as_text(result: Mapping[str, Any]) -> str:
    """The numbers, by task and by layer."""
    near = result["settings"]["neighbours"]
    wide = max(len(row["task"]) for row in result["tasks"])
    lines = [f"{'task':{wide}}  episodes  tokens  told  taken for"]
    for row in result["tasks"]:
        taken = ", ".join(f"{name} {count}" for name, count in row["taken_for"].items())
        lines.append(
            f"{row['task']:{wide}}  {row['episodes']:8}  {row['mean_tokens']:6.0f}  "
            f"{row['accuracy']:4.0%}  {taken}".rstrip()
        )
    for name, why in result["skipped"].items():
        lines.append(f"left out: {name}: {why}")
    lines += ["", "layer    told  silhouette  of random weights: told  silhouette"]
    for row in result["by_layer"]:
        mark = "*" if row["layer"] == result["layer"] else " "
        lines.append(
            f"{row['layer']:5}{mark} {row['accuracy']:6.1%}  {row['silhouette']:10.3f}  "
            f"{row['random']['accuracy']:>23.1%}  {row['random']['silhouette']:10.3f}"
        )
    lines.append(
        f"told: by the {near} nearest of the other episodes, chance {result['chance']:.1%}; "
        "*: the layer of the picture"
    )
    return "\n".join(lines)


def _check(options: Embeddings) -> None:
    for name, value, least in (
        ("episodes", options.episodes, 2),
        ("neighbours", options.neighbours, 1),
        ("workers", options.workers, 1),
        ("length", options.length, 1),
        ("seed", options.seed, 0),
        ("episode-seed", options.episode_seed, 0),
    ):
        if value is not None and value < least:
            raise ValueError(f"--{name} must be at least {least}, got {value}")
    if options.corpus is not None and options.keep is not None:
        raise ValueError("--keep is for episodes that experts play: with --corpus nobody plays")


def _available(
    corpus: Corpus, asked: Sequence[str], skipped: dict[str, str], named: bool
) -> list[str]:
    """Those that the corpus has two episodes of: one has no other of its task beside it."""
    tasks = []
    for task in (task for task in asked if task not in skipped):
        count = len(corpus.episodes(task)) if task in corpus.tasks() else 0
        if count >= 2:
            tasks.append(task)
            continue
        why = f"{count} episodes in {corpus.path}, at least 2 are needed"
        if named:
            raise UnknownTaskError(f"{task}: {why}")
        skipped[task] = why
    return tasks


@contextlib.contextmanager
def _corpus(options: Embeddings, asked: Sequence[str], skipped: dict[str, str]) -> Iterator[Corpus]:
    """The episodes: of --corpus, or played by experts into --keep or a folder that is deleted."""
    from gato_gym.data.corpus import Corpus

    if options.corpus is not None:
        yield Corpus.open(options.corpus)
        return
    jobs = _jobs(asked, skipped, named=bool(options.tasks))
    with contextlib.ExitStack() as stack:
        folder = options.keep
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gato-gym-")))
            folder /= "corpus"
        yield _collected(jobs, folder, options, skipped)


def _jobs(asked: Sequence[str], skipped: dict[str, str], named: bool) -> list[Job]:
    """Those that an expert can play here; raises where a named one has none."""
    from gato_gym.data.collect import check_expert
    from gato_gym.data.jobs import Job
    from gato_gym.envs.factory import task_spec
    from gato_gym.envs.registry import named_by_data

    jobs = []
    for task in asked:
        try:
            if task_spec(named_by_data(task)).expert is None:
                raise UnknownTaskError(
                    f"{task} has no expert: pass --corpus, a folder with its episodes"
                )
            agent, expert = check_expert(task, None)
        except GatoGymError as error:
            if named:
                raise
            skipped[task] = " ".join(str(error).split())
            continue
        jobs.append(Job(task, agent, expert))
    if not jobs:
        raise UnknownTaskError(
            "no task of this agent has an expert here: pass --corpus, a folder with its episodes"
        )
    return jobs


def _collected(
    jobs: Sequence[Job], folder: Path, options: Embeddings, skipped: dict[str, str]
) -> Corpus:
    from gato_gym.data.collect import collect_jobs
    from gato_gym.data.corpus import Corpus
    from gato_gym.data.executors import InProcess, ProcessPool

    executor = InProcess() if options.workers == 1 else ProcessPool(options.workers)
    reports = collect_jobs(
        jobs,
        out=folder,
        episodes=options.episodes,
        seed=options.episode_seed,
        executor=executor,
    )
    for report in reports:
        if report.failure is not None:
            error = report.failure.error
            skipped[report.task] = f"{_FAILED}{type(error).__name__}: {error}"
            _tell(f"{report.task}: {skipped[report.task]}")
    if len(skipped) and all(report.failure is not None for report in reports):
        raise GatoGymError("no expert could play: see above")
    return Corpus.open(folder)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
