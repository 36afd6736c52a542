"""A log goes everywhere; rollouts are shown when they have ended."""

import json

import pytest

from gato_gym.cli.console import Console
from gato_gym.cli.rollouts import Played, Rollouts
from gato_gym.cli.runlog import RunLog
from gato_gym.cli.watch import Watch
from gato_gym.evaluation.scores import Score
from gato_gym.training.progress import StepLog, ValidationLog

SCORE = Score(
    "CartPole-v1", 2, 7000, 260.0, (20.0, 500.0), 20.0, 500.0, 0.5, None, "agent", 9.0, 260.0,
    (20.0, 500.0),
)  # fmt: skip


class Sink:
    def __init__(self):
        self.seen, self.closed = [], False

    def scalars(self, step, values):
        self.seen.append((step, values))

    def close(self):
        self.closed = True


class FakeRollouts(Rollouts):
    """Ends at once, with one score."""

    def _spawn(self, folder):
        self._ended.append(Played(int(folder.name[-8:]), 1.0, (SCORE,)))


@pytest.fixture
def rollouts(tmp_path):
    return FakeRollouts(tmp_path, ["CartPole-v1"], 5, tell=print)


def test_every_log_goes_everywhere_and_rollouts_follow(tmp_path, rollouts, capsys):
    sink, written = Sink(), []
    model = object()

    def write(folder, given):
        written.append((folder.parent.name, given))

    log = StepLog(5, 1.0, {"CartPole-v1": 1.0}, {"CartPole-v1": 0.5}, 1.0, 1e-3, 10.0, 0.0, 0.0)
    held_out = ValidationLog(5, 2.0, {}, {}, {}, {}, 4)
    with Watch(RunLog(tmp_path, 0), Console(0, 10), [sink], rollouts, write) as watch:
        watch.show(held_out)
        watch.show(log, model)
        assert written == [("step-00000005", model)]
        watch.finish(10, model, lambda: False)
    assert sink.closed
    assert [step for step, _ in sink.seen] == [5, 5, 5, 10]
    assert sink.seen[2][1]["rollouts/mean/classic"] == 0.5
    lines = [json.loads(text) for text in (tmp_path / "rollouts.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10]
    err = capsys.readouterr().err.splitlines()
    assert "validation loss 2.000" in err[0] and "loss 1.000" in err[1]
    assert err[2] == "rollouts of step 5, normalised: classic 0.50 (IQM 0.50)"


def test_what_is_running_is_stopped_when_training_fails(tmp_path, rollouts, monkeypatch):
    stopped = []
    monkeypatch.setattr(rollouts, "stop", lambda: stopped.append(True))
    sink = Sink()
    with (
        pytest.raises(RuntimeError),
        Watch(RunLog(tmp_path, 0), Console(0, 9), [sink], rollouts, None),
    ):
        raise RuntimeError("loss is not finite")
    assert stopped and sink.closed
