"""At home in Gymnasium: its wrappers and its vector environments, in all three autoreset modes."""

import sys
import types
from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import wrappers
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector as vector_wrappers

import gato_gym
from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.errors import InvalidObservationError
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.vocabulary import Vocabulary

STEPS = 13


@pytest.fixture(scope="module")
def agent():
    """Of random weights, larger than at the start of training: what is seen changes the actions."""
    torch.manual_seed(0)
    model = Gato(model_config("tiny"))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter *= 3
    return GatoAgent(model, {"CartPole-v1": envs.task_spec("CartPole-v1")})


def short(steps=4):
    """CartPole-v1 with episodes of so many steps at most."""
    return wrappers.TimeLimit(gymnasium.make("CartPole-v1"), steps)


def play(agent, env, steps=STEPS):
    """Episodes of each copy as lists of (observation, action), the autoreset mode respected."""
    mode = env.metadata.get("autoreset_mode", AutoresetMode.SAME_STEP)
    agent.reset(env)
    state, (obs, _) = None, env.reset(seed=5)
    start = np.ones(env.num_envs, bool)
    done = np.zeros(env.num_envs, bool)
    played = [[] for _ in range(env.num_envs)]
    for _ in range(steps):
        actions, state = agent.predict(obs, state, start)
        for copy in range(env.num_envs):
            if start[copy]:
                played[copy].append([])
            if mode != AutoresetMode.NEXT_STEP or not done[copy]:
                played[copy][-1].append((*obs[copy], actions[copy]))
        obs, _, terminated, truncated, _ = env.step(actions)
        before, done = done, terminated | truncated
        start = before if mode == AutoresetMode.NEXT_STEP else done
        if mode == AutoresetMode.DISABLED and done.any():
            obs, _ = env.reset(options={"reset_mask": done})
    return played


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_episodes_are_the_same_in_every_autoreset_mode(agent, mode):
    # The copies' episodes end at different times.
    copies = [partial(short, 4), partial(short, 3)]
    same_step = play(agent, SyncVectorEnv(copies, autoreset_mode=AutoresetMode.SAME_STEP))
    other = play(agent, SyncVectorEnv(copies, autoreset_mode=mode), steps=18)
    for ours, theirs in zip(same_step, other, strict=True):
        assert len(ours) >= 4
        # The last one may have been cut off by the end of the play.
        for one, two in zip(ours[:-1], theirs, strict=False):
            np.testing.assert_array_equal(one, two)


def test_a_flag_that_comes_a_step_early_would_be_noticed(agent):
    """What the test before protects from: Gymnasium's default mode with the flags of another."""
    env = SyncVectorEnv([short])  # next-step mode
    right = play(agent, env, 18)[0]
    env.metadata["autoreset_mode"] = AutoresetMode.SAME_STEP
    wrong = play(agent, env, 18)[0]
    assert not np.array_equal(right[1], wrong[1][: len(right[1])])


@pytest.mark.parametrize(
    "make",
    [
        lambda: gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync"),
        lambda: gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="async"),
        lambda: gato_gym.make_vec("CartPole-v1", 2, tokenize=False),
        lambda: gato_gym.make_vec("CartPole-v1", 2, vocabulary=Vocabulary(1024)),
        lambda: vector_wrappers.RecordEpisodeStatistics(
            gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="async")
        ),
    ],
    ids=["sync", "async", "ours", "ours tokenized", "wrapped"],
)
def test_every_vector_environment_is_played_alike(agent, make):
    env = make()
    try:
        agent.reset(env)
        state, (obs, _) = None, env.reset(seed=5)
        first = []
        for _ in range(5):
            actions, state = agent.predict(obs, state)
            first.append(actions)
            obs = env.step(actions)[0]
    finally:
        env.close()
    for copy in range(2):
        single = gymnasium.make("CartPole-v1")
        agent.reset(single)
        obs, _ = single.reset(seed=5 + copy)
        for actions in first:
            assert agent.act(obs) == actions[copy]
            obs = single.step(actions[copy])[0]


def test_a_vector_entry_point_is_played(agent):
    env = gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="vector_entry_point")
    agent.reset(env)
    obs, _ = env.reset(seed=0)
    actions, _ = agent.predict(obs)
    assert env.action_space.contains(actions)
    env.close()


def test_gymnasiums_recorders_change_nothing(agent, tmp_path, monkeypatch):
    # It encodes the videos, and is asked for when the recorder is built.
    monkeypatch.setitem(sys.modules, "moviepy", types.ModuleType("moviepy"))

    def episode(wrap):
        env = wrap(gymnasium.make("CartPole-v1", render_mode="rgb_array"))
        agent.reset(env)
        obs, _ = env.reset(seed=2)
        seen, done = [], False
        while not done:
            seen.append(agent.act(obs))
            obs, _, terminated, truncated, info = env.step(seen[-1])
            done = terminated or truncated
        env.close()
        return seen, info

    plain, _ = episode(lambda env: env)
    counted, info = episode(wrappers.RecordEpisodeStatistics)
    filmed, _ = episode(lambda env: WithoutEncoding(env, tmp_path / "videos"))
    cut, _ = episode(lambda env: wrappers.TimeLimit(env, 3))
    assert plain == counted == filmed
    assert info["episode"]["l"] == len(plain)
    assert cut == plain[:3]


class WithoutEncoding(wrappers.RecordVideo):
    """Gymnasium's recorder up to the encoding."""

    def __init__(self, env, folder):
        super().__init__(env, str(folder), episode_trigger=lambda _: True)

    def stop_recording(self):
        assert self.recorded_frames[0].shape == (400, 600, 3)
        self.recorded_frames, self.recording, self._video_name = [], False, None


@pytest.mark.parametrize(
    "wrap",
    [
        partial(wrappers.FrameStackObservation, stack_size=2),
        wrappers.NormalizeObservation,
        partial(wrappers.DelayObservation, delay=1),
        partial(wrappers.MaxAndSkipObservation, skip=2),
        partial(wrappers.DtypeObservation, dtype=np.float64),
        wrappers.TimeAwareObservation,
        lambda env: wrappers.RecordEpisodeStatistics(wrappers.NormalizeObservation(env)),
        lambda env: wrappers.NormalizeObservation(gato_gym.make("CartPole-v1", tokenize=False)),
        lambda env: wrappers.FlattenObservation(gato_gym.make("CartPole-v1")),
    ],
)
def test_a_wrapper_that_changes_observations_is_refused(agent, wrap):
    env = wrap(gymnasium.make("CartPole-v1"))
    name = r"CartPole-v1: \w*Observation changed what is observed"
    with pytest.raises(InvalidObservationError, match=name):
        agent.reset(env)
    # So is a copy that wears it, here and in another process.
    for kind in (SyncVectorEnv, gymnasium.vector.AsyncVectorEnv):
        vec = kind([lambda: wrap(gymnasium.make("CartPole-v1"))])
        with pytest.raises(InvalidObservationError, match=name):
            agent.reset(vec)
        vec.close()


def test_a_vector_wrapper_that_changes_observations_is_refused(agent):
    vec = SyncVectorEnv([short])
    for wrap in (vector_wrappers.NormalizeObservation, vector_wrappers.FlattenObservation):
        with pytest.raises(InvalidObservationError, match="Observation changed what is observed"):
            agent.reset(wrap(vec))


def test_a_task_that_was_never_trained_may_be_seen_through_any_wrapper(agent):
    env = wrappers.FrameStackObservation(gymnasium.make("Acrobot-v1"), 2)
    agent.reset(env)
    assert env.action_space.contains(agent.act(env.reset(seed=0)[0]))
    agent.reset(wrappers.NormalizeObservation(gymnasium.make("Acrobot-v1")))


def test_a_task_that_is_made_of_such_wrappers_is_not_refused(agent):
    name = "Normalised-v0"

    def build(**options):
        return wrappers.NormalizeObservation(gymnasium.make("CartPole-v1", **options).unwrapped)

    gymnasium.register(name, entry_point=build)
    try:
        trained = GatoAgent(agent.model, {name: envs.task_spec(name)})
        env = gymnasium.make(name)
        trained.reset(env)
        with pytest.raises(InvalidObservationError, match="DelayObservation changed"):
            trained.reset(wrappers.DelayObservation(env, 1))
    finally:
        del gymnasium.registry[name]
