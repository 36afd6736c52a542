"""text/vqa: answer a question about a picture."""

from __future__ import annotations

import string
from typing import Any

import numpy as np
from gymnasium import spaces

from gato_gym.envs.language.answers import is_right
from gato_gym.envs.language.pictures_env import PicturesEnv, Turn
from gato_gym.envs.language.question_forms.build import Question
from gato_gym.envs.language.question_grammar import ask
from gato_gym.envs.language.scene import Scene

QUESTION_LETTERS, ANSWER_LETTERS = 96, 48
BLANK = 127
"""Of every pixel of the control's picture."""


class QuestionEnv(PicturesEnv[Question]):
    """Answer five questions, each about a picture of its own.

    Observation: Dict(image: (64, 80, 3) uint8, question: Text(96)). Action: a text of at most 48
    letters. Reward: 1 if the answer is right, see `answers.is_right`, else 0. With `shuffled` the
    picture is blank, so that only the question is left.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        question = spaces.Text(QUESTION_LETTERS, charset=string.printable)
        self.observation_space = spaces.Dict({"image": self.picture_space, "question": question})
        self.action_space = spaces.Text(ANSWER_LETTERS, charset=string.printable)

    def _set_task(self, scene: Scene, rng: np.random.Generator) -> Question:
        return ask(scene, rng)

    def _words(self, turn: Turn[Question]) -> str:
        return turn.task.answer

    def _reward(self, words: str, turn: Turn[Question]) -> float:
        return float(is_right(words, turn.task.answers))

    def _observe(self, turn: Turn[Question]) -> dict[str, Any]:
        return {"image": turn.image, "question": turn.task.text}

    def _wrong_picture(self, scene: Scene, rng: np.random.Generator) -> np.ndarray:
        return np.full_like(scene.image, BLANK)

    def _asked(self, turn: Turn[Question]) -> str:
        return turn.task.text
