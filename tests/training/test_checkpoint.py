"""A checkpoint is exactly what was saved, or one clear error; of one process."""

import json
import shutil
import threading

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp

from gato_gym.config import TrainConfig
from gato_gym.errors import CorruptCheckpointError
from gato_gym.training import checkpoint, commit
from gato_gym.training.checkpoint import Checkpoints, checkpoints
from gato_gym.training.optim import make_optimizer

TENSORS = "tensors-00001-of-00001.safetensors"
FILES = [TENSORS, "state.json", "manifest.json"]
STATE = {"tokens": 12345678901234, "seconds": 0.1, "model": {"width": 8}, "share": float("nan")}


def build(seed=0, steps=3, dtype=torch.float32):
    """A small network with moments; one layer has never had a gradient, one never gets any."""
    torch.manual_seed(seed)
    model = torch.nn.ModuleDict(
        {
            "table": torch.nn.Embedding(7, 8),
            "out": torch.nn.Linear(8, 3),
            "idle": torch.nn.Linear(2, 2),
            "frozen": torch.nn.Linear(2, 2).requires_grad_(False),
        }
    ).to(dtype)
    model.register_buffer("mean", torch.rand(3, dtype=torch.float64))
    optimizer = make_optimizer(model, TrainConfig())
    train(model, optimizer, steps)
    return model, optimizer


def train(model, optimizer, steps):
    for _ in range(steps):
        model["out"](model["table"](torch.randint(0, 7, (5,)))).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def bits(tensors):
    return {
        name: (
            value.dtype,
            tuple(value.shape),
            value.contiguous().view(-1).view(torch.uint8).tolist(),
        )
        for name, value in tensors.items()
    }


def moments(model, optimizer):
    return {
        f"{name}.{kind}": value.reshape(-1)
        for name, parameter in model.named_parameters()
        for kind, value in optimizer.state.get(parameter, {}).items()
    }


def save(root, step=40, built=None, **options):
    return Checkpoints(root).save(step, *(built or build()), STATE, wait=True, **options)


def load(folder, extra=None):
    model, optimizer = build(seed=1, steps=0)
    # Its own root: what opens a run's folder to write tidies up there.
    return Checkpoints(folder / "none").load(folder, model, optimizer, extra), model, optimizer


@pytest.fixture
def saved(tmp_path):
    return save(tmp_path / "run")


@pytest.fixture
def no_space(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(28, "No space left on device")

    return lambda module, name: monkeypatch.setattr(module, name, refuse)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_round_trip_is_exact(tmp_path, dtype):
    model, optimizer = build(dtype=dtype)
    with torch.no_grad():
        model["out"].weight[0, :3] = torch.tensor([float("nan"), float("inf"), -0.0])
    mean = {"mean.x": torch.rand(5, 2).T, "mean.y": torch.tensor(3)}
    folder = save(tmp_path, 40, (model, optimizer), extra=mean)
    again, its_optimizer = build(seed=1, steps=2, dtype=dtype)
    its_mean = {"mean.x": torch.zeros(2, 5), "mean.y": torch.tensor(0)}
    state = Checkpoints(tmp_path).load(folder, again, its_optimizer, its_mean)
    assert repr(state) == repr({"step": 40, **STATE})
    assert bits(again.state_dict()) == bits(model.state_dict())
    assert bits(moments(again, its_optimizer)) == bits(moments(model, optimizer))
    assert bits(its_mean) == bits(mean)
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


def test_other_optimizers(tmp_path):
    """Whatever they keep: a tensor of another shape, a count, no state at all."""
    for make in (
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: torch.optim.Adafactor(p, lr=0.1),
        lambda p: torch.optim.Adam(p, lr=0.1, amsgrad=True),
        lambda p: torch.optim.ASGD(p, lr=0.1),
        lambda p: torch.optim.SGD(p, lr=0.1),
    ):
        model, again = build(steps=0)[0], build(seed=1, steps=0)[0]
        optimizer, its_optimizer = make(model.parameters()), make(again.parameters())
        train(model, optimizer, 2)
        folder = save(tmp_path, 2, (model, optimizer))
        Checkpoints(tmp_path).load(folder, again, its_optimizer)
        torch.manual_seed(5)
        train(model, optimizer, 2)
        torch.manual_seed(5)
        train(again, its_optimizer, 2)
        assert bits(again.state_dict()) == bits(model.state_dict()), make


def test_an_optimizer_that_keeps_something_else(tmp_path):
    model, optimizer = build()
    optimizer.state[model["idle"].weight] = {"names": ["a"]}
    with pytest.raises(TypeError, match=r"keeps a list as 'names' of idle\.weight"):
        Checkpoints(tmp_path).save(1, model, optimizer, {})


def test_what_is_written_behind_the_training_is_a_copy(tmp_path, monkeypatch):
    """The thread is held until the weights have changed (pytorch issue 144657)."""
    go, write = threading.Event(), checkpoint.safetensors.torch.save_file
    monkeypatch.setattr(
        checkpoint.safetensors.torch, "save_file", lambda *a: go.wait(60) and write(*a)
    )
    model, optimizer = build()
    mean = {"mean": torch.rand(3)}
    before = bits(model.state_dict()), bits(moments(model, optimizer)), bits(mean)
    kept = Checkpoints(tmp_path)
    folder = kept.save(3, model, optimizer, STATE, extra=mean)
    train(model, optimizer, 2)
    mean["mean"].zero_()
    assert bits(model.state_dict()) != before[0] and not folder.exists()
    assert checkpoints(tmp_path) == []
    go.set()
    assert kept.newest() == folder  # waits
    _, again, its_optimizer = load(folder, its := {"mean": torch.ones(3)})
    assert (bits(again.state_dict()), bits(moments(again, its_optimizer)), bits(its)) == before


@pytest.mark.parametrize("fails", ["tensors", "manifest", "rename"])
@pytest.mark.parametrize("wait", [True, False])
def test_failed_save_leaves_the_old_one(tmp_path, monkeypatch, saved, no_space, fails, wait):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    kept, model_and_optimizer = Checkpoints(tmp_path / "run"), build()
    with monkeypatch.context():
        if fails == "tensors":
            no_space(checkpoint.safetensors.torch, "save_file")
        elif fails == "manifest":
            no_space(commit, "write_json")
        else:
            no_space(commit.os, "rename")
        if not wait:
            kept.save(41, *model_and_optimizer, STATE)
        with pytest.raises(OSError, match="No space left"):
            # Or at the next thing that is asked of it.
            kept.save(42, *model_and_optimizer, STATE, wait=wait)
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "run").iterdir()] == [saved.name]
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    load(saved)
    kept.save(43, *model_and_optimizer, STATE, wait=True)
    assert kept.newest().name == "step-00000043"


def test_folder_without_manifest_does_not_exist(saved):
    torn = saved.with_name("step-00000080")
    shutil.copytree(saved, torn)
    (torn / "manifest.json").unlink()
    assert checkpoints(saved.parent) == [saved]
    with pytest.raises(CorruptCheckpointError, match=r"manifest\.json is missing"):
        load(torn)
    assert load(save(saved.parent, 80))[0]["step"] == 80


def test_no_checkpoints(tmp_path):
    assert Checkpoints(tmp_path / "nothing").newest() is None
    assert not (tmp_path / "nothing").exists()
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
def test_truncated_longer_or_missing_file(saved, name):
    path = saved / name
    good = path.read_bytes()
    for bad in (b"", good[:1], good[: len(good) // 2], good[:-2], good + b"x"):
        path.write_bytes(bad)
        with pytest.raises(CorruptCheckpointError) as caught:
            load(saved)
        assert name in str(caught.value) or name == "manifest.json"
    path.unlink()
    with pytest.raises(CorruptCheckpointError, match=f"{name} is missing"):
        load(saved)


def test_a_file_that_was_not_saved(saved):
    """Torch's reader would take its tensors for the checkpoint's."""
    shutil.copy(saved / TENSORS, saved / "tensors-00002-of-00002.safetensors")
    with pytest.raises(CorruptCheckpointError, match=r"00002-of-00002\.safetensors was not there"):
        load(saved)


@pytest.mark.parametrize("name", [TENSORS, "state.json"])
def test_a_file_of_another_checkpoint(tmp_path, saved, name):
    other = save(saved.parent, 41, build(steps=4))
    shutil.copy(other / name, saved / name)
    with pytest.raises(CorruptCheckpointError, match=rf"{name} is not the file that was saved"):
        load(saved)


def test_a_checkpoint_under_another_name(saved):
    renamed = saved.rename(saved.with_name("step-00000090"))
    with pytest.raises(CorruptCheckpointError, match="holds step 40: give it its name back"):
        load(renamed)


def forge(folder, name, data):
    """Write a file and a manifest that agrees."""
    (folder / name).write_bytes(data)
    checkpoint.write_manifest(folder)


@pytest.mark.parametrize(
    "scalars",
    [
        {"out.weight": {"step": "x"}},
        {"out.weight": {"step": None}},
        {"out.weight": {"step": {"dtype": "load", "value": 1}}},
        {"out.weight": {"step": {"dtype": "float32", "value": "x"}}},
        {"out.weight": 5},
        {"nobody": {"step": 1}},
        7,
    ],
)
def test_forged_scalars(saved, scalars):
    forge(saved, "state.json", json.dumps({"step": 40, "optimizer": scalars}).encode())
    with pytest.raises(CorruptCheckpointError):
        load(saved)


def test_forged_tensors(saved):
    tensors = checkpoint.load_tensors(saved / TENSORS)
    for places in ("{", "[]", "{}", json.dumps(dict.fromkeys(tensors, 3))):
        header = {checkpoint.PLACES: places}
        checkpoint.safetensors.torch.save_file(tensors, saved / TENSORS, header)
        checkpoint.write_manifest(saved)
        with pytest.raises(CorruptCheckpointError):
            load(saved)
    for bad in (b"", b"\xff" * 20, (10**9).to_bytes(8, "little") + b"{}"):
        forge(saved, TENSORS, bad)
        with pytest.raises(CorruptCheckpointError, match="cannot be read"):
            load(saved)


def test_a_part_that_is_missing(saved):
    """The manifest agrees, but nobody wrote the second half of a matrix."""
    tensors = checkpoint.load_tensors(saved / TENSORS)
    places = {n: {"saved_offsets": [0] * t.ndim} for n, t in tensors.items()}
    tensors["model.out.weight"] = tensors["model.out.weight"][2:].clone()
    places["model.out.weight"] = {"saved_offsets": [2, 0]}
    header = {checkpoint.PLACES: json.dumps(places)}
    checkpoint.safetensors.torch.save_file(tensors, saved / TENSORS, header)
    checkpoint.write_manifest(saved)
    with pytest.raises(CorruptCheckpointError, match=r"parts of model\.out\.weight are missing"):
        load(saved)


def test_another_model(saved):
    model, _ = build(steps=0)
    model["out"] = torch.nn.Linear(8, 4)
    with pytest.raises(
        CorruptCheckpointError, match="of another model: 2 tensors differ"
    ) as caught:
        Checkpoints(saved / "none").load(saved, model, make_optimizer(model, TrainConfig()))
    assert "model.out.bias is ((3,), torch.float32), expected ((4,), " in str(caught.value)
    with pytest.raises(CorruptCheckpointError, match=r"extra\.mean is None, expected"):
        load(saved, {"mean": torch.zeros(2)})


def test_the_layout_of_before_is_refused(saved):
    for name in (TENSORS, "state.json"):
        (saved / name).unlink()
    for name in ("model.safetensors", "optimizer.safetensors", "state.json"):
        (saved / name).write_bytes(b"{}")
    checkpoint.write_manifest(saved)
    with pytest.raises(CorruptCheckpointError, match="layout of gato_gym before"):
        load(saved)


def test_weights_of_another_shape(tmp_path):
    model, _ = build(steps=0)
    path = tmp_path / "model.safetensors"
    checkpoint.safetensors.torch.save_file(model.state_dict(), path)
    checkpoint.load_weights(build(seed=1, steps=0)[0], path)
    other = torch.nn.ModuleDict({"table": torch.nn.Embedding(9, 8), "out": torch.nn.Linear(8, 3)})
    with pytest.raises(CorruptCheckpointError, match="does not fit the config") as caught:
        checkpoint.load_weights(other, path)
    assert "6 tensors differ" in str(caught.value)
    assert "frozen.bias is (2,), expected None" in str(caught.value)


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_the_layout_is_that_of_torch(tmp_path):
    """Torch reads ours, we read torch's: same names of tensors, same headers."""
    model, optimizer = build()
    ours = save(tmp_path, 1, (model, optimizer))
    tensors = checkpoint.load_tensors(ours / TENSORS)
    read = {name: torch.zeros_like(value) for name, value in tensors.items()}
    dcp.load(read, storage_reader=dcp.HuggingFaceStorageReader(str(ours)))
    assert bits(read) == bits(tensors)
    (ours / TENSORS).unlink()
    dcp.save(tensors, storage_writer=dcp.HuggingFaceStorageWriter(str(ours), save_distributed=True))
    checkpoint.write_manifest(ours)
    assert bits(load(ours.rename(tmp_path / "step-00000001"))[1].state_dict()) == bits(
        model.state_dict()
    )
