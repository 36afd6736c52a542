"""Values out of files, and how they are shown."""

import math

import pytest

from gato_gym.evaluation.report import values


@pytest.mark.parametrize("value", [None, "3", True, math.nan, math.inf, [1], 10**400])
def test_what_is_no_finite_number(value):
    assert values.number(value) is None
    assert values.pair([1, value]) is None


def test_numbers_and_intervals():
    assert values.number(3) == 3.0 and values.pair((1, 2.5)) == (1.0, 2.5)
    assert values.pair([1]) is None and values.pair(3) is None


@pytest.mark.parametrize(
    ("show", "value", "words"),
    [
        (values.short, 93.42, "93.4"),
        (values.short, 500.0, "500"),
        (values.short, -1234.5, "\u22121,234"),
        (values.short, 0.00012345, "0.000123"),
        (values.short, None, "\u2013"),
        (values.fixed, -0.001, "0.00"),
        (values.fixed, -0.5, "\u22120.50"),
        (values.percent, 0.756, "76 %"),
        (values.large, 16_262_400, "16.3 M"),
        (values.large, 999, "999"),
        (values.large, 0, "0"),
        (values.size, 130, "130 B"),
        (values.size, 8_561_088, "8.56 MB"),
        (values.duration, 42, "42 s"),
        (values.duration, 3251, "54 min"),
        (values.duration, 7200, "2.0 h"),
    ],
)
def test_shown(show, value, words):
    assert show(value) == words


def test_intervals_are_shown_like_their_value():
    assert values.interval((0.123, 1.0), 2) == "[0.12, 1.00]"
    assert values.interval((0.6, 0.75), 1, 100) == "[60.0, 75.0]"
    assert values.interval((90.6, 95.96)) == "[90.6, 96]" and values.interval(None) == ""


def test_names_fit_one_line_and_utf_8():
    assert values.printable("a\nb\x00\ud800") == "a\ufffdb\ufffd?"
