"""Who draws the pictures: our own environments, with the truth from their simulators.

`load_source(name)` imports a simulator's package only when its scenes are wanted. What a scene of
each source says is in the module of that name; `held_out` tells the scenes that are not trained on.
"""

from __future__ import annotations

import importlib
import importlib.util

from gato_gym.envs.language.scene import SceneSource
from gato_gym.envs.language.seeds import PARTS, Part
from gato_gym.errors import MissingExtraError

SOURCES = ("blocks", "atari", "grid")

# Name -> the module that its simulator needs, and the pip extra that brings it.
_NEEDS = {
    "blocks": ("mujoco", "mujoco"),
    "atari": ("ale_py", "atari"),
    "grid": ("minigrid", "minigrid"),
}


def load_source(name: str, part: Part = "training") -> SceneSource:
    """A new source, with a simulator of its own; `close` frees it.

    Args:
        name: one of `SOURCES`.
        part: "training" or "evaluation": whose games are shown, where scenes go on from games that
            are kept. The other sources draw all of a scene anew, alike for both.

    Raises:
        ValueError: there is no such source or part.
        MissingExtraError: its simulator is not installed; names the extra.
    """
    if name not in SOURCES:
        raise ValueError(
            f"scene source {name!r} is unknown; expected one of {', '.join(map(repr, SOURCES))}"
        )
    if part not in PARTS:
        raise ValueError(f"part={part!r} is unknown; expected one of {', '.join(map(repr, PARTS))}")
    module, extra = _NEEDS[name]
    if importlib.util.find_spec(module) is None:
        raise MissingExtraError(
            f'the scene source {name!r} needs the package {module}: pip install "gato-gym[{extra}]"'
        )
    source = importlib.import_module(f"gato_gym.envs.language.sources.{name}").Source
    return source(part) if name == "atari" else source()
