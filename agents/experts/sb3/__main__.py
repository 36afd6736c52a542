"""python -m gato_gym.agents.experts.sb3: train, export, evaluate."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gato_gym.agents.experts import load_expert, weights_folder
from gato_gym.agents.experts.sb3.export import (
    EVALUATION_SEED,
    evaluate,
    export_sb3,
    read_curve,
    record_evaluation,
)
from gato_gym.agents.experts.sb3.train import train_expert
from gato_gym.errors import GatoGymError, UnknownTaskError


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 ok, 2 wrong use."""
    parser = argparse.ArgumentParser(prog="python -m gato_gym.agents.experts.sb3")
    verbs = parser.add_subparsers(dest="verb", required=True)
    train = verbs.add_parser("train", help="train, evaluate and export; resumes")
    train.add_argument("--task", required=True)
    train.add_argument("--out", required=True, type=Path)
    train.add_argument("--steps", type=int, help="default: the table's")
    export = verbs.add_parser("export", help="make safetensors + JSON of a Stable-Baselines3 zip")
    export.add_argument("--task", required=True)
    export.add_argument("--zip", required=True, type=Path)
    export.add_argument("--out", type=Path, help="default: the folder of the shipped expert")
    export.add_argument("--trust", action="store_true", help="the zip holds pickles: I trust it")
    export.add_argument("--curve", type=Path, help='JSON lines {"steps": .., "return": ..}')
    test = verbs.add_parser("evaluate", help="returns of an expert")
    test.add_argument("--expert", required=True, help="id, task id or folder")
    test.add_argument("--task", help="default: the expert's own")
    test.add_argument("--record", action="store_true", help="write the result into its card")
    for verb in (train, export, test):
        verb.add_argument("--episodes", type=int, default=20)
    for verb in (export, test):
        verb.add_argument("--seed", type=int, default=EVALUATION_SEED)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # beats more threads on perceptrons of this size
    try:
        print(json.dumps(_run(options)))
    except (GatoGymError, PermissionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace) -> dict[str, Any]:
    if options.verb == "evaluate":
        agent = load_expert(options.expert)
        own = agent.card["task"]  # type: ignore[attr-defined]
        found = evaluate(agent, options.task or own, options.episodes, options.seed)
        if options.record:
            if options.task not in (None, own):
                raise UnknownTaskError(f"--record is for the expert's own task, {own!r}")
            record_evaluation(options.expert, found)
        return found
    if options.verb == "train":
        card = train_expert(options.task, options.out, options.steps, episodes=options.episodes)
    else:
        card = export_sb3(
            options.zip,
            options.out or weights_folder(options.task),
            options.trust,
            task=options.task,
            history={"curve": read_curve(options.curve)} if options.curve else {"curve": []},
            episodes=options.episodes,
            seed=options.seed,
        )
    return {"steps_trained": card["steps_trained"], "evaluation": card["evaluation"]}


if __name__ == "__main__":
    sys.exit(main())
