"""Facts around the scores: commands, ancestors, data."""

import pytest

from gato_gym.evaluation.report.facts import corpus_facts, facts
from gato_gym.evaluation.report.scores import read
from gato_gym.evaluation.report.source import RunFolder


def told(run, card, scorecard):
    return facts(RunFolder(run), card, {}, read(scorecard, {}, []))


def test_the_command_of_the_evaluation(run, toy):
    card, scores = {}, toy.scorecard()
    command = "gato-gym eval --all --checkpoint run/agent --episodes 3 --seed 7000"
    assert told(run, card, scores).commands == {"evaluation": command}
    settings = {"precision": "int8", "prompt": False, "controls": True}
    named = scores | {"checkpoint": "run/agent (no prompt)", "settings": settings}
    more = f"{command} --precision int8 --no-prompt --controls"
    assert told(run, card, named).commands == {"evaluation": more}
    ours = told(run, card, scores | {"checkpoint": "bundled"}).commands["evaluation"]
    assert "--checkpoint" not in ours
    scores["tasks"][0]["seed"] = 1  # no one command plays these
    assert told(run, card, scores).commands == {}


def test_what_training_went_on_from(run, toy):
    first = {"steps": 5, "command": "first"}
    second = {"steps": 7, "command": "second", "start": {"agent": "a", "card": first}}
    card = {"start": {"agent": "b", "weights": "00ff", "card": second}}
    found = told(run, card, toy.scorecard()).ancestors
    assert [(one.name, one.weights, one.steps, one.command) for one in found] == [
        ("b", "00ff", 7.0, "second"),
        ("a", "", 5.0, "first"),
    ]
    endless = {"agent": "loop"}
    endless["card"] = {"start": endless}
    assert len(told(run, {"start": endless}, toy.scorecard()).ancestors) == 20


def test_data_of_a_card():
    row = {"share": 0.5, "episodes": 2, "steps": 10, "tokens": 60, "parts": [{"expert": "bot"}]}
    found = corpus_facts(None, {"data": {"A-v0": row, "B-v0": row | {"tokens": None}}})
    assert found.totals == {"tasks": 2, "episodes": 4, "steps": 20, "tokens": None}
    assert found.rows[0].experts == "bot" and not found.strips
    assert corpus_facts(None, {}) is None and corpus_facts(None, {"data": [1]}) is None


@pytest.mark.parametrize(
    ("value", "words"), [(True, "yes"), (None, "none"), (0.001, "0.001"), (3, "3"), ([1], "[1]")]
)
def test_settings_in_words(run, toy, value, words):
    assert told(run, {}, toy.scorecard()).value(value) == words
