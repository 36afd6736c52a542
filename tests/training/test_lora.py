"""LoRA adapters: they start as nothing, train alone, and merge into an ordinary model."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import gato_gym
from gato_gym.config import model_config
from gato_gym.errors import MissingExtraError
from gato_gym.models.gato import Gato
from gato_gym.training import lora

CONFIG = model_config("tiny")


def inputs(rows=2, length=12):
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 1024, (rows, length), generator=generator)
    none = torch.zeros(0, 16, 16, 3, dtype=torch.uint8)
    nowhere = torch.zeros(0, dtype=torch.long)
    return {
        "ids": ids,
        "local": torch.zeros_like(ids),
        "patches": none,
        "pixels": nowhere,
        "positions": torch.zeros(0, 2, dtype=torch.long),
        "first_visible": torch.zeros_like(ids),
    }


@pytest.fixture
def pair():
    """A base and an adapted copy of it."""
    torch.manual_seed(0)
    base = Gato(CONFIG)
    copy = Gato(CONFIG)
    copy.load_state_dict(base.state_dict())
    return base, lora.add_adapters(copy, rank=4, alpha=8)


def train(model, steps=5):
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(steps):
        model(**inputs()).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def base_weights(model):
    return {
        name.replace(".base_layer", ""): value.detach().clone()
        for name, value in model.named_parameters()
        if "lora_" not in name
    }


def test_it_starts_as_the_base(pair):
    base, model = pair
    torch.testing.assert_close(model(**inputs()), base(**inputs()), rtol=0, atol=0)


def test_every_matrix_of_the_blocks_and_nothing_else_is_trained(pair):
    _, model = pair
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    matrices = ("query", "key_value", "out", "up", "down")
    assert trained == {
        f"blocks.{layer}.{matrix}.lora_{side}.default.weight"
        for layer in range(CONFIG.layers)
        for matrix in matrices
        for side in "AB"
    }


def test_the_base_stays_bit_for_bit_while_the_function_changes(pair):
    base, model = pair
    train(model)
    for name, value in base_weights(model).items():
        assert torch.equal(value, base.get_parameter(name)), name
    assert (model(**inputs()) - base(**inputs())).abs().max() > 1e-2


def test_merged_logits_are_the_adapters(pair):
    _, model = pair
    train(model)
    before = base_weights(model)
    merged = lora.plain(model)
    assert type(merged) is Gato and not lora.adapted(merged)
    assert merged.state_dict().keys() == Gato(CONFIG).state_dict().keys()
    torch.testing.assert_close(merged(**inputs()), model(**inputs()), rtol=0, atol=1e-5)
    for name, value in base_weights(model).items():  # merging wrote nothing into the adapted one
        assert torch.equal(value, before[name])


def test_merging_draws_no_random_numbers(pair):
    _, model = pair
    state = torch.get_rng_state()
    lora.plain(model)
    assert torch.equal(torch.get_rng_state(), state)


def test_its_state_is_the_adapters_only_and_restores_them(pair):
    base, model = pair
    train(model)
    state = model.state_dict()
    assert state and all(".lora_" in name for name in state)
    other = Gato(CONFIG)
    other.load_state_dict(base.state_dict())
    lora.add_adapters(other, rank=4, alpha=8, seed=9)
    other.load_state_dict(state)
    assert torch.equal(other(**inputs()), model(**inputs()))
    del state["blocks.0.out.lora_A.default.weight"]
    with pytest.raises(RuntimeError, match=r"blocks\.0\.out\.lora_A"):
        other.load_state_dict(state)


def test_the_start_is_a_function_of_the_seed():
    starts = [
        lora.add_adapters(Gato(CONFIG), 2, 4, seed).state_dict()[
            "blocks.1.up.lora_A.default.weight"
        ]
        for seed in (3, 3, 4)
    ]
    assert torch.equal(starts[0], starts[1]) and not torch.equal(starts[0], starts[2])


def test_of_an_ordinary_model_a_plain_one_shares_the_weights():
    model = Gato(replace(CONFIG, layers=1)).train()
    same = lora.plain(model)
    assert model.training and not same.training
    assert same(**inputs()).equal(model(**inputs()))
    with torch.no_grad():
        model.norm.weight.mul_(2.0)
    assert same(**inputs()).equal(model(**inputs()))


def test_a_plain_model_is_not_compiled():
    model = Gato(replace(CONFIG, layers=1))
    for block in model.blocks:  # what block.compile() leaves, without waiting for a compiler
        block._compiled_call_impl = block._call_impl
    assert all(block._compiled_call_impl is None for block in lora.plain(model).blocks)


def test_wrong_use():
    model = Gato(CONFIG)
    for wrong in ((0, 4), (2, 0)):
        with pytest.raises(ValueError, match="must be positive"):
            lora.add_adapters(model, *wrong)
    lora.add_adapters(model, 2, 4)
    with pytest.raises(ValueError, match="adapters already"):
        lora.add_adapters(model, 2, 4)


def test_without_peft_the_command_that_installs_it_is_told(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "gato-gym\[lora\]"'):
        lora.add_adapters(Gato(CONFIG), 2, 4)


def test_peft_is_imported_only_when_it_is_used():
    """Only inside of functions: it takes seconds, and not everybody has it."""
    found = []
    for path in Path(gato_gym.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom | ast.Import):
                names = getattr(node, "module", None) or node.names[0].name
                if names.partition(".")[0] in ("peft", "transformers"):
                    found.append((path.name, node.col_offset > 0))
    assert found and set(found) == {("lora.py", True)}
