"""The figure of tasks by threshold shows the counts of the result, on either ground."""

import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import matplotlib.colors
import numpy as np
import pytest
from PIL import Image

from gato_gym.evaluation.aggregate import aggregate_scores
from gato_gym.evaluation.threshold_chart import draw_thresholds, save_thresholds


def a_result(tasks):
    """Tasks by domain, whose mean scores go evenly from 0 to 1.2."""
    scores, domains = [], {}
    rng = np.random.default_rng(0)
    for domain, count in tasks.items():
        for number, mean in enumerate(np.linspace(0, 1.2, count)):
            task = f"{domain}-{number}"
            returns = rng.normal(mean, 0.2, 10)
            scores.append(SimpleNamespace(task=task, returns=returns, random=0.0, expert=1.0))
            domains[task] = domain
    return aggregate_scores(scores, domains)


@pytest.fixture(scope="module")
def result():
    return a_result({"atari": 12, "classic": 3, "other": 7})


def texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_it_shows_the_counts(result):
    figure = draw_thresholds(result)
    (axes,) = figure.axes
    total = axes.lines[0]
    assert total.get_xdata().tolist() == list(range(101))
    assert total.get_ydata().tolist() == [result["overall"]["above"][str(x)] for x in range(101)]
    # The largest domain at the bottom, on the floor.
    layers = [path.get_paths()[0].vertices for path in axes.collections[:3]]
    assert layers[0][:, 1].max() == result["domains"]["atari"]["above"]["0"]
    assert layers[2][:, 1].max() == total.get_ydata().max()
    assert texts(figure) == ["classic (3)", "other (7)", "atari (12)"]
    half = result["overall"]["above"]["50"]
    assert f"{half} of 22 at 50 %" in [text.get_text() for text in axes.texts]


def test_domains_without_a_score_are_left_out(result):
    nothing = a_result({})["overall"]
    figure = draw_thresholds(result | {"domains": result["domains"] | {"text": nothing}})
    assert len(texts(figure)) == 3


def test_on_a_dark_ground_the_ink_is_light(result):
    def brightness(color):
        return float(np.mean(matplotlib.colors.to_rgb(color)))

    for dark in (False, True):
        figure = draw_thresholds(result, dark=dark)
        (axes,) = figure.axes
        ink = [axes.xaxis.label, *axes.texts, *figure.legends[0].get_texts()]
        assert (brightness(figure.get_facecolor()) < 0.2) is dark
        assert all((brightness(text.get_color()) > 0.8) is dark for text in ink)


@pytest.mark.parametrize("count", [10, 17])
def test_many_domains_have_colours_of_their_own(count):
    tasks = {f"domain {number:02}": 1 for number in range(count)}
    axes = draw_thresholds(a_result(tasks)).axes[0]
    colors = {tuple(one.get_facecolor()[0]) for one in axes.collections[:count]}
    assert len(colors) == count


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_result_gives_the_same_bytes(result, suffix, tmp_path):
    first, again = (tmp_path / name / f"chart{suffix}" for name in "ab")
    for path in (first, again):
        save_thresholds(result, path)
        assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert first.read_bytes() == again.read_bytes()
    if suffix == ".png":
        with Image.open(first) as picture:
            assert picture.size == (1200, 690)
    else:
        # Texts that can be searched and read aloud, not outlines.
        words = "".join(ElementTree.parse(first).getroot().itertext())
        assert "atari (12)" in words


def test_what_cannot_be_drawn(result, tmp_path):
    with pytest.raises(ValueError, match=r"\.svg or \.png, got"):
        save_thresholds(result, tmp_path / "chart.pdf")
    with pytest.raises(ValueError, match="nothing to count"):
        draw_thresholds(a_result({}))
    old = {"domains": {"x": {"mean": 1.0, "iqm": 1.0, "ci95": [1.0, 1.0], "count": 1}}}
    with pytest.raises(ValueError, match="gato-gym eval --all --out"):
        draw_thresholds(old)
    assert list(tmp_path.iterdir()) == []
