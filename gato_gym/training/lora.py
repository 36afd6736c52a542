"""LoRA (arXiv 2106.09685) through peft: low-rank updates of the blocks' matrices, nothing else.

    W x  ->  W x + alpha / rank * B A x,    A (rank, in) random, B (out, rank) zero at the start

The adapted model computes the base's logits until the first optimiser step. Its state holds the
adapters only: a checkpoint of a run is as small as what the run changes, and only loads on the same
base. `plain` gives an ordinary model of matrices W + alpha / rank * B A.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from torch import nn

from gato_gym.errors import MissingExtraError
from gato_gym.models.gato import Gato
from gato_gym.models.precision import quiet_torchao

_ADAPTER, _BASE = "lora_", ".base_layer"


def check_peft() -> None:
    """Raise MissingExtraError unless peft is installed; imports nothing, which takes seconds."""
    if importlib.util.find_spec("peft") is None:
        raise MissingExtraError(
            'LoRA needs peft, which is not installed: pip install "gato-gym[lora]"'
        )


def add_adapters(model: Gato, rank: int, alpha: int, seed: int = 0) -> Gato:
    """Freeze a model and give each matrix of its blocks an adapter; changes and returns the model.

    Args:
        model: the base; its weights are never written to.
        rank: of each update.
        alpha: the update is scaled by alpha / rank.
        seed: of the adapters' start.

    Raises:
        MissingExtraError: peft is not installed.
        ValueError: the rank or alpha is not positive, or the model has adapters already.
    """
    check_peft()
    if rank < 1 or alpha < 1:
        raise ValueError(f"a LoRA rank of {rank} and alpha of {alpha}: both must be positive")
    if adapted(model):
        raise ValueError("the model has adapters already: merge them first with plain(model)")
    with quiet_torchao():  # where it is installed, peft imports it
        from peft import LoraConfig, inject_adapter_in_model

    targets = [
        f"blocks.{name}"
        for name, module in model.blocks.named_modules()
        if isinstance(module, nn.Linear)
    ]
    settings = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, lora_dropout=0.0)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        with quiet_torchao():
            inject_adapter_in_model(settings, model)
    model.register_state_dict_post_hook(_drop_base)
    model.register_load_state_dict_post_hook(_ignore_missing_base)
    return model


def adapted(model: nn.Module) -> bool:
    """Whether the model has adapters."""
    return any(_ADAPTER in name for name, _ in model.named_parameters())


@torch.no_grad()
def plain(model: Gato) -> Gato:
    """The same function as an ordinary model in eval mode: no adapters, no compiled blocks.

    It shares all weights but the adapted ones with the model, so it costs little memory and shows
    later steps of a model that is trained on.
    """
    weights = {
        name.replace(_BASE, ""): parameter.detach()
        for name, parameter in model.named_parameters()
        if _ADAPTER not in name
    }
    if adapted(model):
        from peft.tuners.lora import Linear

        for name, module in model.named_modules():
            if isinstance(module, Linear):
                for adapter in module.active_adapters:
                    matrix = f"{name}.weight"
                    weights[matrix] = weights[matrix] + module.get_delta_weight(adapter)
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced
        same = Gato(model.config)
    same.load_state_dict(weights, assign=True)
    return same.eval()


def _drop_base(model: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in [name for name in state if _ADAPTER not in name]:
        del state[name]


def _ignore_missing_base(model: nn.Module, keys: Any) -> None:
    keys.missing_keys[:] = [name for name in keys.missing_keys if _ADAPTER in name]
