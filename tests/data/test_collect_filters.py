"""What is kept of a collection, and what names its episodes: filters, noise and random starts."""

import json

import google_crc32c
import numpy as np
import pytest

from gato_gym.data.collect import collect_jobs
from gato_gym.data.corpus import Corpus
from gato_gym.data.executors import InProcess, ProcessPool
from gato_gym.data.jobs import Job, Quality
from gato_gym.data.rejected import NAME, RejectedAttempts
from gato_gym.testing import TOY_TASK, ToyExpert, WatchedToys, make_toy

# Of the toy task with its expert about three in four episodes.
GOOD = Quality(min_return=-10.0)


def job(agent=None, **kwargs):
    return Job(TOY_TASK, agent or ToyExpert(), "scripted/toy", **{"make_env": make_toy, **kwargs})


def run(out, jobs, **kwargs):
    return collect_jobs(jobs, out=out, **{"episodes": 6, "seed": 0, **kwargs})


def seeds(path):
    return sorted(entry.seed for entry in Corpus.open(path).episodes())


@pytest.mark.parametrize("executor", [InProcess(), ProcessPool(2)])
def test_a_filter_keeps_the_first_acceptable_seeds(tmp_path, executor):
    run(tmp_path / "all", [job()], episodes=30)
    returns = {e.seed: e.episode_return for e in Corpus.open(tmp_path / "all").episodes()}
    good = [seed for seed in range(30) if returns[seed] >= -10][:8]
    assert good != list(range(8)), "the filter must have something to do"
    filtered = job(quality=GOOD)
    (report,) = run(tmp_path / "c", [filtered], episodes=8, executor=executor, episodes_per_shard=3)
    assert seeds(tmp_path / "c") == good
    assert (report.episodes, report.missing) == (8, 0)
    assert report.rejected == good[-1] + 1 - 8
    assert report.mean_return == pytest.approx(np.mean([returns[seed] for seed in good]))


def test_a_resumed_filter_plays_no_seed_twice_and_ends_alike(tmp_path):
    watched = WatchedToys(str(tmp_path / "log"))
    filtered = job(quality=GOOD, make_env=watched)
    run(tmp_path / "c", [filtered], episodes=3)
    (report,) = run(tmp_path / "c", [filtered], episodes=8)
    assert (report.episodes, report.skipped) == (5, 3)
    played = [seed for _, seed, _ in watched.lines()]
    assert len(played) == len(set(played))
    run(tmp_path / "whole", [job(quality=GOOD)], episodes=8)
    assert seeds(tmp_path / "c") == seeds(tmp_path / "whole")
    # Without its journal the same comes out; only time is lost.
    (tmp_path / "c" / NAME).unlink()
    (again,) = run(tmp_path / "c", [filtered], episodes=8)
    assert (again.episodes, again.skipped, again.rejected) == (0, 8, report.rejected)
    assert seeds(tmp_path / "c") == seeds(tmp_path / "whole")


def test_rejected_seeds_are_not_played_again(tmp_path, caplog):
    for kind in ({}, {"noise": 0.4, "random_start": 2}, {"max_steps": 2}):
        watched = WatchedToys(str(tmp_path / f"log{len(kind)}{'max_steps' in kind}"))
        impossible = job(quality=Quality(min_return=1.0), make_env=watched, **kind)
        for _ in range(2):
            (report,) = run(tmp_path / "c", [impossible], episodes=2)
            assert (report.episodes, report.rejected) == (0, 6)
        assert sorted(seed for _, seed, _ in watched.lines()) == list(range(6)), kind
    assert not caplog.records
    # The versions before knew no learner, those before them no most steps.
    journal = tmp_path / "c" / NAME
    line = next(one for one in journal.read_text().splitlines() if "[1, 8], 0, 0," in one)
    fields = json.loads(line[9:])
    body = json.dumps(fields[:6] + fields[8:]).encode()
    journal.write_bytes(b"%08x %s\n" % (google_crc32c.value(body), body))
    ((key, _),) = RejectedAttempts(tmp_path / "c").seen.items()
    assert key == job().key(fields[2])


def test_attempts_are_bounded_and_the_rest_is_told(tmp_path):
    impossible = job(quality=Quality(min_return=1.0))
    (report,) = run(tmp_path / "c", [impossible], episodes=2)
    assert (report.episodes, report.rejected, report.missing) == (0, 6, 2)
    assert report.mean_return is None and report.failure is None
    (report,) = run(tmp_path / "c", [impossible], episodes=2, max_attempts=9)
    assert (report.rejected, report.missing) == (9, 2)
    assert len(Corpus.open(tmp_path / "c")) == 0
    with pytest.raises(ValueError, match="max_attempts 1 is below"):
        run(tmp_path / "c", [impossible], episodes=2, max_attempts=1)


def test_only_successes(tmp_path):
    lazy = job(agent=Lazy(), quality=Quality(only_success=True))
    (report,) = run(tmp_path / "c", [lazy], episodes=4, max_attempts=40)
    assert report.rejected > 0
    assert all(entry.success for entry in Corpus.open(tmp_path / "c").episodes())


class Lazy(ToyExpert):
    """Walks only if it starts near enough."""

    def reset(self, env):
        super().reset(env)
        self._walks = None

    def act(self, obs, deterministic=True):
        if self._walks is None:
            self._walks = abs(obs["position"][0]) < 2
        return super().act(obs) if self._walks else 1


# Injected actions


def test_burst_and_random_start_name_an_episode(tmp_path):
    kinds = [
        {"noise": 0.4},
        {"noise": 0.4, "burst": (5, 5)},
        {"noise": 0.4, "random_start": 3},
        {"random_start": 3},
        {"max_steps": 2},
        {},
    ]
    for kind in kinds:
        (report,) = run(tmp_path / "c", [job(**kind)], episodes=3)
        assert report.episodes == 3
        (again,) = run(tmp_path / "c", [job(**kind)], episodes=3)
        assert (again.episodes, again.skipped) == (0, 3)
    # Where there is no noise, the length of its bursts is nothing.
    (report,) = run(tmp_path / "c", [job(burst=(5, 5))], episodes=3)
    assert report.skipped == 3
    corpus = Corpus.open(tmp_path / "c")
    assert len(corpus) == corpus.verify().episodes == 18
    found = {e.injected for e in corpus.episodes()}
    assert found == {
        (0.4, (1, 8), 0, 0, ""),
        (0.4, (5, 5), 0, 0, ""),
        (0.4, (1, 8), 3, 0, ""),
        (0.0, (1, 8), 3, 0, ""),
        (0.0, (1, 8), 0, 2, ""),
        (0.0, (1, 8), 0, 0, ""),
    }
    cut = [e for e in corpus.episodes() if e.max_steps]
    assert all(e.steps <= 2 for e in cut) and any(not e.terminated for e in cut)


def test_a_random_start_is_context_and_the_experts_action_the_target(tmp_path):
    run(tmp_path / "c", [job(random_start=12)], episodes=10)
    corpus = Corpus.open(tmp_path / "c")
    lengths = []
    for entry in corpus.episodes():
        episode = corpus.read(entry)
        position = episode.observations["position"][:-1, 0]
        np.testing.assert_array_equal(episode.expert_actions, 1 - np.sign(position))
        differ = np.flatnonzero(episode.actions != episode.expert_actions)
        lengths.append(0 if len(differ) == 0 else differ[-1] + 1)
    assert 3 < max(lengths) <= 12
