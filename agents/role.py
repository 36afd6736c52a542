"""One task as an agent plays it: which one it is, what it observes, what its actions are. No torch.

Shapes: A numbers of an action.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from gato_gym import envs
from gato_gym.agents.observation_form import ObservationForm, TokenForm
from gato_gym.data.records import decode
from gato_gym.envs import layers
from gato_gym.envs.spaces import action_element, standard_actions
from gato_gym.errors import (
    InvalidObservationError,
    PromptError,
    UnknownTaskError,
    UnsupportedSpaceError,
)
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.timestep import StepTokenizer, TokenSequence
from gato_gym.tokenizers.vocabulary import PAD, Vocabulary
from gato_gym.types import Episode, TaskSpec

logger = logging.getLogger(__name__)


class Role:
    """A task, its tokens and its action space.

    Observations may be raw or tokenised. Of raw ones, tuples stand for mappings with index keys,
    images may be larger than the task's, and their channels may stand first.

    Args:
        spec: of the task.
        space: of one environment's actions; None plays for the standardised one.
        vocabulary: of the model.
        text: text model, where observations hold text.
        context: tokens that the model sees.

    Raises:
        UnsupportedSpaceError: a step of the task does not fit the context.
    """

    def __init__(
        self,
        spec: TaskSpec,
        space: gym.Space | None,
        vocabulary: Vocabulary,
        text: TextTokenizer | None,
        context: int,
    ) -> None:
        self.spec, self.space = spec, space
        self.tokenizer = StepTokenizer(spec, vocabulary, text)
        if self.tokenizer.tokens_per_step > context:
            raise UnsupportedSpaceError(
                f"a step of {spec.id} takes {self.tokenizer.tokens_per_step} tokens, these weights "
                f"see {context}: use a checkpoint with a larger context"
            )
        self._form = ObservationForm(spec)
        self._tokens = TokenForm(self.tokenizer)

    def read(self, obs: Any, step: int) -> TokenSequence:
        """The tokens of one raw or tokenised observation.

        Continuous numbers beyond the bounds of their space are legal: mu-law clips what is too
        large for its bins (section 2.1).

        Args:
            obs: of the task.
            step: its number in the episode, for messages.

        Raises:
            InvalidObservationError: a NaN, a wrong shape or kind, a missing or unknown key; tokens
                of another task or vocabulary.
        """
        if self._form.is_tokenized(obs):
            ids, patches = self._tokens.checked(obs, step)
            return self.tokenizer.from_ids(ids, patches)
        try:
            return self.tokenizer.observe(self._form.checked(obs, step), step)
        except InvalidObservationError as error:
            raise InvalidObservationError(f"{error}; {self._form.fix}") from None

    def split(self, observation: Any) -> tuple[list[Any], bool]:
        """A list of single observations, and whether they came stacked.

        Raises:
            InvalidObservationError: parts that disagree about how many there are, or none.
        """
        return self._form.split(observation)

    def action(self, ids: np.ndarray) -> Any:
        """(A,) ids as an element of the environment's action space; see `spoken` for text."""
        numbers = self.tokenizer.decode_action(ids)
        if self.spec.speaks:
            return numbers if self.space is None else spoken(self.space, numbers)
        if self.space is not None:
            # A plain environment may not be scaled to [-1, 1] as those of `gato_gym.make` are.
            return action_element(self.space, numbers)
        is_scalar = self.spec.action.kind == "discrete" and len(numbers) == 1
        return numbers[0] if is_scalar else numbers

    def chosen(self, action: Any) -> np.ndarray:
        """(A,) of an element of the action space: the place of each number among its legal ids.

        Of text only as many tokens as it has.

        Raises:
            InvalidObservationError: it is no action of the task.
        """
        numbers = np.asarray([action])
        if isinstance(self.space, gym.spaces.Box):
            numbers = standard_actions(self.space, numbers).astype(np.float32)
        ids = self.tokenizer.action_ids(numbers)[0]
        ids = ids[ids != PAD]
        return ids - self.tokenizer.legal_ids[: len(ids), 0]

    def prompt_steps(self, prompt: Episode, room: int, tell: bool = True) -> int:
        """How many whole steps of a prompt are read, from its first one on.

        Args:
            prompt: of the task.
            room: tokens that it may take.
            tell: log once if that is not all of them.

        Raises:
            PromptError: not even one of its steps fits.
        """
        tokens = self.step_tokens(prompt)
        fit = int((np.cumsum(tokens) <= room).sum())
        if not fit:
            raise PromptError(
                f"a step of {self.spec.id} takes {tokens[0]} tokens, a prompt of these weights at "
                f"most {room}: pass prompt=None"
            )
        if tell and fit < len(prompt):
            _tell_cut(self.spec.id, fit, len(prompt))
        return min(fit, len(prompt))

    def step_tokens(self, episode: Episode) -> np.ndarray:
        """(T,) tokens of its steps: as they are where actions are text, else an upper bound."""
        most = np.full(len(episode), self.tokenizer.tokens_per_step)
        words = self.tokenizer.words
        if not self.spec.speaks or words is None:
            return most
        most -= self.spec.action.size - np.array([words.reply_tokens(t) for t in episode.actions])
        for item in self.spec.observations:
            if item.kind == "text":
                texts = episode.observations[item.key][: len(episode)]
                most -= words.slot - np.array([words.observed_tokens(str(text)) for text in texts])
        return most


def spoken(space: Any, text: str) -> str:
    """What a `Text` space has of a text: strange letters stand as "?", or where it has none as the
    first that it has; what is too long is cut, what is too short goes on with spaces.
    """
    known, letters = space.character_set, space.character_list
    strange, blank = ("?" if "?" in known else letters[0]), (" " if " " in known else letters[0])
    fitting = "".join(letter if letter in known else strange for letter in text[: space.max_length])
    return fitting.ljust(space.min_length, blank)


@cache
def _tell_cut(task: str, fit: int, steps: int) -> None:
    logger.warning(
        "%s: the first %d of the prompt's %d steps fit the context, the others are left out",
        *(task, fit, steps),
    )


def read_starts(episode_start: Any, rows: int) -> np.ndarray:
    """(B,) bool: which episodes begin; None is no one, a single value is for all.

    Raises:
        ValueError: flags of another number of environments.
    """
    starts = np.asarray(False if episode_start is None else episode_start, bool)
    if starts.size not in (1, rows) or starts.ndim > 1:
        raise ValueError(
            f"episode_start has shape {starts.shape}, observations are of {rows} environments: "
            f"pass ({rows},) flags, True where an environment has just been reset"
        )
    return np.broadcast_to(starts, rows)


def check_state(roles: Sequence[Role], played: Sequence[TaskSpec]) -> None:
    """Refuse a state that is of other environments than the roles.

    Args:
        roles: of each row.
        played: the tasks of the state's rows.

    Raises:
        ValueError: another number of environments, or other tasks.
    """
    if len(roles) != len(played):
        raise ValueError(
            f"state is of {len(played)} environments, observations of {len(roles)}: pass what "
            "predict returned for them, or state=None to start their episodes"
        )
    for row, (role, spec) in enumerate(zip(roles, played, strict=True)):
        if role.spec is not spec and role.spec != spec:
            raise ValueError(
                f"row {row} of the state plays {spec.id}, the agent was reset for {role.spec.id}: "
                "pass state=None to start its episode"
            )


def find_spec(env_or_task: Any, known: Mapping[str, TaskSpec]) -> TaskSpec:
    """What an environment or a task id is to Gato.

    Args:
        env_or_task: an environment, a vector environment (Stable-Baselines3's too) or an id.
        known: the tasks that the weights were trained on, by id.

    Raises:
        UnknownTaskError: no such task.
        InvalidObservationError: the environment observes something else than the weights know.
        TypeError: it does not tell which task it is.
    """
    if isinstance(env_or_task, str):
        if env_or_task in known:
            return known[env_or_task]
        near = difflib.get_close_matches(env_or_task, known, n=3, cutoff=0.4)
        try:
            return envs.task_spec(env_or_task)
        except UnknownTaskError as error:
            if near:
                raise UnknownTaskError(f"{error}; this agent was trained on {near}") from error
            raise
    try:
        spec = envs.task_spec(env_or_task)
    except UnsupportedSpaceError as error:
        made = layers.spec_of(env_or_task)
        if made is not None and made.id in known:
            _refuse_changed(env_or_task, made.id, error)
        raise
    trained = known.get(spec.id)
    if trained is None:
        return spec
    _refuse_changed(env_or_task, spec.id)
    if (trained.observations, trained.action) != (spec.observations, spec.action):
        raise InvalidObservationError(
            f"{spec.id} observes {_describe(spec)}, but these weights were trained on "
            f"{_describe(trained)}: make the environment with its default settings"
        )
    return trained


def _refuse_changed(env: Any, task: str, cause: Exception | None = None) -> None:
    """Numbers that look right and mean something else would be played without a word."""
    changed = layers.changers(env)
    if changed:
        usual = _usual_changers(task)
        changed = [name for name in changed if name not in usual]
    if changed:
        raise InvalidObservationError(
            f"{task}: {' and '.join(changed)} changed what is observed, these weights were trained "
            "without: leave the wrapper out, or have only what it wraps played by this agent"
        ) from cause


@cache
def _usual_changers(task: str) -> tuple[str, ...]:
    """Those that the task itself is made of."""
    env = envs.make(task)
    try:
        return tuple(layers.changers(env))
    finally:
        env.close()


def find_space(env_or_task: Any, vocabulary: Vocabulary) -> gym.Space | None:
    """The action space of one environment; None of an id.

    Raises:
        InvalidObservationError: the environment tokenises for another vocabulary.
    """
    if isinstance(env_or_task, str):
        return None
    is_vector = layers.is_vector(env_or_task)
    single = layers.first_copy(env_or_task) if is_vector else env_or_task
    stack = list(layers.vector_layers(env_or_task)) if is_vector else []
    stack += [] if single is None else layers.layers(single)
    worn = next((layer for layer in stack if "tokenizer" in vars(layer)), None)
    if worn is not None and worn.tokenizer.vocabulary != vocabulary:
        raise InvalidObservationError(
            f"the environment tokenises for {worn.tokenizer.vocabulary}, this agent reads "
            f"{vocabulary}: gato_gym.make(id, vocabulary=agent.vocabulary)"
        )
    space = getattr(env_or_task, "single_action_space", None)
    return env_or_task.action_space if space is None else space


def find_prompt(
    spec: TaskSpec, prompt: str | Path | Episode | None, own: Mapping[str, Episode]
) -> Episode | None:
    """The demonstration that a prompt names.

    Args:
        spec: of the task.
        prompt: "expert" for the agent's own, an `Episode`, the path of a stored one, or None.
        own: the agent's own, by task.

    Raises:
        PromptError: there is none at the path, or it shows another task.
    """
    if prompt is None:
        return None
    if prompt == "expert":
        return own.get(spec.id)
    if isinstance(prompt, str | Path):
        if not Path(prompt).is_file():
            raise PromptError(
                f'no prompt at {str(prompt)!r}: give "expert", None, an Episode or its file'
            )
        prompt = decode(Path(prompt).read_bytes(), str(prompt))
    if prompt.task != spec.id:
        raise PromptError(
            f"the prompt shows {prompt.task}, the task is {spec.id}: give an episode of it, "
            'prompt="expert" or None'
        )
    return prompt


def _describe(spec: TaskSpec) -> str:
    leaves = ", ".join(f"{o.key}: {o.kind} {o.shape}" for o in spec.observations)
    return f"{{{leaves}}} with {spec.action.kind} actions of {spec.action.size} numbers"
