"""MiniGrid and BabyAI: grid worlds whose mission is told in words (package minigrid)."""

from __future__ import annotations

import string
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import find_highest_version
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

    The image is uint8 (112, 112, 3): 7 x 7 tiles, each one patch of 16 x 16 pixels. The agent
    stands in the middle of the lowest row and looks up.
    """

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        assert isinstance(env.observation_space, spaces.Dict)
        tiles = env.observation_space["image"].shape
        assert tiles is not None
        shape = (tiles[0] * PATCH_SIDE, tiles[1] * PATCH_SIDE, 3)
        picture = spaces.Box(0, 255, shape, np.uint8)
        self.observation_space = spaces.Dict(
            {**env.observation_space.spaces, "image": picture}  # type: ignore[dict-item]
        )

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The same observation with a picture for its symbols."""
        world: Any = self.unwrapped
        return {**observation, "image": world.get_pov_render(tile_size=PATCH_SIDE)}


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


FAMILIES = (_family("babyai", "BabyAI-"), _family("minigrid", "MiniGrid-"))
