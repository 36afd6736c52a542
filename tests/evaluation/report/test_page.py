"""The page: what is on it, that it loads nothing, escapes what files say and repeats."""

import base64
import hashlib
import json
import re
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from PIL import Image

from gato_gym.errors import MissingExtraError
from gato_gym.evaluation.report import media, page, theme
from gato_gym.evaluation.report.page import build

LOADING = {"src", "poster", "data", "srcset", "action", "background", "cite", "manifest", "ping"}


class Tags(HTMLParser):
    """All tags with their attributes."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


@pytest.fixture(scope="module")
def tags(report):
    return Tags(report.html).found


def test_every_section_is_there(report, tags):
    assert report.sections == [
        *("scores", "learning curves", "what it says", "videos", "data", "model card"),
        "provenance",
    ]
    ids = {attributes.get("id") for _, attributes in tags}
    linked = [a["href"][1:] for tag, a in tags if tag == "a" and a["href"].startswith("#")]
    assert len(linked) == 8 and set(linked) <= ids
    assert [one.name for one in report.absent] == ["Attention"]
    drawn = {chart.name for chart in report.charts}
    charts = {"thresholds", "loss", "loss-parts", "rollouts", "learning-rate", "speed", "returns"}
    assert drawn == charts
    assert {f"figure-{name}" for name in charts} <= ids


def test_nothing_is_loaded_from_anywhere(report, tags):
    for tag, attributes in tags:
        for name, value in attributes.items():
            if name in LOADING or (name.endswith("href") and tag != "a"):
                assert value.startswith(("data:", "#")), (tag, name, value)
    assert all(url.startswith("#") for url in re.findall(r"url\(\s*['\"]?([^)]*)", report.html))
    assert "@import" not in report.html
    assert (
        "default-src 'none'" in dict(tags[[tag for tag, _ in tags].index("meta") + 3][1])["content"]
    )
    outside = [a["href"] for tag, a in tags if tag == "a" and not a["href"].startswith("#")]
    assert outside == ["https://arxiv.org"]


def test_ids_are_there_once_and_found(report, tags):
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = re.findall(r"url\(#([^)]*)\)", report.html)
    used += [a["href"][1:] for tag, a in tags if tag == "use"]
    assert used and set(used) <= set(ids)


def test_what_files_say_is_escaped(report, tags, toy):
    assert [tag for tag, _ in tags].count("script") == 1
    assert toy.script not in report.html
    assert report.html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4  # tables, figures, card
    assert not [a for _, a in tags if any(name.startswith("on") for name in a)]


def test_the_policy_allows_its_own_script_only(report):
    (script,) = re.findall(r"<script>(.*?)</script>", report.html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in report.html.replace("&#39;", "'")


def test_tables_are_readable_without_scripts(report):
    rows = re.findall(r'<tr><th scope="row" class="task">.*?</tr>', report.html, re.DOTALL)
    boxing = next(row for row in rows if "ALE/Boxing-v5" in row)
    words = re.sub(r"<[^>]*>", " ", boxing).split()
    assert words == ["ALE/Boxing-v5", "0.30", "3", "[2,", "4]", "0", "10", "3", "atari"]
    # The highest interval ends at 1.1.
    assert "left:0.00%;width:27.27%" in boxing and 'class="fill low"' in boxing
    assert 'data-v="0.3"' in boxing


def test_the_same_run_gives_the_same_bytes(run, tmp_path):
    first, second = build(run), build(run)
    assert first.html == second.html
    for report, name in ((first, "a"), (second, "b")):
        report.charts = report.charts[:2]  # one of both kinds
        report.save_figures(tmp_path / name)
    files = sorted((tmp_path / "a").iterdir())
    assert len(files) == 4
    for file in files:
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name
        if file.suffix == ".svg":
            assert ElementTree.parse(file).getroot().tag.endswith("svg")
            continue
        with Image.open(file) as picture:
            assert min(picture.size) > 300
    assert str(tmp_path) not in first.html


def test_figures_follow_the_readers_theme(report, tags):
    light = {pair[0] for pair in theme.COLORS.values()}
    loss = re.search(r'<svg[^>]*data-figure="loss".*?</svg>', report.html, re.DOTALL)[0]
    assert "var(--blue)" in loss and not light & set(re.findall(r"#[0-9a-f]{6}", loss))
    drawn = [a for tag, a in tags if tag == "svg" and a["data-figure"].startswith("thresholds")]
    shown = [attributes["class"] for attributes in drawn]
    assert sorted(shown) == sorted(
        f"only-{ground} {width}" for ground in ("light", "dark") for width in ("roomy", "narrow")
    )


def test_a_run_without_anything_names_what_is_absent(toy, tmp_path):
    (tmp_path / "train.jsonl").write_text(json.dumps(toy.log(1)) + "\n")
    report = build(tmp_path)
    assert report.sections == ["learning curves", "provenance"] and not report.warnings
    absent = {one.name: one.command for one in report.absent}
    assert {"Scores", "Videos", "Data", "Model card"} <= set(absent)
    assert absent["Data"].endswith("--corpus FOLDER")
    assert "Not on this page" in report.html


def test_what_a_reader_must_know_is_on_the_page(run, toy):
    scores = toy.scorecard() | {"checkpoint": "else/agent"}
    (run / "agent" / "scorecard.json").write_text(json.dumps(scores))
    with (run / "train.jsonl").open("a") as file:
        file.write(json.dumps(toy.log(5, loss=float("nan"))) + '\n{"st')
    report = build(run)
    told = " ".join(report.warnings)
    for part in ("'else/agent'", "not finite at step 5", "train.jsonl: line 6 is cut off"):
        assert part in told
    assert "Read with care" in report.html and "&#39;else/agent&#39;" in report.html


def test_odd_values_cost_no_page(run):
    card = {"parameters": "many", "data": [1], "curve": {"a": 1}, "train": 3, "seconds": None}
    card |= {"versions": ["x"], "command": ["y"], "start": {"card": [], "agent": "\ud800"}}
    (run / "agent" / "card.json").write_text(json.dumps(card))
    (run / "agent" / "scorecard.json").write_text('{"tasks": [], "domains": 3}')
    (run / "agent" / "tasks.json").write_text('{"CartPole-v1": 3}')
    report = build(run)
    assert report.sections == ["learning curves", "model card", "provenance"]
    assert "no score of any task" in " ".join(report.warnings)
    report.html.encode("utf-8", "replace")


def test_the_page_stays_under_its_limit(toy, tmp_path, monkeypatch):
    (tmp_path / "train.jsonl").write_text(json.dumps(toy.log(1)) + "\n")
    films = [toy.write_video(tmp_path / f"{name}.mp4") for name in "ab"]
    with films[1].open("ab") as file:
        file.write(bytes(400_000))
    limit = len(build(tmp_path).html) + page._MARGIN + 30_000
    monkeypatch.setattr(page, "LIMIT", limit)
    report = build(tmp_path, videos=films)
    assert len(report.html) < limit
    assert "a.mp4" in report.html and report.warnings == [
        "b.mp4 (402 kB) is left out: the page holds at most 30 MB."
    ]
    assert report.warnings[0] in report.html
    assert media.LIMIT == 30_000_000


def test_a_few_shot_run(run):
    (run / "agent" / "scorecard.json").unlink()
    (run / "finetune.json").write_text(json.dumps({"task": "CartPole-v1", "smooth": 1}))
    lines = [{"step": n, "mean_return": 10.0 * n, "returns": []} for n in range(4)]
    (run / "curve.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = {"random": 0.0, "expert": 60.0, "episodes": 5, "draw": 2, "before": 0.0}
    (run / "result.json").write_text(json.dumps(result))
    report = build(run)
    assert "few-shot" in report.sections and "fine-tuning run" in report.html
    tiles = re.sub(r"<[^>]*>", " ", report.html.split('id="few-shot"')[1].split("<figure")[0])
    assert "Score 30 at step 3 Normalised 0.50" in " ".join(tiles.split())
    assert 'data-figure="few-shot"' in report.html


def test_packages_that_are_not_there(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "markdown_it", None)
    with pytest.raises(MissingExtraError, match=r'pip install "gato-gym\[report\]"'):
        build(run)


def test_a_run_without_an_agent_cannot_play(toy, tmp_path):
    (tmp_path / "train.jsonl").write_text(json.dumps(toy.log(1)) + "\n")
    with pytest.raises(ValueError, match="has no agent yet"):
        build(tmp_path, overlay="CartPole-v1")
