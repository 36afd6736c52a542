"""Every task of the family: it is registered, resets, steps, and succeeds where it should."""

import gymnasium
import numpy as np
import pytest

pytest.importorskip("mujoco")

from gymnasium.utils.env_checker import check_env

from gato_gym.envs.block_stacking import TASKS, register_block_stacking, scene, task_ids
from gato_gym.envs.block_stacking.env import STEPS_TO_HOLD, BlockStackingEnv
from gato_gym.envs.block_stacking.tasks import LOCATE_ID
from gato_gym.envs.families.block_stacking import FAMILY

register_block_stacking()
IDLE = np.array([0, 0, 0, 0, -1.0], np.float32)
UPRIGHT = (1.0, 0.0, 0.0, 0.0)


def arrange(env, pinch, **centres):
    """Objects at those places as they are modelled, at rest; the open hand at `pinch`."""
    env.controller.place(np.array(pinch), 0.0)
    for colour, centre in centres.items():
        env.data.joint(colour).qpos[:] = [*centre, *UPRIGHT]
        env.data.joint(colour).qvel[:] = 0.0
    return env


def run(env, steps=30, action=IDLE):
    """Idles; whether each step was a success, and whether the episode ended."""
    successes = []
    for _ in range(steps):
        _, reward, terminated, _, info = env.step(action)
        assert reward == float(info["success"])
        successes.append(info["success"])
        if terminated:
            break
    return successes, terminated


def test_25_ids_are_registered_and_the_arm_moves_for_one_horizon():
    assert FAMILY.ids() == task_ids()
    assert len(set(task_ids())) == 25
    ids = [name for name in task_ids() if name != LOCATE_ID]
    for name in ("", "-Reach", "-Lift", "-StackThree", "-Pyramid", "-Triplet5", "-Triplets"):
        assert f"gato_gym/BlockStacking{name}-v0" in ids
        assert f"gato_gym/BlockStacking{name}-pixels-v0" in ids
    for env_id in ids:
        assert gymnasium.spec(env_id).max_episode_steps == 400
        assert FAMILY.owns(env_id)


def test_a_pixel_task_observes_two_cameras():
    env = gymnasium.make("gato_gym/BlockStacking-Triplet1-pixels-v0", renderer="raycast")
    observation, _ = env.reset(seed=0)
    assert set(observation) == {"proprioception", "front_left", "front_right"}
    assert observation["front_left"].shape == (64, 64, 3)
    env.close()


@pytest.mark.parametrize("name", TASKS)
def test_gymnasium_checker_and_seeds(name):
    env = BlockStackingEnv(task=name)
    check_env(env, skip_render_check=True)
    actions = np.random.default_rng(1).uniform(-1, 1, (30, 5))
    actions[:, 2] -= 0.4

    def roll(made):
        observation, info = made.reset(seed=4)
        assert not info["success"]
        trace = [observation]
        trace += [made.step(action)[0] for action in actions]
        assert all(made.observation_space.contains(observation) for observation in trace)
        # Words are no numbers: test_block_stacking_instructions.py looks at them.
        numbers = [[v for v in o.values() if not isinstance(v, str)] for o in trace]
        return np.array([np.concatenate([v.ravel() for v in part]) for part in numbers])

    other = BlockStackingEnv(task=name)
    assert np.array_equal(roll(env), roll(other))
    other.reset(seed=9)
    assert np.array_equal(roll(env), roll(other))
    assert not np.array_equal(env.reset(seed=4)[0]["red"], env.reset(seed=5)[0]["red"])


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.dropped])
def test_dropped_objects_come_to_rest_within_reach(name):
    env = BlockStackingEnv(task=name)
    tilts = []
    for seed in range(6):
        observation, _ = env.reset(seed=seed)
        before = {c: observation[c][:3] + env.controller.pose()[0] for c in env.shapes}
        for colour, position in before.items():
            assert (position[:2] > np.array(scene.WORKSPACE_LOW[:2]) - 0.01).all()
            assert (position[:2] < np.array(scene.WORKSPACE_HIGH[:2]) + 0.01).all()
            tilts.append(np.abs(observation[colour][3:]).max())
        assert env.situation().free
        for _ in range(20):
            observation, *_ = env.step(IDLE)
        for colour, position in before.items():
            moved = observation[colour][:3] + env.controller.pose()[0] - position
            assert np.abs(moved).max() < 0.002
    assert np.std(tilts) > 0.05  # they lie on different faces


def test_triplets_are_the_published_ones_and_are_observed():
    env = BlockStackingEnv(task="Triplet3")
    observation, _ = env.reset(seed=0)
    names = {colour: shape.name for colour, shape in env.shapes.items()}
    assert names == {"red": "r6", "green": "g3", "blue": "b5"}
    np.testing.assert_array_equal(
        observation["shapes"], [env.shapes[c].scaled for c in ("red", "blue", "green")]
    )


def test_training_triplets_are_drawn_by_the_seed():
    env = BlockStackingEnv(task="Triplets", observation="pixels", renderer="raycast")
    drawn = []
    for seed in range(5):
        env.reset(seed=seed)
        images = env.step(IDLE)[0]
        assert images["front_left"].std() > 5  # drawn from the model of this episode
        drawn.append(tuple(shape.name for shape in env.shapes.values()))
        assert all(name.startswith("train_") for name in drawn[-1])
        assert env.state_observation()["shapes"].shape == (3, 6)
    assert len(set(drawn)) == 5
    env.reset(seed=2)
    assert tuple(shape.name for shape in env.shapes.values()) == drawn[2]


def test_reach_succeeds_around_red_and_ends_after_a_second():
    env = BlockStackingEnv(task="Reach")
    env.reset(seed=0)
    away = {"red": (0.55, 0.0, 0.025), "blue": (0.6, 0.12, 0.025)}
    successes, _ = run(arrange(env, (0.55, 0.0, 0.06), **away))
    assert not any(successes)
    successes, terminated = run(arrange(env, (0.55, 0.0, 0.03), **away))
    assert successes == [True] * STEPS_TO_HOLD
    assert terminated


def test_lift_succeeds_while_red_is_held_high():
    env = BlockStackingEnv(task="Lift", terminate_on_success=False)
    env.reset(seed=0)
    arrange(env, (0.55, 0.0, 0.03), red=(0.55, 0.0, 0.025), blue=(0.6, 0.12, 0.025))
    grip = np.array([0, 0, 0, 0, 1.0])
    assert not any(run(env, 10, grip)[0])
    rising, _ = run(env, 20, np.array([0, 0, 1.0, 0, 1.0]))
    assert rising[-1]
    assert not rising[0]
    assert rising.index(True) >= 10  # 5 cm at 10 cm/s
    assert all(run(env, 10, grip)[0])
    assert not any(run(env, 20)[0][8:])  # dropped


TOWER = {"green": (0.5, 0.0, 0.025), "blue": (0.5, 0.0, 0.0751), "red": (0.5, 0.0, 0.1252)}
ARCH = {"green": (0.5, 0.03, 0.025), "blue": (0.5, -0.03, 0.025), "red": (0.5, 0.0, 0.0751)}


@pytest.mark.parametrize(
    ("name", "done", "undone"),
    [
        ("StackThree", TOWER, {**TOWER, "red": (0.6, 0.0, 0.025)}),
        ("StackThree", TOWER, {**TOWER, "blue": TOWER["red"], "red": TOWER["blue"]}),
        ("StackThree", TOWER, ARCH),
        ("Pyramid", ARCH, {**ARCH, "red": (0.6, 0.0, 0.025)}),
        ("Pyramid", ARCH, {**ARCH, "red": (0.5, 0.03, 0.0751)}),  # on green alone
        ("Pyramid", ARCH, TOWER),
    ],
)
def test_three_cubes_succeed_only_where_they_should(name, done, undone):
    env = BlockStackingEnv(task=name)
    env.reset(seed=0)
    successes, terminated = run(arrange(env, (0.62, 0.1, 0.22), **done))
    assert terminated
    assert all(successes[-STEPS_TO_HOLD:])
    env.reset(seed=0)
    successes, terminated = run(arrange(env, (0.62, 0.1, 0.22), **undone))
    assert not terminated
    assert not any(successes)


@pytest.mark.parametrize("name", [f"Triplet{i}" for i in range(1, 6)])
def test_triplets_succeed_when_red_lies_on_blue(name):
    env = BlockStackingEnv(task=name)
    env.reset(seed=0)
    shapes = env.shapes
    ground = -shapes["blue"].vertices[:, 2].min()
    top = shapes["blue"].vertices[:, 2].max() + ground
    places = {
        "blue": (0.55, 0.0, ground),
        "red": (0.55, 0.0, top - shapes["red"].vertices[:, 2].min() + 1e-4),
        "green": (0.42, -0.12, -shapes["green"].vertices[:, 2].min()),
    }
    successes, terminated = run(arrange(env, (0.42, 0.1, 0.235), **places))
    assert terminated
    assert all(successes[-STEPS_TO_HOLD:])
    env.reset(seed=0)
    places["red"] = (0.65, 0.0, -shapes["red"].vertices[:, 2].min())
    assert not any(run(arrange(env, (0.42, 0.1, 0.235), **places))[0])


def test_objects_slide_back_from_the_baskets_sides():
    env = BlockStackingEnv(task="Triplet4")
    env.reset(seed=0)
    arrange(env, (0.42, 0.0, 0.235), red=(0.55, 0.24, 0.09))
    run(env, 60)
    assert env.situation().positions["red"][1] < 0.20
    assert env.situation().bottoms["red"] < 0.02
