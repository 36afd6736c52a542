"""`gato_gym.make`: the standardised environment with the tokenizing wrapper outermost."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import batch_space

from gato_gym import envs
from gato_gym.config import MODELS
from gato_gym.envs.vector import Vectorization
from gato_gym.errors import InvalidObservationError
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.timestep import StepTokenizer
from gato_gym.tokenizers.vocabulary import PAD, Vocabulary
from gato_gym.types import PATCH_SIDE, flatten_observation

DEFAULT_VOCABULARY = Vocabulary(MODELS["bundle"].text_size)


def token_space(tokenizer: StepTokenizer) -> gym.spaces.Dict:
    """The space of one tokenised observation, see `TokenizeObservation`."""
    slots, count = tokenizer.observation_slots + 1, tokenizer.patches_per_step
    highest = tokenizer.vocabulary.size - 1
    spaces: dict[str, gym.Space] = {"ids": gym.spaces.Box(PAD, highest, (slots,), np.int32)}
    if count:
        spaces["patches"] = gym.spaces.Box(0, 255, (count, PATCH_SIDE, PATCH_SIDE, 3), np.uint8)
        spaces["positions"] = gym.spaces.Box(0, 128, (count, 4), np.int16)
    return gym.spaces.Dict(spaces)


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
        self.observation_space = token_space(self.tokenizer)
        self._step = 0

    def reset(self, **kwargs: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Reset and tokenise the first observation."""
        self._step = 0
        return super().reset(**kwargs)

    def observation(self, observation: Any) -> dict[str, np.ndarray]:
        """Tokenise one observation.

        Raises:
            InvalidObservationError: see `StepTokenizer.observation_ids`.
        """
        tokens = tokenize(self.tokenizer, observation, self._step)
        self._step += 1
        return tokens


def tokenize(tokenizer: StepTokenizer, observation: Any, step: int = 0) -> dict[str, np.ndarray]:
    """The tokens of one raw observation, an element of `token_space`."""
    prepared = tokenizer.prepare(observation)
    ids, patches = tokenizer.observation_ids({k: v[None] for k, v in prepared.items()}, step)
    if not tokenizer.patches_per_step:
        return {"ids": ids[0]}
    return {"ids": ids[0], "patches": patches[0], "positions": tokenizer.intervals}


class TokenizeVectorObservation(gym.vector.VectorWrapper):
    """`TokenizeObservation` for all copies of a vector environment at once.

    The arrays have the copies as their first axis; `infos["final_obs"]` holds single observations,
    as in Gymnasium.

    Args:
        env: observes what `envs.make` does; same-step mode.
        vocabulary: id ranges.
        text: text model, where observations hold text.
    """

    def __init__(
        self,
        env: gym.vector.VectorEnv,
        vocabulary: Vocabulary = DEFAULT_VOCABULARY,
        text: TextTokenizer | None = None,
    ) -> None:
        super().__init__(env)
        self.task_spec = envs.task_spec(env)
        self.tokenizer = StepTokenizer(self.task_spec, vocabulary, text)
        self.single_observation_space = token_space(self.tokenizer)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._positions = np.stack([self.tokenizer.intervals] * self.num_envs)
        self._steps = np.zeros(self.num_envs, int)

    def reset(self, **kwargs: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Reset and tokenise the first observations."""
        mask = (kwargs.get("options") or {}).get("reset_mask", slice(None))
        observations, infos = self.env.reset(**kwargs)
        self._steps[mask] = 0
        return self._tokens(observations), infos

    def step(
        self, actions: Any
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step and tokenise.

        Raises:
            InvalidObservationError: see `StepTokenizer.observation_ids`; also names the copy.
        """
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        self._steps += 1
        ended = np.flatnonzero(terminated | truncated)
        if len(ended):
            last = np.full(self.num_envs, None, object)
            for row in ended:
                raw = infos["final_obs"][row]
                last[row] = tokenize(self.tokenizer, raw, int(self._steps[row]))
            infos = {**infos, "final_obs": last}
            self._steps[ended] = 0
        return self._tokens(observations), rewards, terminated, truncated, infos

    def _tokens(self, observations: Any) -> dict[str, np.ndarray]:
        flat = {k: np.asarray(v) for k, v in flatten_observation(observations).items()}
        try:
            ids, patches = self.tokenizer.observation_ids(flat)
        except InvalidObservationError:
            self._find_fault(flat)
            raise
        if not self.tokenizer.patches_per_step:
            return {"ids": ids}
        return {"ids": ids, "patches": patches, "positions": self._positions}

    def _find_fault(self, observations: Mapping[str, np.ndarray]) -> None:
        for row, step in enumerate(self._steps.tolist()):
            single = {key: value[row : row + 1] for key, value in observations.items()}
            try:
                self.tokenizer.observation_ids(single, step)
            except InvalidObservationError as error:
                raise InvalidObservationError(f"copy {row} of {error}") from None


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
        text: text model, used where observations hold text; the default fits any.
        kwargs: passed on, e.g. render_mode="rgb_array", image_size=(64, 80).

    Raises:
        UnknownTaskError: no such id; lists the nearest ones.
        MissingExtraError: its package is not installed; names the extra.
        UnsupportedSpaceError: a space that has no tokens.
    """
    env = envs.make(id, **kwargs)
    return TokenizeObservation(env, vocabulary, text) if tokenize else env


def make_vec(
    id: str,
    num_envs: int,
    *,
    tokenize: bool = True,
    vectorization: Vectorization = "auto",
    vocabulary: Vocabulary = DEFAULT_VOCABULARY,
    text: TextTokenizer | None = None,
    **kwargs: Any,
) -> gym.vector.VectorEnv:
    """`num_envs` copies of `make(id)`, stepped together.

    Args:
        id: as of `make`.
        num_envs: how many, at least 1.
        tokenize: see `make`; tokenising happens for all copies at once, or in their processes.
        vectorization: "auto", "native", "sync" or "async", see `gato_gym.envs.make_vec`.
        vocabulary: see `make`.
        text: see `make`.
        kwargs: as of `make`; for a native engine also num_threads and thread_affinity_offset.

    Raises:
        ValueError: no such vectorization, no native engine for these arguments, or no copies.
        TypeError: the task takes no such keyword argument.
    """
    if not tokenize:
        return envs.make_vec(id, num_envs, vectorization=vectorization, **kwargs)
    if vectorization == "async":
        make_one = partial(make, vocabulary=vocabulary, text=text)
        return envs.make_vec(id, num_envs, vectorization="async", make_one=make_one, **kwargs)
    vec = envs.make_vec(id, num_envs, vectorization=vectorization, **kwargs)
    try:
        return TokenizeVectorObservation(vec, vocabulary, text)
    except Exception:
        vec.close()
        raise
