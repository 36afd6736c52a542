"""Weights of fewer bits: what is rounded, how far predictions move, copies, bad use."""

import copy
import logging
import pickle
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
import torch

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.cli.players import PrecisionName, check_player, load_gato, load_player
from gato_gym.errors import MissingExtraError
from gato_gym.models.precision import (
    PRECISIONS,
    check_precision,
    check_savable,
    precision_of,
    set_precision,
)

ROUNDED = PRECISIONS[1:]


def logits(model, inputs):
    with torch.inference_mode():
        return model(**inputs).float()


def size(model):
    """Bytes of all weights and scales."""
    parts = []
    for parameter in model.parameters():
        whole = (
            [parameter] if not hasattr(parameter, "qdata") else [parameter.qdata, parameter.scale]
        )
        parts += [part.numel() * part.element_size() for part in whole]
    return sum(parts)


def test_float32_changes_nothing(make_model):
    model = make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert set_precision(model, "float32") is model
    assert precision_of(model) == "float32"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_bfloat16_rounds_every_weight_to_the_nearest(make_model):
    exact, model = make_model(), set_precision(make_model(), "bfloat16")
    assert precision_of(model) == "bfloat16"
    for name, value in model.state_dict().items():
        assert value.dtype == torch.bfloat16
        assert torch.equal(value, exact.state_dict()[name].bfloat16())


def test_int8_rounds_the_matrices_of_the_blocks_and_nothing_else_to_int8(make_model):
    exact, model = make_model(), set_precision(make_model(), "int8")
    assert precision_of(model) == "int8"
    for name, value in model.named_parameters():
        before = exact.get_parameter(name).detach()
        if value.dtype == torch.bfloat16:
            assert not name.startswith("blocks.") or "norm" in name
            assert torch.equal(value, before.bfloat16())
            continue
        assert name.startswith("blocks.") and value.qdata.dtype == torch.int8
        # One scale for each output, of the largest weight; rounded to the nearest of 127 steps.
        scale = before.abs().amax(1, keepdim=True) / 127.5
        torch.testing.assert_close(value.scale, scale, rtol=1e-5, atol=0)
        steps = (value.dequantize() - before).abs() / scale
        assert steps.max() <= 0.51 and 0.2 < steps.mean() < 0.3
    assert sum(p.dtype != torch.bfloat16 for p in model.parameters()) == 5 * model.config.layers


def test_sizes(make_model):
    sizes = {
        name: size(set_precision(make_model(width=64, hidden=256), name)) for name in PRECISIONS
    }
    assert sizes["bfloat16"] * 2 == sizes["float32"]
    matrices = sum(
        p.numel() for p in make_model(width=64, hidden=256).blocks.parameters() if p.ndim > 1
    )
    outputs = 2 * (64 + 128 + 64 + 256 + 64)
    assert sizes["int8"] == sizes["bfloat16"] - matrices + 4 * outputs


@pytest.mark.parametrize(("precision", "most"), [("bfloat16", 0.03), ("int8", 0.05)])
def test_predictions_move_a_little(make_model, make_inputs, precision, most):
    inputs = make_inputs(rows=4)
    exact = logits(make_model(), inputs)
    found = logits(set_precision(make_model(), precision), inputs)
    error = (found - exact).norm() / exact.norm()
    assert 1e-4 < error < most


def test_pixels_are_scaled_in_float32(make_model):
    """Rounded to bfloat16 after scaling and not before: neighbouring grey levels stay apart."""
    model, seen = set_precision(make_model(), "bfloat16"), []
    model.embedding.patches.stem.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    levels = torch.arange(256, dtype=torch.uint8)
    model.embedding.patches(levels[:, None, None, None].expand(-1, 16, 16, 3))
    expected = ((levels.double() / 127.5 - 1) / 4).bfloat16()
    assert torch.equal(seen[0][:, 0, 0, 0], expected)


@pytest.mark.parametrize("precision", ROUNDED)
def test_copies_and_pickles_predict_the_same(make_model, make_inputs, precision):
    inputs, model = make_inputs(), set_precision(make_model(), precision)
    expected = logits(model, inputs)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.to("cpu")):
        assert precision_of(twin) == precision
        assert torch.equal(logits(twin, inputs), expected)


def test_the_process_is_left_as_it_was(make_model):
    """torchao would change how float32 is multiplied, and logs what CUDA it does not find."""
    loggers = [logging.getLogger(name) for name in ("torchao", "torch.utils._pytree")]
    before = torch.get_float32_matmul_precision(), [logger.level for logger in loggers]
    set_precision(make_model(), "int8")
    assert (torch.get_float32_matmul_precision(), [logger.level for logger in loggers]) == before


def test_nothing_is_logged_or_warned_of():
    code = (
        "from gato_gym.config import model_config\n"
        "from gato_gym.models.gato import Gato\n"
        "from gato_gym.models.precision import precision_of, set_precision\n"
        "print(precision_of(set_precision(Gato(model_config('tiny')), 'int8')))"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("int8\n", "")


# Acting


@pytest.fixture(scope="module")
def exact():
    return GatoAgent.from_pretrained(device="cpu")


@pytest.fixture(scope="module", params=ROUNDED)
def rounded(request):
    return GatoAgent.from_pretrained(device="cpu", precision=request.param)


def test_the_bundled_agent_still_balances(rounded):
    """For 100 steps; chance falls after some 20. `benchmarks/precision.py` plays whole episodes."""
    env = envs.make("CartPole-v1")
    rounded.reset(env)
    obs, _ = env.reset(seed=7000)
    for _ in range(100):
        obs, _, terminated, _, _ = env.step(rounded.act(obs))
        assert not terminated


def test_greedy_actions_mostly_agree(exact, rounded):
    """Along one and the same episode, of 51 x 51 x 3 legal values."""
    env = envs.make("gato_gym/BlockStacking-v0")
    for agent in (exact, rounded):
        agent.reset(env)
    obs, _ = env.reset(seed=7000)
    actions = []
    for _ in range(10):
        actions.append([agent.act(obs) for agent in (exact, rounded)])
        obs, *_ = env.step(actions[-1][0])
    first, second = np.array(actions).transpose(1, 0, 2)
    assert (first == second).mean() > 0.4  # of 1,024 bins; most of the rest are neighbours
    assert np.abs(first - second).mean() < 0.05


def test_a_rounded_agent_is_copied_and_pickled_but_not_saved(rounded, tmp_path):
    """In the middle of an episode, with what it remembers."""
    env = envs.make("CartPole-v1")
    rounded.reset(env)
    obs, _ = env.reset(seed=1)
    for _ in range(3):
        obs, *_ = env.step(rounded.act(obs))
    twins = copy.deepcopy(rounded), pickle.loads(pickle.dumps(rounded))
    for _ in range(10):
        action = rounded.act(obs)
        assert [twin.act(obs) for twin in twins] == [action, action]
        obs, *_ = env.step(action)
    with pytest.raises(ValueError, match="save the agent loaded with precision='float32'"):
        rounded.save_pretrained(tmp_path / "agent")
    assert not (tmp_path / "agent").exists()


def test_the_command_line_names_the_precision_of_who_plays():
    agent, name = load_player(
        "gato", "CartPole-v1", checkpoint=None, prompt=False, seed=0, precision="bfloat16"
    )
    assert (agent.checkpoint, name) == ("bundled (bfloat16) (no prompt)", None)
    assert load_gato(None).checkpoint == "bundled"
    with pytest.raises(ValueError, match="--precision is for --agent gato, not for --agent random"):
        check_player("random", None, True, "int8")
    assert get_args(PrecisionName) == PRECISIONS


# Bad use


def test_an_unknown_precision_names_all(make_model):
    with pytest.raises(
        ValueError, match="unknown precision 'fp16': choose one of float32, bfloat16, int8"
    ):
        set_precision(make_model(), "fp16")


@pytest.mark.parametrize("precision", ROUNDED)
def test_what_is_rounded_stays_so(make_model, precision):
    model = set_precision(make_model(), precision)
    assert set_precision(model, precision) is model
    for other in set(PRECISIONS) - {precision}:
        with pytest.raises(ValueError, match=f"load the agent again with precision='{other}'"):
            set_precision(model, other)


def test_only_float32_can_be_saved(make_model):
    check_savable(make_model())
    for precision in ROUNDED:
        with pytest.raises(ValueError, match=f"rounded to {precision}.*precision='float32'"):
            check_savable(set_precision(make_model(), precision))


def test_without_torchao_the_extra_is_named(make_model, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_precision("bfloat16")
    with pytest.raises(MissingExtraError, match=r'pip install "gato-gym\[quantize\]"'):
        set_precision(make_model(), "int8")
