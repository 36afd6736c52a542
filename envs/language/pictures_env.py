"""What captioning and question answering share: five pictures an episode, each with a few words.

Five pairs of a picture and words are what the paper puts into a sequence of image-text data
(section 2.3). Each is drawn when its turn comes, a function of the seed and its number alone.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic, NamedTuple, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from gato_gym.envs.language import sources as scene_sources
from gato_gym.envs.language.picture_page import Told, draw_page
from gato_gym.envs.language.scene import HEIGHT, WIDTH, Scene, SceneSource
from gato_gym.envs.language.seeds import Part, part_of
from gato_gym.envs.language.sources.held_out import held_out as is_held_out

PAIRS = 5

_PICTURE, _OTHER_PICTURE = 0, 1  # what a generator is for

Task = TypeVar("Task")


class Turn(NamedTuple, Generic[Task]):
    """One pair: what is true, what is seen, what is asked."""

    scene: Scene
    image: np.ndarray
    held_out: bool
    task: Task


class PicturesEnv(gym.Env[dict[str, Any], str], Generic[Task]):
    """Shows `PAIRS` pictures and hears a text about each; the episode terminates after the last.

    A step's `info` has "success" (the reward is 1), "reference" (the expert's words), "source" and
    "held_out" of the picture that the action was about.

    Args:
        render_mode: None or "rgb_array".
        shuffled: the control: the picture tells nothing about the truth.
        sources: which simulators draw, some of `sources.SOURCES`; each picture is drawn by one of
            them, all equally often.
        held_out: whether scenes are of the combinations that are not trained on. None: with seeds
            of `seeds.EVALUATION_SEEDS` both kinds are shown, with all others, and without a seed,
            only those to train on.

    Raises:
        ValueError: an unknown render mode or source.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 1}  # noqa: RUF012

    observation_space: spaces.Dict
    action_space: spaces.Text

    def __init__(
        self,
        render_mode: str | None = None,
        shuffled: bool = False,
        sources: tuple[str, ...] = scene_sources.SOURCES,
        held_out: bool | None = None,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode={render_mode!r} is unknown; expected None, 'rgb_array'")
        unknown = [name for name in sources if name not in scene_sources.SOURCES]
        if unknown or not sources or isinstance(sources, str):
            raise ValueError(
                f"sources={sources!r}: expected some of {', '.join(scene_sources.SOURCES)} as a "
                "tuple of names"
            )
        self.render_mode = render_mode
        self.shuffled = shuffled
        self.sources = tuple(sources)
        self.held_out = held_out
        self.picture_space = spaces.Box(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        self._loaded: dict[tuple[str, Part], SceneSource] = {}
        self._part: Part = "training"
        self._turn: Turn[Task] | None = None
        self._told: list[Told] = []

    @property
    def reference(self) -> str:
        """What the expert says about the picture that is shown now."""
        return self._words(self._shown)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The first picture. All of the episode is a function of the seed; without one it is
        another one of training.

        Raises:
            MissingExtraError: the package of a source is not installed; names the extra.
        """
        super().reset(seed=seed)
        self._part = part_of(seed)
        self._episode = int(self.np_random.integers(2**62))
        self._told = []
        self._turn = self._draw(0)
        return self._observe(self._turn), self._about(self._turn)

    def step(self, action: str) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Judge the words about the picture that is shown and show the next one.

        After the last picture it is shown once more. Of longer words than the action space allows
        the beginning counts.

        Raises:
            TypeError: the action is no text.
            RuntimeError: the episode is over, or none was begun.
        """
        turn = self._shown
        if not isinstance(action, str):
            raise TypeError(f"the action must be a str, got {action!r}")
        if len(self._told) == PAIRS:
            raise RuntimeError(f"all {PAIRS} pictures were shown: call reset()")
        words = str(action)[: self.action_space.max_length]
        reward = self._reward(words, turn)
        info = {"success": reward == 1.0, **self._about(turn)}
        self._told.append(Told(turn.image, self._asked(turn), words, self._words(turn), reward))
        terminated = len(self._told) == PAIRS
        if not terminated:
            turn = self._turn = self._draw(len(self._told))
        return self._observe(turn), reward, terminated, False, info

    def render(self) -> np.ndarray | None:
        """A page, (400, 640, 3) uint8: the picture, what is asked, and the pairs so far."""
        if self.render_mode is None:
            gym.logger.warn('render() needs render_mode="rgb_array"')
            return None
        return draw_page(self._shown.image, self._asked(self._shown), self._told, PAIRS)

    def close(self) -> None:
        """Free the simulators."""
        for source in self._loaded.values():
            source.close()
        self._loaded.clear()

    @abstractmethod
    def _set_task(self, scene: Scene, rng: np.random.Generator) -> Task:
        """What is wanted about a scene, with the expert's words."""

    @abstractmethod
    def _words(self, turn: Turn[Task]) -> str:
        """The expert's words."""

    @abstractmethod
    def _reward(self, words: str, turn: Turn[Task]) -> float:
        """In [0, 1]."""

    @abstractmethod
    def _observe(self, turn: Turn[Task]) -> dict[str, Any]:
        """An element of the observation space."""

    @abstractmethod
    def _wrong_picture(self, scene: Scene, rng: np.random.Generator) -> np.ndarray:
        """The control's picture, (64, 80, 3) uint8."""

    def _asked(self, turn: Turn[Task]) -> str:
        """What is asked in words, "" if nothing."""
        return ""

    @property
    def _shown(self) -> Turn[Task]:
        if self._turn is None:
            raise RuntimeError("call reset() first")
        return self._turn

    def _about(self, turn: Turn[Task]) -> dict[str, Any]:
        return {
            "reference": self._words(turn),
            "source": turn.scene.source,
            "held_out": turn.held_out,
        }

    def _draw(self, number: int) -> Turn[Task]:
        rng = np.random.default_rng([self._episode, number, _PICTURE])
        name = self.sources[rng.integers(len(self.sources))]
        scene = self._scene(name, rng)
        while not self._is_wanted(scene):
            scene = self._scene(name, rng)
        task = self._set_task(scene, rng)
        image = scene.image
        if self.shuffled:
            other = np.random.default_rng([self._episode, number, _OTHER_PICTURE])
            image = self._wrong_picture(scene, other)
        return Turn(scene, image, is_held_out(scene), task)

    def _scene(self, name: str, rng: np.random.Generator) -> Scene:
        key = name, self._part
        if key not in self._loaded:
            self._loaded[key] = scene_sources.load_source(*key)
        return self._loaded[key].draw(rng)

    def _is_wanted(self, scene: Scene) -> bool:
        if self.held_out is not None:
            return is_held_out(scene) == self.held_out
        return self._part == "evaluation" or not is_held_out(scene)
