"""Every task of the catalogue that is installed here, one by one: `pytest -m suite`.

Each is built, checked by Gymnasium's `check_env`, played for 200 random steps through the tokenizer
with every action decoded into the action space, and played twice with one seed. What was measured
is written to build/suite.jsonl, one task per line.
"""

import json
import os
from pathlib import Path

import pytest

from gato_gym import envs
from gato_gym.evaluation.conformance import check

pytestmark = pytest.mark.suite
FIGURES = Path(__file__).parents[2] / "build" / "suite.jsonl"
STEPS = 200


@pytest.mark.parametrize("spec", envs.tasks(), ids=lambda spec: spec.id)
def test_gato_can_play(spec):
    report = check(spec.id, steps=STEPS)
    FIGURES.parent.mkdir(exist_ok=True)
    line = json.dumps({"task": spec.id, "domain": spec.domain} | report.to_json()) + "\n"
    # One write of a file opened for appending: lines of parallel workers do not mix.
    with open(os.open(FIGURES, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), "w") as file:
        file.write(line)
    assert report.passed, report.text()
    assert not [finding for finding in report.findings if finding.level == "warning"], report.text()


def test_no_task_is_counted_twice():
    from gato_gym.envs.families import base_name, observation_kind

    keys = [(spec.package, base_name(spec.id), observation_kind(spec)) for spec in envs.tasks()]
    assert len(set(keys)) == len(keys)


def test_there_are_as_many_as_gato_had():
    assert len(envs.tasks()) >= 604
