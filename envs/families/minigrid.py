"""MiniGrid and BabyAI: grid worlds whose mission is told in words (package minigrid).

The levels of BabyAI that one look covers are there a second time, seen as small pictures:
gato_gym/BabyAI-<Level>-pixels-v0, with the missions, rewards and seeds of BabyAI-<Level>-v0.
"""

from __future__ import annotations

import string
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import find_highest_version, load_env_creator
from gymnasium.utils import RecordConstructorArgs

from gato_gym.envs.families.base import Family
from gato_gym.envs.spaces import observation_specs
from gato_gym.types import PATCH_SIDE, ROOT_KEY, ObservationSpec

VIEWS = ("symbols", "pixels")
MISSION_LETTERS = string.ascii_lowercase + " ,"
MISSION_LENGTH = 512
"""The longest mission that BossLevel can make has 321 letters."""

# Ids that add no task to the others. "Twice" means the same grids, goals and rewards from the same
# seeds under another id; missions differ at most by naming the only object's colour.
LEFT_OUT = {
    "BabyAI-KeyCorridor-v0": "twice: BabyAI-KeyCorridorS6R3-v0",
    "MiniGrid-BlockedUnlockPickup-v0": "twice: BabyAI-BlockedUnlockPickup-v0",
    "MiniGrid-UnlockPickup-v0": "twice: BabyAI-UnlockPickup-v0, with a looser time limit",
    **{
        f"MiniGrid-KeyCorridor{size}-v0": f"twice: BabyAI-KeyCorridor{size}-v0"
        for size in ("S3R1", "S3R2", "S3R3", "S4R3", "S5R3", "S6R3")
    },
    **{
        f"BabyAI-{name}Debug-v0": f"BabyAI-{name}-v0 that also ends at the first mistake"
        for name in (
            "OpenDoor",
            "OpenDoorsOrderN2",
            "OpenDoorsOrderN4",
            "OpenRedBlueDoors",
            "PickupDist",
        )
    },
    "MiniGrid-Playground-v0": "has no goal: every return is 0",
    **{
        f"MiniGrid-WFC-{name}-v0": "cannot be built: minigrid 3.2.0 ships without its pattern image"
        for name in (
            "DungeonMazeScaled",
            "MazeSimple",
            "ObstaclesAngular",
            "ObstaclesBlackdots",
            "ObstaclesHogs3",
            "RoomsFabric",
        )
    },
}


# One room, or one room and the doors in its walls: what matters is soon in view.
PICTURED_LEVELS = (
    "ActionObjDoor",
    "GoToDoor",
    "GoToLocal",
    "GoToLocalS5N2",
    "GoToLocalS6N2",
    "GoToLocalS6N3",
    "GoToLocalS6N4",
    "GoToLocalS7N4",
    "GoToLocalS7N5",
    "GoToLocalS8N2",
    "GoToLocalS8N3",
    "GoToLocalS8N4",
    "GoToLocalS8N5",
    "GoToLocalS8N6",
    "GoToLocalS8N7",
    "GoToObj",
    "GoToObjDoor",
    "GoToObjS4",
    "GoToRedBall",
    "GoToRedBallGrey",
    "GoToRedBallNoDists",
    "GoToRedBlueBall",
    "OneRoomS8",
    "OpenDoor",
    "OpenDoorColor",
    "OpenDoorLoc",
    "OpenRedDoor",
    "PickupDist",
    "PickupLoc",
    "PutNextLocal",
    "PutNextLocalS5N3",
    "PutNextLocalS6N4",
)
PICTURED = "gato_gym/BabyAI-"
SMALL_TILE = PATCH_SIDE // 2


class GridWorld(gym.Wrapper, RecordConstructorArgs):
    """Tells the mission as Gymnasium's Text and reports `info["success"]`.

    MiniGrid's own space of missions denies some of the missions that its levels make. An episode is
    a success if it ends with a reward: failures end with 0 or less, the time limit with 0.
    """

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        assert isinstance(env.observation_space, spaces.Dict)
        mission = spaces.Text(MISSION_LENGTH, charset=MISSION_LETTERS)
        self.observation_space = spaces.Dict(
            {**env.observation_space.spaces, "mission": mission}  # type: ignore[dict-item]
        )

    def reset(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """As the environment's; the first observation shows the world as it is."""
        observation, info = self.env.reset(**kwargs)
        world: Any = self.unwrapped
        if getattr(world, "start_carrying", False):
            # These levels hand the object to the agent after the observation was made. Pixels are
            # drawn later and need no mending.
            image = world.gen_obs()["image"]
            if image.shape == observation["image"].shape:
                observation = {**observation, "image": image}
        return observation, info

    def step(self, action: Any) -> tuple[dict[str, Any], Any, bool, bool, dict[str, Any]]:
        """As the environment's, with `info["success"]`."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        success = terminated and float(reward) > 0
        return observation, reward, terminated, truncated, {**info, "success": success}


class AgentView(gym.ObservationWrapper, RecordConstructorArgs):
    """Shows what the agent sees as a picture instead of as symbols.

    With the usual tiles the image is uint8 (112, 112, 3): 7 x 7 tiles, each one patch of 16 x 16
    pixels. With tiles of 8 pixels it is (64, 64, 3): each patch shows 2 x 2 tiles, and the 8 rows
    above and the 8 columns to the right that no tile fills are black. The agent stands in the
    middle of the lowest row of tiles and looks up.

    Args:
        env: the world.
        tile_size: pixels of a tile's side; 16, or 8 for a quarter of the patches.
    """

    def __init__(self, env: gym.Env, tile_size: int = PATCH_SIDE) -> None:
        RecordConstructorArgs.__init__(self, tile_size=tile_size)
        gym.ObservationWrapper.__init__(self, env)
        if tile_size not in (SMALL_TILE, PATCH_SIDE):
            raise ValueError(f"tile_size={tile_size!r}; expected {SMALL_TILE} or {PATCH_SIDE}")
        self.tile_size = tile_size
        assert isinstance(env.observation_space, spaces.Dict)
        tiles = env.observation_space["image"].shape
        assert tiles is not None
        height, width = (-(-side * tile_size // PATCH_SIDE) * PATCH_SIDE for side in tiles[:2])
        picture = spaces.Box(0, 255, (height, width, 3), np.uint8)
        self.observation_space = spaces.Dict(
            {**env.observation_space.spaces, "image": picture}  # type: ignore[dict-item]
        )

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The same observation with a picture for its symbols."""
        world: Any = self.unwrapped
        seen = world.get_pov_render(tile_size=self.tile_size)
        picture = self.observation_space["image"]  # type: ignore[index]  # it is a Dict
        if seen.shape != picture.shape:
            image = np.zeros(picture.shape, np.uint8)
            image[-seen.shape[0] :, : seen.shape[1]] = seen
            seen = image
        return {**observation, "image": seen}


def pictured_level(level: str, render_mode: str | None = None, **kwargs: Any) -> gym.Env:
    """A BabyAI level seen as small pictures; the entry point of `PICTURED` ids.

    Observations are direction (0 right, 1 down, 2 left, 3 up), image (64, 64, 3) and mission.

    Args:
        level: the name between "BabyAI-" and its version.
        render_mode: None, "human" or "rgb_array".
        kwargs: passed to the level.
    """
    _register()
    spec = gym.spec(f"BabyAI-{level}-v0")
    assert isinstance(spec.entry_point, str)  # the package names all of its levels so
    build = load_env_creator(spec.entry_point)
    world: Any = build(render_mode=render_mode, **{**spec.kwargs, **kwargs})
    return GridWorld(AgentView(world, tile_size=SMALL_TILE))


pictured_level.metadata = {"render_modes": ["human", "rgb_array"]}  # type: ignore[attr-defined]


def register_pictured() -> None:
    """Registers the levels of `PICTURED_LEVELS` with Gymnasium; imports nothing.

    A second call changes nothing.
    """
    for level in PICTURED_LEVELS:
        name = f"{PICTURED}{level}-pixels-v0"
        if name not in gym.registry:
            gym.register(
                id=name,
                entry_point="gato_gym.envs.families.minigrid:pictured_level",
                kwargs={"level": level},
            )


def _build(task: str, *, observation: str = "symbols", **kwargs: Any) -> gym.Env:
    """`gymnasium.make` with a choice of `observation`, see `VIEWS`."""
    if observation not in VIEWS:
        choice = " or ".join(map(repr, VIEWS))
        raise ValueError(f"{task}: observation must be {choice}, got {observation!r}")
    env = gym.make(task, **kwargs)
    return AgentView(env) if observation == "pixels" else env


def _register() -> None:
    from minigrid.core.mission import MissionSpace  # importing the package registers its ids
    from minigrid.envs.babyai.core import roomgrid_level

    # BabyAI prints a line for each layout that it rejects, up to hundreds per reset.
    roomgrid_level.print = lambda *args, **kwargs: None  # type: ignore[attr-defined]
    observation_specs.register(MissionSpace, _mission_spec)


def _mission_spec(space: gym.Space, key: str = ROOT_KEY) -> tuple[ObservationSpec, ...]:
    return (ObservationSpec(key, "text", ()),)


def _ids(prefix: str) -> list[str]:
    return sorted(
        spec.id
        for spec in gym.registry.values()
        if spec.id.startswith(prefix)
        and spec.version == find_highest_version(spec.namespace, spec.name)
        and spec.id not in LEFT_OUT
    )


def _facts(env: gym.Env) -> dict[str, object]:
    return {"horizon": _horizon(env), "has_success": True}


def _horizon(env: gym.Env) -> int:
    """The time limit; where it depends on the mission, that of the longest one."""
    from minigrid.envs.babyai.core.levelgen import LevelGen
    from minigrid.envs.babyai.core.roomgrid_level import RoomGridLevel

    world: Any = env.unwrapped
    if not isinstance(world, RoomGridLevel) or world.fixed_max_steps:
        return world.max_steps
    if isinstance(world, LevelGen):
        # BabyAI allows room_size^2 steps per room and walk; "seq" joins two pairs of orders.
        orders = 4 if "seq" in world.instr_kinds else 2 if "and" in world.instr_kinds else 1
        walks = orders * (2 if "putnext" in world.action_kinds else 1)
        return walks * world.room_size**2 * world.num_rows * world.num_cols
    # All other levels make missions of one kind, but know their limit only after a reset, which the
    # given environment must not notice.
    assert env.spec is not None
    twin: Any = gym.make(env.spec.id, disable_env_checker=True).unwrapped
    twin.reset(seed=0)
    return twin.max_steps


def _family(name: str, prefix: str) -> Family:
    return Family(
        name=name,
        distribution="minigrid",
        extra="minigrid",
        modules=("minigrid",),
        owns=lambda task: task.startswith(prefix),
        register=_register,
        ids=partial(_ids, prefix),
        domain=lambda task: name,
        adapt=GridWorld,
        facts=_facts,
        build=_build,
        image_size=(7 * PATCH_SIDE, 7 * PATCH_SIDE),
    )


def _register_all() -> None:
    _register()
    register_pictured()


_PICTURED_FAMILY = Family(
    name="babyai_pixels",
    distribution="minigrid",
    extra="minigrid",
    modules=("minigrid",),
    owns=lambda task: task.startswith(PICTURED),
    register=_register_all,
    ids=lambda: [f"{PICTURED}{level}-pixels-v0" for level in PICTURED_LEVELS],
    domain=lambda task: "babyai_pixels",
    facts=_facts,
)
FAMILIES = (_family("babyai", "BabyAI-"), _family("minigrid", "MiniGrid-"), _PICTURED_FAMILY)
