"""Who draws the pictures: our own environments, with the truth from their simulators.

`load_source(name)` imports a simulator's package only when its scenes are wanted. What a scene of
each source says is in the module of that name; `held_out` tells the scenes that are not trained on.
"""

from __future__ import annotations

import importlib
import importlib.util

from gato_gym.envs.language.scene import SceneSource
from gato_gym.errors import MissingExtraError

SOURCES = ("blocks", "atari", "grid")

# Name -> the module that its simulator needs, and the pip extra that brings it.
_NEEDS = {
    "blocks": ("mujoco", "mujoco"),
    "atari": ("ale_py", "atari"),
    "grid": ("minigrid", "minigrid"),
}


def load_source(name: str) -> SceneSource:
    """A new source, with a simulator of its own; `close` frees it.

    Args:
        name: one of `SOURCES`.

    Raises:
        ValueError: there is no such source.
        MissingExtraError: its simulator is not installed; names the extra.
    """
    if name not in SOURCES:
        raise ValueError(
            f"scene source {name!r} is unknown; expected one of {', '.join(map(repr, SOURCES))}"
        )
    module, extra = _NEEDS[name]
    if importlib.util.find_spec(module) is None:
        raise MissingExtraError(
            f'the scene source {name!r} needs the package {module}: pip install "gato-gym[{extra}]"'
        )
    return importlib.import_module(f"gato_gym.envs.language.sources.{name}").Source()
