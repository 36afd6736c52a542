"""Many tasks at once: what fails alone, what is filtered, and what a second run does again."""

import errno
import os
import signal
import subprocess
import sys
from functools import partial
from itertools import pairwise

import pytest

from gato_gym.data import executors
from gato_gym.data.collect import collect, collect_jobs
from gato_gym.data.corpus import Corpus
from gato_gym.data.executors import InProcess, ProcessPool, sendable
from gato_gym.data.jobs import Batch, Job, Outcome
from gato_gym.data.player import Player
from gato_gym.errors import GatoGymError, InvalidEpisodeError
from gato_gym.testing import (
    TOY_CONTINUOUS_TASK,
    TOY_TASK,
    FailingExpert,
    ToyExpert,
    WatchedToys,
    make_toy,
)


def job(task=TOY_TASK, agent=None, **kwargs):
    agent = agent or ToyExpert()
    return Job(task, agent, "scripted/toy", **{"make_env": make_toy, **kwargs})


def run(out, jobs, **kwargs):
    return collect_jobs(jobs, out=out, **{"episodes": 6, "seed": 0, **kwargs})


def contents(corpus):
    return {entry.key: corpus.read(entry) for entry in corpus.episodes()}


def seeds(path, task=TOY_TASK):
    return sorted(entry.seed for entry in Corpus.open(path).episodes(task))


BOTH = [job(), job(TOY_CONTINUOUS_TASK)]


@pytest.mark.parametrize("executor", [InProcess(), ProcessPool(3)])
def test_tasks_share_the_players_and_the_result_is_the_same(tmp_path, executor, assert_equal):
    noisy = [job(noise=0.3, random_start=5), *BOTH]
    reports = run(tmp_path / "c", noisy, executor=executor)
    assert [(r.task, r.episodes, r.missing) for r in reports] == [(j.task, 6, 0) for j in noisy]
    one = contents(Corpus.open(tmp_path / "c"))
    assert len(one) == 18
    for report in reports:
        mine = [e for e in Corpus.open(tmp_path / "c").episodes(report.task)]
        assert report.expert == "scripted/toy"
        assert len(mine) == 6 * (2 if report.task == TOY_TASK else 1)
    alone = {}
    for number, each in enumerate(noisy):
        run(tmp_path / str(number), [each], episodes_per_shard=2)
        alone |= contents(Corpus.open(tmp_path / str(number)))
    assert alone.keys() == one.keys()
    for key, episode in one.items():
        assert_equal(episode, alone[key])
    again = run(tmp_path / "c", noisy, executor=executor)
    assert [(r.episodes, r.steps, r.skipped) for r in again] == [(0, 0, 6)] * 3
    assert [r.mean_return for r in again] == [
        pytest.approx(r.mean_return, rel=1e-12) for r in reports
    ]


def test_a_process_keeps_its_environment_between_batches(tmp_path):
    watched = WatchedToys(str(tmp_path / "log"))
    run(
        tmp_path / "c",
        [job(make_env=watched), job(TOY_CONTINUOUS_TASK, make_env=watched)],
        executor=ProcessPool(2),
        episodes_per_shard=1,
        episodes=8,
    )
    players = {}
    for task, _, process in watched.lines():
        players.setdefault(process, []).append(task)
    assert len(players) == 2
    for tasks in players.values():
        changes = sum(a != b for a, b in pairwise(tasks))
        assert changes <= 1, "a process went to and fro between tasks"


def test_processes_are_replaced_after_some_tasks(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "TASKS_PER_PROCESS", 1)
    watched = WatchedToys(str(tmp_path / "log"))
    jobs = [job(make_env=watched), job(TOY_CONTINUOUS_TASK, make_env=watched)]
    run(tmp_path / "c", jobs, executor=ProcessPool(1), episodes=2)
    assert len({process for _, _, process in watched.lines()}) == 2
    assert len(Corpus.open(tmp_path / "c")) == 4


# Failures


@pytest.mark.parametrize("executor", [InProcess(), ProcessPool(2)])
def test_a_failing_task_leaves_the_others_alone(tmp_path, executor):
    failing = job(agent=FailingExpert(after=25))
    bad, good = run(tmp_path / "c", [failing, BOTH[1]], executor=executor, episodes=8)
    assert (good.episodes, good.failure) == (8, None)
    assert bad.failure is not None and bad.failure.task == TOY_TASK
    assert bad.failure.message == "RuntimeError: the expert has no idea"
    assert bad.failure.seed not in seeds(tmp_path / "c")
    assert 0 < bad.episodes < 8 and bad.missing == 8 - bad.episodes
    Corpus.open(tmp_path / "c").verify()
    again, _ = run(tmp_path / "c", BOTH, episodes=8)
    assert (again.skipped, again.missing) == (bad.episodes, 0)


def test_the_episodes_before_the_failure_are_kept(tmp_path):
    (report,) = run(
        tmp_path / "c", [job(agent=FailingExpert(after=25))], episodes=8, episodes_per_shard=8
    )
    assert seeds(tmp_path / "c") == list(range(report.failure.seed))
    assert report.episodes == report.failure.seed > 0


def test_a_killed_process_costs_its_own_task_only(tmp_path):
    # Both processes may come to play it, and both together play at most 16 steps of its 34.
    deadly = job(agent=FailingExpert(after=8, kill=True))
    bad, good = run(
        tmp_path / "c", [deadly, BOTH[1]], executor=ProcessPool(2), episodes_per_shard=1
    )
    assert (good.episodes, good.failure) == (6, None)
    assert isinstance(bad.failure.error, GatoGymError)
    assert f"(seed {bad.failure.seed}) died (killed by SIGKILL)" in bad.failure.message
    assert bad.failure.seed not in seeds(tmp_path / "c")
    again, _ = run(tmp_path / "c", BOTH)
    assert again.missing == 0
    Corpus.open(tmp_path / "c").verify()


class Leaver(ToyExpert):
    """Ends the process the way a library does that gives up."""

    def act(self, obs, deterministic=True):
        sys.exit(3)


def test_an_environment_that_asks_to_end_the_process_fails_its_task(tmp_path):
    bad, good = run(tmp_path / "c", [job(agent=Leaver()), BOTH[1]])
    assert "asked to end the process" in bad.failure.message and good.missing == 0


class Poisoned:
    """Makes toys that pay NaN from some step on."""

    def __call__(self, task):
        env = make_toy(task, disable_env_checker=True)
        step = env.step

        def poisoned(action):
            obs, _, *rest = step(action)
            return obs, float("nan"), *rest

        env.step = poisoned
        return env


def test_a_nan_reward_fails_its_task(tmp_path):
    bad, good = run(tmp_path / "c", [job(make_env=Poisoned()), BOTH[1]])
    assert isinstance(bad.failure.error, InvalidEpisodeError)
    assert "(seed 0): reward is not finite at step 0" in bad.failure.message
    assert (bad.episodes, good.missing) == (0, 0)


class Startled(ToyExpert):
    """Fails on a NaN, as an index made of one would."""

    def act(self, obs, deterministic=True):
        return int(obs["position"][0] * 0) + 1


def test_what_made_the_expert_fail_is_named(tmp_path):
    nan = partial(make_toy, nan_step=2, disable_env_checker=True)
    (bad,) = run(tmp_path / "c", [job(agent=Startled(), make_env=nan)])
    assert "observation 'position' is not finite at step 2" in bad.failure.message


def test_an_environment_that_cannot_be_made_fails_its_task(tmp_path):
    def missing(task):
        raise FileNotFoundError("no cartridge")

    bad, good = run(tmp_path / "c", [job(make_env=missing), BOTH[1]])
    assert bad.failure.message == "FileNotFoundError: no cartridge" and good.missing == 0


class Stubborn:
    """Makes toys that cannot begin an episode."""

    def __call__(self, task):
        env = make_toy(task)
        env.reset = lambda **kwargs: 1 / 0
        return env


def test_an_environment_that_cannot_be_reset_fails_its_task(tmp_path):
    bad, good = run(tmp_path / "c", [job(make_env=Stubborn()), BOTH[1]])
    assert "division by zero" in bad.failure.message and good.missing == 0


class Unsendable(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def test_every_error_can_be_sent():
    batch = Batch(0, (1,))
    told = sendable(Outcome(batch, (), Unsendable("a", "b"), 1)).error
    assert type(told) is GatoGymError and str(told) == "Unsendable: a and b"
    kept = InvalidEpisodeError("wrong")
    assert sendable(Outcome(batch, (), kept, 1)).error is kept


def test_a_disk_that_refuses_stops_everything_and_names_the_file(tmp_path, monkeypatch):
    run(tmp_path / "c", BOTH, episodes=2)
    real = os.fsync

    def full(descriptor):
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".tmp"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"nothing was committed: No space left.*array_record"):
        run(tmp_path / "c", BOTH, episodes=4)
    monkeypatch.undo()
    assert Corpus.open(tmp_path / "c").verify().episodes == 4
    assert all(r.episodes == 2 for r in run(tmp_path / "c", BOTH, episodes=4))


def test_collect_of_one_task_raises_what_stopped_it(tmp_path):
    with pytest.raises(RuntimeError, match="no idea"):
        collect(
            TOY_TASK,
            out=tmp_path / "c",
            episodes=5,
            seed=0,
            expert=FailingExpert(after=3),
            make_env=make_toy,
        )


CHILD = """
import sys
from gato_gym.cli import main

if __name__ == "__main__":
    sys.exit(main(["collect", "CartPole-v1", "--episodes", "100000", "--out", sys.argv[1],
                   "--workers", "2"]))
"""


def test_ctrl_c_ends_all_processes_and_says_what_is_safe(tmp_path):
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    command = [sys.executable, str(script), str(tmp_path / "c")]
    child = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.default_int_handler),
    )
    manifest = tmp_path / "c" / "manifest.jsonl"
    while child.poll() is None and not (manifest.exists() and manifest.stat().st_size):
        os.sched_yield()
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does
    _, told = child.communicate()  # returns when no process has stderr open any more
    assert child.returncode == 130 and "Traceback" not in told
    assert "episodes are safe" in told and "same command again" in told
    corpus = Corpus.open(tmp_path / "c")
    assert len(corpus) > 0 and corpus.verify().orphans == ()


def test_the_player_names_the_seed_it_is_at():
    noted = []
    with Player(noted.append) as player:
        outcome = player.play(job(), Batch(0, (4, 5)))
    assert noted == [4, 5] == [attempt.seed for attempt in outcome.attempts]
