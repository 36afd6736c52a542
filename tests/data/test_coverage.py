"""Every step is seen equally often: counted over all that can be drawn, and in drawn rows."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from gato_gym.data.documents import Planner, cut, cuts
from gato_gym.data.mixture import TaskEpisodes


class Listed:
    """A generator that gives what it was told to."""

    def __init__(self, *values):
        self.values = list(values)

    def random(self):
        return self.values.pop(0)


def places(count):
    """Numbers that make each of so many choices once."""
    return [(place + 0.5) / count for place in range(count)]


def entries(*steps, expert="one"):
    return [SimpleNamespace(steps=n, expert=expert, learner="") for n in steps]


def all_cuts(total, room):
    """All that can be drawn, each of them equally likely."""
    if total <= room:
        return [cut(total, room, Listed())]
    starts, coins = places(total + room - 1), (0.25, 0.75)
    return [cut(total, room, Listed(start, coin)) for start in starts for coin in coins]


@pytest.mark.parametrize("room", range(1, 9))
@pytest.mark.parametrize("total", [1, 2, 3, 4, 7, 8, 9, 17, 30])
def test_each_step_is_in_as_many_cuts(total, room):
    drawn = all_cuts(total, room)
    assert all(start >= 0 and 1 <= n <= room and start + n <= total for start, n in drawn)
    seen = Counter(step for start, n in drawn for step in range(start, start + n))
    assert set(seen) == set(range(total))
    assert {cuts(total, room) * n / len(drawn) for n in seen.values()} == {room}


def test_no_episode_is_wanted_more_than_it_is_drawn():
    """Else the correction in `Planner` could not be as large as it must."""
    for total in range(1, 40):
        for most in range(1, 20):
            assert max(cuts(total, steps) for steps in range(1, most + 1)) <= total + most - 1


@pytest.mark.parametrize("total", [9, 30])
def test_beginnings_are_seen_from_the_first_step(total):
    """Half of the beginnings are whole windows, so of the visits to a step of the first window at
    least half have all that acting would have seen there. Behind it, the past has any length."""
    room = 8
    drawn = all_cuts(total, room)
    first = Counter(n for start, n in drawn if start == 0)
    assert first[room] > sum(first.values()) / 2
    for step in range(room):
        visits = [(start, n) for start, n in drawn if start <= step < start + n]
        assert sum(start == 0 for start, _ in visits) >= len(visits) / 2
    pasts = Counter(room - start for start, n in drawn if start <= room < start + n)
    assert set(pasts) == set(range(room))


@pytest.mark.parametrize("more", [0, 1, 4, 39])
def test_episodes_are_drawn_by_their_steps_and_more(more):
    steps = [7, 1, 12, 5, 5, 30, 2]
    source = TaskEpisodes("a", entries(*steps))
    weights = [n + more for n in steps]
    drawn = Counter(source.draw(more, Listed(place)) for place in places(sum(weights)))
    assert [drawn[index] for index in range(len(steps))] == weights


def plan(steps, tokens, room, rows, prompt_share, least=4, most=4):
    """How often the cut of a document has each step; also how many documents, and with a prompt."""
    source = SimpleNamespace(tasks=[TaskEpisodes("a", entries(*steps))], draw=lambda rng, fits: 0)
    planner = Planner(
        source,
        [least],
        [most],
        lambda task, index: tokens[index],
        lambda cut: cut.length * tokens[cut.episode],
        prompt_share,
    )
    seen, documents, prompts = [np.zeros(n) for n in steps], 0, 0
    for row in range(rows):
        for *before, body in planner.row(room, np.random.default_rng([1, row])):
            seen[body.episode][body.start : body.start + body.length] += 1
            documents += 1
            prompts += len(before)
    return seen, documents, prompts


@pytest.mark.parametrize("prompt_share", [0.0, 0.25, 1.0])
def test_every_step_is_seen_equally_often_in_rows(prompt_share):
    """Rows of 15 steps; prompts, which are shorter where their episode is, take any part of one."""
    steps = [1, 2, 3, 40, 60, 9, 16]
    seen, documents, prompts = plan(steps, [4] * 7, 62, 4000, prompt_share)
    # None where there is room for one step only.
    assert prompts / documents == pytest.approx(prompt_share, abs=0.05)
    mean = np.concatenate(seen).mean()
    # At least 300 visits of a step, so a standard error of 6 % or less.
    assert mean > 300
    np.testing.assert_allclose(np.concatenate(seen) / mean, 1, atol=0.3)
    for visits in seen:
        for part in (visits, visits[:3], visits[-3:]):
            assert part.mean() / mean == pytest.approx(1, abs=0.2)


def test_long_texts_are_seen_as_often_as_short_ones():
    """Steps of 10 and of 15 tokens in rows of 160: 16 of the ones fit, or 10 of the others. Without
    a correction the ones would be seen half as often again."""
    steps, tokens = [50, 50, 20, 20], [10, 15, 10, 15]
    seen, _, _ = plan(steps, tokens, 160, 2500, 0.25, least=8, most=20)
    mean = np.concatenate(seen).mean()
    for index, visits in enumerate(seen):
        # What is left of a row goes to steps that fit: those of 10 tokens a little more often.
        assert visits.mean() / mean == pytest.approx(1, abs=0.15), index
