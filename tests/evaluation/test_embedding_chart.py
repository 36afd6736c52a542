"""The figure of embeddings: every task is there, and none looks like another."""

import itertools
import xml.etree.ElementTree as ElementTree

import matplotlib.colors
import numpy as np
import pytest
from PIL import Image

from gato_gym.evaluation.embedding_chart import draw, save_figures, styles
from gato_gym.evaluation.transfer.figures import THEMES


def a_result(domains, each=12):
    """Clouds of episodes; a domain's lie near each other."""
    rng = np.random.default_rng(0)
    tasks, points = [], []
    for domain, count in domains.items():
        middle = rng.normal(0, 30, 2)
        for number in range(count):
            task = f"gato_gym/{domain}-${number}"
            tasks.append({"task": task, "domain": domain})
            own = middle + rng.normal(0, 10, 2)
            points += [{"task": task, "x": x, "y": y} for x, y in own + rng.normal(0, 2, (each, 2))]
    layers = [
        {"layer": layer, "accuracy": 0.8 + layer / 50, "random": {"accuracy": 0.6}}
        for layer in range(7)
    ]
    return {
        "tasks": tasks,
        "points": points,
        "layer": 3,
        "layers": 6,
        "episodes": len(points),
        "chance": 1 / len(tasks),
        "by_layer": layers,
        "settings": {"neighbours": 5},
    }


TEN = {"atari": 1, "babyai_pixels": 3, "classic": 1, "manipulation": 2, "text": 3}
THIRTY = {"atari": 8, "babyai": 6, "classic": 3, "dm_control": 5, "metaworld": 5, "text": 3}


@pytest.mark.parametrize("domains", [TEN, THIRTY], ids=["10", "30"])
def test_every_task_has_its_episodes_its_number_and_its_line(domains):
    result = a_result(domains)
    figure = draw(result)
    places, legend, layers = figure.axes
    drawn = {one.get_gid(): one.get_offsets() for one in places.collections}
    assert list(drawn) == [row["task"] for row in result["tasks"]]
    for task, found in drawn.items():
        own = [(p["x"], p["y"]) for p in result["points"] if p["task"] == task]
        np.testing.assert_allclose(found, own)
    count = len(result["tasks"])
    assert [text.get_text() for text in places.texts] == [str(n + 1) for n in range(count)]
    # Each number stands on one of the task's own episodes, clear of the others.
    spots = [np.array(text.get_position()) for text in places.texts]
    for spot, found in zip(spots, drawn.values(), strict=True):
        assert np.abs(np.asarray(found) - spot).sum(axis=1).min() < 1e-9
    span = np.ptp([(p["x"], p["y"]) for p in result["points"]], axis=0).max()
    assert min(np.hypot(*(a - b)) for a, b in itertools.combinations(spots, 2)) > 0.02 * span
    parts = [one for one in legend.get_children() if hasattr(one, "get_texts")]
    lines = [text for part in parts for text in part.get_texts()]
    named = [text.get_text() for text in lines if text.get_weight() == "normal"]
    heads = [text.get_text() for text in lines if text.get_weight() == "bold"]
    assert heads == list(domains)
    assert named == [
        f"{n}  {row['task'].removeprefix('gato_gym/')}"
        for n, row in enumerate(result["tasks"], start=1)
    ]
    # No column ends with the name of a domain.
    assert all(part.get_texts()[-1].get_weight() == "normal" for part in parts)
    curves = {line.get_gid(): line.get_ydata() for line in layers.lines if line.get_gid()}
    assert list(curves["trained"]) == [row["accuracy"] for row in result["by_layer"]]
    assert list(curves["random weights"]) == [0.6] * 7
    assert set(curves["chance"]) == {result["chance"]}


@pytest.mark.parametrize("theme", list(THEMES))
def test_no_two_tasks_look_alike_and_all_stand_out(theme):
    tasks = a_result(THIRTY)["tasks"]
    looks = styles(tasks, theme)
    assert list(looks) == [row["task"] for row in tasks]
    ground = np.array(matplotlib.colors.to_rgb(THEMES[theme]["ground"]))
    domain = {row["task"]: row["domain"] for row in tasks}
    for (one, (colour, mark)), (other, (also, as_well)) in itertools.combinations(looks.items(), 2):
        far = np.abs(np.subtract(colour, also)).sum()
        # Of one domain by mark and shade, of two by colour.
        if domain[one] == domain[other]:
            assert mark != as_well and far > 0.05, (one, other)
        else:
            assert far > 0.1, (one, other)
    for task, (colour, _) in looks.items():
        assert np.abs(ground - colour).max() > 0.2, task


def test_the_files_are_whole_and_the_same_again(tmp_path):
    result = a_result(TEN)
    paths = save_figures(result, tmp_path / "one")
    assert [path.name for path in paths] == [
        f"embeddings-{theme}.{kind}" for theme in ("light", "dark") for kind in ("svg", "png")
    ]
    again = save_figures(result, tmp_path / "two")
    for path, same in zip(paths, again, strict=True):
        assert path.read_bytes() == same.read_bytes(), path.name
    for path in paths:
        if path.suffix == ".svg":
            text = " ".join(ElementTree.parse(path).getroot().itertext())
            assert "babyai_pixels-$2" in text and "Layer 3 of 6" in text
        else:
            bright = np.median(np.asarray(Image.open(path).convert("L")))
            assert bright > 250 if "light" in path.name else bright < 40
