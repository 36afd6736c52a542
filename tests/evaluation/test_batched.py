"""Episodes played in batches are those that are played alone, and observers can tell them apart."""

import dataclasses

import gymnasium
import numpy as np
import pytest
import torch

from gato_gym import envs
from gato_gym.agents import RandomAgent
from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.evaluation.batched import BatchAgent, batched_rollout, mixed_rollout
from gato_gym.evaluation.observers import EpisodeRecorder, PerEpisode
from gato_gym.evaluation.progress import ProgressBar
from gato_gym.evaluation.rollout import rollout
from gato_gym.models.gato import Gato
from gato_gym.testing import TOY_CONTINUOUS_TASK, TOY_TASK, make_toy
from gato_gym.tokenizers.default_text import default_text


class Rememberer:
    """Walks to the origin, with pauses that depend on all that it saw in the episode: what leaks
    from another one changes them."""

    def __init__(self):
        self.calls = []

    def reset(self, env_or_task):
        self.seen = 0.0

    def act(self, obs, deterministic=True):
        self.seen, action = self._decide(self.seen, obs)
        return action

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        seen = [0.0] * len(observation) if state is None else list(state)
        waiting = [obs is None for obs in observation]
        self.calls.append((waiting, episode_start.tolist(), deterministic))
        actions = [None] * len(observation)
        for row, obs in enumerate(observation):
            if episode_start[row]:
                seen[row] = 0.0
            if obs is not None:
                seen[row], actions[row] = self._decide(seen[row], obs)
        return actions, seen

    def _decide(self, seen, obs):
        seen += float(obs["position"][0])
        pause = int(seen * 100) % 3 == 0
        return seen, 1 if pause else int(1 - np.sign(obs["position"][0]))


def plain(results):
    """Results without the time they took."""
    return [dataclasses.replace(result, seconds=0.0) for result in results]


@pytest.fixture(scope="module")
def alone():
    """Seven toy episodes of different lengths, played one after the other."""
    found = plain(rollout(make_toy(), Rememberer(), episodes=7, seed=20))
    assert len({result.length for result in found}) > 3
    return found


@pytest.mark.parametrize("copies", [1, 2, 3, 7, 9])
def test_the_episodes_are_those_that_are_played_alone(alone, copies):
    agent = Rememberer()
    toys = [make_toy() for _ in range(copies)]
    found = batched_rollout(toys, agent, episodes=7, seed=20, deterministic=False)
    assert plain(found) == alone
    assert all(result.seconds > 0 for result in found)
    waiting, starts, deterministic = zip(*agent.calls, strict=True)
    assert not any(deterministic)
    # Each episode starts once; in the first call all rows do, and there are none without a seed.
    assert sum(map(sum, starts)) == 7
    assert starts[0] == [True] * min(copies, 7) and not any(waiting[0])
    # Steps are those of the episodes: a row that waits is never decided for again.
    decided = sum(row.count(False) for row in waiting)
    assert decided == sum(result.length for result in alone)


def test_the_next_seed_goes_to_the_copy_that_is_free_first(alone):
    begun = []

    class Log(gymnasium.Wrapper):
        def reset(self, *, seed=None, options=None):
            begun.append((toys.index(self), seed))
            return super().reset(seed=seed, options=options)

    toys = [Log(make_toy()) for _ in range(2)]
    batched_rollout(toys, Rememberer(), episodes=7, seed=20)
    assert [seed for _, seed in begun] == list(range(20, 27))
    free = [0, 0]
    for (copy, _), result in zip(begun, alone, strict=True):
        assert copy == int(np.argmin(free))
        free[copy] += result.length


def test_no_episodes():
    assert batched_rollout([make_toy()], Rememberer(), episodes=0, seed=0) == []


def test_no_environment_for_the_episodes():
    with pytest.raises(ValueError, match="no environment plays the seeds 5 to 7"):
        batched_rollout([], Rememberer(), episodes=3, seed=5)


def test_an_agent_that_plays_one_episode_at_a_time():
    assert not isinstance(RandomAgent(0), BatchAgent)
    with pytest.raises(TypeError, match=r"RandomAgent has no predict.*num_envs=1"):
        batched_rollout([make_toy()], RandomAgent(0), episodes=1, seed=0)


def test_stopped_play_returns_what_has_ended(alone):
    limit = sorted(result.length for result in alone[:3])[1]
    asked = []

    def stop():
        asked.append(None)
        return len(asked) > limit

    toys = [make_toy() for _ in range(3)]
    found = plain(batched_rollout(toys, Rememberer(), episodes=3, seed=20, stop=stop))
    assert found == [result for result in alone[:3] if result.length <= limit]
    assert 0 < len(found) < 3


# Observers


class Diary:
    """Writes down the events of one episode."""

    def __init__(self, env, seed):
        self.env, self.seed, self.events = env, seed, []

    def on_reset(self, env, obs, info, seed):
        self.events.append(("reset", env is self.env, seed))

    def on_step(self, env, action, obs, reward, terminated, truncated, info):
        self.events.append(("step", env is self.env, action))

    def on_episode_end(self, result):
        self.events.append(("end", True, result))


def test_each_episode_has_an_observer_of_its_own(alone):
    diaries = []

    def make(env, seed):
        if seed == 22:
            return None
        diaries.append(Diary(env, seed))
        return diaries[-1]

    toys = [make_toy() for _ in range(3)]
    batched_rollout(toys, Rememberer(), episodes=7, seed=20, observers=[PerEpisode(make)])
    assert [diary.seed for diary in diaries] == [20, 21, 23, 24, 25, 26]
    for diary in diaries:
        kinds, own, values = zip(*diary.events, strict=True)
        assert all(own)
        assert kinds == ("reset", *["step"] * (len(kinds) - 2), "end")
        assert values[0] == diary.seed
        assert plain(values[-1:]) == [alone[diary.seed - 20]]
        assert len(kinds) - 2 == values[-1].length


def test_episodes_are_recorded_as_if_played_alone():
    expected, episodes = [], []
    alone = EpisodeRecorder(TOY_TASK, Rememberer(), "r", expected.append)
    rollout(make_toy(), Rememberer(), episodes=5, seed=3, observers=[alone])
    batch = PerEpisode(
        lambda env, seed: EpisodeRecorder(TOY_TASK, Rememberer(), "r", episodes.append)
    )
    batched_rollout(
        [make_toy() for _ in range(3)], Rememberer(), episodes=5, seed=3, observers=[batch]
    )
    episodes.sort(key=lambda episode: episode.seed)
    for one, other in zip(episodes, expected, strict=True):
        assert one.seed == other.seed and one.success == other.success
        assert one.actions.tobytes() == other.actions.tobytes()
        assert one.rewards.tobytes() == other.rewards.tobytes()
        for key, value in other.observations.items():
            assert one.observations[key].tobytes() == value.tobytes()


def test_an_observer_of_one_episode_at_a_time_is_refused():
    diary = Diary(None, 0)
    with pytest.raises(TypeError, match=r"Diary watches one episode at a time.*PerEpisode"):
        batched_rollout([make_toy()], Rememberer(), episodes=1, seed=0, observers=[diary])
    assert not diary.events


def test_a_progress_bar_counts_all(alone):
    with ProgressBar("toy", 7) as bar:
        toys = [make_toy() for _ in range(3)]
        batched_rollout(toys, Rememberer(), episodes=7, seed=20, observers=[bar])
        assert bar._steps == sum(result.length for result in alone)


# Gato


# Steps until a time limit: longer than the context is, but short.
BUNDLED = {"CartPole-v1": 55, "ALE/Boxing-v5": 20, "gato_gym/BlockStacking-v0": 12}


class RandomOpening(gymnasium.Wrapper):
    """Random steps that the seed decides: Boxing's own openings are alike for dozens of steps."""

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed, options=options)
        for action in np.random.default_rng(seed).integers(18, size=6).tolist():
            obs, _, _, _, info = self.env.step(action)
        return obs, info


@pytest.fixture(scope="module")
def bundled():
    return GatoAgent.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def untrained():
    """A tiny network that has seen no data; its weights are large enough for all to matter."""
    torch.manual_seed(1)
    network = Gato(dataclasses.replace(model_config("tiny"), context=256))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 2:
                parameter *= 3
    return GatoAgent(network, {}, text=default_text())


class ActionsTaken:
    """Keeps the actions of each episode, by task and seed."""

    interleaves = True

    def __init__(self):
        self.found, self._running = {}, {}

    def on_reset(self, env, obs, info, seed):
        self._running[id(env)] = self.found[env.spec.id, seed] = []

    def on_step(self, env, action, obs, reward, terminated, truncated, info):
        self._running[id(env)].append(np.array(action).tolist())

    def on_episode_end(self, result):
        pass


def play_both(agent, make, episodes, copies):
    """Actions and results of episodes played alone, and of the same in a batch."""
    told = []
    for play in (
        lambda env, **how: rollout(env[0], agent, **how),
        lambda env, **how: batched_rollout(env, agent, **how),
    ):
        actions, made = ActionsTaken(), [make() for _ in range(copies)]
        results = play(made, episodes=episodes, seed=40, observers=[actions])
        told.append((plain(results), actions.found))
        for env in made:
            env.close()
    return told


@pytest.mark.parametrize("task", BUNDLED)
def test_the_bundled_agent_plays_the_same(bundled, task):
    pytest.importorskip("ale_py") if task.startswith("ALE/") else None

    def make():
        env = envs.make(task, max_episode_steps=BUNDLED[task])
        return RandomOpening(env) if task.startswith("ALE/") else env

    alone, batch = play_both(bundled, make, episodes=4, copies=3)
    assert batch == alone
    assert len({str(actions) for actions in alone[1].values()}) > 1


@pytest.mark.parametrize("task", [TOY_TASK, TOY_CONTINUOUS_TASK, "BabyAI-GoToRedBall-v0"])
def test_an_untrained_agent_plays_the_same(untrained, task):
    pytest.importorskip("minigrid") if task.startswith("BabyAI") else None

    def make():
        return envs.make(task, max_episode_steps=9)

    alone, batch = play_both(untrained, make, episodes=5, copies=2)
    assert batch == alone
    assert len({str(actions) for actions in alone[1].values()}) == 5


def test_several_tasks_in_one_batch(bundled):
    """Rows of two tasks: more copies of the one, more episodes of the other."""
    limits = {"CartPole-v1": 20, "gato_gym/BlockStacking-v0": 5}
    seeds = {"CartPole-v1": range(10, 15), "gato_gym/BlockStacking-v0": [33, 31]}
    copies = {"CartPole-v1": 1, "gato_gym/BlockStacking-v0": 3}
    alone, batch, expected = ActionsTaken(), ActionsTaken(), []
    casts = []
    for task, limit in limits.items():
        made = [envs.make(task, max_episode_steps=limit) for _ in range(copies[task])]
        casts.append((made, seeds[task]))
        expected.append(
            [
                result
                for seed in seeds[task]
                for result in rollout(made[0], bundled, episodes=1, seed=seed, observers=[alone])
            ]
        )
    found = mixed_rollout(casts, bundled, observers=[batch])
    assert [plain(results) for results in found] == [plain(results) for results in expected]
    assert [[r.seed for r in results] for results in found] == [list(range(10, 15)), [33, 31]]
    assert batch.found == alone.found


def test_an_agent_that_played_a_batch_plays_alone_again(bundled):
    env, other = (envs.make("CartPole-v1", max_episode_steps=5) for _ in range(2))
    before = plain(rollout(env, bundled, episodes=2, seed=0))
    batched_rollout([env, other], bundled, episodes=2, seed=0)
    assert plain(rollout(env, bundled, episodes=2, seed=0)) == before
