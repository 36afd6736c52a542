"""The rollout loop and the recorder on it."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from gato_gym.errors import InvalidEpisodeError, UnsupportedSpaceError
from gato_gym.evaluation.observers import Column, EpisodeRecorder, flat_action, package_versions
from gato_gym.evaluation.rollout import rollout
from gato_gym.testing import TOY_TASK, ToyExpert, make_toy


class Diary:
    """Writes down the order of events."""

    def __init__(self):
        self.events = []

    def reset(self, env):
        self.events.append("agent.reset")

    def act(self, obs, deterministic=True):
        self.events.append(f"act {deterministic}")
        return 1

    def on_reset(self, env, obs, info, seed):
        self.events.append(f"reset {seed}")

    def on_step(self, env, action, obs, reward, terminated, truncated, info):
        self.events.append(f"step {action} {terminated} {truncated}")

    def on_episode_end(self, result):
        self.events.append(f"end {result.seed}")


def test_order_of_events():
    diary = Diary()
    env = gymnasium.make("CartPole-v1", max_episode_steps=2)
    rollout(env, diary, episodes=2, seed=7, observers=[diary], deterministic=False)
    episode = ["act False", "step 1 False False", "act False", "step 1 False True"]
    assert diary.events == [
        *["agent.reset", "reset 7", *episode, "end 7"],
        *["agent.reset", "reset 8", *episode, "end 8"],
    ]


def test_results():
    first, second = rollout(make_toy(), ToyExpert(), episodes=2, seed=3)
    assert (first.seed, second.seed) == (3, 4)
    assert first.success is True and first.terminated and first.seconds > 0
    again = rollout(make_toy(), ToyExpert(), episodes=1, seed=4)[0]
    assert (again.episode_return, again.length) == (second.episode_return, second.length)


def test_no_success_signal_is_none_and_truncation_is_not_termination():
    env = gymnasium.make("CartPole-v1", max_episode_steps=3)
    (result,) = rollout(env, Diary(), episodes=1, seed=0)
    assert (result.success, result.terminated, result.length) == (None, False, 3)
    assert result.episode_return == 3.0


class Reusing(gymnasium.Env):
    """Writes every observation into the same array, as some simulators do."""

    observation_space = spaces.Box(0, 9, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.buffer = np.zeros(1, np.float32)
        return self.buffer, {}

    def step(self, action):
        self.buffer += 1
        return self.buffer, 0.0, bool(self.buffer[0] == 4), False, {}


def test_the_recorder_copies_observations():
    episodes = []
    recorder = EpisodeRecorder("r", Diary(), "d", episodes.append)
    rollout(Reusing(), Diary(), episodes=1, seed=0, observers=[recorder])
    (episode,) = episodes
    assert episode.observations["observation"][:, 0].tolist() == [0, 1, 2, 3, 4]


def test_the_recorder_keeps_the_experts_action():
    class Clumsy(ToyExpert):
        def act(self, obs, deterministic=True):
            self.last_expert_action = super().act(obs)
            return 1

    episodes, agent = [], Clumsy()
    recorder = EpisodeRecorder(TOY_TASK, agent, "clumsy", episodes.append)
    rollout(make_toy(), agent, episodes=2, seed=0, observers=[recorder])
    assert [e.seed for e in episodes] == [0, 1]
    assert set(episodes[0].actions.tolist()) == {1}
    assert 1 not in episodes[0].expert_actions.tolist()
    assert episodes[0].versions.keys() == {"gato_gym", "gymnasium"}


@pytest.mark.parametrize(
    ("space", "action", "dtype", "value"),
    [
        (spaces.Discrete(3), np.int64(2), np.int64, 2),
        (spaces.MultiDiscrete([2, 2]), np.array([1, 0], np.int32), np.int64, [1, 0]),
        (spaces.MultiBinary(2), np.array([1, 0], np.int8), np.int64, [1, 0]),
        (spaces.Box(-1, 1, (1, 2)), np.array([[0.5, -1]]), np.float32, [0.5, -1.0]),
        (spaces.Text(8), "a key", np.dtype("<U5"), "a key"),
        (spaces.Text(8), "", np.dtype("<U1"), ""),
    ],
)
def test_actions_as_stored(space, action, dtype, value):
    flat = flat_action(space, action)
    assert flat.dtype == dtype
    assert flat.tolist() == value


class Listening(gymnasium.Env):
    """Takes three words."""

    observation_space = spaces.Text(8)
    action_space = spaces.Text(20)

    def reset(self, *, seed=None, options=None):
        self.heard = []
        return "go on", {}

    def step(self, action):
        self.heard.append(action)
        return "go on", 1.0, len(self.heard) == 3, False, {}


def test_what_is_said_in_an_episode_keeps_its_letters():
    words = ["", "a much longer reply", "no"]
    episodes, agent = [], Diary()
    agent.act = lambda obs, deterministic=True: words[len(env.heard)]
    env = Listening()
    recorder = EpisodeRecorder("t", agent, "d", episodes.append)
    rollout(env, agent, episodes=1, seed=3, observers=[recorder])
    (episode,) = episodes
    assert episode.actions.tolist() == words == env.heard
    assert episode.expert_actions is episode.actions
    assert episode.observations["observation"].tolist() == ["go on"] * 4


def test_an_action_that_cannot_be_stored():
    with pytest.raises(UnsupportedSpaceError, match="Box or Text"):
        flat_action(spaces.Graph(spaces.Discrete(2), None), None)


def test_versions_name_the_environments_package():
    pytest.importorskip("ale_py")
    from gato_gym import envs

    env = envs.make("ALE/Boxing-v5")
    assert package_versions(env).keys() == {"gato_gym", "gymnasium", "ale-py"}
    env.close()


# Columns


@pytest.mark.parametrize("rows", [1, 2, 63, 64, 65, 1000])
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (4, 5, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64, bool])
def test_a_column_is_what_stack_makes(rows, shape, dtype):
    values = np.random.default_rng(rows).integers(0, 2, (rows, *shape)).astype(dtype)
    column = Column(values[0])
    for value in values[1:]:
        column.put(value)
    found = column.take()
    assert found.dtype == dtype and found.tobytes() == values.tobytes()
    assert found.shape == values.shape


@pytest.mark.parametrize(
    "rows",
    [
        [np.float32(0.1), np.float64(0.1)],
        [np.array([1, 2], np.int32), np.array([2**40, 0])],
        [np.uint8(200), np.int8(-3)],
        [0, 1, 2],
        [0, 0.5],
        [True, False],
        [np.array([1, 2], ">i4"), np.array([3, 4], "<i4")],
    ],
)
def test_a_wider_row_widens_the_column(rows):
    column = Column(rows[0])
    for row in rows[1:]:
        column.put(row)
    expected = np.stack([np.asarray(row) for row in rows])
    found = column.take()
    assert found.dtype == expected.dtype and found.tobytes() == expected.tobytes()


def test_a_column_refuses_rows_that_would_be_broadcast():
    column = Column(np.zeros(4))
    for wrong in (np.zeros(1), np.zeros((1, 4)), 0.0):
        with pytest.raises(ValueError, match="shape"):
            column.put(wrong)


def test_the_first_row_that_is_not_finite_is_found_in_pieces():
    column = Column(np.zeros(2))
    assert column.first_not_finite() is None
    for value in (1, np.inf, np.nan):
        column.put(np.array([0, value]))
    assert column.first_not_finite() == 2
    assert column.first_not_finite() == 2


class Changing(Reusing):
    """Observes what it is told to, step after step."""

    def __init__(self, observations):
        self.observations = observations

    def reset(self, *, seed=None, options=None):
        self.left = list(self.observations)
        return self.left.pop(0), {}

    def step(self, action):
        return self.left.pop(0), 0.0, not self.left, False, {}


@pytest.mark.parametrize(
    "observations",
    [
        [np.zeros(2), np.zeros(3)],
        [{"a": np.zeros(2)}, {"b": np.zeros(2)}],
        [{"a": np.zeros(2)}, {"a": np.zeros(2), "b": np.zeros(2)}],
        [{"a": np.zeros(2), "t": "word"}, {"a": np.zeros(2), "t": np.zeros(1)}],
        [np.zeros(2), {"a": np.zeros(2)}],
    ],
)
def test_an_observation_that_changes_its_form_is_refused(observations):
    episodes = []
    recorder = EpisodeRecorder("r", Diary(), "d", episodes.append)
    with pytest.raises(InvalidEpisodeError, match=r"\(seed 4\): observation at step 1"):
        rollout(Changing(observations), Diary(), episodes=1, seed=4, observers=[recorder])
    assert not episodes


def test_an_endless_nan_is_noticed_on_the_way():
    def nan():
        yield np.zeros(1)
        while True:
            yield np.array([np.nan])

    class Endless(Changing):
        def reset(self, *, seed=None, options=None):
            self.left = nan()
            return next(self.left), {}

        def step(self, action):
            return next(self.left), 0.0, False, False, {}

    recorder = EpisodeRecorder("r", Diary(), "d", [].append)
    with pytest.raises(InvalidEpisodeError, match="not finite at step 1"):
        rollout(Endless([]), Diary(), episodes=1, seed=0, observers=[recorder])


def test_a_recorder_takes_another_agent_between_episodes():
    class Wishing(Diary):
        last_expert_action = 0

    episodes = []
    recorder = EpisodeRecorder("r", Diary(), "d", episodes.append)
    for agent in (Diary(), Wishing(), Diary()):
        recorder.agent = agent
        rollout(Reusing(), agent, episodes=1, seed=0, observers=[recorder])
    assert [e.expert_actions.tolist() for e in episodes] == [[1] * 4, [0] * 4, [1] * 4]
