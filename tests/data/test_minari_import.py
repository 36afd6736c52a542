"""Data sets that others wrote with Minari: as if our own collection had recorded them."""

import gc
import json
import sys
import types
import warnings

import ale_py
import gymnasium
import minari
import numpy as np
import pytest
import torch
from gymnasium import spaces
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from gato_gym import envs
from gato_gym.cli import main
from gato_gym.data.corpus import Corpus
from gato_gym.data.minari.load import import_minari
from gato_gym.envs.images import resize_image
from gato_gym.errors import DatasetError, InvalidEpisodeError, UnsupportedSpaceError
from gato_gym.evaluation.observers import EpisodeRecorder
from gato_gym.evaluation.rollout import rollout

gymnasium.register_envs(ale_py)


@pytest.fixture
def record(tmp_path, monkeypatch):
    """Let Minari's own `DataCollector` write a data set of random play; its root is tmp_path."""
    tree = types.ModuleType("jax.tree_util")
    # All that Minari uses of jax, which is not installed here.
    tree.tree_map = torch.utils._pytree.tree_map
    jax = types.ModuleType("jax")
    jax.tree_util = tree

    def call(env, dataset_id, *, seeds=(3, 4), **options):
        monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
        with monkeypatch.context() as patched, warnings.catch_warnings():
            patched.setitem(sys.modules, "jax", jax)
            patched.setitem(sys.modules, "jax.tree_util", tree)
            warnings.simplefilter("ignore")  # what it says about missing authors and folders
            collector = minari.DataCollector(env, **options)
            for seed in seeds:
                collector.reset(seed=seed)
                collector.action_space.seed(seed)
                done = False
                while not done:
                    *_, terminated, truncated, _ = collector.step(collector.action_space.sample())
                    done = terminated or truncated
            collector.create_dataset(dataset_id)
            collector.close()
            del collector
            gc.collect()
        return dataset_id

    return call


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


@pytest.fixture
def write(tmp_path):
    """Write a data set step by step through Minari's storage; its folder."""

    def call(observation, action, episodes, *, name="others/Made-v0", env_id=None, **metadata):
        folder = tmp_path / name / "data"
        folder.parent.mkdir(parents=True)
        storage = MinariStorage.new(folder, observation, action, jpeg_encoding=False)
        for number, parts in enumerate(episodes):
            parts = {"seed": 10 + number} | parts
            steps = len(parts["rewards"])
            end = np.arange(steps) == steps - 1
            parts = {"terminations": end, "truncations": ~end & False, "infos": {}} | parts
            storage.update_episodes([EpisodeBuffer(**parts)])
        known = {"dataset_id": name, "minari_version": minari.__version__}
        storage.update_metadata(known | metadata)
        if env_id is not None:
            path = folder / "metadata.json"
            changed = json.loads(path.read_text()) | {"env_spec": json.dumps({"id": env_id})}
            path.write_text(json.dumps(changed))
        return folder.parent

    return call


def random_columns(space, rows, rng):
    """Random values of a space over time, as Minari stores them."""
    if isinstance(space, spaces.Dict):
        return {name: random_columns(child, rows, rng) for name, child in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(random_columns(child, rows, rng) for child in space)
    space.seed(int(rng.integers(1000)))
    values = [space.sample() for _ in range(rows)]
    return values if isinstance(space, spaces.Text) else np.array(values)


def random_episode(observation, action, steps, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "observations": random_columns(observation, steps + 1, rng),
        "actions": random_columns(action, steps, rng),
        "rewards": rng.normal(size=steps),
    }


def test_every_kind_of_space(write, tmp_path):
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
def test_actions_are_on_our_scale(action, write, tmp_path):
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


def test_actions_that_are_on_our_scale_already_keep_every_bit(write, tmp_path):
    observation, action = spaces.Box(-1, 1, (2,)), spaces.Box(-1, 1, (3,))
    recorded = random_episode(observation, action, 50)
    recorded["actions"][0] = -0.0, 1e-40, -1.0
    import_minari(str(write(observation, action, [recorded])), tmp_path / "corpus", task="mine")
    corpus = Corpus.open(tmp_path / "corpus")
    found = corpus.read(corpus.episodes()[0])
    assert found.actions.tobytes() == recorded["actions"].tobytes()


def test_seeds_are_numbers_where_they_are_not_distinct(write, tmp_path):
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


def test_an_import_that_was_stopped_goes_on(write, tmp_path, monkeypatch):
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


def test_a_data_set_is_read_one_episode_at_a_time(write, tmp_path, monkeypatch):
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


def test_a_known_task_must_fit(write, tmp_path):
    observation, action = spaces.Box(-1, 1, (3,)), spaces.Discrete(2)
    folder = write(
        observation, action, [random_episode(observation, action, 4)], env_id="CartPole-v1"
    )
    with pytest.raises(DatasetError, match=r"not of the task CartPole-v1: it has .*\(3,\).*\(4,\)"):
        import_minari(str(folder), tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()
    assert import_minari(str(folder), tmp_path / "corpus", task="mine").task == "mine"


def test_a_task_must_be_named_where_the_data_set_names_none(write, tmp_path):
    observation, action = spaces.Box(-1, 1, (3,)), spaces.Discrete(2)
    folder = write(observation, action, [random_episode(observation, action, 4)])
    with pytest.raises(DatasetError, match=r"does not say which environment.*--task"):
        import_minari(str(folder), tmp_path / "corpus")


@pytest.mark.parametrize(
    ("observation", "action", "told"),
    [
        (spaces.Box(-1, 1, (2,)), spaces.Box(-np.inf, np.inf, (1,)), "is not bounded"),
        (spaces.Box(-1, 1, (2,)), spaces.Box(0, 9, (1,), np.int64), "Box of integers"),
        (spaces.Box(-1, 1, (2,)), spaces.Discrete(3, start=1), "must start at 0"),
        (spaces.Box(-1, 1, (2,)), spaces.Discrete(5000), "more than 1024"),
        (spaces.Box(-1, 1, (2,)), spaces.Dict({"a": spaces.Discrete(2)}), "no plain action"),
        (spaces.Discrete(5000), spaces.Discrete(2), r"outside of \[0, 1024\)"),
    ],
)
def test_spaces_without_tokens_are_refused(observation, action, told, write, tmp_path):
    folder = write(observation, action, [random_episode(observation, action, 2)])
    with pytest.raises(UnsupportedSpaceError, match=f"others/Made-v0: .*{told}"):
        import_minari(str(folder), tmp_path / "corpus", task="mine")
    assert not (tmp_path / "corpus").exists()


def changed(episode, **changes):
    return {**episode, **{name: change(episode[name]) for name, change in changes.items()}}


def with_value(place, value):
    def change(values):
        values = np.array(values)
        values[place] = value
        return values

    return change


BAD = {
    "an observation is NaN": (
        {"observations": with_value((2, 1), np.nan)},
        "'observation' is not finite at step 2",
    ),
    "a reward is infinite": ({"rewards": with_value(1, np.inf)}, "reward is not finite at step 1"),
    "an action is NaN": ({"actions": with_value((3, 0), np.nan)}, "action of step 3"),
    "an action leaves its space": ({"actions": with_value((3, 0), 2.5)}, "--clip-actions"),
    "a row is missing": ({"observations": lambda o: o[:-1]}, "4 entries, expected 5"),
    "the shape is another": (
        {"observations": lambda o: o[:, :1]},
        r"shape \(1,\), expected \(2,\)",
    ),
    "it holds no numbers": ({"rewards": lambda r: ["a"] * 4}, "does not hold numbers"),
    "it goes on after its end": (
        {"rewards": lambda r: r, "terminations": with_value(1, True)},
        "ends at step 1 and goes on",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_episode_is_named_and_those_before_it_are_kept(name, write, tmp_path):
    observation, action = spaces.Box(-1, 1, (2,)), spaces.Box(-2, 2, (1,))
    changes, told = BAD[name]
    good = [random_episode(observation, action, 4, n) for n in range(3)]
    bad = changed({"terminations": np.arange(4) == 3, **good[1]}, **changes)
    folder = write(observation, action, [good[0], bad, good[2]])
    for _ in range(2):
        with pytest.raises(InvalidEpisodeError, match=f"others/Made-v0, episode 1: .*{told}"):
            import_minari(str(folder), tmp_path / "corpus", task="mine")
        assert [e.seed for e in Corpus.open(tmp_path / "corpus").episodes()] == [10]
    report = import_minari(str(folder), tmp_path / "corpus", task="mine", skip_invalid=True)
    assert (report.episodes, report.skipped, report.invalid) == (1, 1, 1)
    assert [e.seed for e in Corpus.open(tmp_path / "corpus").episodes()] == [10, 12]


def test_actions_are_clipped_on_request(write, tmp_path):
    observation, action = spaces.Box(-1, 1, (2,)), spaces.Box(-2, 2, (1,))
    recorded = random_episode(observation, action, 4)
    recorded["actions"][:2, 0] = 2.5, -7
    folder = write(observation, action, [recorded])
    import_minari(str(folder), tmp_path / "corpus", task="mine", clip_actions=True)
    corpus = Corpus.open(tmp_path / "corpus")
    assert corpus.read(corpus.episodes()[0]).actions[:2, 0].tolist() == [1.0, -1.0]


def test_a_discrete_action_outside_its_space_is_refused(write, tmp_path):
    observation, action = spaces.Box(-1, 1, (2,)), spaces.Discrete(3)
    recorded = random_episode(observation, action, 4)
    recorded["actions"][2] = 3
    folder = write(observation, action, [recorded])
    with pytest.raises(InvalidEpisodeError, match=r"actions holds a number that is not in Discr"):
        import_minari(str(folder), tmp_path / "corpus", task="mine")


def test_an_episode_without_steps_is_refused(write, tmp_path):
    observation, action = spaces.Box(-1, 1, (2,)), spaces.Discrete(3)
    empty = {
        "observations": np.zeros((1, 2), np.float32),
        "actions": np.zeros(0, np.int64),
        "rewards": np.zeros(0),
    }
    good = random_episode(observation, action, 2)
    folder = write(observation, action, [good])
    import h5py

    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        group = file.create_group("episode_1")
        for name, values in empty.items():
            group[name] = values
        group["terminations"] = group["truncations"] = np.zeros(0, bool)
    path = folder / "data/metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"total_episodes": 2}))
    with pytest.raises(InvalidEpisodeError, match="episode 1: it has no steps"):
        import_minari(str(folder), tmp_path / "corpus", task="mine")
