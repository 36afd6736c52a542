"""An agent's folder: complete or absent, checked on load."""

import json

import numpy as np
import pytest
import torch

from gato_gym.config import model_config
from gato_gym.errors import CorruptCheckpointError
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.training.bundle import Bundle, load_bundle, save_bundle
from gato_gym.types import ActionSpec, Episode, ObservationSpec, TaskSpec

SPEC = TaskSpec(
    "ns/Toy-v0",
    "test",
    "test",
    (ObservationSpec("observation", "continuous", (2,)),),
    ActionSpec("discrete", 1, (3,)),
)


def bundle() -> Bundle:
    torch.manual_seed(0)
    episode = Episode(
        task=SPEC.id,
        observations={"observation": np.zeros((3, 2), np.float32)},
        actions=np.array([0, 2]),
        rewards=np.ones(2),
        terminated=True,
        seed=1,
        expert="test",
    )
    text = TextTokenizer.train(["the arm stacks the red block on the blue block"] * 5, 512)
    return Bundle(
        Gato(model_config("tiny")).eval(),
        {SPEC.id: SPEC},
        {SPEC.id: episode},
        text,
        {"card.json": "{}"},
    )


@pytest.fixture
def folder(tmp_path):
    return save_bundle(bundle(), tmp_path / "agent")


def test_round_trip(folder):
    saved, loaded = bundle(), load_bundle(folder)
    assert loaded.model.config == saved.model.config
    for name, value in saved.model.state_dict().items():
        assert torch.equal(value, loaded.model.state_dict()[name]), name
    assert loaded.specs == saved.specs
    assert loaded.text is not None and loaded.text.model == saved.text.model
    np.testing.assert_array_equal(loaded.prompts[SPEC.id].actions, [0, 2])
    assert loaded.documents == {"card.json": "{}"}


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tasks.json", "text.model", "manifest.json"]
)
def test_a_changed_or_missing_file_is_an_error(folder, name):
    data = bytearray((folder / name).read_bytes())
    middle = len(data) // 2
    for damaged in (data[:middle], data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :]):
        (folder / name).write_bytes(damaged)
        with pytest.raises(CorruptCheckpointError):
            load_bundle(folder)
    (folder / name).unlink()
    with pytest.raises(CorruptCheckpointError, match=name):
        load_bundle(folder)


def test_a_manifest_may_not_point_outside(folder, tmp_path):
    (tmp_path / "secret").write_text("x")
    files = json.loads((folder / "manifest.json").read_text())
    files["../secret"] = {"size": 1, "crc32c": 0}
    (folder / "manifest.json").write_text(json.dumps(files))
    with pytest.raises(CorruptCheckpointError, match="outside"):
        load_bundle(folder)


def test_weights_of_another_shape_are_refused(folder):
    from gato_gym.training.checkpoint import write_manifest

    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "layers": 3}))
    write_manifest(folder)
    with pytest.raises(CorruptCheckpointError, match="does not fit the config"):
        load_bundle(folder)


def test_saving_replaces_an_agent_but_nothing_else(folder, tmp_path):
    save_bundle(bundle(), folder)
    load_bundle(folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="choose another folder"):
        save_bundle(bundle(), other)
    assert (other / "thesis.txt").read_text() == "precious"


def test_a_failed_save_leaves_the_old_agent_and_no_leftovers(folder, monkeypatch):
    before = (folder / "manifest.json").read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gato_gym.training.bundle.write_manifest", full)
    with pytest.raises(OSError, match="No space"):
        save_bundle(bundle(), folder)
    assert (folder / "manifest.json").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["agent"]
    load_bundle(folder)


def test_a_missing_folder_says_so(tmp_path):
    with pytest.raises(CorruptCheckpointError, match="does not exist"):
        load_bundle(tmp_path / "nowhere")


def test_every_file_that_is_read_must_be_in_the_manifest(folder):
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(CorruptCheckpointError, match="does not list"):
        load_bundle(folder)


def test_a_run_folder_names_its_agent(folder, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    folder.rename(run / "agent")
    with pytest.raises(CorruptCheckpointError, match="is a training run; its agent is in"):
        load_bundle(run)
