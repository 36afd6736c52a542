"""Episodes -> rows of tokens with a loss mask (paper sections 2.1 to 2.3).

A row of `context` tokens is packed with documents until no step fits. A document is a contiguous
cut of whole steps, in 25 % of cases after a prompt: whole steps of another episode by the same
expert on the same task, half of the prompts its end, half anywhere in it. Nothing is attended
across documents.

The input of an action token is what was executed, its target what the expert would have done.

Row `r` of a run is a pure function of (seed, r): the loader's state is one integer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import grain
import numpy as np

from gato_gym.data.corpus import Corpus
from gato_gym.data.mixture import Mixture, TaskEpisodes
from gato_gym.tokenizers.image import training_positions
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.timestep import StepTokenizer, TokenSequence
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import TaskSpec


@dataclass(frozen=True)
class Window:
    """B packed rows of L tokens (B absent for a single row), Q predictions, P patches.

    ids            (B, L) int64, -1 where a patch stands
    local          (B, L) int64, local position rows
    first_visible  (B, L) int64, where the token's document starts; padding sees only itself
    queries        (B, Q) int64, positions that predict a target
    targets        (B, Q) int64, the ids to predict; -1 fills
    tasks          (B, Q) int64, task of each target, an index into `WindowSource.tasks`
    patches        (U, 16, 16, 3) uint8, distinct patches of all rows
    pixels         (P,) int64, which of them stands at each -1 mark, in order
    positions      (P, 2) int64, drawn row and column index of each patch (appendix C.3)
    episodes       per row the episodes in it, to name them when a loss is not finite
    padding        number of padding tokens
    """

    ids: np.ndarray
    local: np.ndarray
    first_visible: np.ndarray
    queries: np.ndarray
    targets: np.ndarray
    tasks: np.ndarray
    patches: np.ndarray
    pixels: np.ndarray
    positions: np.ndarray
    episodes: tuple[str, ...]
    padding: int


def supervise(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) targets of one document -> positions that predict one, and the ids they predict.

    Token i is predicted at position i - 1; the document's first token has no predictor.
    """
    predicted = np.flatnonzero(targets[1:] >= 0) + 1
    return predicted - 1, targets[predicted]


def distinct(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, 16, 16, 3) -> distinct patches (U, ...) and (P,) which of them each one is."""
    if not len(patches):
        return patches, np.zeros(0, np.int64)
    rows = np.ascontiguousarray(patches).reshape(len(patches), -1).view("V768")[:, 0]
    _, first, which = np.unique(rows, return_index=True, return_inverse=True)
    return patches[first], which.reshape(-1)


class WindowSource:
    """Builds row `r`; safe to call from several threads.

    Args:
        corpus: the episodes.
        mixture: task weights.
        specs: task -> TaskSpec, for tokenisation.
        context: tokens per row.
        vocabulary, text: id ranges and text model of the model to train.
        seed: of the sample order.
        prompt_share: share of documents that start with a prompt.
    """

    def __init__(
        self,
        corpus: Corpus,
        mixture: Mixture,
        specs: Mapping[str, TaskSpec],
        context: int,
        vocabulary: Vocabulary,
        text: TextTokenizer | None = None,
        seed: int = 0,
        prompt_share: float = 0.25,
    ) -> None:
        self.corpus, self.mixture, self.context = corpus, mixture, context
        self.text = text
        self.seed, self.prompt_share = seed, prompt_share
        self.tasks = [task.task for task in mixture.tasks]
        self.tokenizers = [StepTokenizer(specs[task], vocabulary, text) for task in self.tasks]
        self._step_tokens = np.array([tokenizer.tokens_per_step for tokenizer in self.tokenizers])
        for tokenizer in self.tokenizers:
            if tokenizer.tokens_per_step > context:
                raise ValueError(
                    f"a step of {tokenizer.spec.id} takes {tokenizer.tokens_per_step} tokens and "
                    f"does not fit a context of {context}"
                )

    def row(self, index: int) -> Window:
        """Row `index` of the run."""
        rng = np.random.default_rng([self.seed, index])
        parts: list[tuple[int, TokenSequence]] = []
        episodes: list[str] = []
        left = self.context
        while (fits := self._step_tokens <= left).any():
            task = self.mixture.draw(rng, fits)
            sequences, names = self._document(task, left, rng)
            merged = _concatenate(sequences)
            parts.append((task, merged))
            episodes += names
            left -= len(merged)
        return self._pack(parts, tuple(episodes), rng)

    def _document(
        self, task: int, room: int, rng: np.random.Generator
    ) -> tuple[list[TokenSequence], list[str]]:
        source, tokenizer = self.mixture.tasks[task], self.tokenizers[task]
        steps = room // tokenizer.tokens_per_step
        index = source.draw(rng)
        sequences, names = [], []
        other = source.draw_other(index, rng)
        if steps >= 2 and rng.random() < self.prompt_share and other is not None:
            entry = source.entries[other]
            length = min(int(rng.integers(1, steps // 2 + 1)), entry.steps)
            from_end = rng.random() < 0.5
            start = (
                entry.steps - length if from_end else int(rng.integers(entry.steps - length + 1))
            )
            sequences.append(self._cut(source, tokenizer, other, start, length))
            names.append(f"{entry.task} seed {entry.seed} (prompt)")
            steps -= length
        entry = source.entries[index]
        # Starting before the first step counts as starting there: beginnings are seen as often as
        # any other step.
        start = max(0, int(rng.integers(-steps + 1, entry.steps)))
        length = min(steps, entry.steps - start)
        sequences.append(self._cut(source, tokenizer, index, start, length))
        names.append(f"{entry.task} seed {entry.seed}")
        return sequences, names

    def _cut(
        self, source: TaskEpisodes, tokenizer: StepTokenizer, index: int, start: int, length: int
    ) -> TokenSequence:
        cut = self.corpus.read_steps(source.entries[index], start, start + length)
        return tokenizer.sequence(
            cut["observations"], cut["actions"], cut["expert_actions"], first_step=start
        )

    def _pack(
        self,
        parts: list[tuple[int, TokenSequence]],
        episodes: tuple[str, ...],
        rng: np.random.Generator,
    ) -> Window:
        ids = np.zeros(self.context, np.int64)
        local = np.zeros(self.context, np.int64)
        first = np.arange(self.context)
        queries, targets, tasks = [], [], []
        end = 0
        for task, part in parts:
            start, end = end, end + len(part)
            ids[start:end], local[start:end], first[start:end] = part.ids, part.local, start
            where, what = supervise(part.targets)
            queries.append(where + start)
            targets.append(what)
            tasks.append(np.full(len(where), task))
        intervals = np.concatenate([part.intervals for _, part in parts])
        patches, pixels = distinct(np.concatenate([part.patches for _, part in parts]))
        return Window(
            ids=ids,
            local=local,
            first_visible=first,
            queries=np.concatenate(queries),
            targets=np.concatenate(targets).astype(np.int64),
            tasks=np.concatenate(tasks),
            patches=patches,
            pixels=pixels,
            positions=training_positions(intervals, rng).astype(np.int64),
            episodes=episodes,
            padding=self.context - end,
        )


def _concatenate(sequences: list[TokenSequence]) -> TokenSequence:
    if len(sequences) == 1:
        return sequences[0]
    return TokenSequence(
        *(np.concatenate([getattr(s, f.name) for s in sequences]) for f in fields(TokenSequence))
    )


def collate(rows: list[Window]) -> Window:
    """Stack rows; queries are filled up to the longest with position 0 and target -1."""
    longest = max(len(row.queries) for row in rows)

    def stack(name: str, fill: int) -> np.ndarray:
        return np.stack(
            [
                np.pad(getattr(row, name), (0, longest - len(row.queries)), constant_values=fill)
                for row in rows
            ]
        )

    offsets = np.cumsum([0, *(len(row.patches) for row in rows[:-1])])
    patches, merged = distinct(np.concatenate([row.patches for row in rows]))
    pixels = merged[
        np.concatenate([row.pixels + offset for row, offset in zip(rows, offsets, strict=True)])
    ]
    return Window(
        ids=np.stack([row.ids for row in rows]),
        local=np.stack([row.local for row in rows]),
        first_visible=np.stack([row.first_visible for row in rows]),
        queries=stack("queries", 0),
        targets=stack("targets", -1),
        tasks=stack("tasks", 0),
        patches=patches,
        pixels=pixels,
        positions=np.concatenate([row.positions for row in rows]),
        episodes=tuple(name for row in rows for name in row.episodes),
        padding=sum(row.padding for row in rows),
    )


def batches(
    source: WindowSource, batch: int, first_step: int, steps: int, threads: int = 2
) -> Iterator[Window]:
    """Batches of the steps [first_step, steps): batch k holds rows [k * batch, (k + 1) * batch)."""
    rows = grain.MapDataset.range(first_step * batch, steps * batch).map(source.row)
    batched = rows.batch(batch, batch_fn=collate)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4 * max(threads, 1))
    return iter(batched.to_iter_dataset(options))
