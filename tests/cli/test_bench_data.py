"""`gato-gym bench data`: both ways build the same rows, and the figures fit together."""

import pytest

from gato_gym.cli import measure_data


@pytest.fixture(autouse=True)
def few_episodes(monkeypatch):
    monkeypatch.setattr(measure_data, "STATE_EPISODES", 3)
    monkeypatch.setattr(measure_data, "IMAGE_EPISODES", 1)


def test_both_ways_count_the_same_tokens_and_patches():
    with measure_data.data("CartPole-v1") as pair:
        for one in (pair, *pair.parts.values()):
            assert [one.ours() for _ in range(3)] == [one.reference() for _ in range(3)]
        assert pair.ours() <= 16 * 1024
        assert pair.parts["images"].ours() % 20 == 0  # whole screens of 4 x 5 patches


def test_data_measures_all_its_parts(run_json):
    found = run_json("bench", "data", "--task", "CartPole-v1", "--rounds", 1, "--seconds", 0)
    assert found["unit"] == found["parts"]["state"]["unit"] == "tokens/s"
    assert found["parts"]["images"]["unit"] == "patches/s"
    for one in (found, *found["parts"].values()):
        assert one["value"] > 0 and one["reference"] > 0
        assert one["ratio"] == pytest.approx(one["value"] / one["reference"], abs=0.01)
        assert one["context"] == 1024 and one["record_bytes"] > 0
    assert {one["task"]: one["episodes"] for one in (found, *found["parts"].values())} == {
        "CartPole-v1": 3,
        measure_data.STATE_TASK: 3,
        measure_data.IMAGE_TASK: 1,
    }
