"""The journal of an evaluation: what is finished stays, whatever is cut off or changed."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from gato_gym.agents import RandomAgent
from gato_gym.agents.experts import load_expert
from gato_gym.errors import GatoGymError
from gato_gym.evaluation.journal import Journal
from gato_gym.evaluation.scores import Score, evaluate

SETTINGS = {"checkpoint": "run/agent", "weights": "0a1b2c3d", "episodes": 2, "seed": 7000}


@pytest.fixture(scope="module")
def scores():
    one = evaluate("CartPole-v1", RandomAgent(0), episodes=2, seed=7000)
    return [one, replace(one, task="Acrobot-v1", returns=(0.1 + 0.2, -1e-17))]


@pytest.fixture
def out(tmp_path, scores):
    """A result that is not written yet, with both scores in its journal."""
    with Journal(tmp_path / "new" / "card.json", SETTINGS) as journal:
        for score in scores:
            journal.add(score)
    return tmp_path / "new" / "card.json"


def test_what_was_added_is_there_again(out, scores):
    with Journal(out, SETTINGS) as journal:
        assert list(journal.finished.values()) == scores
        journal.remove()
    assert os.listdir(out.parent) == []


def test_a_score_of_words_keeps_all_of_its_json():
    talk = "text/dialogue"
    score = evaluate(talk, load_expert(talk), episodes=2, seed=7000)
    score = replace(score, beside={"controls": {"shuffled_question": {"accuracy": 0.5}}})
    row = score.to_json()
    assert "sources" in row and "controls" in row
    assert Score.from_json(json.loads(json.dumps(row))).to_json() == row


def test_half_a_line_is_as_if_it_had_not_been_written(out, scores):
    path = out.with_name("card.json.journal")
    whole = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    for cut in [*range(0, len(whole), 29), *(end - 1 for end in ends), *ends]:
        path.write_bytes(whole[:cut])
        with Journal(out, SETTINGS) as journal:
            finished = list(journal.finished.values())
            assert finished == scores[: max(0, sum(end <= cut for end in ends) - 1)]
            # What is appended after a torn line can be read.
            for score in scores[len(finished) :]:
                journal.add(score)
        assert path.read_bytes() == whole


def test_a_changed_line_costs_its_task(out, scores, caplog):
    path = out.with_name("card.json.journal")
    lines = path.read_bytes().split(b"\n")
    lines[1] = lines[1].replace(b'"episodes": 2', b'"episodes": 3')
    path.write_bytes(b"\n".join(lines))
    with Journal(out, SETTINGS) as journal:
        assert list(journal.finished.values()) == scores[1:]
    assert "line 2 has changed" in caplog.text


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"episodes": 50}, "episodes 2, now 50"),
        ({"weights": "ffffffff"}, "weights '0a1b2c3d', now 'ffffffff'"),
        ({"controls": True}, "controls None, now True"),
        ({"seed": 1, "checkpoint": None}, "checkpoint 'run/agent', now None; seed 7000, now 1"),
    ],
)
def test_other_settings_are_named(out, changed, told):
    with pytest.raises(GatoGymError) as caught:
        Journal(out, SETTINGS | changed)
    message = str(caught.value)
    assert told in message and "another --out, or delete it" in message
    assert str(out.with_name("card.json.journal")) in message


def test_with_nothing_finished_other_settings_begin_anew(tmp_path, scores):
    out = tmp_path / "card.json"
    with Journal(out, SETTINGS):
        pass
    with Journal(out, SETTINGS | {"episodes": 50}) as journal:
        journal.add(scores[0])
    with pytest.raises(GatoGymError, match="episodes 50, now 2"):
        Journal(out, SETTINGS)


def test_a_foreign_file_is_left_alone(tmp_path):
    path = tmp_path / "card.json.journal"
    path.write_text("my thesis\nin two lines\n")
    with pytest.raises(GatoGymError, match="no journal of an evaluation"):
        Journal(tmp_path / "card.json", SETTINGS)
    assert path.read_text() == "my thesis\nin two lines\n"


def test_one_evaluation_at_a_time(out):
    with (
        Journal(out, SETTINGS),
        pytest.raises(GatoGymError, match="written by another evaluation"),
    ):
        Journal(out, SETTINGS)
    Journal(out, SETTINGS).__exit__()


def test_a_killed_process_leaves_no_lock(out, scores):
    path = str(out.with_name("card.json.journal"))
    code = f"""
import fcntl, os, signal
fcntl.flock(os.open({path!r}, os.O_RDWR), fcntl.LOCK_EX)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    with Journal(out, SETTINGS) as journal:
        assert list(journal.finished.values()) == scores
