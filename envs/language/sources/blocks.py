"""Three cubes on the table of the block-stacking scene: what stands on what, and where.

About half of the pictures show a tower of two (all six ordered pairs are alike), some one of three,
the others none. Cubes lie flat and touch without overlap, so the scene is at rest as it is drawn;
the arm waits above. The camera looks from the front left, as the tasks' own, but from nearer. The
ray caster draws on every machine, so that a picture is the same bit by bit.

relations  "on" for each cube on another one; "left of" and "right of" between cubes that stand on
           the table and are more than `CLEARLY` of the picture's width apart
facts      "tower"   two, three or none: the cubes in it
           "top", "bottom"  the colours of its topmost and lowest cube
           "alone"   the colour of the cube beside a tower of two
"""

from __future__ import annotations

import itertools

import numpy as np

from gato_gym.envs.block_stacking import arm, scene
from gato_gym.envs.block_stacking.control import CartesianController
from gato_gym.envs.block_stacking.placement import MIN_SEPARATION, SPAWN_HALF
from gato_gym.envs.block_stacking.shapes import SHAPES
from gato_gym.envs.block_stacking.situation import Sensors
from gato_gym.envs.language.scene import HEIGHT, WIDTH, Relation, Scene, Thing
from gato_gym.envs.rendering import frame_source
from gato_gym.envs.rendering.physics import mujoco

COLOURS = tuple(scene.COLOURS)
TOWERS = {"two": 0.5, "three": 0.2, "none": 0.3}
"""Cubes in the tower -> how likely it is."""

CLEARLY = 0.12
OFFSET = 0.008  # m, along either axis, of a cube from the one below
LEAST_SEEN = 55
"""Pixels of each cube that must be seen; one that nothing hides has about 150."""

# The view: what it looks at [m], from how far [m], in which direction and how wide [degrees].
_TARGET, _DISTANCE = np.array([0.55, 0.0, 0.055]), 0.60
_AZIMUTH, _ELEVATION, _FOVY = 150.0, -30.0, 30.0

_ARM_POSES = 16
_PINCH_LOW, _PINCH_HIGH = (0.36, -0.20, 0.34), (0.48, 0.20, 0.48)


class Source:
    """Scenes of three cubes, see the module."""

    name = "blocks"

    def __init__(self) -> None:
        shapes = dict.fromkeys(COLOURS, SHAPES["s0"])
        self._model = scene.build_model(shapes, basket=False, offscreen=(WIDTH, HEIGHT))
        self._data = mujoco.MjData(self._model)
        self._poses = Sensors(self._model, self._data, shapes).poses
        self._arms = self._arm_poses()
        self._frames = frame_source(self._model, "raycast", WIDTH, HEIGHT)
        self._model.vis.global_.fovy = _FOVY
        view = self._frames.free
        view.lookat[:], view.distance = _TARGET, _DISTANCE
        view.azimuth, view.elevation = _AZIMUTH, _ELEVATION

    def draw(self, rng: np.random.Generator) -> Scene:
        """Cubes at random places, none of them hidden by others."""
        tower = str(rng.choice(list(TOWERS), p=list(TOWERS.values())))
        colours = [COLOURS[i] for i in rng.permutation(len(COLOURS))]
        high = {"two": 2, "three": 3, "none": 1}[tower]
        stacks = [colours[:high], *([colour] for colour in colours[high:])]  # each bottom first
        self._data.qpos[: self._arms.shape[1]] = self._arms[rng.integers(_ARM_POSES)]
        while True:
            self._place(stacks, rng)
            mujoco.mj_kinematics(self._model, self._data)
            mujoco.mj_camlight(self._model, self._data)
            if min(seen(self._frame(shadows=False)).values()) >= LEAST_SEEN:
                break
        places = {colour: project(self._poses[colour][:3]) for colour in COLOURS}
        order = [COLOURS[i] for i in rng.permutation(len(COLOURS))]
        facts = {"tower": tower}
        if high > 1:
            facts |= {"top": stacks[0][-1], "bottom": stacks[0][0]}
        if high == 2:
            facts["alone"] = stacks[1][0]
        return Scene(
            image=self._frame(shadows=True),
            source=self.name,
            things=tuple(Thing(colour, "block", *places[colour]) for colour in order),
            relations=_relations(stacks, places, order),
            facts=facts,
        )

    def close(self) -> None:
        """Forgets the renderer's views."""
        self._frames.close()

    def _frame(self, *, shadows: bool) -> np.ndarray:
        return self._frames.render(self._data, -1, WIDTH, HEIGHT, shadows=shadows)

    def _place(self, stacks: list[list[str]], rng: np.random.Generator) -> None:
        while True:
            ground = rng.uniform(-SPAWN_HALF, SPAWN_HALF, (len(stacks), 2))
            pairs = itertools.combinations(ground, 2)
            if all(np.linalg.norm(one - other) >= MIN_SEPARATION for one, other in pairs):
                break
        for place, stack in zip(ground + scene.WORKSPACE_CENTRE[:2], stacks, strict=True):
            for level, colour in enumerate(stack):
                if level:
                    place = place + rng.uniform(-OFFSET, OFFSET, 2)
                yaw = rng.uniform(-np.pi / 4, np.pi / 4)
                pose = self._poses[colour]
                pose[:2], pose[2] = place, (level + 0.5) * scene.CUBE_SIDE
                pose[3:] = np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)

    def _arm_poses(self) -> np.ndarray:
        """Joint angles of the waiting arm, (poses, joints): always the same ones."""
        controller = CartesianController(self._model, self._data, self._model.opt.timestep)
        mujoco.mj_resetData(self._model, self._data)
        joints = len(arm.ARM_JOINTS)
        rng = np.random.default_rng(0)
        poses = []
        for _ in range(_ARM_POSES):
            yaw = rng.uniform(-np.pi / 4, np.pi / 4)
            controller.place(rng.uniform(_PINCH_LOW, _PINCH_HIGH), yaw)
            poses.append(self._data.qpos[:joints].copy())
        return np.array(poses)


def project(point: np.ndarray) -> tuple[float, float]:
    """Where a point of the world [m] is seen in the picture: (x, y) as of `Thing`."""
    azimuth, elevation = np.radians([_AZIMUTH, _ELEVATION])
    level = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    vertical = np.array([0.0, 0.0, 1.0])
    forward = np.cos(elevation) * level + np.sin(elevation) * vertical
    right = np.cross(level, vertical)
    up = np.cross(right, forward)
    away = point - (_TARGET - _DISTANCE * forward)
    half = away @ forward * np.tan(np.radians(_FOVY) / 2)  # of the view's height, at that depth
    return (
        float(0.5 + away @ right / half * HEIGHT / WIDTH / 2),
        float(0.5 - away @ up / half / 2),
    )


def seen(image: np.ndarray) -> dict[str, int]:
    """How many pixels of an image show each cube, told by their hue."""
    channels = image.reshape(-1, 3).astype(np.int32)
    ordered = np.sort(channels, axis=1)
    # Of the arm's orange the share is 0.43, of the cubes' colours at least 0.66.
    clear = ordered[:, 2] - ordered[:, 1] > 0.55 * ordered[:, 2]
    strongest = channels.argmax(axis=1)
    return {
        colour: int((clear & (strongest == np.argmax(rgba[:3]))).sum())
        for colour, rgba in scene.COLOURS.items()
    }


def _relations(
    stacks: list[list[str]], places: dict[str, tuple[float, float]], order: list[str]
) -> tuple[Relation, ...]:
    found = [
        Relation(order.index(upper), "on", order.index(lower))
        for stack in stacks
        for lower, upper in itertools.pairwise(stack)
    ]
    for one, other in itertools.permutations([stack[0] for stack in stacks], 2):
        apart = places[one][0] - places[other][0]
        if abs(apart) > CLEARLY:
            word = "right of" if apart > 0 else "left of"
            found.append(Relation(order.index(one), word, order.index(other)))
    return tuple(found)
