"""Episodes -> rows of tokens with a loss mask (paper sections 2.1 to 2.3).

Row `r` of a run is a pure function of (seed, r): the loader's state is one integer. documents.py
decides what is in a row, packing.py how it is laid out.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from functools import partial
from typing import Any

import grain
import numpy as np

from gato_gym.data.corpus import Corpus
from gato_gym.data.documents import Cut, Planner
from gato_gym.data.mixture import Mixture
from gato_gym.data.packing import Document, Window, merge, pack, single
from gato_gym.errors import InvalidObservationError, TrainingError
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.timestep import TEXT_SLOT, StepTokenizer, TokenSequence
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import TaskSpec

# Rows that are tokenised together: enough to spread what a call costs, few enough that their images
# stay in the processor's cache.
_GROUP = 16
_MAX_KNOWN = 1 << 20


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
        self._text_keys = [
            [leaf.key for leaf in tokenizer.spec.observations if leaf.kind == "text"]
            for tokenizer in self.tokenizers
        ]
        least = [
            tokenizer.tokens_per_step - TEXT_SLOT * len(keys)
            for tokenizer, keys in zip(self.tokenizers, self._text_keys, strict=True)
        ]
        self._planner = Planner(mixture, least, self._step_tokens, prompt_share)
        self._known: dict[tuple[int, int], int] = {}
        for tokenizer in self.tokenizers:
            if tokenizer.tokens_per_step > context:
                raise ValueError(
                    f"a step of {tokenizer.spec.id} takes {tokenizer.tokens_per_step} tokens and "
                    f"does not fit a context of {context}"
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
        by_task: dict[int, list[Cut]] = {}
        for cuts in (cuts for row in planned for cuts in row):
            by_task.setdefault(cuts[0].task, []).extend(cuts)
        read = {task: iter(self._read(task, cuts)) for task, cuts in by_task.items()}
        rows = [
            [Document(cuts[0].task, [next(read[cuts[0].task]) for _ in cuts]) for cuts in row]
            for row in planned
        ]
        names = [
            self._name(cut) + (" (prompt)" if cut is not cuts[-1] else "")
            for row in planned
            for cuts in row
            for cut in cuts
        ]
        return pack(self.context, rows, names, rngs)

    def _name(self, cut: Cut) -> str:
        entry = self.mixture.tasks[cut.task].entries[cut.episode]
        return f"{entry.task} seed {entry.seed}"

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
        """Tokens of a step of an episode; its longest texts count for all of its steps."""
        tokenizer = self.tokenizers[task]
        if not self._text_keys[task]:
            return tokenizer.tokens_per_step
        if (task, index) not in self._known:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            entry = self.mixture.tasks[task].entries[index]
            texts = [self.corpus.read_observation(entry, key) for key in self._text_keys[task]]
            spared = sum(TEXT_SLOT - tokenizer.text_tokens(values) for values in texts)
            self._known[task, index] = tokenizer.tokens_per_step - spared
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
) -> Generator[Window, None, None]:
    """Batches of the steps [first_step, steps): batch k holds rows [k * batch, (k + 1) * batch).

    Args:
        source: the rows.
        batch: rows of a step.
        first_step: may be any, at no cost.
        steps: where to end.
        threads: build batches ahead; 0 builds each when it is asked for. What waits is bounded by
            two batches a thread.
        workers: processes that do so, each with its threads; 0 = this one. They start in seconds
            and leave this process only to take the arrays.

    Raises:
        TrainingError: a process was killed; so is what a `WindowSource` raises, by both.
    """
    windows = grain.MapDataset.range(first_step, steps).map(partial(_batch, source, batch))
    ahead = 2 * max(threads, 1)
    loader = windows.to_iter_dataset(grain.ReadOptions(threads, prefetch_buffer_size=ahead))
    if workers:
        loader = loader.mp_prefetch(grain.MultiprocessingOptions(workers, ahead))
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


def _batch(source: WindowSource, batch: int, step: int) -> Window:
    return source.rows(range(step * batch, (step + 1) * batch))
