"""Tasks in several processes: one that dies or fails costs only the task that it was playing."""

import multiprocessing
import os
import sys

import pytest

from gato_gym.errors import GatoGymError
from gato_gym.evaluation.processes import play_in_processes

PLAYERS = """
import os, signal, time

from gato_gym.evaluation.scores import Score


def prepare():
    return play


def unprepared():
    raise OSError("no weights")


def play(task):
    if task == "dead":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "leaves":
        os._exit(3)
    if task == "fails":
        raise Unwell(lambda: None)
    return Score(
        **{"task": task, "episodes": 1, "seed": 0, "mean_return": 1.0, "ci95": (1.0, 1.0)},
        **{"random": 0.0, "expert": 2.0, "normalized": 0.5, "success_rate": None},
        **{"checkpoint": str(os.getpid()), "steps_per_second": 1.0, "mean_length": 9.0},
        returns=(1.0,),
    )


class Unwell(Exception):
    def __str__(self):
        return "the simulator is unstable"
"""


@pytest.fixture(scope="module")
def players(tmp_path_factory):
    """A module that processes can import, too: they get this one's path."""
    folder = tmp_path_factory.mktemp("players")
    (folder / "eval_players.py").write_text(PLAYERS)
    sys.path.insert(0, str(folder))
    import eval_players

    yield eval_players
    sys.path.remove(str(folder))
    del sys.modules["eval_players"]


def test_what_goes_wrong_costs_one_task(players):
    tasks = ["a", "dead", "b", "fails", "leaves", "c"]
    found = dict(play_in_processes(tasks, 2, players.prepare))
    assert found.keys() == set(tasks)
    scores = [found[task] for task in "abc"]
    assert [score.task for score in scores] == ["a", "b", "c"]
    assert str(os.getpid()) not in {score.checkpoint for score in scores}
    assert str(found["dead"]) == "the process that played it died (killed by SIGKILL)"
    assert "died (exit code 3, see above)" in str(found["leaves"])
    # It cannot be pickled; what it says comes through.
    assert isinstance(found["fails"], GatoGymError)
    assert str(found["fails"]) == "Unwell: the simulator is unstable"
    assert not multiprocessing.active_children()


def test_an_agent_that_cannot_be_loaded_is_told_for_each_task(players):
    found = dict(play_in_processes(["a", "b"], 1, players.unprepared))
    assert {task: repr(error) for task, error in found.items()} == {
        "a": "OSError('no weights')",
        "b": "OSError('no weights')",
    }


def test_who_stops_early_leaves_no_process(players):
    playing = play_in_processes(["a", "b", "c"], 2, players.prepare)
    next(playing)
    assert multiprocessing.active_children()
    playing.close()
    assert not multiprocessing.active_children()


def test_a_process_that_has_played_much_is_replaced(players, monkeypatch):
    monkeypatch.setattr("gato_gym.evaluation.processes.TASKS_PER_PROCESS", 2)
    found = dict(play_in_processes(["a", "b", "c"], 1, players.prepare))
    processes = [found[task].checkpoint for task in "abc"]
    assert processes[0] == processes[1] != processes[2]
