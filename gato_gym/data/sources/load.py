"""A data set -> a corpus, one episode at a time."""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import gymnasium as gym
from tqdm import tqdm

import gato_gym
from gato_gym.data.corpus import Corpus
from gato_gym.data.manifest import EpisodeEntry
from gato_gym.data.merge import SHARD_BYTES
from gato_gym.data.records import encode
from gato_gym.data.sources.columns import Form, choose, text_of, value_of
from gato_gym.data.sources.episodes import Maker, Plan
from gato_gym.data.sources.forms import Reading
from gato_gym.data.sources.tables import Place, Row, find, read_rows, text_files
from gato_gym.data.sources.texts import OnBroken, clean, read_blocks
from gato_gym.envs.images import checked_size
from gato_gym.envs.registry import registered
from gato_gym.errors import DatasetError, GatoGymError
from gato_gym.types import Episode

DEFAULT_SIZE = (64, 80)
"""Of pictures: the paper's worked example, and that of the suite's own."""

# Episodes of text are small: a kill must not cost minutes of them.
_MOST_WAITING = 2_000
_TASK = re.compile(r"text/[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Read:
    """What a call of `read_dataset` did.

    columns   the column of each part that was read
    rows      rows, or documents, that were looked at
    episodes, steps   that were added
    skipped   episodes that the corpus had already
    empty     rows without words, left out
    invalid   rows that could not be read, left out on request
    """

    task: str
    expert: str
    columns: Mapping[str, str]
    rows: int
    episodes: int
    steps: int
    skipped: int
    empty: int
    invalid: int


def read_dataset(
    sources: str | Sequence[str],
    out: str | os.PathLike[str],
    *,
    form: Form,
    task: str,
    columns: Mapping[str, str] | None = None,
    split: str = "train",
    config: str | None = None,
    name: str | None = None,
    limit: int | None = None,
    image_size: tuple[int, int] = DEFAULT_SIZE,
    errors: OnBroken = "strict",
    skip_invalid: bool = False,
    seed: int = 0,
    shard_bytes: int = SHARD_BYTES,
    progress: bool | None = None,
) -> Read:
    """Add a data set to the corpus at `out`, as episodes of the task `task`.

    What the corpus has already under the same task, name and number is skipped, so that a call that
    was stopped may be repeated. Rows are streamed: memory does not grow with the data set.

    Args:
        sources: a folder, files of one kind, or an id on the Hugging Face Hub.
        out: the folder of a corpus; created where there is none.
        form: "captions", "vqa", "text" or "chat".
        task: "text/NAME", of no environment.
        columns: part -> column, e.g. {"caption": "sentences"}; the others are guessed.
        split, config: which part of the data set, as its authors call it.
        name: of the data set in the corpus, for its episodes' expert "data/NAME"; None for the id
            on the Hub, the name of the folder or the file, with config and split.
        limit: at most so many rows, or documents.
        image_size: (height, width) of the pictures, multiples of 16.
        errors: "strict" or "replace": what is done about bytes that are no UTF-8.
        skip_invalid: leave out rows that cannot be read, instead of refusing them.
        seed: draws one of several captions or answers.
        shard_bytes: commit whenever so many bytes are together.
        progress: show a bar; None where stderr is a terminal.

    Raises:
        MissingExtraError: the `datasets` package is not installed.
        DatasetError: the data set, a column or a row cannot be read; what came before it is
            committed.
        InvalidObservationError: `image_size` is no pair of multiples of 16.
        ValueError: `limit` or `shard_bytes` is not positive.
        OSError: the disk refuses; what was committed before stays.
        KeyboardInterrupt: after Ctrl-C, with a message that says what is safe.
    """
    for option, value in (("limit", limit), ("shard_bytes", shard_bytes)):
        if value is not None and value < 1:
            raise ValueError(f"{option} must be at least 1, got {value}")
    _check_task(task)
    size = checked_size(image_size)
    place = find([sources] if isinstance(sources, str) else list(sources))
    maker = Maker(task, expert_of(place, split, config, name), _versions(), Reading({}))
    maker.skip_invalid = skip_invalid
    with contextlib.ExitStack() as closing:
        files = text_files(place) if form == "text" else ()
        if files:
            documents = (read_blocks(path, errors) for path in itertools.islice(files, limit))
            plans = maker.documents(documents)
        else:
            rows = read_rows(place, split, config, errors)
            closing.callback(rows.close)  # type: ignore[attr-defined]  # a generator
            first = next(rows, None)
            if first is None:
                raise DatasetError(f"{place.name} has no rows in its split {split!r}")
            chosen = choose(form, first, columns or {}, place.name)
            maker.how = Reading(chosen, errors, place.folder, size, seed)
            wanted = itertools.islice(itertools.chain([first], rows), limit)
            plans = _plans(form, maker, wanted)
        corpus = Corpus.create(out)
        corpus.remove_leftovers()
        job = _Job(corpus, maker, shard_bytes)
        if form in ("captions", "vqa"):
            job.check_size(size)
        job.run(plans, None if progress is None else not progress)
    if not maker.rows:
        raise DatasetError(f"{place.name} holds no documents")
    return Read(
        task=task,
        expert=maker.expert,
        columns=maker.how.columns,
        rows=maker.rows,
        episodes=job.episodes,
        steps=job.steps,
        skipped=job.skipped,
        empty=maker.empty,
        invalid=maker.invalid,
    )


def expert_of(place: Place, split: str, config: str | None, name: str | None) -> str:
    """Who is said to have made the episodes: "data/NAME"."""
    if name is not None:
        return f"data/{name}"
    parts = [place.name, *([config] if config else []), *([split] if split != "train" else [])]
    return "data/" + ":".join(parts)


def _check_task(task: str) -> None:
    if not _TASK.fullmatch(task):
        raise DatasetError(f"the task is {task!r}; expected text/NAME, e.g. --task text/coco")
    if registered(task) is not None or task in gym.registry:
        raise DatasetError(
            f"{task} is an environment, whose episodes are played (gato-gym collect {task}); "
            "expected another name, e.g. --task text/coco"
        )


def _versions() -> dict[str, str]:
    found = {"gato_gym": gato_gym.__version__}
    for package in ("datasets", "pillow"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _plans(form: Form, maker: Maker, rows: Iterator[Row]) -> Iterator[Plan]:
    if form == "chat":
        return maker.conversations(rows)
    if form == "text":
        return maker.documents(_documents(rows, maker))
    return maker.pairs(rows)


def _documents(rows: Iterator[Row], maker: Maker) -> Iterator[list[str]]:
    column, errors = maker.how.columns["text"], maker.how.errors
    for number, row in enumerate(rows):
        where = f"row {number}, column {column!r}"
        try:
            yield [clean(text_of(value_of(row, column, where), errors, where), errors, where)]
        except DatasetError:
            if not maker.skip_invalid:
                raise
            maker.invalid += 1


class _Job:
    """Counts, and episodes on their way to a shard."""

    def __init__(self, corpus: Corpus, maker: Maker, shard_bytes: int) -> None:
        self.corpus, self.maker, self.shard_bytes = corpus, maker, shard_bytes
        self.episodes = self.steps = self.skipped = 0
        self._waiting: list[tuple[EpisodeEntry, bytes]] = []
        self._size = 0
        entries = corpus.episodes(maker.task) if maker.task in corpus.tasks() else ()
        self._have = {entry.key: entry for entry in entries}

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse pictures of another size than the task has: its steps would differ in form."""
        for entry in self._have.values():
            leaf = entry.observations.get("image")
            if leaf is None or leaf.shape[:2] != size:
                found = "no pictures" if leaf is None else f"pictures of {leaf.shape[:2]}"
                raise DatasetError(
                    f"{self.maker.task} has {found} in {str(self.corpus.path)!r}, expected {size}: "
                    "name another --task, or the same --image-size"
                )

    def run(self, plans: Iterator[Plan], silent: bool | None) -> None:
        try:
            with tqdm(disable=silent, unit="row", desc=self.maker.expert) as bar:
                for plan in plans:
                    self._take(plan)
                    bar.update(self.maker.rows - bar.n)
        except GatoGymError:
            self._commit()  # the episodes before the wrong one
            raise
        except KeyboardInterrupt:
            self._commit()
            raise KeyboardInterrupt(
                f"interrupted; {len(self.corpus)} episodes are safe in {str(self.corpus.path)!r}. "
                "Run the same command again to read the others"
            ) from None
        self._commit()

    def _take(self, plan: Plan) -> None:
        line = {"task": self.maker.task, "expert": self.maker.expert, "noise": 0.0}
        there = self._have.get(EpisodeEntry.key_of({**line, "seed": plan.seed}))
        if there is not None:
            if not self.skipped:
                self._check_same(there, plan.make())
            self.skipped += 1
            return
        episode = plan.make()
        if episode is None:
            return
        data = encode(episode)
        entry = EpisodeEntry.from_json(EpisodeEntry.to_json(episode, len(data), 0.0), 0, "", 0)
        self._waiting.append((entry, data))
        self._size += len(data)
        if self._size >= self.shard_bytes or len(self._waiting) >= _MOST_WAITING:
            self._commit()

    def _check_same(self, entry: EpisodeEntry, episode: Episode | None) -> None:
        """The first episode that is there must be this data set's, by its words."""
        there = self.corpus.read(entry)
        if episode is None or there.actions.tolist() != episode.actions.tolist():
            raise DatasetError(
                f"{str(self.corpus.path)!r} has other words as {entry.task} of {entry.expert}, "
                f"number {entry.seed}: another data set of that name, or other --columns; name "
                "this one: --name NAME"
            )

    def _commit(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting, self._size = self._waiting, [], 0
        added = self.corpus.append_records(waiting)
        self.episodes += len(added)
        self.steps += sum(entry.steps for entry in added)
        self.skipped += len(waiting) - len(added)
