"""Atari games: small screens with the right pixels, drawn modes, seeds that decide everything."""

import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from gato_gym import envs
from gato_gym.envs.families import family_of
from gato_gym.envs.families.ale import is_extended, register
from gato_gym.envs.images import resize_image

BOXING, EXTENDED = "ALE/Boxing-v5", "ALE/BoxingExtended-v5"


@pytest.fixture(autouse=True, scope="module")
def registered():
    register()


@pytest.fixture
def made():
    """`envs.make`, closed afterwards."""
    open_ones = []

    def make(task, **kwargs):
        open_ones.append(envs.make(task, **kwargs))
        return open_ones[-1]

    yield make
    for env in open_ones:
        env.close()


def rollout(env, seed, steps=40):
    env.action_space.seed(0)
    observation, info = env.reset(seed=seed)
    seen = [(observation, info.get("mode"), info.get("difficulty"))]
    for _ in range(steps):
        seen.append(env.step(env.action_space.sample())[:4])
    return seen


def assert_same(first, second):
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one[0], two[0])
        assert one[1:] == two[1:]


# Air Raid has a taller screen, which Pillow shrinks.
@pytest.mark.parametrize("task", [BOXING, "ALE/AirRaid-v5"])
def test_small_screens_have_the_pixels_of_the_large_one(made, task):
    env, plain = made(task), gym.make(task)
    seen, raw = env.reset(seed=1)[0], plain.reset(seed=1)[0]
    assert env.unwrapped.observation_space == spaces.Box(0, 255, (64, 80, 3), np.uint8)
    for action in np.random.default_rng(0).integers(env.action_space.n, size=60).tolist():
        np.testing.assert_array_equal(seen, resize_image(raw, (64, 80)))
        ours, theirs = env.step(action), plain.step(action)
        assert ours[1:] == theirs[1:]
        seen, raw = ours[0], theirs[0]
    plain.close()


def test_plain_gymnasium_stays_as_it_is(made):
    made(BOXING)
    assert gym.spec(BOXING).entry_point == "ale_py.env:AtariEnv"
    assert made(BOXING).spec.id == BOXING
    for task in (BOXING, EXTENDED):
        plain = gym.make(task)
        assert plain.observation_space.shape == (210, 160, 3)
        plain.close()


def test_full_frames_are_still_rendered(made):
    env = made(BOXING, render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    np.testing.assert_array_equal(observation, resize_image(env.render(), (64, 80)))
    assert env.render().shape == (210, 160, 3)


@pytest.mark.parametrize("size", [(96, 112), (48, 80), (208, 160)])
def test_other_sizes_are_drawn_from_the_full_frame(made, size):
    env = made(BOXING, image_size=size, render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    np.testing.assert_array_equal(observation, resize_image(env.render(), size))
    assert envs.task_spec(env).observations[0].shape == (*size, 3)


def test_other_observations_of_the_game_are_left_alone(made):
    env = made(BOXING, obs_type="ram")
    assert env.reset(seed=0)[0].shape == (128,)


def test_unknown_arguments_are_refused():
    with pytest.raises(TypeError, match="colour"):
        envs.make(BOXING, colour=True)


def test_pickled_games_keep_their_size(made):
    env = pickle.loads(pickle.dumps(made(BOXING).unwrapped))
    assert env.observation_space.shape == (64, 80, 3)
    env.close()


@pytest.mark.parametrize("task", [BOXING, EXTENDED])
def test_seeds_decide_the_episode(made, task):
    env, other = made(task), made(task)
    first = rollout(env, seed=3)
    rollout(env, seed=4, steps=15)
    env.reset()
    assert_same(first, rollout(env, seed=3))
    assert_same(first, rollout(other, seed=3))


@pytest.mark.parametrize("task", [BOXING, EXTENDED])
def test_episodes_after_a_seeded_one_are_decided_too(made, task):
    runs = []
    for env in (made(task), made(task)):
        run = rollout(env, seed=5, steps=8)
        for _ in range(3):
            observation, info = env.reset()
            run.append((observation, info.get("difficulty")))
            run += [env.step(action)[:2] for action in (2, 5, 11)]
        runs.append(run)
    assert_same(*runs)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("task", [BOXING, EXTENDED])
def test_gymnasiums_checker_accepts(made, task):
    check_env(made(task).unwrapped, skip_render_check=True)


def test_all_modes_and_difficulties_are_drawn(made):
    env = made("ALE/FreewayExtended-v5")
    ale = env.unwrapped.ale
    drawn = {(info["mode"], info["difficulty"]) for _, info in (env.reset() for _ in range(100))}
    offered = {(m, d) for m in ale.getAvailableModes() for d in ale.getAvailableDifficulties()}
    # Each of the 16 is missed with probability (15 / 16)^100 = 0.2 %: five never are.
    assert len(offered) == 16 and drawn <= offered and len(drawn) >= 12


def test_the_drawn_mode_is_played(made):
    """A game set to the same switches by ale-py shows the same pictures."""
    env = made("ALE/FreewayExtended-v5", repeat_action_probability=0.0)
    for seed in range(4):
        observation, info = env.reset(seed=seed)
        switches = {name: info[name] for name in ("mode", "difficulty")}
        plain = gym.make("ALE/Freeway-v5", repeat_action_probability=0.0, **switches)
        raw, _ = plain.reset(seed=seed)
        for _ in range(10):
            np.testing.assert_array_equal(observation, resize_image(raw, (64, 80)))
            observation, raw = env.step(1)[0], plain.step(1)[0]
        # Once more without a seed: the console is not loaded anew, only switched.
        _, info = env.reset()
        state = env.unwrapped.clone_state()
        assert (state.getCurrentMode(), state.getDifficulty()) == (info["mode"], info["difficulty"])
        plain.close()


def test_games_without_a_choice_have_no_extended_task():
    with pytest.raises(ValueError, match="one mode and one difficulty"):
        envs.make("ALE/PitfallExtended-v5")


@pytest.mark.parametrize("argument", [{"mode": 0}, {"difficulty": 1}])
def test_what_is_drawn_cannot_be_set(argument):
    with pytest.raises(ValueError, match=f"{next(iter(argument))} cannot be set"):
        envs.make(EXTENDED, **argument)


@pytest.mark.parametrize(("task", "domain"), [(BOXING, "atari"), (EXTENDED, "atari_extended")])
def test_facts(made, task, domain):
    env, family = made(task), family_of(task)
    assert family.domain(task) == domain and is_extended(task) == (domain == "atari_extended")
    assert family.facts(env) == {"horizon": 27_000, "control_hz": 15.0}


def test_horizon_is_where_the_emulator_cuts(made):
    env = made("ALE/Pong-v5", max_num_frames_per_episode=40)
    env.reset(seed=0)
    ends = [env.step(0)[2:4] for _ in range(10)]
    assert ends == [(False, False)] * 9 + [(False, True)]
    assert family_of("ALE/Pong-v5").facts(env)["horizon"] == 10


@pytest.mark.parametrize(
    ("settings", "horizon", "control_hz"),
    [
        ({"frameskip": (2, 5)}, None, None),
        ({"frameskip": (2, 5), "max_episode_steps": 9}, 9, None),
        ({"max_num_frames_per_episode": None}, None, 15.0),
        ({"frameskip": 3, "max_episode_steps": 9}, 9, 20.0),
    ],
)
def test_horizon_and_rate_are_told_only_where_they_are_fixed(made, settings, horizon, control_hz):
    env = made("ALE/Pong-v5", **settings)
    told = family_of("ALE/Pong-v5").facts(env)
    assert told == {"horizon": horizon, "control_hz": control_hz}
    assert envs.task_spec(env).id == "ALE/Pong-v5"


def test_every_game_is_listed():
    games = family_of(BOXING).ids()
    assert len(games) == len(set(games)) == 104
    assert not any(map(is_extended, games))
