"""ale-py's own vector environment, with the observations of `make`: the engine steps in threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from ale_py import AtariVectorEnv
from gymnasium.vector.utils import batch_space

from gato_gym.envs.images import resize_image
from gato_gym.types import TaskSpec

# What ale-py's environment and its vector environment both take, by the same name.
GAME_SETTINGS = frozenset(
    {"repeat_action_probability", "full_action_space", "frameskip", "max_num_frames_per_episode"}
)
ENGINE_SETTINGS = frozenset({"num_threads", "thread_affinity_offset"})

# ale-py's vector environment prepares frames for DQN by default; its single one does not.
_UNPREPARED: dict[str, Any] = {
    "grayscale": False,
    "stack_num": 1,
    "maxpool": False,
    "noop_max": 0,
    "use_fire_reset": False,
    "episodic_life": False,
    "reward_clipping": False,
    "autoreset_mode": gym.vector.AutoresetMode.SAME_STEP,
}
_INFOS = ("lives", "frame_number", "episode_frame_number")


def is_native(settings: Mapping[str, Any]) -> bool:
    """Whether the engine can play a game with these keyword arguments of `make_vec`."""
    return (
        set(settings) <= GAME_SETTINGS | ENGINE_SETTINGS | {"image_size"}
        and isinstance(settings.get("frameskip", 1), int)
        and settings.get("max_num_frames_per_episode", 1) is not None
    )


class NativeAtari(gym.vector.VectorWrapper):
    """Copies of one game in ale-py's threads; episodes restart within the step that ends them.

    Without sticky actions, observations, rewards and ends are those of `gato_gym.envs.make` for the
    same seeds. Some things are the engine's own:

    - It takes no negative seeds, which ale-py makes of every other seed: those repeat other actions
      than in a single environment, the same ones each time.
    - It draws no screen once a game is over: `final_obs` is the one before the last action.
    - Where an episode ends within the frames of a step it stops there, so that the episodes that
      follow without a seed repeat other actions.
    - Where a game takes frames to start, these do not count towards the time limit.
    - It does not tell `final_info`; all other infos are as in Gymnasium's SyncVectorEnv.

    Args:
        single: an environment of the game made by `envs.make`, with an image as observation; it is
            only looked at.
        spec: what the task is to Gato; kept as `task_spec`.
        num_envs: how many copies.
        settings: the engine's own, see `ENGINE_SETTINGS`.
    """

    def __init__(self, single: gym.Env, spec: TaskSpec, num_envs: int, **settings: Any) -> None:
        assert single.spec is not None
        base: Any = single.unwrapped
        game = dict(single.spec.kwargs)
        self._height, self._width = base.ale.getScreenDims()
        super().__init__(
            AtariVectorEnv(
                game["game"],
                num_envs,
                img_height=self._height,
                img_width=self._width,
                **{name: game[name] for name in GAME_SETTINGS},
                **_UNPREPARED,
                **settings,
            )
        )
        self.env.spec = single.spec
        self.task_spec = spec
        self.single_observation_space = single.observation_space
        self.observation_space = batch_space(single.observation_space, num_envs)
        self._shape = single.observation_space.shape or ()
        self._actions = self.single_action_space.n  # type: ignore[attr-defined]
        self._all = np.ones(num_envs, bool)
        self._was_reset = False

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: of the first copy, the others count up; or one for each; None goes on from the
                last.
            options: `reset_mask`, (num_envs,) bool: only these copies start anew.
        """
        if seed is None or isinstance(seed, int | np.integer):
            seed = [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"{len(seed)} seeds for {self.num_envs} environments")
        mask = (options or {}).get("reset_mask", self._all)
        if not self._was_reset:
            # The engine would start each copy with the same fixed seed.
            fresh = np.random.SeedSequence().generate_state(self.num_envs)
            seed = [int(f) if s is None else s for f, s in zip(fresh, seed, strict=True)]
        chosen = [engine_seed(s) for s, included in zip(seed, mask, strict=True) if included]
        engine: Any = self.env  # it takes one seed for each copy that is reset
        screens, infos = engine.reset(seed=np.array(chosen, np.int64), options=options)
        self._was_reset = True
        return self._images(screens), self._infos(infos, np.asarray(mask, bool))

    def step(
        self, actions: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """(num_envs,) integer actions; rewards are float64, as from single environments."""
        chosen = np.asarray(actions)
        if chosen.shape != (self.num_envs,) or chosen.dtype.kind not in "iu":
            raise ValueError(
                f"expected {self.num_envs} integer actions, got {chosen.dtype} {chosen.shape}"
            )
        if chosen.min() < 0 or chosen.max() >= self._actions:
            raise ValueError(f"actions must lie in [0, {self._actions}), got {chosen.tolist()}")
        chosen = chosen.astype(np.int64, copy=False)
        screens, rewards, terminated, truncated, told = self.env.step(chosen)
        infos = self._infos(told, self._all)
        if "final_obs" in told:
            ended = terminated | truncated
            last = np.full(self.num_envs, None, object)
            for row in np.flatnonzero(ended):
                last[row] = self._image(told["final_obs"][row, 0])
            infos |= {"final_obs": last, "_final_obs": ended}
        return self._images(screens), rewards.astype(np.float64), terminated, truncated, infos

    def _image(self, screen: np.ndarray) -> np.ndarray:
        return resize_image(screen, self._shape[:2])  # type: ignore[arg-type]

    def _images(self, screens: np.ndarray) -> np.ndarray:
        images = np.empty((self.num_envs, *self._shape), np.uint8)
        for image, screen in zip(images, screens, strict=True):
            image[...] = self._image(screen[0])
        return images

    def _infos(self, told: Mapping[str, np.ndarray], mask: np.ndarray) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        for name in _INFOS:
            infos[name] = told[name].astype(np.int64)
            infos[f"_{name}"] = mask.copy()
        return infos


def engine_seed(seed: int | None) -> int:
    """What ale-py's environment seeds its emulator with, without its sign; -1 for None."""
    if seed is None:
        return -1
    _, emulator = np.random.SeedSequence(seed).generate_state(2)
    return int(emulator) & 0x7FFFFFFF
