"""Which value is chosen: the likeliest one, of ordered values the median."""

import numpy as np
import pytest
import torch

from gato_gym.models.choice import deterministic


def logits_of(*rows: dict[int, float]) -> torch.Tensor:
    """(G, 1024) of probabilities by bin."""
    found = torch.zeros(len(rows), 1024)
    for row, probabilities in zip(found, rows, strict=True):
        for value, share in probabilities.items():
            row[value] = share
    return found.log()


def hump(middle: int, share: float) -> dict[int, float]:
    return {middle + i: share / 101 for i in range(-50, 51)}


def test_values_without_an_order_are_the_likeliest():
    logits = logits_of({3: 0.4, 500: 0.3, 900: 0.3}, {0: 1.0})
    assert deterministic(logits, [0, 1], False).tolist() == [3, 0]


def test_one_bin_does_not_win_over_many_beside_each_other():
    logits = logits_of({0: 0.2, **hump(900, 0.8)})
    assert deterministic(logits, [0], False).tolist() == [0]
    assert abs(deterministic(logits, [0], True)[0] - 900) < 20


@pytest.mark.parametrize("bin_", [0, 511, 1023])
def test_what_is_nearly_certain_is_taken_exactly(bin_):
    logits = logits_of({bin_: 0.6, **hump(300, 0.4)})
    assert deterministic(logits, [0], True).tolist() == [bin_]


def test_of_two_ways_the_likelier_one():
    """Left or right around an obstacle, and nothing between."""
    logits = logits_of({**hump(200, 0.55), **hump(800, 0.45)}, {100: 0.45, 900: 0.55})
    first, second = deterministic(logits, [0, 1], True)
    assert abs(first - 200) <= 50 and second == 900


def test_medians_equal_those_of_a_million_draws():
    logits = 3 * torch.randn(4, 1024, generator=torch.Generator().manual_seed(0))
    drawn = logits.softmax(-1).multinomial(1_000_000, True, generator=torch.Generator())
    chosen = deterministic(logits, list(range(4)), True)
    for draws, value in zip(drawn.numpy(), chosen, strict=True):
        # The share below it is less than a half, and with it at least a half.
        assert np.mean(draws < value) < 0.502 and np.mean(draws <= value) > 0.498


def test_rounding_does_not_leave_the_legal_values():
    assert deterministic(torch.tensor([[-1e4] * 1023 + [1e4]]), [0], True).tolist() == [1023]
    assert deterministic(torch.zeros(1, 1024).half(), [0], True)[0] in (511, 512)
