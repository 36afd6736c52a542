"""Foreign data sets with wrong spaces or wrong episodes: each one named, nothing silent."""

import json

import h5py
import numpy as np
import pytest
from gymnasium import spaces

from gato_gym.data.corpus import Corpus
from gato_gym.data.minari.load import import_minari
from gato_gym.errors import InvalidEpisodeError, UnsupportedSpaceError


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
def test_spaces_without_tokens_are_refused(
    observation, action, told, write, tmp_path, random_episode
):
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
def test_a_bad_episode_is_named_and_those_before_it_are_kept(name, write, tmp_path, random_episode):
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


def test_actions_are_clipped_on_request(write, tmp_path, random_episode):
    observation, action = spaces.Box(-1, 1, (2,)), spaces.Box(-2, 2, (1,))
    recorded = random_episode(observation, action, 4)
    recorded["actions"][:2, 0] = 2.5, -7
    folder = write(observation, action, [recorded])
    import_minari(str(folder), tmp_path / "corpus", task="mine", clip_actions=True)
    corpus = Corpus.open(tmp_path / "corpus")
    assert corpus.read(corpus.episodes()[0]).actions[:2, 0].tolist() == [1.0, -1.0]


def test_a_discrete_action_outside_its_space_is_refused(write, tmp_path, random_episode):
    observation, action = spaces.Box(-1, 1, (2,)), spaces.Discrete(3)
    recorded = random_episode(observation, action, 4)
    recorded["actions"][2] = 3
    folder = write(observation, action, [recorded])
    with pytest.raises(InvalidEpisodeError, match=r"actions holds a number that is not in Discr"):
        import_minari(str(folder), tmp_path / "corpus", task="mine")


def test_an_episode_without_steps_is_refused(write, tmp_path, random_episode):
    observation, action = spaces.Box(-1, 1, (2,)), spaces.Discrete(3)
    empty = {
        "observations": np.zeros((1, 2), np.float32),
        "actions": np.zeros(0, np.int64),
        "rewards": np.zeros(0),
    }
    good = random_episode(observation, action, 2)
    folder = write(observation, action, [good])
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        group = file.create_group("episode_1")
        for name, values in empty.items():
            group[name] = values
        group["terminations"] = group["truncations"] = np.zeros(0, bool)
    path = folder / "data/metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"total_episodes": 2}))
    with pytest.raises(InvalidEpisodeError, match="episode 1: it has no steps"):
        import_minari(str(folder), tmp_path / "corpus", task="mine")
