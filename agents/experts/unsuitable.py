"""What an expert says to an environment that it cannot play."""

from __future__ import annotations

from typing import Any

from gato_gym.envs.registry import registered
from gato_gym.errors import UnknownTaskError


def unsuitable(expert: str, plays: str, env: Any) -> UnknownTaskError:
    """An error that names the expert, its task, the environment's task and that task's expert."""
    task = env.spec.id if env.spec else type(env.unwrapped).__name__
    spec = registered(task)
    own = f"its own expert is {spec.expert!r}" if spec and spec.expert else "it has no expert"
    return UnknownTaskError(f"{expert} plays {plays!r}, not {task!r}; {own}")
