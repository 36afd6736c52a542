"""Imports MuJoCo so that neither a missing package nor a missing GL library is a surprise.

With MUJOCO_GL naming a library that the machine lacks, `import mujoco` itself fails. Physics needs
no GL: in that case MuJoCo is imported with rendering disabled and the ray caster draws the frames.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

from gato_gym.errors import MissingExtraError


def load_mujoco() -> ModuleType:
    """The mujoco module.

    Raises:
        MissingExtraError: the package is not installed.
    """
    if importlib.util.find_spec("mujoco") is None:
        raise MissingExtraError(
            'this environment needs the package mujoco: pip install "gato-gym[mujoco]"'
        )
    wanted = os.environ.get("MUJOCO_GL")
    # A failed import leaves half-registered types behind and cannot be repeated in one process, so
    # a throw-away process tries first.
    if "mujoco" not in sys.modules and wanted and not _imports_cleanly():
        os.environ["MUJOCO_GL"] = "disabled"
        try:
            return importlib.import_module("mujoco")
        finally:
            os.environ["MUJOCO_GL"] = wanted
    return importlib.import_module("mujoco")


def _imports_cleanly() -> bool:
    trial = subprocess.run(
        [sys.executable, "-c", "import mujoco"], capture_output=True, check=False
    )
    return trial.returncode == 0


mujoco = load_mujoco()


def camera_id(model: Any, camera: str | int | None) -> int:
    """A camera's index in the model; -1 for None or -1, the free camera.

    Raises:
        ValueError: the model has no such camera.
    """
    if camera is None or camera == -1:
        return -1
    if isinstance(camera, str):
        index = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA.value, camera)
    else:
        index = int(camera)
    if not 0 <= index < model.ncam:
        names = [repr(model.camera(i).name or i) for i in range(model.ncam)]
        raise ValueError(f"unknown camera {camera!r}; the model has {', '.join(names) or 'none'}")
    return index


def free_camera(model: Any) -> Any:
    """The `MjvCamera` from which MuJoCo's viewer first looks at a model."""
    camera = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, camera)
    return camera
