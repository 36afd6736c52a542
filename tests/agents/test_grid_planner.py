"""The planner of grid worlds solves MiniGrid, whatever happens on the way."""

import pytest

from gato_gym import envs
from gato_gym.agents.experts.grid.expert import GridPlanner
from gato_gym.agents.experts.grid.goals import Enter, next_goal
from gato_gym.agents.experts.grid.planner import NoPlanError, Planner
from gato_gym.agents.experts.grid.scene import FORWARD, LEFT, PICKUP, TOGGLE, Scene
from gato_gym.agents.experts.noise import NoisyExpert
from gato_gym.evaluation.rollout import rollout

MINIGRID = [spec.id for spec in envs.tasks("minigrid")]


@pytest.mark.parametrize("task", MINIGRID)
def test_solves(task):
    env = envs.make(task)
    assert all(result.success for result in rollout(env, GridPlanner(), episodes=2, seed=70))
    env.close()


@pytest.mark.parametrize("task", ["MiniGrid-ObstructedMaze-Full-v1", "BabyAI-SynthS5R2-v0"])
def test_solves_among_random_actions(task):
    # In these two a random action can spoil nothing but time, or a box that is wanted.
    env = envs.make(task)
    results = rollout(env, NoisyExpert(GridPlanner(), 0.3, seed=1), episodes=6, seed=0)
    assert sum(bool(result.success) for result in results) >= 5
    env.close()


def test_finds_the_shortest_way():
    env = envs.make("MiniGrid-Empty-8x8-v0")
    # 5 cells east, 5 south, one turn.
    assert rollout(env, GridPlanner(), episodes=1, seed=0)[0].length == 11
    env.close()


def test_looks_at_what_must_be_remembered_first():
    env = envs.make("MiniGrid-MemoryS17Random-v0")
    world = env.unwrapped
    for seed in range(8):
        agent = GridPlanner()
        agent.reset(env)
        env.reset(seed=seed)
        seen = end = False
        while not end:
            seen = seen or world.agent_sees(1, world.height // 2 - 1)
            _, reward, end, _, _ = env.step(agent.act(None))
        assert seen
        assert reward > 0
    env.close()


def test_never_walks_into_what_moves():
    env = envs.make("MiniGrid-Dynamic-Obstacles-8x8-v0")
    agent, world = GridPlanner(), env.unwrapped
    for seed in range(5):
        agent.reset(env)
        env.reset(seed=seed)
        end = False
        while not end:
            action = agent.act(None)
            ahead = world.grid.get(*world.front_pos)
            assert action != FORWARD or ahead is None or ahead.type == "goal"
            _, _, terminated, truncated, _ = env.step(action)
            end = terminated or truncated
    env.close()


def test_fetches_the_key_first():
    env = envs.make("MiniGrid-DoorKey-8x8-v0")
    env.reset(seed=0)
    world = env.unwrapped
    scene = Scene(world)
    committed = set()
    actions = Planner(scene, committed).plan(next_goal(world, scene))
    assert actions[-1] == PICKUP
    door = next(cell for cell, thing in scene.things.items() if thing.type == "door")
    assert committed == {door}
    for action in actions:
        env.step(action)
    assert world.carrying.type == "key"
    scene = Scene(world, committed)
    assert Planner(scene, committed).plan(next_goal(world, scene))[-1] == TOGGLE
    env.close()


def test_turns_on_the_spot_where_there_is_no_way():
    env = envs.make("MiniGrid-LavaGapS5-v0")
    agent = GridPlanner()
    agent.reset(env)
    env.reset(seed=0)
    world = env.unwrapped
    for x in range(1, 4):
        for y in range(1, 4):
            if world.grid.get(x, y) is None and (x, y) != tuple(world.agent_pos):
                world.put_obj(type(world.grid.get(0, 0))(), x, y)
    scene = Scene(world)
    with pytest.raises(NoPlanError):
        Planner(scene, set()).plan(Enter((scene.number((3, 3)),)))
    assert agent.act(None) == LEFT
    env.close()
