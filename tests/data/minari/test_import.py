"""Data sets that others wrote with Minari: as if our own collection had recorded them."""

import json

import gymnasium
import minari
import numpy as np
import pytest
from gymnasium import spaces

from gato_gym import envs
from gato_gym.cli import main
from gato_gym.data.corpus import Corpus
from gato_gym.data.minari.load import import_minari
from gato_gym.envs.images import resize_image
from gato_gym.errors import DatasetError
from gato_gym.evaluation.observers import EpisodeRecorder
from gato_gym.evaluation.rollout import rollout


class Sampler:
    """The same actions, on the scale of the wrapped environment."""

    id = "minari/x"

    def __init__(self, env):
        self.raw = env.unwrapped.action_space
        self.seed = 2

    def reset(self, env):
        self.seed += 1
        self.raw.seed(self.seed)

    def act(self, obs, deterministic=True):
        action = self.raw.sample()
        if isinstance(self.raw, spaces.Box):
            half = (self.raw.high - self.raw.low) / 2
            return (action - self.raw.low) / half - 1
        return action


@pytest.mark.parametrize(
    "task", ["CartPole-v1", "Pendulum-v1", "MountainCarContinuous-v0", "Taxi-v4", "Blackjack-v1"]
)
def test_what_the_data_collector_wrote_is_what_we_would_have_recorded(task, record, tmp_path):
    name = record(gymnasium.make(task), "others/Test-v0")
    report = import_minari(name, tmp_path / "corpus", root=tmp_path)
    assert (report.id, report.task, report.episodes) == (name, task, 2)
    assert (report.seeds, report.skipped, report.invalid) == ("recorded", 0, 0)
    env = envs.make(task)
    # Our environment scales an action back before it acts: its last bit may be another.
    rounding = 1e-5 if isinstance(env.action_space, spaces.Box) else 0.0
    ours = []
    player = Sampler(env)
    recorder = EpisodeRecorder(task, player, f"minari/{name}", ours.append)
    rollout(env, player, episodes=2, seed=3, observers=[recorder])
    corpus = Corpus.open(tmp_path / "corpus")
    for entry, expected in zip(corpus.episodes(), ours, strict=True):
        found = corpus.read(entry)
        assert (found.seed, found.expert, found.terminated) == (
            *(expected.seed, expected.expert, expected.terminated),
        )
        assert found.observations.keys() == expected.observations.keys()
        for key, values in expected.observations.items():
            assert found.observations[key].dtype == values.dtype
            np.testing.assert_allclose(found.observations[key], values, rtol=0, atol=rounding)
        assert found.actions.dtype == expected.actions.dtype
        np.testing.assert_allclose(found.actions, expected.actions, rtol=0, atol=rounding)
        np.testing.assert_allclose(found.rewards, expected.rewards, rtol=0, atol=rounding)
        assert found.versions == {"gato_gym": "0.1.0", "minari": minari.__version__}
    env.close()


@pytest.mark.parametrize("task", ["CartPole-v1", "Pendulum-v1"])
def test_a_tiny_model_trains_on_it(task, record, tmp_path, capsys):
    name, corpus = record(gymnasium.make(task), "others/Test-v0"), str(tmp_path / "corpus")
    command = ["import", "--minari", name, "--out", corpus, "--root", str(tmp_path)]
    assert main(["corpus", *command]) == 0
    assert capsys.readouterr().out.startswith(f"{name} ({task}): 2 episodes (")
    command = ["--corpus", corpus, "--out", str(tmp_path / "run"), "--size", "tiny", "--json"]
    assert main(["train", *command, "--steps", "3", "--batch", "2", "--threads", "1"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["steps"] == 3 and np.isfinite(trained["loss"])


def test_images_are_those_of_our_environment(record, tmp_path):
    """Atari in full size, lossless: after the import each frame is what `make` shows."""
    raw = gymnasium.make("ALE/Boxing-v5", max_episode_steps=20)
    name = record(raw, "others/Boxing-v0", seeds=(3,), jpeg_encoding=False)
    import_minari(name, tmp_path / "corpus", root=tmp_path)
    corpus = Corpus.open(tmp_path / "corpus")
    found = corpus.read(corpus.episodes()[0])
    assert found.observations["observation"].shape == (21, 64, 80, 3)
    env = envs.make("ALE/Boxing-v5")
    expected = [env.reset(seed=3)[0], *(env.step(action)[0] for action in found.actions)]
    np.testing.assert_array_equal(found.observations["observation"], expected)
    env.close()


def test_jpegs_are_read(record, tmp_path):
    raw = gymnasium.make("ALE/Boxing-v5", max_episode_steps=5)
    import_minari(record(raw, "others/Boxing-v0"), tmp_path / "corpus", root=tmp_path)
    corpus = Corpus.open(tmp_path / "corpus")
    frames = corpus.read(corpus.episodes()[0]).observations["observation"]
    env = envs.make("ALE/Boxing-v5")
    difference = np.abs(frames[0].astype(int) - env.reset(seed=3)[0])
    assert 0 < difference.mean() < 10
    env.close()


EVERYTHING = spaces.Dict(
    {
        "pair": spaces.Tuple([spaces.Box(-1, 1, (2,), np.float64), spaces.Discrete(4)]),
        "cells": spaces.MultiDiscrete([3, 5]),
        "flags": spaces.MultiBinary(3),
        "words": spaces.Text(12, charset="abc "),
        "camera": spaces.Box(0, 255, (96, 120, 3), np.uint8),
        "nested": spaces.Dict({"inner": spaces.Box(-np.inf, np.inf, (), np.float32)}),
    }
)


def test_every_kind_of_space(write, tmp_path, random_episode):
    action = spaces.MultiDiscrete([3, 4])
    recorded = random_episode(EVERYTHING, action, 7)
    recorded["infos"] = {"success": np.array([False] * 7 + [True])}
    folder = write(EVERYTHING, action, [recorded])
    report = import_minari(str(folder), tmp_path / "corpus", task="my-robot")
    assert (report.task, report.episodes) == ("my-robot", 1)
    corpus = Corpus.open(tmp_path / "corpus")
    (entry,) = corpus.episodes()
    found = corpus.read(entry)
    assert (entry.task, entry.seed, entry.expert) == ("my-robot", 10, "minari/others/Made-v0")
    assert (entry.noise, entry.terminated, entry.success) == (0.0, True, True)
    assert list(found.observations) == [
        *("camera", "cells", "flags", "nested/inner", "pair/0", "pair/1", "words"),
    ]
    given = recorded["observations"]
    for key, values in {
        "cells": given["cells"],
        "flags": given["flags"],
        "nested/inner": given["nested"]["inner"],
        "pair/0": given["pair"][0],
        "pair/1": given["pair"][1],
        "words": np.array(given["words"]),
        "camera": np.array([resize_image(image, (64, 80)) for image in given["camera"]]),
    }.items():
        assert found.observations[key].dtype == values.dtype
        np.testing.assert_array_equal(found.observations[key], values)
    np.testing.assert_array_equal(found.actions, recorded["actions"])
    np.testing.assert_array_equal(found.rewards, recorded["rewards"])


@pytest.mark.parametrize(
    "action",
    [
        spaces.Discrete(5),
        spaces.MultiBinary(3),
        spaces.Box(np.array([-2, 0, 5], np.float32), np.array([2, 1, 9], np.float32)),
        spaces.Box(-1, 1, (2, 3), np.float64),
        spaces.Box(0, 100, (1,), np.float64),
    ],
)
def test_actions_are_on_our_scale(action, write, tmp_path, random_episode):
    observation = spaces.Box(-1, 1, (2,))
    recorded = random_episode(observation, action, 50)
    folder = write(observation, action, [recorded])
    import_minari(str(folder), tmp_path / "corpus", task="mine")
    corpus = Corpus.open(tmp_path / "corpus")
    found = corpus.read(corpus.episodes()[0]).actions
    given = recorded["actions"]
    if not isinstance(action, spaces.Box):
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, given)
        return
    assert found.dtype == np.float32 and found.shape == (50, int(np.prod(action.shape)))
    # Back on the data set's scale they are what they were.
    half = (action.high.astype(float) - action.low) / 2
    back = action.low + (found.reshape(given.shape) + 1) * half
    np.testing.assert_allclose(back, given, rtol=0, atol=3e-7 * float(half.max()))


def test_actions_that_are_on_our_scale_already_keep_every_bit(write, tmp_path, random_episode):
    observation, action = spaces.Box(-1, 1, (2,)), spaces.Box(-1, 1, (3,))
    recorded = random_episode(observation, action, 50)
    recorded["actions"][0] = -0.0, 1e-40, -1.0
    import_minari(str(write(observation, action, [recorded])), tmp_path / "corpus", task="mine")
    corpus = Corpus.open(tmp_path / "corpus")
    found = corpus.read(corpus.episodes()[0])
    assert found.actions.tobytes() == recorded["actions"].tobytes()


def test_seeds_are_numbers_where_they_are_not_distinct(write, tmp_path, random_episode):
    observation, action = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)
    for name, seeds in (("a-v0", (7, 7)), ("b-v0", (7, None)), ("c-v0", (2**63, 5))):
        episodes = [random_episode(observation, action, 4, n) | {"seed": seeds[n]} for n in (0, 1)]
        folder = write(observation, action, episodes, name=name)
        report = import_minari(str(folder), tmp_path / "corpus", task="mine")
        assert report.seeds == ("recorded" if name == "c-v0" else "numbered")
    found = [(e.expert, e.seed) for e in Corpus.open(tmp_path / "corpus").episodes()]
    assert found == [
        *(("minari/a-v0", 0), ("minari/a-v0", 1), ("minari/b-v0", 0), ("minari/b-v0", 1)),
        *(("minari/c-v0", 2**63), ("minari/c-v0", 5)),
    ]


def test_an_import_that_was_stopped_goes_on(write, tmp_path, monkeypatch, random_episode):
    observation, action = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)
    episodes = [random_episode(observation, action, 4, n) for n in range(6)]
    folder = write(observation, action, episodes)
    append, left = Corpus.append_records, [3]

    def interrupted(self, records):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return append(self, records)

    monkeypatch.setattr(Corpus, "append_records", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"2 episodes are safe.*same command again"):
        import_minari(str(folder), tmp_path / "corpus", task="mine", shard_bytes=1)
    monkeypatch.undo()
    report = import_minari(str(folder), tmp_path / "corpus", task="mine")
    assert (report.episodes, report.skipped) == (4, 2)
    found = Corpus.open(tmp_path / "corpus").verify()
    assert (found.episodes, found.shards, found.orphans) == (6, 3, ())


def test_a_data_set_is_read_one_episode_at_a_time(write, tmp_path, monkeypatch, random_episode):
    observation, action = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)
    episodes = [random_episode(observation, action, 4, n) for n in range(6)]
    folder = write(observation, action, episodes)
    order = []
    append = Corpus.append_records
    monkeypatch.setattr(
        Corpus, "append_records", lambda self, r: (order.append("w"), append(self, r))[1]
    )
    from minari.dataset._storages.hdf5_storage import HDF5Storage

    read = HDF5Storage.get_episodes
    monkeypatch.setattr(
        HDF5Storage, "get_episodes", lambda self, i: (order.extend(i), read(self, i))[1]
    )
    import_minari(str(folder), tmp_path / "corpus", task="mine", shard_bytes=1)
    assert order == [0, "w", 1, "w", 2, "w", 3, "w", 4, "w", 5, "w"]


def test_a_known_task_must_fit(write, tmp_path, random_episode):
    observation, action = spaces.Box(-1, 1, (3,)), spaces.Discrete(2)
    folder = write(
        observation, action, [random_episode(observation, action, 4)], env_id="CartPole-v1"
    )
    with pytest.raises(DatasetError, match=r"not of the task CartPole-v1: it has .*\(3,\).*\(4,\)"):
        import_minari(str(folder), tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()
    assert import_minari(str(folder), tmp_path / "corpus", task="mine").task == "mine"


def test_a_task_must_be_named_where_the_data_set_names_none(write, tmp_path, random_episode):
    observation, action = spaces.Box(-1, 1, (3,)), spaces.Discrete(2)
    folder = write(observation, action, [random_episode(observation, action, 4)])
    with pytest.raises(DatasetError, match=r"does not say which environment.*--task"):
        import_minari(str(folder), tmp_path / "corpus")
