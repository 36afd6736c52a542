"""`gato-gym report`: what it writes, prints and refuses."""

import json

import pytest

from gato_gym.training.bundled import BUNDLED


def test_the_page_of_a_run(run, run_json, agent, corpus, tmp_path):
    page = tmp_path / "new" / "page.html"
    found = run_json(
        *("report", agent.parent, "--corpus", corpus, "--out", page),
        *("--figures", tmp_path / "figures"),
    )
    assert found["page"] == str(page) and found["bytes"] == page.stat().st_size
    assert found["sections"] == ["learning curves", "data", "model card", "provenance"]
    assert found["absent"]["Scores"] == "no scorecard is there" and found["warnings"] == []
    files = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert sorted(found["figures"]) == sorted(str(tmp_path / "figures" / name) for name in files)
    assert {"loss.png", "loss.svg", "returns.png", "returns.svg"} <= set(files)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and str(tmp_path) not in text
    assert f"report {agent.parent.name} --corpus corpus" in " ".join(_words(text))
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]


def test_the_bundled_agent_with_scores_of_its_own(run, tmp_path):
    page = tmp_path / "page.html"
    code, out, err = run("report", "bundled", "--out", page)
    assert (code, err) == (0, "")
    assert out.startswith(f"{page}: 0.") and "not on it: Videos, Attention" in out
    whole = json.loads((BUNDLED / "scorecard.json").read_text())["overall"]
    reached = f"{whole['above']['50']} of {whole['count']}"
    assert reached in " ".join(_words(page.read_text(encoding="utf-8")))


def test_what_is_wrong_with_the_scores_is_told(run, tmp_path):
    scores = tmp_path / "scores.json"
    row = {"task": "CartPole-v1", "mean_return": 9.0, "returns": [9.0], "random": 0, "expert": 10}
    scores.write_text(json.dumps({"tasks": [row], "checkpoint": "else/agent"}))
    page = tmp_path / "page.html"
    code, out, err = run("report", "bundled", "--scores", scores, "--out", page, "--json")
    assert code == 0 and err.count("\n") == 1
    assert "warning: The scores were made for the checkpoint 'else/agent'" in err
    assert len(json.loads(out)["warnings"]) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["gone"], "gone does not exist: pass the --out folder"),
        (["."], "holds no run of gato-gym train or finetune"),
        (["bundled", "--out", "page.pdf"], "--out must end in .html, got page.pdf"),
        (["bundled", "--scores", "gone.json"], "no scores at gone.json"),
        (["bundled", "--videos", "gone.mp4"], "no video at gone.mp4"),
        (["bundled", "--says", "-1"], "--says must be at least 0, got -1"),
        (["bundled", "--corpus", "gone"], "gone"),
    ],
)
def test_wrong_use_leaves_no_page(fails, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    assert told in fails("report", *arguments)
    assert list(tmp_path.iterdir()) == []


def _words(html):
    """The words of a page."""
    from html.parser import HTMLParser

    words = []
    parser = HTMLParser()
    parser.handle_data = lambda data: words.extend(data.split())
    parser.feed(html)
    return words
