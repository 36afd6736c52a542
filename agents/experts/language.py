"""The expert of every language task: it knows the truth and says it as the task's grammar does."""

from __future__ import annotations

from typing import Any

from gato_gym.agents.experts.unsuitable import unsuitable

EXPERT = "scripted/language"
PLAYS = "text/captioning, text/vqa and text/dialogue"


class ScriptedLanguage:
    """Describes, answers and replies with the environment's own words."""

    def __init__(self) -> None:
        self._env: Any = None

    def reset(self, env: Any) -> None:
        """Keep the environment, whose reference words are read.

        Raises:
            UnknownTaskError: it is none of the language tasks.
        """
        if not hasattr(type(env.unwrapped), "reference"):
            raise unsuitable(EXPERT, PLAYS, env)
        self._env = env.unwrapped

    def act(self, obs: Any, deterministic: bool = True) -> str:
        """The words for what is observed now; the observation is not looked at.

        Raises:
            RuntimeError: `reset(env)` was not called.
        """
        if self._env is None:
            raise RuntimeError("call reset(env) before act(obs)")
        return str(self._env.reference)
