"""text/dialogue: a user asks about the suite, its commands and its words; the agent replies.

The sentences were written for this project and have its licence; `dialogues/` holds them as
phrases, `dialogue_plan.py` makes dialogues of them. What a task has is taken from the catalogue,
what a command does is tested against the command line.
"""

from __future__ import annotations

import string
from collections.abc import Iterable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from gato_gym.envs.language.chat_picture import Utterance, draw_chat
from gato_gym.envs.language.dialogue_plan import Turn, dialogue
from gato_gym.envs.language.seeds import FIRST_TRAINING_SEED

MOST_ASKED, MOST_REPLIED = 160, 240
"""Letters of a question and of a reply."""

FRAME = (360, 480)
"""(height, width) of `render()`, in pixels."""


def is_right(reply: str, turn: Turn) -> bool:
    """Whether a reply holds the key words of the turn's answer and none of another answer."""
    return turn.answer.accepts(reply)


def dialogue_turns(seeds: Iterable[int]) -> list[list[tuple[str, str]]]:
    """The dialogues of these seeds: (what the user says, what the expert replies) of each turn."""
    return [[(turn.text, turn.reply) for turn in dialogue(seed)] for seed in seeds]


class DialogueEnv(gymnasium.Env):
    """A conversation of 3 to 6 turns; the reward of a turn is 1.0 if the reply is right, else 0.0.

    Later turns leave out what was said before ("and how many actions does it have?"), so an agent
    must remember the conversation. `reset(seed=)` decides all of it; seeds of 7000 to 9999 ask
    combinations of words and subject that no other seed asks, in half of their turns or more
    (`info["held_out"]`).

    `info` of a step: "success" (the reply was right), "reference" (the expert's reply), "source"
    (the topic of the turn), "kind" (of the question) and "held_out".

    Args:
        render_mode: None or "rgb_array": the conversation so far as speech bubbles.
        shuffled: show the questions of other dialogues, while the right replies stay: what is left
            without having heard the question.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 1}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, shuffled: bool = False) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode={render_mode!r} is unknown; expected None, 'rgb_array'")
        self.render_mode = render_mode
        self.shuffled = shuffled
        self.observation_space = spaces.Dict({"text": _text(MOST_ASKED)})
        self.action_space = _text(MOST_REPLIED)
        self.turns: tuple[Turn, ...] = ()
        self._asked: list[str] = []
        self._said: list[Utterance] = []
        self._now = 0

    @property
    def turn(self) -> Turn:
        """The current one; the last one after the end."""
        if not self.turns:
            raise RuntimeError("call reset() before anything else")
        return self.turns[min(self._now, len(self.turns) - 1)]

    @property
    def reference(self) -> str:
        """The expert's reply to the current question."""
        return self.turn.reply

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, str], dict[str, Any]]:
        """A new conversation; without a seed one of training's."""
        super().reset(seed=seed)
        if seed is None:
            seed = FIRST_TRAINING_SEED + int(self.np_random.integers(2**31))
        self.turns = dialogue(seed)
        self._asked = [turn.text for turn in self.turns]
        if self.shuffled:
            self._asked = self._elsewhere(seed)
        self._now, self._said = 0, [Utterance(self._asked[0])]
        return self._observe(), {}

    def step(self, action: Any) -> tuple[dict[str, str], float, bool, bool, dict[str, Any]]:
        """Reply to the current question. Of a longer reply than the action space allows the
        beginning counts.

        Raises:
            TypeError: the reply is no string.
            RuntimeError: the conversation is over, or has not begun.
        """
        if not isinstance(action, str):
            raise TypeError(f"a reply is a string, got {action!r}")
        turn = self.turn
        if self._now == len(self.turns):
            raise RuntimeError("the conversation is over: call reset()")
        reply = str(action)[:MOST_REPLIED]
        right = is_right(reply, turn)
        self._now += 1
        self._said.append(Utterance(reply, right))
        over = self._now == len(self.turns)
        if not over:
            self._said.append(Utterance(self._asked[self._now]))
        info = {
            "success": right,
            "reference": turn.reply,
            "source": turn.source,
            "kind": turn.kind,
            "held_out": turn.held_out,
        }
        return self._observe(), float(right), over, False, info

    def render(self) -> np.ndarray | None:
        """The conversation so far, (360, 480, 3) uint8, for render_mode "rgb_array"; else None."""
        if self.render_mode is None:
            gymnasium.logger.warn('render() needs render_mode="rgb_array"')
            return None
        if not self.turns:
            raise RuntimeError("call reset() before render()")
        height, width = FRAME
        return draw_chat(self._said, width, height)

    def _observe(self) -> dict[str, str]:
        return {"text": self._asked[min(self._now, len(self._asked) - 1)]}

    def _elsewhere(self, seed: int) -> list[str]:
        """As many questions of other dialogues, one of each, none of the same kind as here."""
        rng = np.random.default_rng([seed, 1])
        asked: list[str] = []
        while len(asked) < len(self.turns):
            other = dialogue(FIRST_TRAINING_SEED + int(rng.integers(2**31)))
            turn = other[int(rng.integers(len(other)))]
            if turn.kind != self.turns[len(asked)].kind:
                asked.append(turn.text)
        return asked


def _text(longest: int) -> spaces.Text:
    return spaces.Text(longest, charset=string.printable)
