"""Which seeds are played: the result depends on the verdicts alone."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_gym.data.jobs import Attempt, Job, Outcome, Quality
from gato_gym.data.schedule import MAX_BATCH, Failure, Known, Progress, Schedule

FILTER = Quality(min_return=0.5)


def job(name="t", quality=FILTER):
    return Job(name, "agent", "expert", quality=quality)


def attempt(seed, good, seconds=0.01):
    return Attempt(seed, 10, float(good), None, seconds, record=b"record" if good else None)


class World:
    """Seeds with fixed verdicts, a corpus and a journal that outlive a collection."""

    def __init__(self, verdicts, first=3):
        self.verdicts, self.first = verdicts, first
        self.stored, self.rejected = set(), set()

    def good(self, seed):
        return self.verdicts[(seed - self.first) % len(self.verdicts)]

    def known(self, seed):
        if seed in self.stored:
            return Known(1.0, None, True)
        return Known(0.0, None, False) if seed in self.rejected else None

    def result(self, wanted, attempts):
        """What a collection is to end with."""
        tried = range(self.first, self.first + attempts)
        return set([seed for seed in tried if self.good(seed)][:wanted])

    def collect(self, wanted, attempts, players, chance, batch, steps=10**9):
        """Play with several players in a random order; stop after so many outcomes."""
        progress = Progress(job(), self.first, wanted, attempts, self.known)
        schedule = Schedule([progress], batch)
        playing, played = [], []
        while steps > 0:
            while len(playing) < players and (drawn := schedule.draw(None)) is not None:
                playing.append(drawn)
            if not playing:
                break
            drawn = playing.pop(chance.randrange(len(playing)))
            played += drawn.seeds
            tries = tuple(attempt(seed, self.good(seed)) for seed in drawn.seeds)
            committed = {one.seed for one in tries if one.record}
            self.stored |= committed
            self.rejected |= {one.seed for one in tries} - committed
            schedule.take_in(Outcome(drawn, tries), committed)
            steps -= 1
        assert len(played) == len(set(played))
        return progress, played


@given(
    st.lists(st.booleans(), min_size=1, max_size=40),
    st.integers(1, 12),
    st.integers(1, 40),
    st.integers(1, 5),
    st.integers(0, 2**32),
    st.one_of(st.none(), st.integers(1, 7)),
    st.integers(0, 6),
)
def test_the_result_is_the_first_acceptable_seeds(
    verdicts, wanted, attempts, players, seed, batch, interrupted
):
    world, chance = World(verdicts), random.Random(seed)
    attempts = max(attempts, wanted)
    world.collect(wanted, attempts, players, chance, batch, steps=interrupted)
    expected = world.result(wanted, attempts)
    assert world.stored <= expected, "an episode was kept that the result does not have"
    before = world.stored | world.rejected
    progress, played = world.collect(wanted, attempts, players, chance, batch)
    assert world.stored == expected
    assert not before & set(played), "a seed was played again"
    assert progress.made + progress.skipped == len(expected)
    assert progress.missing == wanted - len(expected)
    assert len(progress.returns) == len(expected)
    if progress.missing:
        assert progress.rejected == attempts - len(expected)


def test_another_filter_decides_anew():
    world = World([True, False, True, True])
    chance = random.Random(0)
    world.collect(2, 6, 1, chance, 1)
    assert (world.stored, world.rejected) == ({3, 5}, {4})
    # A seed that the journal says is good enough now has no episode yet: it is played.
    free = Progress(job(quality=Quality()), 3, 3, 3, world.known)
    assert (free.skipped, free.draw(9)) == (1, (4,))
    # An episode of the corpus that is not good enough now counts as rejected, and stays.
    strict = Progress(job(quality=Quality(min_return=2)), 3, 3, 3, world.known)
    assert (strict.skipped, strict.rejected, strict.missing, strict.left) == (0, 3, 3, 0)


def test_an_episode_that_somebody_else_committed_counts_as_skipped():
    progress = Progress(job(), 0, 2, 6, lambda seed: None)
    schedule = Schedule([progress], 2)
    drawn = schedule.draw(None)
    tries = tuple(attempt(seed, True) for seed in drawn.seeds)
    schedule.take_in(Outcome(drawn, tries), {0})
    assert (progress.made, progress.skipped, progress.steps) == (1, 1, 10)


def test_a_failure_ends_its_task_only():
    first, second = (Progress(job(name), 0, 5, 15, lambda seed: None) for name in "ab")
    schedule = Schedule([first, second], 2)
    drawn = schedule.draw(0)
    error = RuntimeError("  two\n lines ")
    schedule.take_in(Outcome(drawn, (attempt(0, True),), error, 1), {0})
    assert first.failure == Failure("a", 1, error)
    assert first.failure.message == "RuntimeError: two lines"
    assert (first.left, first.made) == (0, 1)
    assert schedule.draw(0).job == 1


def test_players_stay_with_their_task_and_then_help_where_most_is_left():
    tasks = [
        Progress(job(str(guess)), 0, 100, 300, lambda seed: None, guess=guess)
        for guess in (1, 8, 5)
    ]
    schedule = Schedule(tasks, 10)
    assert [schedule.draw(None).job for _ in range(3)] == [1, 2, 1]
    assert schedule.draw(0).job == 0
    while tasks[0].left:
        assert schedule.draw(0).job == 0
    assert schedule.draw(0).job != 0


@pytest.mark.parametrize(("seconds", "size"), [(1e-9, MAX_BATCH), (0.1, 10), (0.7, 1), (30.0, 1)])
def test_a_batch_takes_about_a_second(seconds, size):
    progress = Progress(job(), 0, 10_000, 30_000, lambda seed: None)
    schedule = Schedule([progress])
    first = schedule.draw(None)
    assert len(first.seeds) == 1
    schedule.take_in(Outcome(first, (attempt(0, True, seconds),)), {0})
    assert len(schedule.draw(0).seeds) == size
