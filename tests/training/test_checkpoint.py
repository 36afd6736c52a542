"""A checkpoint is exactly what was saved, or one clear error."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch

from gato_gym.config import TrainConfig
from gato_gym.errors import CorruptCheckpointError
from gato_gym.training import checkpoint
from gato_gym.training.optim import make_optimizer

FILES = ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"]
STATE = {"tokens": 12345678901234, "seconds": 0.1, "model": {"width": 8}}


def build(seed=0, steps=3):
    """A small network with moments; one layer has never had a gradient."""
    torch.manual_seed(seed)
    model = torch.nn.ModuleDict(
        {
            "table": torch.nn.Embedding(7, 8),
            "out": torch.nn.Linear(8, 3),
            "idle": torch.nn.Linear(2, 2),
        }
    )
    optimizer = make_optimizer(model, TrainConfig())
    for _ in range(steps):
        model["out"](model["table"](torch.randint(0, 7, (5,)))).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def bits(tensors):
    return {name: (value.dtype, value.numpy().tobytes()) for name, value in tensors.items()}


def moments(model, optimizer):
    return {
        f"{name}.{kind}": value
        for name, parameter in model.named_parameters()
        for kind, value in optimizer.state[parameter].items()
    }


@pytest.fixture
def saved(tmp_path):
    return checkpoint.save(tmp_path / "run", 40, *build(), STATE)


def load(folder):
    model, optimizer = build(seed=1, steps=0)
    return checkpoint.load(folder, model, optimizer), model, optimizer


def test_round_trip_is_exact(tmp_path):
    model, optimizer = build()
    folder = checkpoint.save(tmp_path, 40, model, optimizer, STATE)
    after = torch.rand(4)
    state, again, its_optimizer = load(folder)
    assert state == {"step": 40, **STATE}
    assert bits(again.state_dict()) == bits(model.state_dict())
    assert bits(moments(again, its_optimizer)) == bits(moments(model, optimizer))
    assert bits({"random": torch.rand(4)}) == bits({"random": after})
    assert folder.name == "step-00000040"
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)


def test_training_goes_on_after_loading(saved):
    """Also where some parameters had no moments."""
    model, optimizer = build()
    _, again, its_optimizer = load(saved)
    for network, its in ((model, optimizer), (again, its_optimizer)):
        for _ in range(2):
            x = network["table"](torch.arange(7))
            (network["out"](x).square().sum() + network["idle"](x[:, :2]).sum()).backward()
            its.step()
            its.zero_grad()
    assert bits(again.state_dict()) == bits(model.state_dict())


def test_folder_without_manifest_does_not_exist(tmp_path, saved):
    torn = tmp_path / "run" / "step-00000080"
    shutil.copytree(saved, torn)
    (torn / "manifest.json").unlink()
    unfinished = tmp_path / "run" / ".step-00000099.tmp"
    shutil.copytree(saved, unfinished)
    assert checkpoint.checkpoints(tmp_path / "run") == [saved]
    with pytest.raises(CorruptCheckpointError, match=r"manifest\.json is missing"):
        load(torn)
    # A later save of the same step replaces both.
    again = checkpoint.save(tmp_path / "run", 80, *build(), STATE)
    assert again == torn and load(again)[0]["step"] == 80
    checkpoint.save(tmp_path / "run", 99, *build(), STATE)
    assert not unfinished.exists()


def test_no_checkpoints(tmp_path):
    assert checkpoint.checkpoints(tmp_path / "nothing") == []
    with pytest.raises(CorruptCheckpointError, match="missing"):
        load(tmp_path / "nothing")


@pytest.mark.parametrize("name", FILES)
def test_any_flipped_bit_is_noticed(saved, name):
    path = saved / name
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    ends = [0, 1, 7, 8, 9, len(good) - 1]
    for position in {*ends, *rng.integers(0, len(good), 60).tolist()}:
        bad = bytearray(good)
        bad[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(bad)
        with pytest.raises(CorruptCheckpointError):
            load(saved)
    path.write_bytes(good)
    load(saved)


@pytest.mark.parametrize("name", FILES)
def test_truncated_or_longer_file(saved, name):
    path = saved / name
    good = path.read_bytes()
    longer = good + b"x"
    for bad in (b"", good[:1], good[: len(good) // 2], good[:-2], longer):
        path.write_bytes(bad)
        with pytest.raises(CorruptCheckpointError) as caught:
            load(saved)
        assert name in str(caught.value) or name == "manifest.json"


@pytest.mark.parametrize("name", FILES)
def test_missing_file(saved, name):
    (saved / name).unlink()
    with pytest.raises(CorruptCheckpointError, match=f"{name} is missing"):
        load(saved)


@pytest.mark.parametrize("escape", ["../secret", "/etc/hostname", "a/../../secret"])
def test_manifest_must_stay_inside(saved, escape):
    (saved.parent / "secret").write_text("x")
    manifest = saved / "manifest.json"
    manifest.write_text(json.dumps({escape: {"size": 1, "crc32c": 0}}))
    with pytest.raises(CorruptCheckpointError, match="names a file outside"):
        checkpoint.check_manifest(saved)


def test_link_out_of_the_folder(saved):
    outside = saved.parent / "outside.json"
    (saved / "state.json").rename(outside)
    (saved / "state.json").symlink_to(outside)
    with pytest.raises(CorruptCheckpointError, match="names a file outside"):
        load(saved)


@pytest.mark.parametrize("text", ["[]", "1", "null", "{", "\udc80", "[" * 100_000])
def test_json_that_is_no_object(tmp_path, text):
    path = tmp_path / "state.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CorruptCheckpointError, match=r"state\.json"):
        checkpoint.read_json(path)


def test_weights_of_another_shape(saved):
    other = torch.nn.ModuleDict({"table": torch.nn.Embedding(9, 8), "out": torch.nn.Linear(8, 3)})
    with pytest.raises(CorruptCheckpointError, match="does not fit the config") as caught:
        checkpoint.load_weights(other, saved / "model.safetensors")
    assert "3 tensors differ" in str(caught.value)
    assert "idle.bias is (2,), expected None" in str(caught.value)


def test_retention_keeps_the_newest_two(tmp_path):
    for step in (1, 20, 3_000, 100_000_000):
        checkpoint.save(tmp_path, step, *build(), STATE)
    left = [path.name for path in checkpoint.checkpoints(tmp_path)]
    assert left[-1] == "step-100000000" and left[0] == "step-00003000"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(left)


@pytest.mark.parametrize("fails", ["tensors", "manifest", "rename"])
def test_failed_save_leaves_the_old_one(tmp_path, monkeypatch, saved, fails):
    def refuse(*args, **kwargs):
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    with monkeypatch.context() as patch:
        if fails == "tensors":
            patch.setattr(checkpoint.safetensors.torch, "save_file", refuse)
        elif fails == "manifest":
            patch.setattr(checkpoint, "write_manifest", refuse)
        else:
            patch.setattr(checkpoint.os, "rename", refuse)
        with pytest.raises(OSError, match="No space left"):
            checkpoint.save(tmp_path / "run", 41, *build(), STATE)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [saved.name]
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    load(saved)


def test_nothing_unpickles(saved, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("unpickled")

    for module, name in (
        (pickle, "load"),
        (pickle, "loads"),
        (pickle, "Unpickler"),
        (torch, "load"),
        (np, "load"),
    ):
        monkeypatch.setattr(module, name, refuse)
    assert load(saved)[0]["step"] == 40
