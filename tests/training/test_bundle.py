"""An agent's folder: complete or absent, checked on load."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gato_gym.config import model_config
from gato_gym.data.records import encode
from gato_gym.errors import CorruptCheckpointError
from gato_gym.models.gato import Gato
from gato_gym.models.precision import set_precision
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.training.bundle import LIMITS, PROMPT_LIMIT, Bundle, load_bundle, save_bundle
from gato_gym.training.manifest import write_json, write_manifest
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
    change_json(folder, "config.json", layers=3)
    with pytest.raises(CorruptCheckpointError, match="does not fit the config"):
        load_bundle(folder)


def change_json(folder, name, **values):
    """As somebody who means harm: the manifest agrees."""
    told = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(told | values))
    write_manifest(folder)


@pytest.mark.parametrize("name", ["README.md", "scorecard.json"])
def test_what_may_change_later_may_change(folder, name):
    (folder / name).write_text("edited")
    assert load_bundle(folder).documents[name] == "edited"
    (folder / name).write_bytes(b"\xff")
    with pytest.raises(CorruptCheckpointError, match="is not UTF-8 text"):
        load_bundle(folder)


def test_the_card_of_the_run_may_not_change(folder):
    (folder / "card.json").write_text('{"a": 1}')
    with pytest.raises(CorruptCheckpointError, match=r"card\.json is not the file that was saved"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "name", [*(name for name in LIMITS if LIMITS[name]), "prompts/ns__Toy-v0.episode"]
)
def test_a_file_that_is_too_large_is_not_read(folder, name, monkeypatch):
    limit = LIMITS.get(name, PROMPT_LIMIT)
    (folder / name).touch()
    os.truncate(folder / name, limit + 1)  # a hole: it takes no room on the disk

    def refuse(path, *args, **kwargs):
        raise AssertionError(f"{path} was read")

    for way in ("read_text", "read_bytes", "open"):
        monkeypatch.setattr(Path, way, refuse)
    with pytest.raises(CorruptCheckpointError, match=f"at most {limit:,}: it is something else"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "scorecard.json", "prompts"])
def test_a_link_out_of_the_folder_is_refused(folder, tmp_path, name):
    inside, outside = folder / name, tmp_path / "outside"
    inside.touch() if name == "scorecard.json" else None
    inside.rename(outside)
    inside.symlink_to(outside)
    with pytest.raises(CorruptCheckpointError, match="is a link to outside of its folder"):
        load_bundle(folder)


def test_the_folder_itself_may_be_a_link(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert load_bundle(tmp_path / "link").specs == {SPEC.id: SPEC}


def test_foreign_files_are_not_read(folder):
    for name in ("model.py", "pytorch_model.bin", "prompts/readme.txt"):
        (folder / name).write_bytes(b"\x80")
        (folder / name).chmod(0)
    load_bundle(folder)
    write_json(folder / "manifest.json", {"model.py": {"size": 1, "crc32c": 0}})
    with pytest.raises(CorruptCheckpointError, match="no part of one; if a newer gato_gym"):
        load_bundle(folder)


def test_specs_that_are_none_are_refused(folder):
    spec = SPEC.to_json()
    for told, message in (
        ({SPEC.id: []}, "no readable spec of 'ns/Toy-v0'"),
        ({SPEC.id: spec | {"observations": 1}}, "no readable spec"),
        ({SPEC.id: spec | {"surprise": 1}}, "no readable spec"),
        ({"ns/Other-v0": spec}, "the names must be the same"),
    ):
        write_json(folder / "tasks.json", told)
        write_manifest(folder)
        with pytest.raises(CorruptCheckpointError, match=message):
            load_bundle(folder)


def test_prompts_that_are_none_are_refused(folder):
    path = folder / "prompts" / "ns__Toy-v0.episode"
    other = replace(bundle().prompts[SPEC.id], task="ns/Other-v0")
    for content, message in ((encode(other), "shows ns/Other-v0"), (b"GGEP", "not a readable")):
        path.write_bytes(content)
        write_manifest(folder)
        with pytest.raises(CorruptCheckpointError, match=message):
            load_bundle(folder)


def test_only_documents_of_an_agent_are_written(tmp_path):
    stray = replace(bundle(), documents={"../notes.txt": "x"})
    with pytest.raises(ValueError, match=r"'../notes\.txt' is none of an agent's: card\.json"):
        save_bundle(stray, tmp_path / "agent")
    assert not list(tmp_path.iterdir())


def test_rounded_weights_are_not_saved(tmp_path):
    rounded = bundle()
    set_precision(rounded.model, "bfloat16")
    with pytest.raises(ValueError, match="rounded to bfloat16"):
        save_bundle(rounded, tmp_path / "agent")


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
