"""Gymnasium-Robotics: Fetch arm, Shadow hand, Adroit hand, Franka kitchen and mazes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from gato_gym.envs.families.base import Family
from gato_gym.envs.families.drawing import draw_ourselves
from gato_gym.envs.families.mending import FreshSimulation, ReportSuccess

# Distinct tasks only, the newest version of each:
# - Of a sparse and a dense reward the one that the plain name stands for: sparse, where a return
#   counts the steps away from the goal (or in it, in the mazes); dense for Adroit, whose published
#   scores are of that reward.
# - The hand with touch sensors does the same task with more to observe.
# - `HandManipulate<Object>Full` has the arguments of `HandManipulate<Object>`.
# - A maze comes with starts and goals anywhere; `Diverse_G` starts in one cell and has several
#   goal cells, `Diverse_GR` draws both from a few cells. In the open one these few are all of its
#   cells, so `Open_Diverse_GR` is `Open`.
TASKS = (
    *(f"Fetch{task}-v4" for task in ("PickAndPlace", "Push", "Reach", "Slide")),
    "HandReach-v3",
    *(f"HandManipulateBlock{goal}-v1" for goal in ("", "RotateParallel", "RotateXYZ", "RotateZ")),
    *(f"HandManipulate{thing}-v1" for thing in ("Egg", "EggRotate", "Pen", "PenRotate")),
    *(f"AdroitHand{task}-v1" for task in ("Door", "Hammer", "Pen", "Relocate")),
    "FrankaKitchen-v1",
    *(
        f"{body}Maze_{maze}-v{version}"
        for body, version in (("Point", 3), ("Ant", 5))
        for maze in (
            "UMaze",
            "Open",
            "Open_Diverse_G",
            "Medium",
            "Medium_Diverse_G",
            "Medium_Diverse_GR",
            "Large",
            "Large_Diverse_G",
            "Large_Diverse_GR",
        )
    ),
)

_OWN = re.compile(
    r"(Fetch|HandReach|HandManipulate|AdroitHand|FrankaKitchen|PointMaze_|AntMaze_)\w*(-v\d+)?"
)


class MendKitchen(gym.Wrapper, RecordConstructorArgs):
    """Reports `info["success"]`: all wanted things in the kitchen were done in this episode.

    Every observation also gets goals of its own: the package hands out one and the same mapping,
    so that changing one observation would change the task.

    Args:
        env: a `FrankaKitchen`.
    """

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """As the environment's, with goals of its own."""
        observation, info = self.env.reset(**kwargs)
        return _with_own_goals(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment's, with `info["success"]` and goals of its own."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        success = len(info["episode_task_completions"]) == len(observation["desired_goal"])
        info = {**info, "success": success}
        return _with_own_goals(observation), reward, terminated, truncated, info


def _with_own_goals(observation: dict[str, Any]) -> dict[str, Any]:
    goals = {name: goal.copy() for name, goal in observation["desired_goal"].items()}
    return {**observation, "desired_goal": goals}


def _register() -> None:
    import farama_notifications

    from gato_gym.envs.rendering.physics import load_mujoco

    # It would print a note about old versions of Adroit's rewards.
    farama_notifications.notifications.pop("gymnasium_robotics", None)
    load_mujoco()
    import gymnasium_robotics

    gym.register_envs(gymnasium_robotics)


def _adapt(env: gym.Env) -> gym.Env:
    assert env.spec is not None
    name = env.spec.name
    draw_ourselves(env)
    if name.startswith("FrankaKitchen"):
        return MendKitchen(env)
    if "Maze_" in name:
        # The maze's model was handed to MuJoCo through a file that nobody else would remove.
        Path(env.unwrapped.tmp_xml_file_path).unlink(missing_ok=True)  # type: ignore[attr-defined]
        return ReportSuccess(env)
    if name.startswith("AdroitHand"):
        return ReportSuccess(env)
    if name.startswith("HandManipulate"):
        env = FreshSimulation(env)
    return ReportSuccess(env, key="is_success")


def _facts(env: gym.Env) -> dict[str, object]:
    base: Any = env.unwrapped
    # Kitchen and mazes hold the simulated body in an environment of its own.
    inner = (getattr(base, name, None) for name in ("robot_env", "point_env", "ant_env"))
    body = next((part for part in inner if part is not None), base)
    return {"control_hz": round(1 / body.dt, 6), "has_success": True}


FAMILY = Family(
    name="robotics",
    distribution="gymnasium-robotics",
    extra="robotics",
    modules=("mujoco", "gymnasium_robotics"),
    owns=lambda task: _OWN.fullmatch(task) is not None,
    register=_register,
    ids=lambda: list(TASKS),
    domain=lambda task: "robotics",
    adapt=_adapt,
    facts=_facts,
)
