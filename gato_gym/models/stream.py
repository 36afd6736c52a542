"""Token streams that grow step by step: what acting keeps per row, on top of network and cache.

A row is a stream of whole steps: a prompt's, then the episode's. Rows may be of different tasks and
their episodes end independently. The last action token of a step is fed together with the next
observation, so a step of a one-number action costs one pass.

An action of numbers has as many tokens as its task says, and room for them is made when its step
begins. Text goes on until its end is chosen or it has as many tokens as its task allows, and room
is made token by token: what a step takes is what it really has, in its positions and in what falls
out for it, as in a row of training. So of a text each token may see less of the past than the one
before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gato_gym.errors import NonFiniteError, UnsupportedSpaceError
from gato_gym.models.cache import StepWindow
from gato_gym.models.choice import Choose, deterministic
from gato_gym.models.decode import Decoder
from gato_gym.models.layout import NO_PATCHES, NO_PLACES, Feed
from gato_gym.models.processes import ByValue
from gato_gym.tokenizers.image import acting_positions
from gato_gym.tokenizers.timestep import ACTION_ROW, StepTokenizer, TokenSequence
from gato_gym.tokenizers.vocabulary import PAD


@dataclass(frozen=True)
class Look:
    """What one row would do, and where its predictions look (of A action numbers).

    ids         (A,) the ids that `choice.deterministic` takes
    logits      A times (n,) float32, of the legal ids
    attention   A times (L, H, N) float32, of the token that predicts it, for each block and head
    positions   A times (N,) int64, the position in the stream of each token that is looked at
    starts      positions of the first tokens of the visible steps, the current one last
    prompt      tokens of the prompt: positions below are the prompt's
    """

    ids: np.ndarray
    logits: tuple[np.ndarray, ...]
    attention: tuple[np.ndarray, ...]
    positions: tuple[np.ndarray, ...]
    starts: tuple[int, ...]
    prompt: int


class TokenStreams(ByValue):
    """B streams. Positions, caches and windows are per row.

    Copies and pickles leave the network out: `decoder` has to be set again.

    Args:
        decoder: the network.
        tokenizers: of each row's task.

    Raises:
        UnsupportedSpaceError: an action is text, and the network's actions are parallel: no word
            would know the one before it.
    """

    def __init__(self, decoder: Decoder, tokenizers: Sequence[StepTokenizer]) -> None:
        self.decoder, self.tokenizers = decoder, list(tokenizers)
        self._check_speakers()
        slack = max(tokenizer.tokens_per_step for tokenizer in tokenizers) + 1
        self.cache = decoder.new_cache(len(self.tokenizers), slack)
        self.rows = [_Row(StepWindow(decoder.config.context)) for _ in tokenizers]
        self.weights: tuple[Any, ...] = ()
        """Told by whoever goes on with a state, who must have the same ones."""
        self._broken: set[int] = set()
        """Rows whose last step was fed in part: what they would go on from is no whole step."""

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"decoder": None}

    def _check_speakers(self) -> None:
        speaker = next((one.spec.id for one in self.tokenizers if one.end is not None), None)
        if speaker is not None and self.decoder.config.parallel_actions:
            raise UnsupportedSpaceError(
                f"{speaker} acts in text, but these weights predict all tokens of an action at "
                "once: use weights of a configuration without parallel_actions"
            )

    def restart(self, row: int, prompt: TokenStreams | None = None) -> None:
        """Forget a row's stream; start it from a one-row stream that holds a prompt, if given."""
        if row in self._broken:
            self.cache.wipe_row(row)
            self._broken.discard(row)
        if prompt is None:
            self.cache.clear_row(row)
            self.rows[row] = _Row(StepWindow(self.rows[row].window.context))
            return
        self.cache.copy_row(row, prompt.cache)
        self.rows[row] = prompt.rows[0].copy()

    def teach(self, sequences: Sequence[TokenSequence], actions: np.ndarray) -> None:
        """Feed a one-row stream whole steps of a demonstration, all at once.

        Args:
            sequences: its observations.
            actions: (T, A) ids; shorter texts are filled up with PAD.
        """
        row, tokens = self.rows[0], []
        for sequence, filled in zip(sequences, actions.tolist(), strict=True):
            ids = [token for token in filled if token != PAD]
            tokens.append(row.observe(sequence, len(ids)))
            row.act(ids)
        # The last action is fed with the first observation of the episode.
        joined = _Tokens(*(np.concatenate(parts) for parts in zip(*tokens, strict=True)))
        self._run([0], [joined], sequences, once=True)
        row.steps, row.prompt = 0, row.window.length

    def decide(
        self, sequences: Sequence[TokenSequence | None], choose: Choose = deterministic
    ) -> list[np.ndarray | None]:
        """Feed observations and decode an action for each, number by number (section 2.4).

        A network of parallel actions predicts all numbers in the pass of the observation. A text
        goes on until its end; rows with shorter actions are done before the others.

        Args:
            sequences: of each row; None leaves a row as it is.
            choose: picks among the legal values.

        Returns:
            (A,) ids of each row that has an observation; of text only those it has, with its end
            unless it was cut.

        Raises:
            NonFiniteError: logits are not finite.
            RuntimeError: the step before failed half-way.
        """
        chosen: list[list[int]] = [[] for _ in sequences]
        for found in self.deciding(sequences, choose):
            for row, token in found.items():
                chosen[row].append(token)
        return [
            None if sequence is None else np.array(ids, np.int64)
            for sequence, ids in zip(sequences, chosen, strict=True)
        ]

    def deciding(
        self, sequences: Sequence[TokenSequence | None], choose: Choose = deterministic
    ) -> Generator[dict[int, int], None, None]:
        """`decide`, told number by number.

        Who does not exhaust it leaves the step half-way: the rows have to be restarted.

        Yields:
            For each number of the longest action, the ids that the rows which have one chose.
        """
        given = self._whole(sequences)
        self._broken |= given
        yield from self._decide(sequences, choose, None)
        self._broken -= given

    def _whole(self, sequences: Sequence[TokenSequence | None]) -> set[int]:
        """The rows that have an observation; raises where one cannot go on."""
        given = {row for row, sequence in enumerate(sequences) if sequence is not None}
        if given & self._broken:
            raise RuntimeError(
                f"the step before failed half-way in row {min(given & self._broken)}: start its "
                "episode again, with agent.reset or episode_start"
            )
        return given

    def look(self, sequences: Sequence[TokenSequence]) -> list[Look]:
        """What each row would do, drawing nothing, and where it looks; the streams stay."""
        given = self._whole(sequences)
        rows, lengths = [row.copy() for row in self.rows], self.cache.lengths.copy()
        everyone = list(range(len(rows)))
        logits: list[list[np.ndarray]] = [[] for _ in rows]

        def choose(of: Tensor, group: list[int], ordered: bool) -> np.ndarray:
            for row, values in zip(group, of.cpu().numpy(), strict=True):
                logits[row].append(values)
            return deterministic(of, group, ordered)

        ids: list[list[int]] = [[] for _ in rows]
        starts: list[tuple[int, ...]] = []
        passes: list[_Attention] = []
        self._broken |= given
        try:
            for found in self._decide(sequences, choose, passes):
                # What is visible at first: a text may push out some of it.
                starts = starts or [tuple(row.window.starts) for row in self.rows]
                for row, token in found.items():
                    ids[row].append(token)
            self._broken -= given
        finally:
            self.rows = rows
            self.cache.shorten(everyone, lengths)
        looks = []
        for row in everyone:
            seen = [one.of(row, number) for number, one in _numbered(passes, logits[row])]
            attention, positions = zip(*seen, strict=True)
            taken, of = np.array(ids[row], np.int64), tuple(logits[row])
            looks.append(Look(taken, of, attention, positions, starts[row], rows[row].prompt))
        return looks

    def _decide(
        self,
        sequences: Sequence[TokenSequence | None],
        choose: Choose,
        attention: list[_Attention] | None,
    ) -> Iterator[dict[int, int]]:
        given = {row: sequence for row, sequence in enumerate(sequences) if sequence is not None}
        rows, at_once = list(given), self.decoder.config.parallel_actions
        if not given:
            return
        numbers = {row: len(self.tokenizers[row].legal_ids) for row in given}
        ends = {row: self.tokenizers[row].end for row in given}
        tokens = [
            self.rows[row].observe(given[row], numbers[row] if ends[row] is None else 1, at_once)
            for row in rows
        ]
        wanted = max(numbers.values()) if at_once else 1
        states = self._run(rows, tokens, list(given.values()), wanted, attention)
        for number in itertools.count():
            if number and not at_once:
                tokens = [self.rows[row].go_on(ends[row] is not None) for row in rows]
                states = self._run(rows, tokens, attention=attention)
            found: dict[int, int] = {}
            for (low, high), group in self._by_range(rows, number).items():
                asked = self._asked(states, list(given) if at_once else rows, group, number)
                logits = self.decoder.logits(asked, low, high)
                self._check(logits, group, number)
                values = choose(
                    logits, group, self.tokenizers[group[0]].spec.action.kind == "continuous"
                )
                for row, value in zip(group, values.tolist(), strict=True):
                    found[row] = value + low
                    self.rows[row].act([value + low], fed=at_once and number + 1 < numbers[row])
            yield found
            rows = [row for row in rows if number + 1 < numbers[row] and found[row] != ends[row]]
            if not rows:
                return

    def _asked(self, states: Tensor, rows: list[int], group: list[int], number: int) -> Tensor:
        """(G, D) of (R, W, D): what predicts an action number of some rows."""
        if self.decoder.config.parallel_actions:
            # The last A of the W states are the row's.
            sizes = [len(self.tokenizers[row].legal_ids) for row in group]
            columns = [states.shape[1] - size + number for size in sizes]
            return states[[rows.index(row) for row in group], columns]
        if len(group) == len(rows):
            return states[:, 0]
        return states[[rows.index(row) for row in group], 0]

    def _by_range(self, rows: list[int], number: int) -> dict[tuple[int, int], list[int]]:
        """Rows by the range of legal ids of an action number."""
        groups: dict[tuple[int, int], list[int]] = {}
        for row in rows:
            low, high = self.tokenizers[row].legal_ids[number].tolist()
            groups.setdefault((low, high), []).append(row)
        return groups

    def _check(self, logits: Tensor, group: list[int], number: int) -> None:
        finite = logits.isfinite().all(-1)
        if not finite.all():
            row = group[int(finite.int().argmin())]
            raise NonFiniteError(
                f"{self.tokenizers[row].spec.id}: the predictions of action number {number} at "
                f"step {self.rows[row].steps - 1} are not finite: the weights are damaged, or their"
                ' number format is too small for them; load them with precision="float32"'
            )

    def _run(
        self,
        rows: list[int],
        tokens: Sequence[_Tokens],
        sequences: Sequence[TokenSequence] = (),
        wanted: int = 1,
        attention: list[_Attention] | None = None,
        once: bool = False,
    ) -> Tensor:
        """One pass over the new tokens of some rows; (R, W, D)."""
        counts = np.array([len(one.ids) for one in tokens])
        joined = _Tokens(*(np.concatenate(parts) for parts in zip(*tokens, strict=True)))
        images = [sequence for sequence in sequences if len(sequence.patches)]
        patches, places = NO_PATCHES, NO_PLACES
        if images:
            patches = np.concatenate([sequence.patches for sequence in images])
            places = acting_positions(np.concatenate([one.intervals for one in images]))
        feed = Feed(np.array(rows), counts, *joined, patches, places, wanted)
        if attention is None:
            return self.decoder.run(self.cache, feed, once=once)
        weights: list[Tensor] = []
        states = self.decoder.run(self.cache, feed, weights)
        # (R, W, L, H, C)
        found = torch.stack(weights).permute(1, 3, 0, 2, 4).cpu().numpy()
        held = self.cache.positions[rows, : found.shape[-1]].cpu().numpy()
        attention.append(_Attention(rows, found, held))
        return states


class _Tokens(NamedTuple):
    """(T,) ids, rows of the local position table, and the first positions they see."""

    ids: np.ndarray
    local: np.ndarray
    first: np.ndarray


@dataclass
class _Row:
    """One stream's bookkeeping."""

    window: StepWindow
    visible: int = 0
    """First position that the current step sees."""
    pending: list[tuple[int, int]] = field(default_factory=list)
    """Action ids not fed yet, each with the first position it may see."""
    steps: int = 0
    """Of the episode, without the prompt's."""
    prompt: int = 0
    """Tokens of the prompt."""

    def copy(self) -> _Row:
        return replace(self, window=self.window.copy(), pending=list(self.pending))

    def observe(self, sequence: TokenSequence, numbers: int, at_once: bool = False) -> _Tokens:
        """What to feed: pending action ids, the observation, and with `at_once` placeholders for
        all numbers of the action but the last."""
        before = self.take_pending()
        self.visible = self.window.begin_step(len(sequence) + numbers)
        self.steps += 1
        ids, local = [before.ids, sequence.ids], [before.local, sequence.local]
        if at_once:
            ids.append(np.zeros(numbers - 1, np.int64))
            local.append(np.full(numbers - 1, ACTION_ROW))
        first = np.full(sum(map(len, ids)), self.visible)
        first[: len(before.first)] = before.first
        return _Tokens(np.concatenate(ids), np.concatenate(local), first)

    def go_on(self, grows: bool) -> _Tokens:
        """What to feed for the next number; `grows` where room for it has not been made yet."""
        if grows:
            self.visible = self.window.extend_step(1)
            self.pending = [(token, self.visible) for token, _ in self.pending]
        return self.take_pending()

    def act(self, ids: Sequence[int], fed: bool = False) -> None:
        """Append action ids, unless placeholders stand for them; they are fed later."""
        if not fed:
            self.pending += [(token, self.visible) for token in ids]

    def take_pending(self) -> _Tokens:
        """The action ids that are not fed yet; the caller feeds them."""
        pending, self.pending = np.array(self.pending, np.int64).reshape(-1, 2), []
        return _Tokens(pending[:, 0], np.full(len(pending), ACTION_ROW), pending[:, 1])


@dataclass
class _Attention:
    """Of one pass: (R, W, L, H, C) weights of its rows, and the positions (R, C) in the slots."""

    rows: list[int]
    weights: np.ndarray
    held: np.ndarray

    def of(self, row: int, column: int) -> tuple[np.ndarray, np.ndarray]:
        """(L, H, N) weights and (N,) positions of what one token sees, in order."""
        place = self.rows.index(row)
        weights, held = self.weights[place, column], self.held[place]
        order = np.argsort(held)
        order = order[weights[..., order].max(axis=(0, 1)) > 0]
        return weights[..., order], held[order]


def _numbered(passes: list[_Attention], numbers: Sequence[Any]) -> Iterator[tuple[int, _Attention]]:
    """For each action number the column and the pass that predicts it."""
    width = passes[0].weights.shape[1]
    for number in range(len(numbers)):
        if width > 1 or len(passes) == 1:
            yield width - len(numbers) + number, passes[0]
        else:
            yield 0, passes[number]
