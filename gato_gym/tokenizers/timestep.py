"""A step <-> tokens: the one copy of tokenisation, used by training and by acting.

A step is [observation tokens, separator, action tokens] (appendix B). Observation items stand in
lexicographic key order, each by its own rule:

    text        SentencePiece ids, at most TEXT_SLOT of them
    image       one PATCH marker per 16 x 16 patch, raster order; the pixels travel beside the ids
    discrete    the integers, row-major, unshifted
    continuous  mu-law bins, row-major, + V

Actions that are text are SentencePiece ids and then the end of the text. Texts differ in length:
what their slots do not need is PAD, which is dropped from sequences.

Shapes below: T steps, N observation slots + 1 separator, A action numbers, P patches per step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gato_gym.envs.images import resize_image
from gato_gym.errors import InvalidObservationError, UnsupportedSpaceError
from gato_gym.tokenizers import continuous
from gato_gym.tokenizers.default_text import default_text
from gato_gym.tokenizers.image import patch_intervals, patchify
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.vocabulary import BINS, DISCRETE_VALUES, PAD, PATCH, Vocabulary
from gato_gym.tokenizers.words import SPEAKER_SLOT, TEXT_SLOT, Words
from gato_gym.types import PATCH_SIDE, ObservationSpec, TaskSpec, flatten_observation

# Rows of the local position table (appendix C.3): 512 for observation tokens, then one shared by
# all action tokens and one for the separator.
OBSERVATION_ROWS = 512
ACTION_ROW = 512
SEPARATOR_ROW = 513
LOCAL_ROWS = 514


@dataclass(frozen=True)
class TokenSequence:
    """Tokens in order, N of them, with P image patches among them.

    ids        (N,) int32, PATCH (-1) where an image patch stands
    local      (N,) int16, row of the local position table
    targets    (N,) int32, the id the loss wants *at this token*: text and action tokens; else -1
    patches    (P, 16, 16, 3) uint8, in the order of the PATCH marks
    intervals  (P, 4) int16, see `image.patch_intervals`
    """

    ids: np.ndarray
    local: np.ndarray
    targets: np.ndarray
    patches: np.ndarray
    intervals: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


class StepTokenizer:
    """Tokenises the steps of one task.

    Text is read by `default_text()` where no text model is given.

    Raises:
        UnsupportedSpaceError: the observation needs more than 512 tokens.
        ValueError: the text model has more pieces than the vocabulary has room for.
    """

    def __init__(
        self, spec: TaskSpec, vocabulary: Vocabulary, text: TextTokenizer | None = None
    ) -> None:
        if text is None and spec.has_text:
            text = default_text()
        self.spec, self.vocabulary, self.text = spec, vocabulary, text
        self.text_slot = SPEAKER_SLOT if spec.speaks else TEXT_SLOT
        """Slots of each text in an observation."""
        self.words = Words(text, self.text_slot, spec.action.size) if text is not None else None
        """What turns texts into ids, where there is any."""
        self.end = text.end if spec.speaks and text is not None else None
        """Id that ends an action of text, None of other actions."""
        self._items = tuple(sorted(spec.observations, key=lambda item: item.key))
        widths = [item_tokens(item, self.text_slot) for item in self._items]
        self.observation_slots = sum(widths)
        if self.observation_slots > OBSERVATION_ROWS:
            raise UnsupportedSpaceError(
                f"{spec.id}: one observation takes {self.observation_slots} tokens, the model has "
                f"{OBSERVATION_ROWS} positions: pass a smaller image_size= to gato_gym.make"
            )
        if text is not None and text.size > vocabulary.text_size:
            raise ValueError(
                f"text model of {text.size} pieces, vocabulary of {vocabulary.text_size}"
            )
        intervals = [patch_intervals(*i.shape[:2]) for i in self._items if i.kind == "image"]
        self.intervals = np.concatenate([np.zeros((0, 4), np.int16), *intervals])
        slots = np.cumsum([0, *widths]).tolist()
        # Each item with its slots in the ids.
        self._plan = tuple(
            (item, slice(slots[i], slots[i + 1])) for i, item in enumerate(self._items)
        )
        kinds = np.repeat([item.kind for item in self._items], widths)
        self._text_slots = _as_slice(np.flatnonzero(kinds == "text"))
        floats = np.flatnonzero(kinds == "continuous")
        self._floats = _as_slice(floats)
        """Where the bins of all continuous items go: they are computed together."""
        self._float_count, self._first_bin = len(floats), np.int32(vocabulary.continuous_start)
        self._template = np.full(self.observation_slots + 1, PATCH, np.int32)
        self._template[-1] = vocabulary.separator
        self.legal_ids = self._legal_ids()
        """(A, 2): the half-open id range of each action number, of text of each of its tokens."""

    @property
    def patches_per_step(self) -> int:
        """P."""
        return len(self.intervals)

    @property
    def tokens_per_step(self) -> int:
        """Tokens of a whole step; an upper bound where there is text."""
        return self.observation_slots + 1 + self.spec.action.size

    def _legal_ids(self) -> np.ndarray:
        action = self.spec.action
        if self.end is not None and self.text is not None:
            # The end, and the pieces and bytes after it.
            return np.array([(self.end, self.text.size)] * action.size, np.int64)
        offset = self.vocabulary.continuous_start if action.kind == "continuous" else 0
        sizes = action.n or (BINS,) * action.size
        return np.array([(offset, offset + n) for n in sizes], np.int64)

    def observation_ids(
        self, observations: Mapping[str, np.ndarray], first_step: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of T observations: ids (T, N + 1) int32, patches (T, P, 16, 16, 3) uint8.

        Args:
            observations: key -> (T, ...) array, as in an `Episode`.
            first_step: number of the first one, for error messages.

        Raises:
            InvalidObservationError: a missing key, a wrong shape, a non-finite or illegal number;
                names the task, the key and the step.
        """
        steps = len(self._values(observations, self._items[0]))
        ids = np.empty((steps, len(self._template)), np.int32)
        ids[:] = self._template
        floats = np.empty((steps, self._float_count))
        used, patches = 0, []
        for item, slots in self._plan:
            values = np.asarray(self._values(observations, item))
            if item.kind == "continuous":
                flat = self._flat(item, values, steps, first_step)
                floats[:, used : used + flat.shape[1]] = flat
                used += flat.shape[1]
            elif item.kind == "image":
                patches.append(self._encode_image(item, values, steps, first_step))
            elif item.kind == "discrete":
                ids[:, slots] = self._encode_discrete(item, values, steps, first_step)
            else:
                assert self.words is not None
                ids[:, slots] = self.words.observed(map(str, values))
        if self._float_count:
            if not np.isfinite(floats).all():
                self._refuse_infinite(observations, first_step)
            bins = continuous.to_bins(continuous.mu_law(floats))
            ids[:, self._floats] = np.add(bins, self._first_bin, out=bins)
        if len(patches) == 1:
            return ids, patches[0]
        empty = np.zeros((steps, 0, PATCH_SIDE, PATCH_SIDE, 3), np.uint8)
        return ids, np.concatenate(patches, axis=1) if patches else empty

    def _values(self, observations: Mapping[str, np.ndarray], item: ObservationSpec) -> Any:
        try:
            return observations[item.key]
        except KeyError:
            raise InvalidObservationError(
                f"{self.spec.id}: observation has no {item.key!r}, only {sorted(observations)}"
            ) from None

    def _fail(self, item: ObservationSpec, step: int, problem: str) -> None:
        raise InvalidObservationError(f"{self.spec.id}: {item.key!r} at step {step} {problem}")

    def _flat(
        self, item: ObservationSpec, values: np.ndarray, steps: int, first_step: int
    ) -> np.ndarray:
        if values.shape[1:] != item.shape:
            self._fail(item, first_step, f"has shape {values.shape[1:]}, expected {item.shape}")
        self._check_steps(item, values, steps, first_step)
        return values.reshape(steps, -1)

    def _check_steps(
        self, item: ObservationSpec, values: np.ndarray, steps: int, first_step: int
    ) -> None:
        if len(values) != steps:
            self._fail(item, first_step, f"has {len(values)} steps, {self._items[0].key!r} {steps}")

    def _refuse_infinite(self, observations: Mapping[str, np.ndarray], first_step: int) -> None:
        for item in self._items:
            if item.kind != "continuous":
                continue
            values = np.asarray(observations[item.key])
            flat = values.reshape(len(values), -1).astype(np.float64)
            finite = np.isfinite(flat).all(axis=1)
            if not finite.all():
                step = int(np.argmin(finite))
                self._fail(item, first_step + step, f"is not finite: {flat[step]}")

    def _encode_discrete(
        self, item: ObservationSpec, values: np.ndarray, steps: int, first_step: int
    ) -> np.ndarray:
        flat = self._flat(item, values, steps, first_step)
        legal = ((flat >= 0) & (flat < DISCRETE_VALUES)).all(axis=1)
        if not legal.all():
            step = int(np.argmin(legal))
            self._fail(item, first_step + step, f"must lie in [0, {DISCRETE_VALUES}): {flat[step]}")
        return flat.astype(np.int32)

    def _encode_image(
        self, item: ObservationSpec, values: np.ndarray, steps: int, first_step: int
    ) -> np.ndarray:
        if values.dtype != np.uint8 or values.ndim != 4 or values.shape[-1] != 3:
            self._fail(
                item,
                first_step,
                f"must be uint8 (height, width, 3), got {values.dtype} {values.shape[1:]}",
            )
        if values.shape[1:] != item.shape:
            self._fail(
                item,
                first_step,
                f"has size {values.shape[1:3]}, expected {item.shape[:2]} or larger",
            )
        self._check_steps(item, values, steps, first_step)
        return patchify(values)

    def action_ids(self, actions: np.ndarray) -> np.ndarray:
        """(T, ...) actions -> (T, A) int32 ids; text is filled up with PAD after its end.

        Text that needs more than A tokens is cut there, without an end.

        Raises:
            InvalidObservationError: actions of another kind or shape, or outside of their range.
        """
        flat = np.asarray(actions).reshape(len(actions), -1)
        if flat.dtype.kind == "U" and self.end is not None and flat.shape[1] == 1:
            assert self.words is not None
            return self.words.replies(flat[:, 0].tolist())
        ids: Any = flat
        if self.spec.action.kind == "continuous" and flat.dtype.kind != "U":
            ids = continuous.to_bins(flat) + self.vocabulary.continuous_start
        low, high = self.legal_ids.T
        fits = flat.dtype.kind != "U" and flat.shape[1] == self.spec.action.size
        if not fits or (ids < low).any() or (ids >= high).any():
            raise InvalidObservationError(
                f"{self.spec.id}: actions of {flat.dtype} and shape {flat.shape} do not fit "
                f"{self.spec.action}"
            )
        return ids.astype(np.int32)

    def decode_action(self, ids: np.ndarray) -> Any:
        """(..., A) ids -> (..., A) float32 bin centres or int64 values; exact inverse on ids.

        Of text: (n,) ids, with or without the end, -> str.
        """
        if self.end is not None:
            assert self.words is not None
            return self.words.decode(np.asarray(ids).tolist())
        low = self.legal_ids[:, 0]
        if self.spec.action.kind == "continuous":
            return continuous.from_bins(np.asarray(ids) - low)
        return (np.asarray(ids) - low).astype(np.int64)

    def sequence(
        self,
        observations: Mapping[str, np.ndarray],
        actions: np.ndarray,
        expert_actions: np.ndarray,
        first_step: int = 0,
    ) -> TokenSequence:
        """T whole steps as one token sequence (section 2.1); targets are the expert's actions."""
        return self.sequences(observations, actions, expert_actions, [len(actions)], first_step)[0]

    def sequences(
        self,
        observations: Mapping[str, np.ndarray],
        actions: np.ndarray,
        expert_actions: np.ndarray,
        lengths: Sequence[int],
        first_step: int = 0,
    ) -> list[TokenSequence]:
        """T whole steps as several sequences of so many steps each, which share their memory.

        Numbers cost little when there are many of them, and each call much: steps of several
        episodes are best tokenised together.
        """
        observed, patches = self.observation_ids(observations, first_step)
        acted = self.action_ids(actions)
        ids = np.concatenate([observed, acted], axis=1)
        targets = np.full_like(ids, -1)
        targets[:, self._text_slots] = ids[:, self._text_slots]
        # Without noise both are one array. Of two texts the tokens do not correspond.
        same = expert_actions is actions or self.end is not None
        wanted = acted if same else self.action_ids(expert_actions)
        targets[:, observed.shape[1] :] = wanted
        tokens = np.array(lengths) * ids.shape[1]
        if self.spec.has_text:
            keep = ids != PAD
            local = self._local(ids)[keep]
            steps = np.cumsum([0, *lengths[:-1]])
            tokens = np.add.reduceat(keep.sum(axis=1), steps)
            ids, targets = ids[keep], targets[keep]
        else:
            local = np.tile(self._local(ids[:1])[0], len(ids))
        ids, targets = ids.reshape(-1), targets.reshape(-1)
        per_step = self.patches_per_step
        pixels = patches.reshape(-1, *patches.shape[2:])
        intervals = np.tile(self.intervals, (max(lengths), 1))
        found, end, step = [], 0, 0
        for length, count in zip(lengths, tokens.tolist(), strict=True):
            start, end = end, end + count
            found.append(
                TokenSequence(
                    ids=ids[start:end],
                    local=local[start:end],
                    targets=targets[start:end],
                    patches=pixels[step * per_step : (step + length) * per_step],
                    intervals=intervals[: length * per_step],
                )
            )
            step += length
        return found

    def _local(self, ids: np.ndarray) -> np.ndarray:
        """Local position rows of (T, >= N + 1) ids; PAD slots take no position."""
        slots = self.observation_slots
        local = np.full(ids.shape, ACTION_ROW, np.int16)
        local[:, :slots] = np.cumsum(ids[:, :slots] != PAD, axis=1) - 1
        local[:, slots] = SEPARATOR_ROW
        return local

    def prepare(self, observation: Any) -> dict[str, np.ndarray]:
        """A raw observation of the task as key -> array without a step axis.

        Larger images than the spec's (of a plain `gymnasium.make` environment) are resized exactly
        as `gato_gym.make` does.
        """
        flat = flatten_observation(observation)
        for item in self._items:
            value: Any = flat.get(item.key)
            # Anything else is refused with a message of ours when it is encoded.
            if item.kind == "image" and _is_shrinkable(value, item.shape):
                flat[item.key] = resize_image(value, (item.shape[0], item.shape[1]))
        return {key: np.asarray(value) for key, value in flat.items()}

    def observe(self, observation: Any, step: int = 0) -> TokenSequence:
        """One observation with its separator, for acting; no targets."""
        batch = {key: value[None] for key, value in self.prepare(observation).items()}
        ids, patches = self.observation_ids(batch, step)
        return self.from_ids(ids[0], patches[0])

    def from_ids(self, ids: np.ndarray, patches: np.ndarray) -> TokenSequence:
        """The sequence of already tokenised (N,) ids with (P, 16, 16, 3) patches."""
        keep = ids != PAD
        return TokenSequence(
            ids=ids[keep],
            local=self._local(ids[None])[0][keep],
            targets=np.full(int(keep.sum()), -1, np.int32),
            patches=patches,
            intervals=self.intervals,
        )


def item_tokens(item: ObservationSpec, text_slot: int = TEXT_SLOT) -> int:
    """Tokens of one part of an observation; of text the most."""
    if item.kind == "text":
        return text_slot
    if item.kind == "image":
        return item.shape[0] * item.shape[1] // PATCH_SIDE**2
    return int(np.prod(item.shape, dtype=int))


def _is_shrinkable(value: Any, shape: tuple[int, ...]) -> bool:
    is_image = isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 3
    return (
        is_image
        and value.shape[2] == 3
        and value.shape[0] >= shape[0]
        and value.shape[1] >= shape[1]
    )


def _as_slice(places: np.ndarray) -> Any:
    """Consecutive indices as a slice, which numpy follows faster; others as they are."""
    if len(places) and places[-1] - places[0] == len(places) - 1:
        return slice(int(places[0]), int(places[-1]) + 1)
    return places
