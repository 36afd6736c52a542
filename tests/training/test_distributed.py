"""Several ranks train what one process does, and any number of them reads what another saved."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from gato_gym.config import ModelConfig
from gato_gym.models.gato import Gato
from gato_gym.training.checkpoint import checkpoints
from gato_gym.training.distributed import Ranks, clip_gradients, full_weights, join, settle, shard

JOB = Path(__file__).with_name("ranks_job.py")
TINY = ModelConfig("t", width=32, layers=1, heads=2, hidden=64, text_size=1024, patch_channels=32)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """What one process, two ranks and four did, see ranks_job.py."""
    folder = tmp_path_factory.mktemp("ranks")
    done = subprocess.run(
        [sys.executable, str(JOB), str(folder)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return folder


def weights(out, name):
    return safetensors.torch.load_file(out / f"{name}.safetensors")


def facts(out, name, rank=0):
    return json.loads((out / f"{name}-{rank}.json").read_text())


def distance(a, b):
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def same_bits(a, b):
    assert a.keys() == b.keys()
    return [name for name in a if a[name].numpy().tobytes() != b[name].numpy().tobytes()] == []


def test_two_ranks_are_one_process(out):
    """Weights, running means, losses and gradient norms; images on some ranks only."""
    assert distance(weights(out, "two-straight"), weights(out, "one-straight")) < 1e-6
    one, two = facts(out, "one-straight"), facts(out, "two-straight")
    torch.testing.assert_close(two["losses"], one["losses"], rtol=1e-6, atol=5e-6)
    other = facts(out, "two-straight", 1)
    assert other["losses"] == two["losses"]
    assert [a + b for a, b in zip(two["rows"], other["rows"], strict=True)] == one["rows"]


def test_without_images_the_patch_network_is_left_alone(out):
    for name in ("one", "two"):
        idle = json.loads((out / f"{name}-looks.json").read_text())["idle"]
        assert {n.split(".")[1] for n in idle} == {"patches", "rows", "columns"}
        assert facts(out, f"{name}-straight")["idle"] == []


def test_a_look_at_mean_weights_sees_them_and_leaves_no_trace(out):
    """That the steps after it are right is what the comparison of weights shows."""
    one, two = (json.loads((out / f"{name}-looks.json").read_text()) for name in ("one", "two"))
    assert abs(one["mean"] - one["plain"]) > 1e-3
    for key in ("mean", "plain"):
        assert two[key] == pytest.approx(one[key], abs=1e-4)


def test_resuming_on_as_many_ranks_is_exact(out):
    for name in ("one", "two"):
        assert same_bits(weights(out, f"{name}-from-{name}"), weights(out, f"{name}-straight"))
        losses = facts(out, f"{name}-straight")["losses"]
        assert facts(out, f"{name}-from-{name}")["losses"] == losses[4:]


@pytest.mark.parametrize(
    ("name", "origin", "step"),
    [
        ("two", "one", 4),
        ("one", "two", 4),
        ("four", "two", 4),
        ("one", "four", 6),
        ("machines", "two", 4),
        ("one", "machines", 6),
    ],
)
def test_resuming_on_another_number_of_ranks(out, name, origin, step):
    resumed, straight = facts(out, f"{name}-from-{origin}"), facts(out, "one-straight")
    for (loss, norm), (its_loss, its_norm) in zip(
        resumed["losses"], straight["losses"][step:], strict=True
    ):
        assert abs(loss - its_loss) < 1e-5 and abs(norm - its_norm) < 1e-5
    assert distance(weights(out, f"{name}-from-{origin}"), weights(out, "one-straight")) < 1e-6
    size = {"one": 1, "two": 2, "four": 4, "machines": 4}[name]
    ranks = [facts(out, f"{name}-from-{origin}", rank)["rows"] for rank in range(size)]
    together = [[row for rank in ranks for row in rank[i]] for i in range(8 - step)]
    assert together == straight["rows"][step:]


def test_muon_is_the_same_on_two_ranks_and_resumes_exactly(out):
    assert distance(weights(out, "two-muon-straight"), weights(out, "one-muon-straight")) < 1e-5
    for name in ("one", "two"):
        again, straight = (weights(out, f"{name}-muon-{run}") for run in ("again", "straight"))
        assert same_bits(again, straight)


def test_each_rank_writes_its_part(out):
    (folder,) = checkpoints(out / "four")
    files = sorted(folder.glob("*.safetensors"))
    assert [f.name for f in files] == [
        f"tensors-{i}-of-00004.safetensors" for i in ("00001", "00002", "00003", "00004")
    ]
    sizes = [file.stat().st_size for file in files]
    assert max(sizes) < 1.3 * min(sizes)
    whole = (checkpoints(out / "one")[0] / "tensors-00001-of-00001.safetensors").stat().st_size
    assert max(sizes) < whole / 3


def test_the_first_machine_writes_what_all_hold(out):
    (folder,) = checkpoints(out / "machines")
    sizes = [file.stat().st_size for file in sorted(folder.glob("*.safetensors"))]
    assert len(sizes) == 4
    assert max(sizes[:2]) < 1.3 * min(sizes[:2]) and max(sizes[2:]) < 0.01 * min(sizes[:2])


def test_what_fails_on_one_rank_fails_on_all(out):
    (first, damaged), (its, its_damaged) = (
        json.loads((out / f"failures-{rank}.json").read_text()) for rank in (0, 1)
    )
    assert first.startswith("TrainingError: rank 1 could not write its part")
    assert its.startswith("OSError") and "No space left" in its
    assert "is damaged: another rank says where" in its_damaged
    assert "tensors-00002-of-00002.safetensors is not the file that was saved" in damaged


def test_one_process_needs_no_group(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    ranks = join("cpu")
    assert ranks == Ranks(0, 1, torch.device("cpu")) and ranks.main
    tensor = torch.tensor([3.0])
    assert ranks.sum(tensor) is tensor and ranks.own_group() is None
    model = Gato(TINY)
    shard(model, ranks)
    assert type(model) is Gato
    model.logits(torch.ones(1, 32)).sum().backward()
    settle(model, images=False)
    before = model.embedding.ids.weight.grad.double().norm()
    assert clip_gradients(model, 1e9) == clip_gradients(model, 0.5) == pytest.approx(before)
    assert model.embedding.ids.weight.grad.double().norm() == pytest.approx(0.5, rel=1e-5)
    assert full_weights(model, ranks).keys() == model.state_dict().keys()
    ranks.barrier()
    ranks.leave()


def test_the_norm_of_a_large_gradient_is_exact():
    """Torch's own is a thousandth too small on a CPU."""
    model = torch.nn.Linear(8000, 1000, bias=False)
    model.weight.grad = torch.randn(1000, 8000, generator=torch.Generator().manual_seed(0))
    exact = float(model.weight.grad.double().norm())
    assert float(clip_gradients(model, 1.0)) == pytest.approx(exact, rel=1e-6)


def test_more_ranks_than_gpus(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="wants GPU 3 of this machine, which has 2: start at most"):
        join("cuda")


def test_torchrun_takes_the_arguments_of_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "gato_gym.training", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "usage: gato-gym train" in done.stdout
