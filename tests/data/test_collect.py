"""Collection: complete, reproducible, resumable, and safe against every kind of end."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from gato_gym.agents.experts import weights_folder
from gato_gym.data.collect import collect
from gato_gym.data.corpus import Corpus
from gato_gym.errors import GatoGymError, InvalidEpisodeError, UnknownTaskError
from gato_gym.testing import (
    TOY_CONTINUOUS_TASK,
    TOY_TASK,
    FailingExpert,
    ToyExpert,
    make_toy,
)


def run(out, **kwargs):
    defaults = {"episodes": 5, "seed": 10, "expert": ToyExpert(), "make_env": make_toy}
    defaults |= {"episodes_per_shard": 1}
    return collect(kwargs.pop("task", TOY_TASK), out=out, **{**defaults, **kwargs})


def contents(corpus):
    """Seed -> episode, for comparison by value."""
    return {entry.seed: corpus.read(entry) for entry in corpus.episodes()}


def test_collects_what_was_asked(tmp_path):
    report = run(tmp_path / "c")
    assert (report.episodes, report.skipped) == (5, 0)
    entries = report.corpus.episodes()
    assert [e.seed for e in entries] == [10, 11, 12, 13, 14]
    assert {(e.task, e.expert, e.noise) for e in entries} == {(TOY_TASK, "scripted/toy", 0.0)}
    assert report.steps == sum(e.steps for e in entries)
    episode = report.corpus.read(entries[0])
    assert episode.versions.keys() == {"gato_gym", "gymnasium"}
    assert episode.success is True and episode.terminated
    assert episode.expert_actions is not None
    np.testing.assert_array_equal(episode.actions, episode.expert_actions)


def test_the_recorded_episode_is_the_one_that_was_played(tmp_path):
    episode = contents(run(tmp_path / "c", episodes=1).corpus)[10]
    env = make_toy()
    obs, _ = env.reset(seed=10)
    for step in range(len(episode)):
        for key, values in episode.observations.items():
            np.testing.assert_array_equal(values[step], obs[key])
        obs, reward, *_ = env.step(episode.actions[step])
        assert reward == episode.rewards[step]
    np.testing.assert_array_equal(episode.observations["image"][-1], obs["image"])


def test_cartpole_and_any_gymnasium_task(tmp_path):
    report = collect("CartPole-v1", out=tmp_path / "c", episodes=2, seed=0, expert=Pusher())
    episode = report.corpus.read(report.corpus.episodes()[0])
    assert episode.observations["observation"].dtype == np.float32
    assert episode.expert == "Pusher" and episode.success is None


class Pusher:
    """Pushes towards where the pole leans."""

    def reset(self, env):
        pass

    def act(self, obs, deterministic=True):
        return int(obs[2] > 0)


def test_again_makes_only_what_is_missing(tmp_path):
    run(tmp_path / "c", episodes=3)
    report = run(tmp_path / "c", episodes=8)
    assert (report.episodes, report.skipped) == (5, 3)
    assert sorted(e.seed for e in report.corpus.episodes()) == list(range(10, 18))
    assert run(tmp_path / "c", episodes=8).episodes == 0
    # Other noise, another expert, another task: other episodes.
    assert run(tmp_path / "c", noise=0.5).episodes == 5
    assert run(tmp_path / "c", task=TOY_CONTINUOUS_TASK).episodes == 5


@pytest.mark.parametrize("task", [TOY_TASK, TOY_CONTINUOUS_TASK])
def test_workers_and_shards_change_nothing_but_the_order(tmp_path, task, assert_equal):
    one = contents(run(tmp_path / "1", task=task, noise=0.4).corpus)
    two = run(tmp_path / "2", task=task, noise=0.4, workers=2, episodes_per_shard=2)
    assert (two.episodes, len(two.corpus.verify().orphans)) == (5, 0)
    two = contents(two.corpus)
    assert one.keys() == two.keys()
    for seed, episode in one.items():
        assert_equal(episode, two[seed])
    assert any((e.actions != e.expert_actions).any() for e in one.values())


def test_shards_hold_the_episodes_asked_for(tmp_path):
    corpus = run(tmp_path / "c", episodes_per_shard=2).corpus
    assert [e.record for e in corpus.episodes()] == [0, 1, 0, 1, 0]


def test_a_nan_observation_names_the_key_and_writes_nothing(tmp_path):
    run(tmp_path / "c", episodes=2)
    # Gymnasium's own checker would warn of the NaN first.
    poisoned = partial(make_toy, nan_step=1, disable_env_checker=True)
    with pytest.raises(InvalidEpisodeError, match=r"seed 12.*'position' is not finite at step 1"):
        run(tmp_path / "c", make_env=poisoned)
    corpus = Corpus.open(tmp_path / "c")
    assert [e.seed for e in corpus.episodes()] == [10, 11]
    assert corpus.verify().orphans == ()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_expert_is_passed_on(tmp_path, workers):
    with pytest.raises(RuntimeError, match="no idea"):
        run(tmp_path / "c", expert=FailingExpert(after=12), episodes=12, workers=workers)
    assert Corpus.open(tmp_path / "c").verify().orphans == ()
    report = run(tmp_path / "c", episodes=12)
    assert sorted(e.seed for e in report.corpus.episodes()) == list(range(10, 22))


def test_a_killed_worker_is_an_error_and_costs_no_committed_episode(tmp_path):
    with pytest.raises(GatoGymError, match=r"died \(killed by SIGKILL\).*run the same command"):
        run(tmp_path / "c", expert=FailingExpert(after=12, kill=True), episodes=12, workers=2)
    report = run(tmp_path / "c", episodes=12)
    assert report.skipped > 0
    assert sorted(e.seed for e in report.corpus.episodes()) == list(range(10, 22))
    report.corpus.verify()


def test_interrupted_by_the_user(tmp_path):
    # A shell starts background jobs with the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt(task):
        env = make_toy(task)
        env.unwrapped.render = lambda: signal.raise_signal(signal.SIGINT)
        return env

    run(tmp_path / "c", episodes=2)
    try:
        with pytest.raises(KeyboardInterrupt, match=r"2 episodes are safe in .* same command"):
            run(tmp_path / "c", make_env=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert run(tmp_path / "c").episodes == 3


def test_the_bar_is_silent_without_a_terminal(tmp_path, capfd):
    run(tmp_path / "c", episodes=1)
    assert capfd.readouterr().err == ""
    run(tmp_path / "c", episodes=2, progress=True)
    assert "2/2" in capfd.readouterr().err


def test_wrong_numbers_are_refused(tmp_path):
    for wrong in ({"episodes": 0}, {"workers": 0}, {"episodes_per_shard": 0}, {"noise": 1.5}):
        with pytest.raises(ValueError):
            run(tmp_path / "c", **wrong)
    with pytest.raises(ValueError, match="burst"):
        run(tmp_path / "c", burst=(0, 3))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("expert", ["sb3/CartPole-v1", "scripted/stacker", "sb3/none"])
def test_an_unsuitable_expert_leaves_no_corpus(tmp_path, expert):
    with pytest.raises(UnknownTaskError):
        run(tmp_path / "c", expert=expert)
    assert not (tmp_path / "c").exists()


def test_an_expert_of_a_folder_is_named_by_its_content(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    shutil.copytree(weights_folder("CartPole-v1"), folder)
    monkeypatch.chdir(tmp_path)
    settings = {"out": tmp_path / "c", "episodes": 1, "seed": 0}
    report = collect("CartPole-v1", expert=str(folder), **settings)
    digest = json.loads((folder / "policy.json").read_text())["sha256"]
    assert report.corpus.episodes()[0].expert == f"sb3/CartPole-v1@{digest[:8]}"
    assert collect("CartPole-v1", expert="mine", **settings).skipped == 1
    # A task's id stands for its expert.
    report = collect("CartPole-v1", expert="CartPole-v1", **settings)
    assert report.corpus.episodes()[1].expert == "sb3/CartPole-v1"


# Kills: a child collects 30 episodes; whatever it committed must be there afterwards, equal.

CHILD = """
import os, signal, sys
from gato_gym.data.collect import collect
from gato_gym.testing import TOY_TASK, ToyExpert, make_toy

name, countdown = sys.argv[2], int(sys.argv[3])
if name:
    real = getattr(os, name)

    def deadly(*args):
        global countdown
        countdown -= 1
        if countdown == 0:
            if name == "write":
                real(args[0], args[1][:len(args[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)

    setattr(os, name, deadly)
print("ready", flush=True)
settings = {"episodes": 30, "seed": 0, "noise": 0.3, "expert": ToyExpert(), "make_env": make_toy}
collect(TOY_TASK, out=sys.argv[1], episodes_per_shard=1, **settings)
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return contents(run(tmp_path_factory.mktemp("u") / "c", episodes=30, seed=0, noise=0.3).corpus)


def start_child(path, name="", countdown=0):
    command = [sys.executable, "-c", CHILD, str(path), name, str(countdown)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def check_after_kill(path, undisturbed, assert_equal, least):
    corpus = Corpus.create(path)  # the kill may have hit the making of the folder itself
    survivors = contents(corpus)
    assert len(survivors) == len(corpus) >= least
    for seed, episode in survivors.items():
        assert_equal(episode, undisturbed[seed])
    report = run(path, episodes=30, seed=0, noise=0.3)
    assert (report.skipped, report.episodes) == (len(survivors), 30 - len(survivors))
    whole = contents(report.corpus)
    assert len(report.corpus) == 30 and whole.keys() == undisturbed.keys()
    for seed, episode in whole.items():
        assert_equal(episode, undisturbed[seed])
    report.corpus.verify()


@pytest.mark.parametrize("committed", [0, 1, 3, 8, 15, 24])
def test_sigkill_at_a_random_moment(tmp_path, undisturbed, assert_equal, committed):
    path = tmp_path / "c"
    child = start_child(path)
    child.stdout.readline()
    manifest = path / "manifest.jsonl"
    while child.poll() is None and not (
        manifest.exists() and manifest.read_bytes().count(b"\n") >= committed
    ):
        os.sched_yield()
    for _ in range(random.Random(committed).randrange(3000)):
        os.sched_yield()
    child.kill()
    child.communicate()
    check_after_kill(path, undisturbed, assert_equal, committed)


# The calls of one commit: fsync shard, rename, fsync folder, write line, fsync manifest. `create`
# makes two fsyncs before.
@pytest.mark.parametrize(
    ("name", "countdown", "least"),
    [
        ("fsync", 1, 0),
        ("fsync", 2, 0),
        ("fsync", 3, 0),
        ("fsync", 4, 0),
        ("fsync", 5, 0),
        ("fsync", 6, 1),
        ("fsync", 20, 5),
        ("rename", 1, 0),
        ("rename", 4, 3),
        ("write", 4, 3),
    ],
)
def test_sigkill_inside_a_commit(tmp_path, undisturbed, assert_equal, name, countdown, least):
    path = tmp_path / "c"
    child = start_child(path, name, countdown)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    check_after_kill(path, undisturbed, assert_equal, least)
