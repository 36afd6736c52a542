"""Imports dm_control and Shimmy such that no GL library is loaded, present or not.

dm_control chooses a renderer of its own while it is imported, and the import fails where MUJOCO_GL
names a library that the machine lacks. Our frames come from `gato_gym.envs.rendering`, so
dm_control is imported with its renderer disabled, unless the process has imported it already.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gato_gym.envs.rendering.physics import load_mujoco


@contextmanager
def _without_gl() -> Iterator[None]:
    wanted = os.environ.get("MUJOCO_GL")
    os.environ["MUJOCO_GL"] = "disabled"
    try:
        yield
    finally:
        if wanted is None:
            del os.environ["MUJOCO_GL"]
        else:
            os.environ["MUJOCO_GL"] = wanted


# MuJoCo comes first: it must see the MUJOCO_GL that the user set.
mujoco = load_mujoco()
if "dm_control" in sys.modules:
    from dm_control import manipulation, suite
    from shimmy.dm_control_compatibility import DmControlCompatibilityV0
else:
    with _without_gl():
        from dm_control import manipulation, suite
        from shimmy.dm_control_compatibility import DmControlCompatibilityV0

__all__ = ["DmControlCompatibilityV0", "manipulation", "mujoco", "suite"]
