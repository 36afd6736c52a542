"""The data card: what it says, where it lies, and a picture that can be read at any size."""

import json
import shlex

import numpy as np
import pytest
from huggingface_hub import DatasetCard
from PIL import Image

from gato_gym import envs
from gato_gym.cli import main
from gato_gym.data.collect import collect
from gato_gym.data.corpus import Corpus
from gato_gym.evaluation import corpus_card
from gato_gym.evaluation.corpus_card import write_card
from gato_gym.evaluation.corpus_stats import corpus_stats
from gato_gym.evaluation.return_chart import Strip, _number, draw_returns, save_returns


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A corpus, and the commands that made it."""
    path = tmp_path_factory.mktemp("card") / "poles"
    collect("CartPole-v1", out=path, episodes=3, seed=4)
    collect("CartPole-v1", out=path, episodes=2, seed=0, noise=0.25, burst=(2, 4))
    collect("Acrobot-v1", out=path, episodes=3, seed=4)
    return path


@pytest.fixture
def copy(made, tmp_path):
    corpus = Corpus.create(tmp_path / "poles")
    source = Corpus.open(made)
    corpus.append_records([(entry, source.read_record(entry)) for entry in source.episodes()])
    return corpus


def test_three_files_beside_the_corpus_that_do_not_disturb_it(copy):
    card = write_card(copy)
    assert {path.name for path in copy.path.iterdir()} == {
        *("README.md", "card.json", "returns.png", "corpus.json", "manifest.jsonl", "shards"),
    }
    assert json.loads((copy.path / "card.json").read_text()) == card
    assert len(Corpus.open(copy.path)) == len(Corpus.create(copy.path)) == 8
    assert Corpus.open(copy.path).verify().orphans == ()
    before = {name: (copy.path / name).read_bytes() for name in ("README.md", "returns.png")}
    write_card(copy)
    assert {name: (copy.path / name).read_bytes() for name in before} == before


def test_the_card_has_the_numbers_of_the_corpus(copy, tmp_path):
    card = write_card(copy, tmp_path / "elsewhere", license="cc-by-4.0")
    stats = corpus_stats(copy)
    assert {name: card[name] for name in stats} == stats
    assert set(card["versions"]) == {"gato_gym", "gymnasium"}
    assert card["name"] == "poles" and card["license"] == "cc-by-4.0"
    assert "--out elsewhere --license cc-by-4.0" in card["written_by"]
    text = (tmp_path / "elsewhere/README.md").read_text()
    for task, row in stats["by_task"].items():
        line = next(line for line in text.splitlines() if line.startswith(f"| `{task}`"))
        assert f"| {row['episodes']} | {row['mean_return']:.1f} \u00b1 " in line
    assert f"{stats['steps']:,} steps, {stats['tokens']:,} tokens" in text


def test_the_front_matter_is_what_the_hub_reads(copy):
    write_card(copy)
    data = DatasetCard.load(copy.path / "README.md").data.to_dict()
    assert data["license"] == "apache-2.0"
    assert data["pretty_name"] == "poles"
    assert data["task_categories"] == ["reinforcement-learning", "robotics"]
    assert data["size_categories"] == ["1K<n<10K"]
    assert "gato" in data["tags"]


def test_its_commands_make_the_corpus_again(made, tmp_path, monkeypatch, capsys):
    corpus = Corpus.open(made)
    monkeypatch.chdir(tmp_path)
    commands = write_card(corpus, tmp_path / "card")["commands"]
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "gato-gym"
        assert main(arguments) == 0
    capsys.readouterr()
    again = Corpus.open(tmp_path / "poles")
    found, expected = (
        {e.key: (c.read_record(e), e.line()) for e in c.episodes()} for c in (again, corpus)
    )
    assert found == expected
    shared = next(command for command in commands if "--noise" not in command)
    assert "Acrobot-v1 CartPole-v1" in shared


def test_an_imported_part_is_made_by_an_import():
    part = {"expert": "minari/D4RL/pen/human-v2", "noise": 0.0, "seeds": [0, 24]}
    row = {"parts": [part | {"burst": [1, 8], "random_start": 0, "episodes": 25}]}
    assert corpus_card.commands({"mine": row}, "all") == [
        "gato-gym corpus import --minari D4RL/pen/human-v2 --task mine --out all"
    ]


def test_an_empty_corpus_has_no_card(tmp_path):
    with pytest.raises(ValueError, match="no episodes to describe"):
        write_card(Corpus.create(tmp_path))


def test_a_disk_that_is_full_leaves_the_old_card_whole(copy, monkeypatch):
    write_card(copy)
    before = (copy.path / "README.md").read_bytes()

    def full(card):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(corpus_card, "readme", full)
    with pytest.raises(OSError, match="No space"):
        write_card(copy)
    assert (copy.path / "README.md").read_bytes() == before
    assert not [path for path in copy.path.iterdir() if path.name.endswith(".part")]


@pytest.mark.parametrize(
    ("steps", "category"),
    [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**8, "n>10M")],
)
def test_size_categories(steps, category):
    assert corpus_card._size_category(steps) == category


# The picture


def strips(count):
    """Tasks of the catalogue with returns of every shape and texts as long as they get."""
    rng = np.random.default_rng(count)
    specs = envs.tasks(available=False)
    chosen = sorted(rng.choice(len(specs), count, replace=False))
    made = []
    for number in chosen:
        returns = rng.normal(-123456, 54321, int(rng.integers(1, 2000)))
        if number % 5 == 0:
            returns[:] = returns[0]
        marks = (-250_000.0, 500.0) if number % 3 else (None, None)
        made.append(Strip(specs[number].id, specs[number].domain, returns, *marks))
    return made


@pytest.mark.parametrize("count", [1, 2, 7, 36, 37, 90, 150, 330])
def test_no_text_of_the_picture_touches_another(count):
    figure = draw_returns(strips(count), f"Returns of 123,456 episodes of {count} tasks")
    renderer = figure.canvas.get_renderer()
    figure.draw(renderer)
    texts = [*figure.texts, *(t for axes in figure.axes for t in axes.texts)]
    texts += [text for legend in figure.legends for text in legend.get_texts()]
    boxes = np.array([text.get_window_extent(renderer).extents for text in texts])
    assert len(boxes) >= 3 * count
    width, height = figure.canvas.get_width_height()
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()
    overlap = (
        (boxes[:, None, 0] < boxes[None, :, 2])
        & (boxes[None, :, 0] < boxes[:, None, 2])
        & (boxes[:, None, 1] < boxes[None, :, 3])
        & (boxes[None, :, 1] < boxes[:, None, 3])
    )
    pairs = [(texts[i].get_text(), texts[j].get_text()) for i, j in np.argwhere(overlap) if i < j]
    assert pairs == []


@pytest.mark.parametrize("count", [1, 40, 150])
def test_the_picture_is_filled_and_of_a_size_that_a_page_shows(count, tmp_path):
    save_returns(strips(count), "title", tmp_path / "returns.png")
    image = np.asarray(Image.open(tmp_path / "returns.png").convert("L"))
    height, width = image.shape
    assert 700 < width < 2500 and height < 2600
    # No third of it is blank, across or down.
    inked = image < 250
    for axis in (0, 1):
        lines = np.flatnonzero(inked.any(axis=axis))
        gaps = np.diff([-1, *lines, inked.shape[1 - axis]])
        assert gaps.max() < inked.shape[1 - axis] / 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0, "0"), (0.04567, "0.0457"), (-21.0, "-21"), (473.25, "473"), (999.4, "999")),
        *((1000, "1,000"), (9999, "9,999"), (9999.7, "10k"), (-123456, "-123k"), (2.5e6, "2.5M")),
    ],
)
def test_numbers_are_short(value, text):
    assert _number(value) == text


def test_marks_and_bars_stand_where_they_should():
    figure = draw_returns([Strip("task", "domain", [0.0, 10.0, 10.0], -10.0, 30.0)], "title")
    axes = figure.axes[0]
    marks = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1]
    (bars,) = axes.patches
    edges = bars.get_data().edges
    random, expert = marks
    assert (edges[0], edges[-1]) == (pytest.approx(random), pytest.approx(expert))
    heights = bars.get_data().baseline - bars.get_data().values
    where = (edges[:-1][heights > 0] - random) / (expert - random)
    assert where == pytest.approx([0.25, 0.5])
    assert heights.max() == pytest.approx(2 * heights[heights > 0].min())
    shown = {text.get_text() for text in axes.texts}
    assert {"task", "n = 3", "6.67 \u00b1 4.71"} <= shown
