"""Mu-law and bins against the facts sheet's worked values, and their round trip."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_gym.tokenizers.continuous import from_bins, inverse_mu_law, mu_law, to_bins

values = st.floats(-1e300, 1e300)
in_range = st.floats(-256, 256)
unit = st.floats(-1, 1)


@pytest.mark.parametrize(
    ("value", "companded", "number"),
    [
        (0.001, 0.0094, 516),
        (0.01, 0.0683, 546),
        (0.1, 0.2362, 632),
        (1.0, 0.4547, 744),
        (10.0, 0.6806, 860),
        (256.0, 1.0, 1023),
        (0.0, 0.0, 512),
        (-256.0, -1.0, 0),
        (-1.0, -0.4547, 279),
    ],
)
def test_worked_values_of_the_paper(value, companded, number):
    assert float(mu_law(value)) == pytest.approx(companded, abs=5e-5)
    assert int(to_bins(mu_law(value))) == number


@pytest.mark.parametrize(
    ("value", "number"),
    [(1.0, 1023), (-1.0, 0), (np.inf, 1023), (-np.inf, 0), (1e300, 1023), (0.0, 512), (-1e-9, 511)],
)
def test_ends_and_infinities_stay_in_range(value, number):
    bins = to_bins(np.array([value]))
    assert bins.dtype == np.int32
    assert bins.tolist() == [number]


def test_decode_gives_centres():
    centres = from_bins(np.arange(1024))
    assert centres.dtype == np.float32
    np.testing.assert_allclose(centres, -1 + (np.arange(1024) + 0.5) / 512, rtol=0, atol=1e-7)
    assert np.abs(centres).max() < 1
    np.testing.assert_array_equal(to_bins(centres), np.arange(1024))


def test_bins_have_equal_width():
    edges = np.linspace(-1, 1, 1025)
    np.testing.assert_array_equal(to_bins(edges[:-1]), np.arange(1024))
    np.testing.assert_array_equal(to_bins(edges[1:] - 1e-12), np.arange(1024))


@given(unit)
def test_action_round_trip_errs_by_half_a_bin(value):
    assert abs(float(from_bins(to_bins(value))) - value) <= 1 / 1024 + 1e-7


@given(in_range)
def test_observation_round_trip_errs_by_half_a_bin_of_its_scale(value):
    decoded = float(inverse_mu_law(from_bins(to_bins(mu_law(value)))))
    # Half a bin of the companded scale, times its steepest slope in that bin.
    slope = (max(abs(value), abs(decoded)) + 0.01) * np.log1p(25_600)
    assert abs(decoded - value) <= slope * (1 / 1024 + 1e-6)


@given(in_range)
def test_inverse_mu_law(value):
    assert float(inverse_mu_law(mu_law(value))) == pytest.approx(value, rel=1e-9, abs=1e-12)


@given(values, values)
def test_monotone(a, b):
    low, high = sorted((a, b))
    assert float(mu_law(low)) <= float(mu_law(high))
    assert int(to_bins(mu_law(low))) <= int(to_bins(mu_law(high)))


@given(values)
def test_odd(value):
    assert float(mu_law(-value)) == -float(mu_law(value))
