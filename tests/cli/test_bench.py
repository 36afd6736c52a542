"""`gato-gym bench env | collect`: what is compared with what, and figures that fit together."""

import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import gato_gym
from gato_gym.cli import bench, measure, measure_collect
from gato_gym.data.corpus import Corpus
from gato_gym.envs.images import resize_image
from gato_gym.tokenizers.image import unpatchify


@pytest.mark.parametrize("task", ["CartPole-v1", "ALE/Boxing-v5"])
def test_env_measures_all_its_parts(task, run_json, monkeypatch):
    monkeypatch.setattr(measure, "COPIES", 2)
    found = run_json("bench", "env", "--task", task, "--rounds", 1, "--seconds", 0)
    assert set(found["parts"]) == {"numbers", "vector", "vector_raw"}
    for one in (found, *found["parts"].values()):
        assert one["unit"] == "steps/s" and one["value"] > 0 and one["reference"] > 0
        assert one["ratio"] == pytest.approx(one["value"] / one["reference"], abs=0.01)
        more = 1e6 / one["value"] - 1e6 / one["reference"]
        assert one["added_us"] == pytest.approx(more, rel=0.05, abs=0.5)


def test_the_units_of_a_vector_are_steps_of_its_copies():
    with measure.env("CartPole-v1") as pair:
        assert pair.ours() == pair.reference() == measure.STEPS_PER_WORK
        assert pair.clock is time.process_time
        for name in ("vector", "vector_raw"):
            part = pair.parts[name]
            assert part.ours() == part.reference() == 8 * measure.STEPS_PER_WORK
            assert part.clock is time.perf_counter


def test_the_reference_of_the_vector_is_the_packages_own(monkeypatch):
    monkeypatch.setattr(measure, "COPIES", 1)
    ours = gato_gym.make_vec("ALE/Boxing-v5", measure.COPIES, tokenize=False)
    theirs = measure.plain_vector("ALE/Boxing-v5")
    assert type(theirs) is type(ours.unwrapped)
    assert theirs.single_observation_space.shape == (1, 64, 80, 3)
    for vec in (ours, theirs):
        vec.reset(seed=0)
        vec.close()
    plain = measure.plain_vector("CartPole-v1")
    assert type(plain) is gym.vector.SyncVectorEnv and plain.num_envs == measure.COPIES
    plain.close()


def test_what_is_measured_is_the_whole_observation():
    """The fast ways leave nothing out: the tokens hold each pixel of the game's screen."""
    env, plain = gato_gym.make("ALE/Boxing-v5"), gym.make("ALE/Boxing-v5")
    tokens, raw = env.reset(seed=1)[0], plain.reset(seed=1)[0]
    for _ in range(5):
        image = unpatchify(tokens["patches"], 64, 80)
        np.testing.assert_array_equal(image, resize_image(raw, (64, 80)))
        tokens, raw = env.step(5)[0], plain.step(5)[0]
    env.close()
    plain.close()


def test_the_clock_of_a_pair_decides():
    ticks = iter(range(1000))
    assert bench.rate(lambda: 3, seconds=4, clock=lambda: float(next(ticks))) == 3


def test_collect_measures_both_tasks_and_their_commits(run_json, monkeypatch):
    monkeypatch.setitem(measure_collect.EPISODES, "CartPole-v1", 3)
    found = run_json("bench", "collect", "--rounds", 1, "--seconds", 0)
    commits = {f"{name} commit" for name in measure_collect.TASKS}
    cartpole = {"CartPole-v1", "CartPole-v1 cpu", "CartPole-v1 idle"}
    assert found["task"] == "ALE/Boxing-v5" and set(found["parts"]) == {"cpu", *cartpole, *commits}
    assert {"value", "unit", "reference", "ratio", "machine", "command"} <= set(found)
    for name, one in found["parts"].items():
        assert one["value"] > 0 and one["reference"] > 0
        assert one["unit"] == ("commits/s" if name in commits else "steps/s")
        assert (name in commits) == ("commit_ms" in one) == ("bytes" in one)


def test_what_collect_measures_is_committed(monkeypatch):
    corpora = []
    real = measure_collect.collect_jobs

    def watched(jobs, **kwargs):
        reports = real(jobs, **kwargs)
        corpora.append((reports[0], Corpus.open(kwargs["out"]).verify()))
        return reports

    monkeypatch.setattr(measure_collect, "collect_jobs", watched)
    monkeypatch.setitem(measure_collect.EPISODES, "CartPole-v1", 4)
    with measure_collect.collect("CartPole-v1") as pair:
        assert [pair.ours(), pair.ours()] == [2000, 2000]
        assert pair.reference() == 8 * measure.STEPS_PER_WORK
        assert pair.parts["cpu"].clock is time.process_time
    (report, first), (_, second) = corpora
    assert report.episodes == 4 and (first.episodes, second.episodes) == (4, 8)


def test_one_thread_of_the_packages_own_vector():
    vec = measure.plain_vector("ALE/Boxing-v5", threads=1)
    before = len(list(Path("/proc/self/task").iterdir()))
    vec.close()
    more = measure.plain_vector("ALE/Boxing-v5", threads=3)
    assert len(list(Path("/proc/self/task").iterdir())) == before + 2
    more.close()
