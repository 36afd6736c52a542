"""The paper's return filter, on worked examples."""

from types import SimpleNamespace

import pytest

from gato_gym.data.filters import near_expert, successful, windowed_expert_return


def entry(seed, episode_return, task="t", success=None):
    return SimpleNamespace(
        task=task,
        expert="e",
        noise=0.0,
        seed=seed,
        index=seed,
        episode_return=episode_return,
        success=success,
    )


def test_golden_windowed_return():
    returns = [10.0] * 10 + [90.0, 100.0, 95.0] + [50.0] * 16 + [200.0]
    assert windowed_expert_return(returns) == 100.0  # 30 episodes: W = 3, (50 + 50 + 200) / 3
    assert windowed_expert_return(returns[:-1]) == 97.5  # 29 episodes: W = 2, (100 + 95) / 2


def test_golden_filter():
    returns = [10.0] * 10 + [90.0, 100.0, 95.0] + [50.0] * 17
    entries = [entry(i, r) for i, r in enumerate(returns)]
    # W = 3, expert return 95, so 76 is the least: exactly the three good ones pass.
    assert [e.seed for e in near_expert(entries)] == [10, 11, 12]
    assert len(near_expert(entries, fraction=0.5)) == 20


@pytest.mark.parametrize(
    ("count", "window"), [(1, 1), (9, 1), (10, 1), (19, 1), (20, 2), (10_000, 1000), (30_000, 1000)]
)
def test_window_length(count, window):
    # One return of 1 among zeros: the best windowed mean is 1 / W.
    assert windowed_expert_return([0.0] * (count - 1) + [1.0]) == pytest.approx(1 / window)


def test_negative_returns_allow_the_same_distance():
    entries = [entry(i, r) for i, r in enumerate([-100.0, -110.0, -119.0, -121.0])]
    assert [e.episode_return for e in near_expert(entries)] == [-100.0, -110.0, -119.0]


def test_tasks_have_their_own_threshold_and_commit_order_does_not_matter():
    entries = [entry(i, float(r)) for i, r in enumerate([1, 2, 3, 4, 5] * 8)]
    entries += [entry(i, 1000.0, task="u") for i in range(3)]
    kept = near_expert(entries)
    assert {e.seed for e in kept if e.task == "u"} == {0, 1, 2}
    shuffled = near_expert(entries[::-1])
    assert {(e.task, e.seed) for e in kept} == {(e.task, e.seed) for e in shuffled}
    assert [e.seed for e in shuffled] == [e.seed for e in kept][::-1]


def test_no_episodes():
    assert near_expert([]) == ()
    with pytest.raises(ValueError, match="no episodes"):
        windowed_expert_return([])


def test_successful():
    entries = [entry(0, 1.0, success=True), entry(1, 2.0, success=False), entry(2, 3.0)]
    assert [e.seed for e in successful(entries)] == [0]
