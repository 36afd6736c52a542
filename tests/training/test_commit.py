"""When a checkpoint begins to exist, which ones stay, and what is done with what kills leave."""

import os
import shutil

import pytest
import torch

from gato_gym.training import commit
from gato_gym.training.checkpoint import Checkpoints
from gato_gym.training.commit import checkpoints
from gato_gym.training.manifest import read_json

TENSORS = "tensors-00001-of-00001.safetensors"


def save(root, step, keep=2, **state):
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    return Checkpoints(root, keep).save(step, model, optimizer, state, wait=True)


@pytest.fixture
def saved(tmp_path):
    return save(tmp_path / "run", 40)


def test_an_old_one_goes_only_after_the_new_one_is_there(tmp_path, monkeypatch):
    first = save(tmp_path, 1, keep=1)
    renamed = []

    def rename(source, target):
        renamed.append((os.path.basename(source), os.path.basename(target), first.exists()))
        os.replace(source, target)

    monkeypatch.setattr(commit.os, "rename", rename)
    save(tmp_path, 2, keep=1)
    assert renamed == [
        (".step-00000002.tmp", "step-00000002", True),
        ("step-00000001", ".step-00000001.gone", True),
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]


def test_retention_keeps_the_newest_two(tmp_path):
    for step in (1, 20, 3_000, 100_000_000):
        save(tmp_path, step)
    left = [path.name for path in checkpoints(tmp_path)]
    assert left == ["step-00003000", "step-100000000"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(left)
    # What was written last stays, even where newer ones are kept.
    save(tmp_path, 7)
    assert [p.name for p in checkpoints(tmp_path)] == ["step-00000007", "step-100000000"]


def test_what_kills_leave(tmp_path, saved):
    """Complete but for its name: finished. Anything else: deleted."""
    run = saved.parent
    for step, missing in ((50, None), (51, "manifest.json"), (52, TENSORS)):
        left = shutil.copytree(saved, run / f".step-{step:08d}.tmp")
        if missing:
            (left / missing).unlink()
    shutil.copytree(saved, run / ".step-00000030.gone")
    (run / "step-notes").mkdir()
    assert checkpoints(run) == [saved]
    assert Checkpoints(run).newest().name == "step-00000050"
    names = ["step-00000040", "step-00000050", "step-notes"]
    assert sorted(path.name for path in run.iterdir()) == names


def test_the_same_step_again_replaces_it(saved):
    assert save(saved.parent, 40, note="again") == saved
    assert read_json(saved / "state.json")["note"] == "again"
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
