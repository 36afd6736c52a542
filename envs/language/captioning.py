"""text/captioning: say in words what a picture shows; the simulator's truth checks every claim."""

from __future__ import annotations

import string
from typing import Any

import numpy as np
from gymnasium import spaces

from gato_gym.envs.language.captions import MAX_LETTERS, describe, judge
from gato_gym.envs.language.pictures_env import PicturesEnv, Turn
from gato_gym.envs.language.scene import Scene


class CaptioningEnv(PicturesEnv[str]):
    """Describe five pictures.

    Observation: Dict(image: (64, 80, 3) uint8). Action: a text of at most 160 letters. Reward, in
    [0, 1]: the share of the facts that the caption tells; a false claim costs as much as a fact.
    See `captions.facts_of`. With `shuffled` the picture is another scene's of the same source while
    the truth stays.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.observation_space = spaces.Dict({"image": self.picture_space})
        self.action_space = spaces.Text(MAX_LETTERS, charset=string.printable)

    def _set_task(self, scene: Scene, rng: np.random.Generator) -> str:
        return describe(scene, rng)

    def _words(self, turn: Turn[str]) -> str:
        return turn.task

    def _reward(self, words: str, turn: Turn[str]) -> float:
        return judge(words, turn.scene).score

    def _observe(self, turn: Turn[str]) -> dict[str, Any]:
        return {"image": turn.image}

    def _wrong_picture(self, scene: Scene, rng: np.random.Generator) -> np.ndarray:
        return self._scene(scene.source, rng).image
