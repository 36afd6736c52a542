"""What an agent would do next, how sure it is, and what it looks at. Arithmetic only, no torch.

The paper renders attention over image patches (section 5.6, appendix J): of all tokens of a step,
in the first block, for heads chosen by hand. Here it is that of the tokens which predict the
action: the separator predicts its first number, each number the next one.

Shapes: A numbers of an action, V legal values of one, L blocks, H heads, N visible tokens,
S visible steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gato_gym.agents.role import Role
from gato_gym.errors import UnsupportedSpaceError
from gato_gym.tokenizers import continuous
from gato_gym.tokenizers.image import unpatchify
from gato_gym.tokenizers.timestep import StepTokenizer, TokenSequence
from gato_gym.types import PATCH_SIDE, ObservationSpec, TaskSpec

if TYPE_CHECKING:
    from gato_gym.models.stream import Look

Choice = int | slice | Sequence[int]
"""Some indices of an axis."""

ALL = slice(None)


@dataclass(frozen=True, eq=False, repr=False)
class ActionNumber:
    """One number of an action, as the model sees it.

    values         (V,) ascending: int64 from 0, or float32 centres of 1,024 bins in (-1, 1), which
                   is the whole range of the standardised action
    probabilities  (V,) float64, sum 1; those of the later numbers given the chosen earlier ones
    chosen         the value that `act` takes (`deterministic=True`): the likeliest one, of a
                   continuous number the median (`models.choice`)
    """

    values: np.ndarray
    probabilities: np.ndarray
    chosen: Any

    @property
    def likeliest(self) -> Any:
        """The value with the highest probability."""
        return self.values[int(self.probabilities.argmax())]

    @property
    def mean(self) -> float:
        """Expected value; of a discrete number it means little."""
        return float(self.probabilities @ self.values)

    @property
    def entropy(self) -> float:
        """In nats: 0 where it is certain, log V where every value is as likely."""
        present = self.probabilities[self.probabilities > 0]
        return float(-(present * np.log(present)).sum())

    def top(self, count: int = 5) -> list[tuple[Any, float]]:
        """The `count` most likely values with their probabilities, the likeliest first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.values[i], float(self.probabilities[i])) for i in order]

    def histogram(self, bins: int = 64) -> np.ndarray:
        """(bins,) probabilities of equal ranges of values, sum 1.

        Raises:
            ValueError: there are not so many values.
        """
        if not 1 <= bins <= len(self.values):
            raise ValueError(f"bins must be in 1..{len(self.values)}, got {bins}")
        starts = np.arange(bins) * len(self.values) // bins
        return np.add.reduceat(self.probabilities, starts)

    def __repr__(self) -> str:
        best = ", ".join(f"{value:.4g}: {p:.3f}" for value, p in self.top(3))
        return f"ActionNumber({len(self.values)} values, {best}, entropy {self.entropy:.2f})"


@dataclass(frozen=True, eq=False, repr=False)
class Tokens:
    """What N tokens are; arrays of (N,), in the order of the stream.

    age     int64, whole steps ago: 0 = now. Those of the prompt count on
    prompt  bool, part of the demonstration before the episode
    kind    "image", "continuous", "discrete", "text", "separator" or "action"; "observation" where
            an observation has several texts, whose lengths do not tell where each of them ends
    key     of the observation, "" for the others
    index   int64: of the patch in raster order, of the number in the flat array, of the piece of
            text, of the number of the action
    row, column  int64 of a patch in its image's grid, else -1
    """

    age: np.ndarray
    prompt: np.ndarray
    kind: np.ndarray
    key: np.ndarray
    index: np.ndarray
    row: np.ndarray
    column: np.ndarray

    def __len__(self) -> int:
        return len(self.age)


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """One decision. Made by `GatoAgent.explain`, which leaves the agent as it was.

    spec       of the task
    action     what `agent.act` would return for the same observation
    numbers    A distributions
    attention  (A, L, H, N) float32: how much the token that predicts each number looks at each
               visible token; sums to 1 over N
    tokens     what these are
    seen       key -> what the model has read of the observation: (height, width, 3) uint8 images,
               float32 numbers as their bins tell (paper: mu-law, clipped to +-256), int64 numbers,
               (n,) pieces of text. Lacks several texts, see `Tokens.kind`

    `layers`, `heads` and `numbers` below choose what is averaged: an index, a slice or a list.
    """

    spec: TaskSpec
    action: Any
    numbers: tuple[ActionNumber, ...]
    attention: np.ndarray
    tokens: Tokens
    seen: Mapping[str, np.ndarray] = field(default_factory=dict)

    def weights(
        self, layers: Choice = ALL, heads: Choice = ALL, numbers: Choice = ALL
    ) -> np.ndarray:
        """(N,) mean attention to each token, sum 1.

        Raises:
            ValueError: there is no such layer, head or number.
        """
        chosen = self.attention
        for axis, (name, choice) in enumerate(
            (("numbers", numbers), ("layers", layers), ("heads", heads))
        ):
            chosen = chosen.take(_indices(name, choice, chosen.shape[axis]), axis)
        return chosen.mean(axis=(0, 1, 2), dtype=np.float64)

    @property
    def images(self) -> tuple[str, ...]:
        """Keys of the images, in the order of the stream."""
        return tuple(item.key for item in _items(self.spec) if item.kind == "image")

    def patch_map(
        self,
        key: str | None = None,
        *,
        age: int = 0,
        layers: Choice = ALL,
        heads: Choice = ALL,
        numbers: Choice = ALL,
    ) -> np.ndarray:
        """(rows, columns) mean attention to each 16 x 16 patch of an image.

        The sum is the share of the image in all attention.

        Args:
            key: of the image; None where there is one.
            age: of the step it was seen in, 0 = now.
            layers, heads, numbers: see the class; the paper shows the first layer.

        Raises:
            ValueError: no such image, or several and no key; no visible step of this age.
        """
        if key is None and len(self.images) == 1:
            key = self.images[0]
        if key not in self.images:
            had = ", ".join(self.images) or "none"
            raise ValueError(f"{self.spec.id}: key is {key!r}, its images are: {had}")
        return self.by_item(age, layers=layers, heads=heads, numbers=numbers)[key]

    def by_step(
        self, *, layers: Choice = ALL, heads: Choice = ALL, numbers: Choice = ALL
    ) -> np.ndarray:
        """(S,) mean attention to each visible step by its age, now first; sum 1."""
        return np.bincount(self.tokens.age, self.weights(layers, heads, numbers))

    @property
    def prompt_steps(self) -> int:
        """How many of the visible steps are the prompt's: the last ones of `by_step`."""
        return len(np.unique(self.tokens.age[self.tokens.prompt]))

    def by_item(
        self,
        age: int | None = 0,
        *,
        layers: Choice = ALL,
        heads: Choice = ALL,
        numbers: Choice = ALL,
    ) -> dict[str, np.ndarray]:
        """Mean attention to each number, patch and piece of text of an observation.

        Args:
            age: of the step, 0 = now; None adds up all visible steps.
            layers, heads, numbers: see the class.

        Returns:
            key -> array of the shape of what was observed: numbers as in the observation, images
            (rows, columns) of patches, text (pieces,).

        Raises:
            ValueError: no visible step has this age.
        """
        weights, tokens = self.weights(layers, heads, numbers), self.tokens
        oldest = int(tokens.age[0])
        if age is not None and not 0 <= age <= oldest:
            raise ValueError(f"age must be in 0..{oldest}, the visible steps, got {age}")
        found = {}
        for item in _items(self.spec):
            here = tokens.key == item.key
            if age is not None:
                here = here & (tokens.age == age)
            if here.any():
                sums = np.bincount(tokens.index[here], weights[here])
                found[item.key] = sums.reshape(_shape(item) or -1)
        return found

    def overlay(
        self,
        frame: np.ndarray | None = None,
        *,
        size: tuple[int, int] = (960, 540),
        names: Sequence[Sequence[str]] | None = None,
    ) -> np.ndarray:
        """A picture of all this, see `gato_gym.evaluation.overlay.draw_overlay`."""
        from gato_gym.evaluation.overlay import draw_overlay

        return draw_overlay(self, frame, size=size, names=names)

    def __repr__(self) -> str:
        numbers, layers, heads, tokens = self.attention.shape
        action = np.array2string(np.asarray(self.action), 10**6, precision=3, threshold=10)
        return (
            f"Explanation({self.spec.id}, action {action}; numbers {numbers}, layers {layers}, "
            f"heads {heads}, tokens {tokens}, steps {int(self.tokens.age[0]) + 1})"
        )


def explain(role: Role, sequence: TokenSequence, look: Look) -> Explanation:
    """Give names to what the model's streams have found.

    Args:
        role: the task.
        sequence: the observation.
        look: what was predicted from it, and by looking where.

    Raises:
        UnsupportedSpaceError: the action is text: its tokens are as many as the model makes them,
            and neither the numbers of a step nor their places tell what a token is.
    """
    if role.spec.speaks:
        raise UnsupportedSpaceError(
            f"{role.spec.id} acts in text: only actions that are numbers are explained"
        )
    tokenizer = role.tokenizer
    starts = np.asarray(look.starts)
    size = role.spec.action.size
    # The last number of the action is predicted, but nothing looks at it yet.
    end = int(starts[-1]) + len(sequence) + size - 1
    attention = np.zeros((size, *look.attention[0].shape[:2], end - int(starts[0])), np.float32)
    for found, weights, positions in zip(attention, look.attention, look.positions, strict=True):
        visible = (positions >= starts[0]) & (positions < end)
        found[..., positions[visible] - starts[0]] = weights[..., visible]
    numbers = []
    for (low, high), logits, taken in zip(tokenizer.legal_ids, look.logits, look.ids, strict=True):
        values = np.arange(high - low)
        if role.spec.action.kind == "continuous":
            values = continuous.from_bins(values)
        numbers.append(ActionNumber(values, _softmax(logits), values[taken - low]))
    return Explanation(
        spec=role.spec,
        action=role.action(look.ids),
        numbers=tuple(numbers),
        attention=attention,
        tokens=_name_tokens(role.spec, starts, end, len(sequence), look.prompt),
        seen=_read(tokenizer, sequence),
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return powers / powers.sum()


def _indices(name: str, choice: Choice, size: int) -> np.ndarray:
    try:
        indices = np.atleast_1d(np.arange(size)[choice])
    except IndexError:
        indices = np.empty(0, np.int64)
    if indices.ndim != 1 or not len(indices):
        raise ValueError(f"{name}={choice!r} chooses none of {size}")
    return indices


def _items(spec: TaskSpec) -> list[ObservationSpec]:
    """In the order of the stream (section 2.1)."""
    return sorted(spec.observations, key=lambda item: item.key)


def _shape(item: ObservationSpec) -> tuple[int, ...]:
    """(rows, columns) of an image's patches, () of a text."""
    if item.kind == "image":
        return item.shape[0] // PATCH_SIDE, item.shape[1] // PATCH_SIDE
    return () if item.kind == "text" else item.shape or (1,)


def _lengths(spec: TaskSpec, tokens: int) -> Iterator[tuple[ObservationSpec, int]]:
    """Each item with the number of its tokens in an observation of so many; none with two texts."""
    items = _items(spec)
    fixed = sum(int(np.prod(_shape(item))) for item in items if item.kind != "text")
    if sum(item.kind == "text" for item in items) > 1:
        return
    for item in items:
        yield item, tokens - fixed if item.kind == "text" else int(np.prod(_shape(item)))


def _name_tokens(
    spec: TaskSpec, starts: np.ndarray, end: int, sequence: int, prompt: int
) -> Tokens:
    """What stands at positions starts[0]..end; `sequence` tokens of the last step are observed."""
    size = spec.action.size
    known: dict[int, list[tuple[Any, ...]]] = {}
    rows: list[tuple[Any, ...]] = []
    ages: list[int] = []
    for step, start in enumerate(starts.tolist()):
        last = step == len(starts) - 1
        observed = sequence if last else int(starts[step + 1]) - start - size
        if observed not in known:
            known[observed] = _name_observation(spec, observed - 1)
        found = [*known[observed], ("separator", "", 0, -1, -1)]
        found += [("action", "", number, -1, -1) for number in range(size - last)]
        rows += found
        ages += [len(starts) - 1 - step] * len(found)
    kind, key, index, row, column = zip(*rows, strict=True)
    return Tokens(
        age=np.array(ages),
        prompt=np.arange(int(starts[0]), end) < prompt,
        kind=np.array(kind),
        key=np.array(key),
        index=np.array(index),
        row=np.array(row),
        column=np.array(column),
    )


def _name_observation(spec: TaskSpec, tokens: int) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for item, count in _lengths(spec, tokens):
        columns = _shape(item)[1] if item.kind == "image" else 0
        for index in range(count):
            place = divmod(index, columns) if columns else (-1, -1)
            found.append((item.kind, item.key, index, *place))
    return found or [("observation", "", index, -1, -1) for index in range(tokens)]


def _read(tokenizer: StepTokenizer, sequence: TokenSequence) -> dict[str, np.ndarray]:
    """What the tokens of one observation say."""
    seen: dict[str, np.ndarray] = {}
    ids, first, first_patch = sequence.ids, 0, 0
    for item, count in _lengths(tokenizer.spec, len(sequence) - 1):
        here = ids[first : first + count]
        first += count
        if item.kind == "image":
            patches = sequence.patches[first_patch : first_patch + count]
            first_patch += count
            seen[item.key] = unpatchify(patches, *item.shape[:2])
        elif item.kind == "continuous":
            bins = continuous.from_bins(here - tokenizer.vocabulary.continuous_start)
            numbers = continuous.inverse_mu_law(bins).astype(np.float32)
            seen[item.key] = numbers.reshape(item.shape)
        elif item.kind == "discrete":
            seen[item.key] = here.astype(np.int64).reshape(item.shape)
        else:
            assert tokenizer.text is not None
            seen[item.key] = np.array([tokenizer.text.decode([piece]) for piece in here], np.str_)
    return seen
