"""One task as an agent plays it: which one it is, what it observes, what its actions are. No torch.

Shapes: A numbers of an action.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from gato_gym import envs
from gato_gym.data.records import decode
from gato_gym.envs.spaces import action_element
from gato_gym.errors import (
    InvalidObservationError,
    PromptError,
    UnknownTaskError,
    UnsupportedSpaceError,
)
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.timestep import StepTokenizer, TokenSequence
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import Episode, TaskSpec, flatten_observation


class Role:
    """A task, its tokens and its action space.

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

    def read(self, obs: Any, step: int) -> TokenSequence:
        """The tokens of one raw or tokenised observation.

        Args:
            obs: of the task.
            step: its number in the episode, for messages.

        Raises:
            InvalidObservationError: a NaN, a wrong shape, a missing key; another task's tokens.
        """
        if not self._is_tokenized(obs):
            return self.tokenizer.observe(obs, step)
        empty = np.zeros((0, 16, 16, 3), np.uint8)
        sequence = self.tokenizer.from_ids(np.asarray(obs["ids"]), obs.get("patches", empty))
        expected = (self.tokenizer.observation_slots + 1, self.tokenizer.patches_per_step)
        if (len(obs["ids"]), len(sequence.patches)) != expected:
            raise InvalidObservationError(
                f"{self.spec.id}: expected {expected[0]} ids and {expected[1]} patches, got "
                f"{len(obs['ids'])} and {len(sequence.patches)}: reset the agent with this env"
            )
        return sequence

    def split(self, observation: Any) -> tuple[list[Any], bool]:
        """A list of single observations, and whether they came stacked."""
        flat = flatten_observation(observation)
        if self._is_tokenized(observation):
            ranks = {"ids": 1}
        else:
            ranks = {item.key: len(item.shape) for item in self.spec.observations}
        key, rank = next(iter(ranks.items()))
        if key not in flat:
            raise InvalidObservationError(
                f"{self.spec.id}: observation has no {key!r}; it has {sorted(flat)}"
            )
        if np.ndim(flat[key]) == rank:
            return [observation], False
        if not isinstance(observation, Mapping):
            return list(observation), True
        return [{k: v[i] for k, v in flat.items()} for i in range(len(flat[key]))], True

    def action(self, ids: np.ndarray) -> Any:
        """(A,) ids as an element of the environment's action space."""
        numbers = self.tokenizer.decode_action(ids)
        if self.space is not None:
            # A plain environment may not be scaled to [-1, 1] as those of `gato_gym.make` are.
            return action_element(self.space, numbers)
        is_scalar = self.spec.action.kind == "discrete" and len(numbers) == 1
        return numbers[0] if is_scalar else numbers

    def _is_tokenized(self, obs: Any) -> bool:
        raw_keys = {item.key for item in self.spec.observations}
        return isinstance(obs, Mapping) and "ids" in obs and "ids" not in raw_keys


def find_spec(env_or_task: Any, known: Mapping[str, TaskSpec]) -> TaskSpec:
    """What an environment or a task id is to Gato.

    Args:
        env_or_task: an environment, a vector environment or an id.
        known: the tasks that the weights were trained on, by id.

    Raises:
        UnknownTaskError: no such task.
        InvalidObservationError: the environment observes something else than the weights know.
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
    spec = envs.task_spec(env_or_task)
    trained = known.get(spec.id)
    if trained is None:
        return spec
    if (trained.observations, trained.action) != (spec.observations, spec.action):
        raise InvalidObservationError(
            f"{spec.id} observes {_describe(spec)}, but these weights were trained on "
            f"{_describe(trained)}: make the environment with its default settings"
        )
    return trained


def find_space(env_or_task: Any, vocabulary: Vocabulary) -> gym.Space | None:
    """The action space of one environment; None of an id.

    Raises:
        InvalidObservationError: the environment tokenises for another vocabulary.
    """
    if isinstance(env_or_task, str):
        return None
    worn = _layer_with(env_or_task, "tokenizer")
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


def _layer_with(env: Any, attribute: str) -> Any:
    """The outermost wrapper that has the attribute; of a vector environment, its first copy's."""
    env = getattr(env, "envs", [env])[0]
    while env is not None:
        if attribute in vars(env):
            return env
        env = getattr(env, "env", None)
    return None
