"""Missions are text, successes are told, and no task is counted twice."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from gato_gym.envs.families.minigrid import FAMILIES, LEFT_OUT, VIEWS
from gato_gym.envs.spaces import observation_specs
from gato_gym.types import ObservationSpec

pytest.importorskip("minigrid")

BABYAI, MINIGRID, PICTURED = FAMILIES
REPRESENTATIVE = [
    "BabyAI-BossLevel-v0",
    "BabyAI-GoToLocal-v0",
    "BabyAI-GoToObjS6-v1",
    "BabyAI-PutNextS5N2Carrying-v0",
    "BabyAI-UnlockPickup-v0",
    "MiniGrid-Dynamic-Obstacles-Random-5x5-v0",
    "MiniGrid-Fetch-5x5-N2-v0",
    "MiniGrid-LockedRoom-v0",
    "MiniGrid-MemoryS13Random-v0",
    "MiniGrid-MultiRoom-N4-S5-v1",
]
LEFT, RIGHT, FORWARD, TOGGLE = 0, 1, 2, 5


@pytest.fixture(scope="module", autouse=True)
def registered():
    for family in (*FAMILIES, *FAMILIES):  # a second time changes nothing
        family.register()


def make(task, **kwargs):
    family = next(family for family in FAMILIES if family.owns(task))
    return family.adapt(family.build(task, disable_env_checker=True, **kwargs))


def rollout(env, seed, steps=100):
    """Everything that the environment says, episode after episode."""
    env.action_space.seed(seed)
    told = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert type(info["success"]) is bool
        told += [observation, {"reward": reward, "end": (terminated, truncated), **info}]
        if terminated or truncated:
            told.append(env.reset()[0])
    return [{key: np.asarray(value) for key, value in said.items()} for said in told]


def same(one, other):
    np.testing.assert_equal(one, other)
    return all(a[key].dtype == b[key].dtype for a, b in zip(one, other, strict=True) for key in a)


@pytest.mark.parametrize("task", REPRESENTATIVE)
def test_an_environment_keeps_the_promises(task, capfd):
    env = make(task)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it also complains of what is only unusual
        check_env(env, skip_render_check=True)
    first = rollout(env, seed=3)
    members = [said for said in first if "mission" in said]
    plain = [{**o, "mission": str(o["mission"]), "direction": int(o["direction"])} for o in members]
    assert all(env.observation_space.contains(observation) for observation in plain)
    rollout(env, seed=4, steps=30)
    assert same(rollout(env, seed=3), first)
    assert same(rollout(make(task), seed=3), first)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("task", REPRESENTATIVE)
def test_an_environment_can_be_made_from_its_spec(task):
    env = make(task, observation="pixels")
    assert same(rollout(gym.make(env.spec), seed=1, steps=5), rollout(env, seed=1, steps=5))


@pytest.mark.parametrize("adapted", [True, False])
def test_missions_are_text(adapted):
    task = "BabyAI-GoToLocal-v0"
    env = make(task) if adapted else gym.make(task)
    assert observation_specs(env.observation_space) == (
        ObservationSpec("direction", "discrete", ()),
        ObservationSpec("image", "discrete", (7, 7, 3)),
        ObservationSpec("mission", "text", ()),
    )


def test_the_longest_mission_is_in_its_space():
    thing = "the yellow ball in front of you"
    order = f"put {thing} next to {thing}"
    mission = f"{order} and {order} after you {order} and {order}"
    assert len(mission) == 321
    assert mission in make("BabyAI-BossLevel-v0").observation_space["mission"]


def test_success_is_a_positive_end():
    env = make("MiniGrid-Empty-5x5-v0")
    env.reset(seed=0)
    path = [FORWARD, FORWARD, RIGHT, FORWARD, FORWARD]
    steps = [env.step(action) for action in path]
    assert [info["success"] for *_, info in steps] == [False] * 4 + [True]
    assert steps[-1][2] and steps[-1][1] > 0


def test_lava_is_no_success():
    env = make("MiniGrid-DistShift1-v0")
    env.reset(seed=0)
    env.unwrapped.agent_pos, env.unwrapped.agent_dir = (2, 2), 0
    _, reward, terminated, _, info = env.step(FORWARD)
    assert terminated and reward == 0 and info["success"] is False


def test_the_first_observation_shows_what_the_agent_carries():
    env = make("BabyAI-PutNextS5N2Carrying-v0")
    first, _ = env.reset(seed=0)
    np.testing.assert_array_equal(first["image"], env.unwrapped.gen_obs()["image"])
    assert env.unwrapped.carrying.type == "box"
    assert first["image"][3, 6, 0] == 7  # the agent's own cell: a box


def test_pixels_are_one_patch_per_tile():
    symbols, pixels = (make("MiniGrid-DoorKey-8x8-v0", observation=view) for view in VIEWS)
    symbolic, pictured = symbols.reset(seed=5)[0], pixels.reset(seed=5)[0]
    assert pictured["image"].shape == (*BABYAI.image_size, 3) == (112, 112, 3)
    assert pictured["image"].dtype == np.uint8
    assert pixels.observation_space.contains(pictured)
    assert {k: v for k, v in pictured.items() if k != "image"} == {
        k: v for k, v in symbolic.items() if k != "image"
    }
    # Symbols are (column, row); tiles of the same symbol look the same but for the agent's.
    looks = {}
    for row in range(7):
        for column in range(7):
            tile = pictured["image"][row * 16 : row * 16 + 16, column * 16 : column * 16 + 16]
            if (row, column) != (6, 3):
                symbol = tuple(symbolic["image"][column, row])
                looks.setdefault(symbol, set()).add(tile.tobytes())
    assert len(looks) > 2
    assert all(len(tiles) == 1 for tiles in looks.values())
    assert len(set.union(*looks.values())) == len(looks)


def test_wrong_view():
    with pytest.raises(ValueError, match="must be 'symbols' or 'pixels', got 'rgb'"):
        make("BabyAI-GoToLocal-v0", observation="rgb")


def test_rendering_needs_no_display():
    env = make("BabyAI-GoToLocal-v0", render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert frame.dtype == np.uint8 and frame.shape == (256, 256, 3) and frame.std() > 10


def test_the_lists_hold_distinct_tasks():
    lists = {family.name: family.ids() for family in FAMILIES}
    counts = {"babyai": 90, "minigrid": 62, "babyai_pixels": 32}
    assert {name: len(ids) for name, ids in lists.items()} == counts
    for family in FAMILIES:
        assert all(family.owns(task) for task in family.ids())
        assert {family.domain(task) for task in family.ids()} == {family.name}
    ids = {*lists["babyai"], *lists["minigrid"]}
    assert "MiniGrid-MultiRoom-N4-S5-v1" in ids and "MiniGrid-MultiRoom-N4-S5-v0" not in ids
    assert set(LEFT_OUT) <= set(gym.registry)
    assert not ids & set(LEFT_OUT)


def start(task, seed):
    world = gym.make(task, disable_env_checker=True).unwrapped
    world.reset(seed=seed)
    return world.grid.encode().tolist(), tuple(map(int, world.agent_pos)), world.agent_dir


@pytest.mark.parametrize("task", [t for t, why in LEFT_OUT.items() if why.startswith("twice")])
def test_what_is_there_twice_starts_the_same(task):
    other = LEFT_OUT[task].removeprefix("twice: ").partition(",")[0]
    assert all(start(task, seed) == start(other, seed) for seed in range(5))


@pytest.mark.parametrize(
    "task, horizon",
    [
        ("BabyAI-GoToLocal-v0", 64),
        ("BabyAI-PutNextLocal-v0", 128),
        ("BabyAI-GoToSeqS5R2-v0", 400),
        ("BabyAI-Synth-v0", 1152),
        ("BabyAI-BossLevel-v0", 4608),
        ("BabyAI-KeyCorridorS3R1-v0", 270),
        ("MiniGrid-Empty-5x5-v0", 100),
    ],
)
def test_the_horizon_bounds_every_episode(task, horizon):
    env = make(task)
    family = next(family for family in FAMILIES if family.owns(task))
    assert family.facts(env) == {"horizon": horizon, "has_success": True}
    limits = []
    for seed in range(40):
        env.reset(seed=seed)
        limits.append(env.unwrapped.max_steps)
    assert max(limits) <= horizon
    env.unwrapped.max_steps = 3
    ends = [env.step(LEFT)[3] for _ in range(3)]
    assert ends == [False, False, True]
