"""Environments: one call makes any task of the suite, or any Gymnasium id with supported spaces.

Importing this package registers our own environments with Gymnasium, and imports neither torch nor
an environment package (ale-py, MuJoCo): those load when one of their tasks is first asked for.
"""

from __future__ import annotations

from gato_gym.envs.factory import make, task_spec
from gato_gym.envs.registration import register_all
from gato_gym.envs.registry import tasks
from gato_gym.envs.vector import make_vec

__all__ = ["make", "make_vec", "task_spec", "tasks"]

register_all()
