"""`gato_gym.make`: the standardised environment with the tokenizing wrapper outermost."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from gato_gym import envs
from gato_gym.config import MODELS
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.timestep import StepTokenizer
from gato_gym.tokenizers.vocabulary import PAD, Vocabulary
from gato_gym.types import PATCH_SIDE

DEFAULT_VOCABULARY = Vocabulary(MODELS["bundle"].text_size)


class TokenizeObservation(gym.ObservationWrapper, gym.utils.RecordConstructorArgs):
    """Replaces each observation by its tokens (paper section 2.1).

    The observation space is a Dict:
        ids        (N,) int32; -1 an image patch, -2 an unused text slot; the last is the separator
        patches    (P, 16, 16, 3) uint8                       (only with images)
        positions  (P, 4) int16, row and column intervals in 128ths of the image  (only with images)
    """

    def __init__(
        self,
        env: gym.Env,
        vocabulary: Vocabulary = DEFAULT_VOCABULARY,
        text: TextTokenizer | None = None,
    ) -> None:
        # So that `env.spec.make()` can build the same stack again.
        gym.utils.RecordConstructorArgs.__init__(self, vocabulary=vocabulary, text=text)
        gym.ObservationWrapper.__init__(self, env)
        # `envs.task_spec` finds it here: the spec of the raw observation, not of the tokens.
        self.task_spec = envs.task_spec(env)
        self.tokenizer = StepTokenizer(self.task_spec, vocabulary, text)
        self._step = 0
        spaces: dict[str, gym.Space] = {
            "ids": gym.spaces.Box(
                PAD, vocabulary.size - 1, (self.tokenizer.observation_slots + 1,), np.int32
            )
        }
        count = self.tokenizer.patches_per_step
        if count:
            spaces["patches"] = gym.spaces.Box(0, 255, (count, PATCH_SIDE, PATCH_SIDE, 3), np.uint8)
            spaces["positions"] = gym.spaces.Box(0, 128, (count, 4), np.int16)
        self.observation_space = gym.spaces.Dict(spaces)

    def reset(self, **kwargs: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Reset and tokenise the first observation."""
        self._step = 0
        return super().reset(**kwargs)

    def observation(self, observation: Any) -> dict[str, np.ndarray]:
        """Tokenise one observation.

        Raises:
            InvalidObservationError: see `StepTokenizer.observation_ids`.
        """
        prepared = self.tokenizer.prepare(observation)
        batch = {key: value[None] for key, value in prepared.items()}
        ids, patches = self.tokenizer.observation_ids(batch, self._step)
        self._step += 1
        tokens = {"ids": ids[0]}
        if self.tokenizer.patches_per_step:
            tokens |= {"patches": patches[0], "positions": self.tokenizer.intervals}
        return tokens


def make(
    id: str,
    *,
    tokenize: bool = True,
    vocabulary: Vocabulary = DEFAULT_VOCABULARY,
    text: TextTokenizer | None = None,
    **kwargs: Any,
) -> gym.Env:
    """An environment of the suite, or any registered Gymnasium id with supported spaces.

    Args:
        id: e.g. "CartPole-v1", "ALE/Boxing-v5", "gato_gym/BlockStacking-v0".
        tokenize: observations as tokens (`TokenizeObservation`); False gives the standardised raw
            ones: images resized to the task's size, continuous actions in [-1, 1].
        vocabulary: id ranges; the default fits the bundled agent, `agent.vocabulary` any other.
        text: text model, needed where observations hold text.
        kwargs: passed on, e.g. render_mode="rgb_array", image_size=(64, 80).

    Raises:
        UnknownTaskError: no such id; lists the nearest ones.
        MissingExtraError: its package is not installed; names the extra.
        UnsupportedSpaceError: a space that has no tokens.
    """
    env = envs.make(id, **kwargs)
    return TokenizeObservation(env, vocabulary, text) if tokenize else env


def make_vec(
    id: str, num_envs: int, *, tokenize: bool = True, **kwargs: Any
) -> gym.vector.VectorEnv:
    """`num_envs` copies of `make(id)`, stepped together; see `gato_gym.envs.make_vec`."""
    return envs.make_vec(id, num_envs, make_one=partial(make, tokenize=tokenize), **kwargs)
