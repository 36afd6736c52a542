"""The scripted expert of every gato_gym/BlockStacking task.

At each step it asks for the first undone job (stacking/script.py) and moves the hand towards it
through funnels (stacking/hand.py). It remembers little: where it decided to take hold of a body and
to put it down (stacking/choose.py), and for how long it has been closing or has not moved. The five
outputs are multiples of 0.1, the gripper's -1 or 1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gato_gym.agents.experts.stacking import hand
from gato_gym.agents.experts.stacking.choose import GraspChoice, PlaceChoice
from gato_gym.agents.experts.stacking.grasp import Reach
from gato_gym.agents.experts.stacking.hand import CLOSE, LEVER, STRICT, Motion, Tolerance
from gato_gym.agents.experts.stacking.script import Job, next_job
from gato_gym.agents.experts.stacking.view import TABLE, Eyes, View
from gato_gym.agents.experts.unsuitable import unsuitable
from gato_gym.envs.block_stacking import scene

PLAYS = "gato_gym/BlockStacking-*"
REACH = Reach(np.array(scene.WORKSPACE_LOW), np.array(scene.WORKSPACE_HIGH))
# An error of this size is answered by full speed.
FULL_SPEED_AT = 0.0125  # m
FULL_YAW_RATE_AT = 0.2  # rad
NEARLY, NEARLY_TURNED = 0.008, 0.2  # m, rad beyond the tolerance: to go on closing
FIRM = 3  # steps of a full grip before it is trusted
PATIENCE = 25  # steps of closing after which a grasp has failed
PLACED, TOUCHED = 0.006, 0.003  # m aside and above its place at which a body is let go
LANDED = 0.012  # m above its place: near enough if it touches what is below
LONG_LANDED = 12  # steps
LONG_IDLE = 16  # steps without motion after which something must be in the way
IDLE = 0.001  # m per step
# An open hand takes a cube at any angle and its pads turn it; on another cube it stands at any. And
# it need not be in the middle. So nothing waits for the turn, nor for the last millimetres.
CUBES = Tolerance(aside=0.010, turn=math.pi / 4)
LIFT_TO = 0.07  # m


class ScriptedStacker:
    """Reaches, lifts, stacks; retreats upwards and stays."""

    def __init__(self) -> None:
        self._eyes: Eyes | None = None
        self._env: Any = None
        self._tolerance = STRICT
        self._forget()

    def reset(self, env: Any) -> None:
        """Keeps the environment, whose state and shapes are read, and forgets the last episode.

        Raises:
            UnknownTaskError: it is not one of the family.
        """
        if not hasattr(env.unwrapped, "sensors") or not hasattr(env.unwrapped, "shapes"):
            raise unsuitable("the scripted stacker", PLAYS, env)
        self._eyes = Eyes(env)
        self._env = env.unwrapped
        self._tolerance = STRICT if self._env.task.dropped else CUBES
        self._forget()

    def _forget(self) -> None:
        self.phase = ""  # what it is doing, for people
        self._grasps, self._places = GraspChoice(REACH), PlaceChoice(REACH)
        self._step = 0
        self._closing = self._firm = self._landed = self._idle = 0  # for how many steps
        self._tool = (0.0, 0.0, 0.0, 0.0)

    def act(self, obs: Any, deterministic: bool = True) -> np.ndarray:
        """The next action, float32 (5,), multiples of 0.1; it sees more than the observation.

        Raises:
            ValueError: `reset(env)` was not called.
        """
        if self._eyes is None:
            raise ValueError("the scripted stacker reads the environment: call reset(env) first")
        view = self._eyes.look()
        self._count(view)
        motion = self._decide(view)
        go = (motion.x / FULL_SPEED_AT, motion.y / FULL_SPEED_AT, motion.z / FULL_SPEED_AT)
        values = (*go, motion.turn / FULL_YAW_RATE_AT, motion.grip)
        return np.array([round(10.0 * min(max(v, -1.0), 1.0)) / 10.0 for v in values], np.float32)

    def _count(self, view: View) -> None:
        self._step += 1
        self._firm = self._firm + 1 if view.held else 0
        tool = (*view.pinch.tolist(), LEVER * view.yaw)
        self._idle = self._idle + 1 if math.dist(tool, self._tool) < IDLE else 0
        self._tool = tool

    def _decide(self, view: View) -> Motion:
        # An instruction is drawn by the environment's reset, which comes after this one's.
        pair = self._env.pair
        job = next_job(self._env.task.goal, view, *pair)
        if job is None:
            self.phase = "leave"
            self._places.forget()
            return hand.retreat(view, max(body.high for body in view.bodies.values()))
        if job.place == "touch":
            return self._release() if view.held else self._fetch(view, job)
        job = self._grasps.clearing(view) or job
        if view.held:
            # Whatever else the fingers have taken hold of is put down where it is in no one's way.
            mine = job if view.held == job.mover else Job(view.held, "aside")
            return self._carry(view, mine, pair[1] if pair else "blue")
        if self._places.made:
            self._grasps.give_up(job)  # lost on the way
            self._places.forget()
        return self._fetch(view, job)

    def _release(self) -> Motion:
        self.phase = "release"
        return Motion()

    def _fetch(self, view: View, job: Job) -> Motion:
        body = view.bodies[job.mover]
        point, yaw = self._grasps.pose(view, job, self._step, keep=self._closing > 0)
        if 0 < self._closing < PATIENCE:
            x, y, z = (goal - here for goal, here in zip(point, self._tool[:3], strict=True))
            near = max(abs(x), abs(y), abs(z)) < self._tolerance.aside + NEARLY
            if near and abs(yaw - view.yaw) < self._tolerance.turn + NEARLY_TURNED:
                self.phase = "close"
                self._closing += 1
                self._idle = 0
                return Motion(0.5 * x, 0.5 * y, 0.5 * z, 0.0, CLOSE)
        if self._closing >= PATIENCE or self._idle > LONG_IDLE:
            self._idle = 0
            self._grasps.give_up(job)
        self._closing = 0
        self.phase = "fetch"
        motion, error = hand.approach(
            view, body, point, yaw, view.others(job.mover), self._tolerance
        )
        if error > self._tolerance.aside:
            return motion
        if job.place == "touch":
            return Motion()
        self._closing = 1
        return Motion(grip=CLOSE)

    def _carry(self, view: View, job: Job, base: str) -> Motion:
        self._closing = 0
        if self._firm < FIRM:
            self.phase = "grip"
            self._idle = 0
            return Motion(grip=CLOSE)
        held = view.bodies[job.mover]
        self.phase = f"carry {job.place}"
        if job.place == "up":
            return Motion(z=LIFT_TO - held.low, grip=CLOSE)
        place = self._places.place(view, job, base)
        motion, error, height = hand.carry(
            view, held, place, view.others(job.mover), self._tolerance
        )
        touches = any(view.touches(job.mover, ground) for ground in job.supports or (TABLE,))
        placed = max(PLACED, self._tolerance.aside)
        landed = touches and height < LANDED and error < 2 * placed
        self._landed = self._landed + 1 if landed else 0
        there = error < placed and height < TOUCHED
        if there or self._landed > LONG_LANDED or self._idle > LONG_IDLE:
            return self._release()
        return motion


class StackerAnywhere(ScriptedStacker):
    """What the stacker would do at one moment after the other that have nothing in common.

    Its episodes (`BlockStackingEnv.scatter`) demonstrate nothing. They are training data: in those
    of the stacker itself the last action foretells most of the next one, and most are full speed or
    none, so a clone that sees pictures learns little of where the blocks are.
    """

    def reset(self, env: Any) -> None:
        """As `ScriptedStacker.reset`; has the environment scatter its next episode."""
        super().reset(env)
        self._env.scatter()

    def act(self, obs: Any, deterministic: bool = True) -> np.ndarray:
        """As `ScriptedStacker.act`, without any memory: a grip is trusted at once."""
        self._forget()
        self._firm = FIRM
        return super().act(obs, deterministic)
