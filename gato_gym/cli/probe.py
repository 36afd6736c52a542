"""Ask a checkpoint what its scores rest on: its prompt, or the conditions it was trained in.

prompts plays every task with its own demonstration, without one and with another task's;
robustness plays it in noise, late, with sticky actions, in other modes and colours. All scores are
of the same seeds, so differences are taken episode by episode. embeddings shows which tasks a layer
tells apart.

examples:
    gato-gym probe prompts --episodes 20 --out prompts.json --chart prompts.svg
    gato-gym probe prompts CartPole-v1 'gato_gym/BabyAI*' --json
    gato-gym probe robustness ALE/Boxing-v5 --perturb sticky-actions game-variants
    gato-gym probe robustness CartPole-v1 --perturb observation-noise=0.1,0.5 delayed-actions=1,2
    gato-gym probe embeddings --episodes 40 --out embeddings

gato-gym probe ACTION --help shows the options of one action.
"""

from __future__ import annotations

from typing import Annotated, Any

import tyro

from gato_gym.cli.probe_embeddings import Embeddings, run_embeddings
from gato_gym.cli.probe_prompts import Prompts, run_prompts
from gato_gym.cli.probe_robustness import Robustness, run_robustness

Options = (
    Annotated[Prompts, tyro.conf.subcommand("prompts")]
    | Annotated[Robustness, tyro.conf.subcommand("robustness")]
    | Annotated[Embeddings, tyro.conf.subcommand("embeddings")]
)


def run(options: Any) -> int:
    """Do what was asked for; 1 where nothing could be played."""
    if isinstance(options, Prompts):
        return run_prompts(options)
    if isinstance(options, Embeddings):
        return run_embeddings(options)
    return run_robustness(options)
