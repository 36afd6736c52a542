"""Files that only pretend to be an expert are refused, and no code in them runs."""

import hashlib
import io
import json
import pickle
import shutil
import zipfile

import pytest
import torch

from gato_gym.agents.experts import load_expert, sb3, weights_folder
from gato_gym.agents.experts.policy import CARD, TENSORS
from gato_gym.cli import main
from gato_gym.errors import CorruptCheckpointError


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def as_pickle(bomb):
    return pickle.dumps({"weight": bomb})


def as_torch(bomb):
    file = io.BytesIO()
    torch.save({"weight": bomb}, file)
    return file.getvalue()


def as_zip(bomb):
    """What Stable-Baselines3 writes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("policy.pth", as_torch(bomb))
        archive.writestr("data", as_pickle(bomb))
    return file.getvalue()


@pytest.fixture(params=[as_pickle, as_torch, as_zip])
def bomb(request, tmp_path):
    """The bytes, and the file that they would make."""
    made = tmp_path / "made"
    data = request.param(Bomb(made))
    pickle.loads(as_pickle(Bomb(made)))["weight"].close()
    assert made.exists(), "the bomb works"
    made.unlink()
    return data, made


@pytest.mark.parametrize("signed", [False, True])
def test_weights_that_are_a_pickle(tmp_path, bomb, signed):
    data, made = bomb
    folder = tmp_path / "expert"
    shutil.copytree(weights_folder("CartPole-v1"), folder)
    (folder / TENSORS).write_bytes(data)
    if signed:
        card = json.loads((folder / CARD).read_text())
        card["sha256"] = hashlib.sha256(data).hexdigest()
        (folder / CARD).write_text(json.dumps(card))
    with pytest.raises(CorruptCheckpointError, match=r"no exported policy|bytes differ") as caught:
        load_expert(folder)
    assert "expert" in str(caught.value)
    assert not made.exists()


def test_a_card_that_is_a_pickle(tmp_path, bomb):
    data, made = bomb
    folder = tmp_path / "expert"
    shutil.copytree(weights_folder("CartPole-v1"), folder)
    (folder / CARD).write_bytes(data)
    with pytest.raises(CorruptCheckpointError, match="no exported policy"):
        load_expert(folder)
    assert not made.exists()


def test_a_zip_from_the_internet(tmp_path, bomb, capsys):
    data, made = bomb
    archive = tmp_path / "model.zip"
    archive.write_bytes(data)
    with pytest.raises(PermissionError, match=r"trust=True"):
        sb3.export_sb3(archive, tmp_path / "out", task="CartPole-v1")
    command = ["collect", "CartPole-v1", "--expert", str(archive), "--out", str(tmp_path / "c")]
    assert main([*command, "--episodes", "1"]) == 2
    assert "model.zip" in capsys.readouterr().err
    assert not made.exists() and not (tmp_path / "c").exists() and not (tmp_path / "out").exists()
