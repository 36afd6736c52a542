"""What the configuration asks for must be what the weights' file holds, before memory is taken."""

import json
import time

import pytest
import torch
from safetensors.torch import save_file

from gato_gym.config import model_config
from gato_gym.errors import CorruptCheckpointError
from gato_gym.models.gato import Gato
from gato_gym.training.weights import MAX_CONTEXT, read_config, read_model

TINY = model_config("tiny").to_json()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config.json"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"width": "32"}, "width is '32', not a int"),
        ({"width": 32.0}, "width is 32.0"),
        ({"layers": True}, "layers is True"),
        ({"layers": 0}, "layers is 0, not a int above 0"),
        ({"heads": -2}, "heads is -2"),
        ({"heads": None}, "heads is None"),
        ({"width": [1]}, "width is"),
        ({"heads": 3}, "describes no model: width 32 over 3 heads"),
        ({"stochastic_depth": float("nan")}, "describes no model"),
        ({"context": MAX_CONTEXT + 1}, "a context of 1,048,577 tokens is above 1,048,576"),
        ({"experts": 8}, "'experts', which gato_gym .* does not know: if a newer one"),
    ],
)
def test_a_configuration_is_checked_value_by_value(path, change, message):
    path.write_text(json.dumps(TINY | change))
    with pytest.raises(CorruptCheckpointError, match=message):
        read_config(path)


def test_a_missing_value_and_a_whole_number_for_a_float(path):
    path.write_text(json.dumps(TINY | {"stochastic_depth": 0}))
    assert read_config(path) == model_config("tiny")
    path.write_text(json.dumps({"size": "tiny"}))
    with pytest.raises(CorruptCheckpointError, match="describes no model"):
        read_config(path)


@pytest.mark.parametrize(
    "change",
    [
        {"layers": 10**12},
        {"layers": 4000, "width": 2, "heads": 1, "hidden": 2},
        {"width": 2**40},
        {"hidden": 2**50},
        {"text_size": 2**45},
        {"patch_channels": 2**20},
        {"patch_features": 2**40},
        {"layers": 3},
    ],
)
def test_a_few_bytes_of_json_do_not_ask_for_a_terabyte(path, change):
    weights = path.with_name("model.safetensors")
    save_file(Gato(model_config("tiny")).state_dict(), weights)
    path.write_text(json.dumps(TINY | change))
    start = time.process_time()
    with pytest.raises(CorruptCheckpointError, match="does not fit the config"):
        read_model(read_config(path), weights)
    # Allocating, or making a million layers, would take minutes or the machine.
    assert time.process_time() - start < 5


def test_weights_arrive_whole_and_nothing_is_drawn(path):
    torch.manual_seed(1)
    saved = Gato(model_config("tiny"))
    weights = path.with_name("model.safetensors")
    save_file(saved.state_dict(), weights)
    state = torch.random.get_rng_state()
    loaded = read_model(model_config("tiny"), weights)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not loaded.training
    for name, value in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert {p.device.type for p in loaded.parameters()} == {"cpu"}
    assert all(p.requires_grad for p in loaded.parameters())


def test_a_file_that_is_not_safetensors(path):
    weights = path.with_name("model.safetensors")
    for content in (b"", b"\x80\x04", b"\xff" * 100):
        weights.write_bytes(content)
        with pytest.raises(CorruptCheckpointError, match="cannot be read"):
            read_model(model_config("tiny"), weights)
    weights.unlink()
    with pytest.raises(CorruptCheckpointError, match="cannot be read"):
        read_model(model_config("tiny"), weights)
