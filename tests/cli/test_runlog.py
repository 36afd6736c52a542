"""The logs of a run survive a crash, a resume, and that older runs wrote less."""

import json

import pytest

from gato_gym.cli.console import Console, log_line, validation_line
from gato_gym.cli.export import thinned
from gato_gym.cli.runlog import RunLog
from gato_gym.training.progress import StepLog, ValidationLog
from gato_gym.training.sinks import TensorBoard, scalars


def step_log(step, **changed):
    parts = {
        "step": step,
        "loss": 2.5,
        "losses": {"a": 2.0, "b": 3.0},
        "accuracy": {"a": 0.5, "b": 0.25},
        "gradient_norm": 1.5,
        "learning_rate": 1e-3,
        "tokens_per_second": 12345.6,
        "loader_wait": 0.004,
        "padding": 0.01,
        "domain_losses": {"atari": 2.0, "classic": 3.0},
        "domain_accuracy": {"atari": 0.5, "classic": 0.25},
        "utilisation": 0.312,
        "memory": 2**30,
        "seconds_left": 3725.4,
    }
    return StepLog(**parts | changed)


def validation(step):
    return ValidationLog(step, 2.25, {"a": 2.25}, {"a": 0.5}, {"atari": 2.25}, {"atari": 0.5}, 40)


def steps(lines):
    return [line["step"] for line in lines]


def test_each_log_in_its_file_up_to_the_step_of_a_resume(tmp_path):
    log = RunLog(tmp_path / "run", 0)
    for step in (1, 2, 3):
        log.add(step_log(step))
        log.add(validation(step))
        log.add_rollouts({"step": step, "tasks": {}})
    again = RunLog(tmp_path / "run", 2)
    assert again.lines == log.lines[:2] and again.validation == log.validation[:2]
    assert again.rollouts == log.rollouts[:2]
    again.add(step_log(3, loss=1.0))
    for name in ("train", "validation", "rollouts"):
        texts = (tmp_path / f"run/{name}.jsonl").read_text().splitlines()
        assert len(texts) == (3 if name == "train" else 2)
    assert RunLog(tmp_path / "run", 9).lines[-1]["loss"] == 1.0


def test_a_line_that_a_crash_cut_off_ends_the_file(tmp_path):
    log = RunLog(tmp_path, 0)
    log.add(step_log(1))
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    again = RunLog(tmp_path, 5)
    assert steps(again.lines) == [1]
    again.add(step_log(2))
    assert steps(RunLog(tmp_path, 5).lines) == [1, 2]


def test_logs_of_older_runs_are_read(tmp_path):
    older = {k: v for k, v in vars(step_log(1)).items() if not k.startswith("domain")}
    for name in ("utilisation", "memory", "seconds_left"):
        del older[name]
    (tmp_path / "train.jsonl").write_text(json.dumps(older) + "\n")
    log = RunLog(tmp_path, 1)
    assert log.lines == [older] and log.validation == log.rollouts == []
    log.add(step_log(2))
    assert [point["step"] for point in thinned(log.lines)] == [1, 2]


def test_a_run_that_has_only_tensorboard_gets_its_lines_from_there(tmp_path):
    sink = TensorBoard(tmp_path)
    for step in (1, 2):
        sink.scalars(step, scalars(step_log(step, loss=step / 2)))
        sink.scalars(step, scalars(validation(step)) | {"rollouts/mean/atari": 0.5})
    sink.close()
    found = RunLog(tmp_path, 2).lines
    assert steps(found) == [1, 2]
    expected = vars(step_log(2, loss=1.0))
    del expected["seconds_left"]
    for name, value in expected.items():
        assert found[1][name] == pytest.approx(value, rel=1e-6), name
    assert found[1].keys() == expected.keys()


def test_lines_for_people():
    line = log_line(step_log(50), 1000)
    for part in ("step 50/1000", "loss 2.500", "12,346 tok/s", "MFU 31.2%", "waiting 0.4%"):
        assert part in line
    assert "left 1:02:05" in line and line.endswith("atari 2.000  classic 3.000")
    assert "MFU" not in log_line(step_log(50, utilisation=None), 1000)
    assert "validation loss 2.250  atari 2.250" in validation_line(validation(7), 10)


def test_without_a_terminal_every_log_is_a_line(capsys):
    with Console(0, 10) as console:
        console.log(step_log(5))
        console.log(validation(5))
        console.tell("saved")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        log_line(step_log(5), 10),
        validation_line(validation(5), 10),
        "saved",
    ]


def test_a_person_sees_a_bar_and_lines_above_it(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    console = Console(2, 10)  # of a rank that shows nothing
    assert capsys.readouterr().err == ""
    with console:
        console.log(step_log(5))
        console.tell("saved")
    out, err = capsys.readouterr()
    assert out == ""
    last = err.split("\r")[-1]
    assert "50%" in last and "5/10" in last and "MFU 31.2%" in last
    assert "saved\n" in err
