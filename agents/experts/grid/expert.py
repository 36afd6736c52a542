"""The scripted expert of MiniGrid."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from gato_gym.agents.experts.grid.goals import avoided, cue, next_goal
from gato_gym.agents.experts.grid.planner import NoPlanError, Planner, moved
from gato_gym.agents.experts.grid.scene import FORWARD, LEFT, Pose, Scene
from gato_gym.agents.experts.unsuitable import unsuitable

EXPERT = "planner/minigrid"


class GridPlanner:
    """Plays the tasks of MiniGrid, and BabyAI's, with full knowledge of the grid.

    Its plan is a function of the grid and of what it has begun to clear away, so it goes on from
    wherever random actions have led. Where an object must be remembered it goes to see it first.
    Where it finds no way it turns on the spot.
    """

    def __init__(self) -> None:
        self._world: Any = None

    def reset(self, env: Any) -> None:
        """Keep the environment, whose state it reads.

        Raises:
            UnknownTaskError: it is no grid world.
        """
        world = env.unwrapped
        if not hasattr(world, "agent_dir") or not hasattr(world, "carrying"):
            raise unsuitable(EXPERT, "MiniGrid-*", env)
        self._world = world
        self._seen = False
        self._committed: set[int] = set()
        self._plan: list[tuple[int, Pose]] = []
        self._holding: Any = None

    def act(self, obs: Any, deterministic: bool = True) -> np.int64:
        """The next action; the observation is not looked at."""
        if self._world is None:
            raise RuntimeError("call reset(env) before act(obs)")
        world = self._world
        place = cue(world)
        if place is not None and not self._seen:
            self._seen = bool(world.agent_sees(*place))
            if self._seen:
                self._plan = []
        if not self._follows():
            self._replan()
        return np.int64(self._plan.pop(0)[0])

    def _follows(self) -> bool:
        """Whether the world is as the rest of the plan expects it."""
        if not self._plan:
            return False
        world = self._world
        action, (cell, heading) = self._plan[0]
        x, y = world.agent_pos
        here = (int(y) + 1) * (world.grid.width + 2) + int(x) + 1
        if (here, int(world.agent_dir)) != (cell, heading) or world.carrying is not self._holding:
            return False
        if action == FORWARD:
            ahead = world.grid.get(*world.front_pos)
            return ahead is None or ahead.can_overlap()
        return True

    def _replan(self) -> None:
        world = self._world
        scene = Scene(world, self._committed)
        scene.shut(avoided(world, scene))
        actions: tuple[int, ...] = ()
        goal = next_goal(world, scene, self._seen)
        if goal is not None:
            with contextlib.suppress(NoPlanError):
                actions = Planner(scene, self._committed).plan(goal)
        pose, self._plan, self._holding = scene.pose, [], world.carrying
        for action in actions or (LEFT,):
            self._plan.append((action, pose))
            pose = moved(pose, action, scene)
