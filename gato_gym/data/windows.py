"""Episodes -> rows of tokens with a loss mask (paper sections 2.1 to 2.3).

Row `r` of a run is a pure function of (seed, r): the loader's state is one integer. documents.py
decides what is in a row, packing.py how it is laid out.
"""

from __future__ import annotations

import signal
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import grain
import numpy as np

from gato_gym.data.corpus import Corpus
from gato_gym.data.documents import Cut, Planner
from gato_gym.data.identity import episode_name
from gato_gym.data.lengths import least_tokens, step_lengths
from gato_gym.data.mixture import Mixture
from gato_gym.data.packing import Document, Window, merge, pack, single
from gato_gym.errors import InvalidObservationError, TrainingError
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.timestep import StepTokenizer, TokenSequence
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import TaskSpec

# Rows that are tokenised together: enough to spread what a call costs, few enough that their images
# stay in the processor's cache.
_GROUP = 16
_MAX_KNOWN = 1 << 20


class _StepTokens(NamedTuple):
    """Tokens of the longest step; where steps differ, how many there are before each of them."""

    most: int
    ends: np.ndarray | None


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

    Raises:
        ValueError: a step of a task does not fit the context, or has nothing to predict.
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
        least = [least_tokens(tokenizer) for tokenizer in self.tokenizers]
        most = [tokenizer.tokens_per_step for tokenizer in self.tokenizers]
        self._planner = Planner(
            mixture, least, most, self._step_tokens, self._cut_tokens, prompt_share
        )
        self._known: dict[tuple[int, int], _StepTokens] = {}
        for tokenizer in self.tokenizers:
            if not tokenizer.spec.action.size and not tokenizer.spec.has_text:
                raise ValueError(
                    f"{tokenizer.spec.id} has no action numbers and no text, so nothing to learn: "
                    "leave it out of the weights"
                )
            # Where steps are mostly text they may be much shorter than their bound: there only what
            # never fits is refused, and an episode with a step that is too long is not drawn.
            speaks = tokenizer.end is not None
            needed = least_tokens(tokenizer) if speaks else tokenizer.tokens_per_step
            if needed > context:
                raise ValueError(
                    f"a step of {tokenizer.spec.id} takes {needed} tokens and "
                    f"does not fit a context of {context}: "
                    "choose a larger --size, or leave the task out of --weights"
                )

    def row(self, index: int) -> Window:
        """Row `index` of the run."""
        return single(self._group([index]))

    def rows(self, indices: Sequence[int]) -> Window:
        """Several rows of the run as one window: the same as of single ones, and faster."""
        groups = [indices[i : i + _GROUP] for i in range(0, len(indices), _GROUP)]
        return merge([self._group(group) for group in groups])

    def _group(self, indices: Sequence[int]) -> Window:
        rngs = [np.random.default_rng([self.seed, index]) for index in indices]
        planned = [self._planner.row(self.context, rng) for rng in rngs]
        return self.lay_out(planned, indices, rngs)

    def lay_out(
        self,
        planned: Sequence[Sequence[Sequence[Cut]]],
        indices: Sequence[int],
        rngs: Sequence[np.random.Generator] | None,
        length: int | None = None,
    ) -> Window:
        """Rows of chosen documents, each [its prompt, if any, and] a cut.

        Args:
            planned: the documents of each row.
            indices: the rows' numbers.
            rngs: one per row, of the drawn patch positions; None = as in acting.
            length: tokens per row, which its documents must fit; None = the context.
        """
        by_task: dict[int, list[Cut]] = {}
        for cuts in (cuts for row in planned for cuts in row):
            by_task.setdefault(cuts[0].task, []).extend(cuts)
        read = {task: iter(self._read(task, cuts)) for task, cuts in by_task.items()}
        rows = [
            [Document(cuts[0].task, [next(read[cuts[0].task]) for _ in cuts]) for cuts in row]
            for row in planned
        ]
        names = [tuple(name for cuts in row for name in self._names(cuts)) for row in planned]
        return pack(length or self.context, rows, indices, names, rngs)

    def token_ends(self, task: int, index: int) -> np.ndarray:
        """(steps + 1,) tokens of an episode before each of its steps, and all of them."""
        tokenizer, steps = self.tokenizers[task], self.mixture.tasks[task].entries[index].steps
        most, ends = tokenizer.tokens_per_step, None
        if tokenizer.spec.has_text:
            most, ends = self._text_steps(task, index)
        return most * np.arange(steps + 1) if ends is None else ends

    def _names(self, cuts: Sequence[Cut]) -> list[str]:
        entries = self.mixture.tasks[cuts[0].task].entries
        *prompts, body = (episode_name(entries[cut.episode]) for cut in cuts)
        return [*(f"{name} (prompt)" for name in prompts), body]

    def _read(self, task: int, cuts: Sequence[Cut]) -> list[TokenSequence]:
        """The tokens of cuts of one task."""
        tokenizer, entries = self.tokenizers[task], self.mixture.tasks[task].entries
        read = [
            self.corpus.read_steps(entries[cut.episode], cut.start, cut.start + cut.length)
            for cut in cuts
        ]
        try:
            keys = [leaf.key for leaf in tokenizer.spec.observations]
            observations, actions, expert_actions = _joined(read, keys)
            return tokenizer.sequences(
                observations, actions, expert_actions, [cut.length for cut in cuts]
            )
        except (InvalidObservationError, ValueError, KeyError):
            # One by one, to name the step.
            for cut, one in zip(cuts, read, strict=True):
                tokenizer.sequence(**one, first_step=cut.start)
            raise

    def _step_tokens(self, task: int, index: int) -> int:
        """Tokens of an episode's longest step."""
        tokenizer = self.tokenizers[task]
        if not tokenizer.spec.has_text:
            return tokenizer.tokens_per_step
        return self._text_steps(task, index).most

    def _cut_tokens(self, cut: Cut) -> int:
        tokenizer = self.tokenizers[cut.task]
        if not tokenizer.spec.has_text:
            return cut.length * tokenizer.tokens_per_step
        most, ends = self._text_steps(cut.task, cut.episode)
        if ends is None:
            return cut.length * most
        return int(ends[cut.start + cut.length] - ends[cut.start])

    def _text_steps(self, task: int, index: int) -> _StepTokens:
        if (task, index) not in self._known:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            tokenizer = self.tokenizers[task]
            entry = self.mixture.tasks[task].entries[index]
            tokens = step_lengths(
                tokenizer,
                entry.steps,
                partial(self.corpus.read_observation, entry),
                lambda: self.corpus.read_steps(entry, 0, entry.steps)["actions"],
            )
            most, same = int(tokens.max()), (tokens == tokens[0]).all()
            ends = None if same else np.cumsum([0, *tokens], dtype=np.int32)
            self._known[task, index] = _StepTokens(most, ends)
        return self._known[task, index]


def _joined(
    read: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    observations = {key: np.concatenate([one["observations"][key] for one in read]) for key in keys}
    actions = np.concatenate([one["actions"] for one in read])
    if all(one["expert_actions"] is one["actions"] for one in read):
        return observations, actions, actions
    return observations, actions, np.concatenate([one["expert_actions"] for one in read])


def batches(
    source: WindowSource,
    batch: int,
    first_step: int,
    steps: int,
    threads: int = 2,
    workers: int = 0,
    *,
    part: tuple[int, int] = (0, 1),
    accumulate: int = 1,
) -> Generator[Window, None, None]:
    """Batches of the steps [first_step, steps): batch k is rows [k * batch, (k + 1) * batch).

    Of these, rank r of W gets the r-th of W equal parts, in `accumulate` windows one after the
    other: so many windows are a step.

    Args:
        source: the rows.
        batch: rows of a step, over all ranks and micro-batches.
        first_step: may be any, at no cost.
        steps: where to end.
        threads: build windows ahead; 0 builds each when it is asked for. What waits is bounded by
            two windows a thread.
        workers: processes that do so, each with its threads; 0 = this one. They start in seconds
            and leave this process only to take the arrays.
        part: rank and number of ranks.
        accumulate: micro-batches of a step on each rank.

    Raises:
        ValueError: the batch cannot be divided so, or a number is out of range.
        TrainingError: a process was killed; so is what a `WindowSource` raises, by both.
    """
    rank, ranks = part
    check_batch(batch, ranks, accumulate)
    if not 0 <= rank < ranks:
        raise ValueError(f"rank {rank} is not one of {ranks}: ranks count from 0")
    if threads < 0 or workers < 0:
        raise ValueError(f"threads and workers cannot be negative, got {threads} and {workers}")
    plan = _Plan(batch, rank, ranks, accumulate)
    windows = grain.MapDataset.range(first_step * accumulate, steps * accumulate)
    windows = windows.map(partial(_build, source, plan))
    ahead = 2 * max(threads, 1)
    loader = windows.to_iter_dataset(grain.ReadOptions(threads, prefetch_buffer_size=ahead))
    if workers:
        options = grain.MultiprocessingOptions(workers, ahead)
        loader = loader.mp_prefetch(options, worker_init_fn=_leave_signals_to_the_trainer)
    return _told(loader)


def check_batch(batch: int, ranks: int, accumulate: int) -> None:
    """Whether a batch can be divided among ranks and micro-batches.

    Raises:
        ValueError: it cannot; names the nearest batch that can.
    """
    for name, value in (("batch", batch), ("ranks", ranks), ("accumulate", accumulate)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    parts = ranks * accumulate
    if batch % parts:
        below, above = batch // parts * parts, -(-batch // parts) * parts
        raise ValueError(
            f"a batch of {batch} rows cannot be divided among {ranks} ranks x {accumulate} "
            f"micro-batches: choose a batch of {f'{below} or ' if below else ''}{above} rows"
        )


def _told(loader: Any) -> Generator[Window, None, None]:
    iterator = iter(loader)
    try:
        yield from iterator
    except RuntimeError as error:
        if not str(error).startswith("Worker process"):
            raise
        raise TrainingError(
            f"a process that loads data has ended: {error} Out of memory? Try fewer loader workers"
        ) from error
    finally:
        iterator.close()


def _leave_signals_to_the_trainer(worker: int, workers: int) -> None:
    # Ctrl-C goes to all processes of a terminal, a scheduler's SIGTERM to all of a job. The trainer
    # still needs its data to end well, and ends these.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class _Plan(NamedTuple):
    batch: int
    rank: int
    ranks: int
    accumulate: int


def _build(source: WindowSource, plan: _Plan, number: int) -> Window:
    """Micro-batch `number` of a rank, counted from the run's first step."""
    step, micro = divmod(number, plan.accumulate)
    rows = plan.batch // (plan.ranks * plan.accumulate)
    first = step * plan.batch + (plan.rank * plan.accumulate + micro) * rows
    return source.rows(range(first, first + rows))
