"""A trained model -> safetensors + JSON, with an evaluation of what was written."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save
from stable_baselines3.common.base_class import BaseAlgorithm

from gato_gym import envs
from gato_gym.agents import Agent
from gato_gym.agents.experts import expert_name, load_expert, weights_folder
from gato_gym.agents.experts.hyperparameters import hyperparameters_for
from gato_gym.agents.experts.policy import CARD, TENSORS
from gato_gym.agents.experts.sb3.actor import actor_tensors, fold_normalisation
from gato_gym.agents.experts.sb3.algorithms import ALGORITHMS
from gato_gym.evaluation.rollout import rollout

EVALUATION_SEED = 5000
PACKAGES = ("gymnasium", "ale-py", "mujoco", "stable-baselines3", "sb3-contrib", "torch", "numpy")


def export_sb3(
    model: BaseAlgorithm | Path | str,
    out: Path,
    trust: bool = False,
    *,
    task: str,
    total_steps: int | None = None,
    history: dict[str, Any] | None = None,
    episodes: int = 20,
    seed: int = EVALUATION_SEED,
) -> dict[str, Any]:
    """Write the actor of a model as safetensors + JSON and evaluate what was written.

    Args:
        model: the model, or the path of its zip.
        out: the folder to write, see `policy.py`.
        trust: load a zip although it holds pickles, which can run any code.
        task: what it was trained on, with the hyper-parameters of the table.
        total_steps: of the whole run, over which the learning rate fell; default is the table's.
        history: for the card: "curve" ([steps, return] points), "wall_seconds", "cpu_seconds".
        episodes: of the evaluation, on the standard environment of the task.
        seed: of the first of them.

    Returns:
        The contents of policy.json.

    Raises:
        PermissionError: a zip without `trust`.
        ValueError: a network that is no plain multi-layer perceptron.
    """
    hyperparameters = hyperparameters_for(task)
    assert hyperparameters is not None, task
    if isinstance(model, str | Path):
        model = _load_zip(Path(model), hyperparameters.algorithm, trust)
    tensors, network = actor_tensors(model.policy)
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None and normalizer.norm_obs:
        statistics: Any = normalizer.obs_rms  # of a Box: not a dict of them
        deviation = np.sqrt(statistics.var + normalizer.epsilon)
        tensors = fold_normalisation(tensors, statistics.mean, deviation)
    data = save(tensors)
    card: dict[str, Any] = {
        "task": task,
        "algorithm": type(model).__name__,
        "features": hyperparameters.features,
        "network": {**network, "n": list(envs.task_spec(task).action.n)},
        "steps_trained": int(model.num_timesteps),
        "hyperparameters": hyperparameters.to_json()
        | {"total_steps": total_steps or hyperparameters.total_steps},
        "seeds": {"training": model.seed, "evaluation": [seed, seed + episodes]},
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        **(history or {}),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    out.mkdir(parents=True, exist_ok=True)
    replace_file(out / TENSORS, data)
    replace_file(out / CARD, json_lines(card))
    card["evaluation"] = evaluate(load_expert(out), task, episodes, seed)
    replace_file(out / CARD, json_lines(card))
    return card


def evaluate(agent: Agent, task: str, episodes: int, seed: int) -> dict[str, Any]:
    """Undiscounted return of `episodes` episodes with seeds `seed`, `seed + 1`, ..."""
    env = envs.make(task)
    try:
        results = rollout(env, agent, episodes=episodes, seed=seed)
    finally:
        env.close()
    returns = [round(result.episode_return, 3) for result in results]
    return {
        "episodes": episodes,
        "seed": seed,
        "mean": round(float(np.mean(returns)), 3),
        "std": round(float(np.std(returns)), 3),
        "returns": returns,
    }


def record_evaluation(expert: str, found: dict[str, Any]) -> None:
    """Put an evaluation into the card of an expert (id, task id or folder) in place of its last."""
    folder = Path(expert) if (Path(expert) / CARD).is_file() else None
    folder = folder or weights_folder(expert_name(expert).removeprefix("sb3/"))
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    replace_file(folder / CARD, json_lines(card | {"evaluation": found}))


def _load_zip(path: Path, algorithm: str, trust: bool) -> BaseAlgorithm:
    if not trust:
        raise PermissionError(
            f"{path} holds pickles, which can run any code when loaded: "
            "pass trust=True (--trust) if you made it or trust who did"
        )
    # Schedules are pickled functions of the training script; acting needs none of them.
    schedules = {"learning_rate": 0.0, "lr_schedule": _zero, "clip_range": _zero}
    return ALGORITHMS[algorithm].load(path, device="cpu", custom_objects=schedules)


def _zero(_: float) -> float:
    return 0.0


def json_lines(value: dict[str, Any]) -> bytes:
    """A JSON object with one line per key."""
    lines = (f"  {json.dumps(key)}: {json.dumps(item)}" for key, item in value.items())
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def replace_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f"partial-{path.name}")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def read_curve(path: Path) -> Sequence[list[float]]:
    """Points of a JSON-lines file with "steps" and "return"."""
    lines = path.read_text(encoding="utf-8").splitlines()
    points = (json.loads(line) for line in lines if line.strip())
    return [[int(point["steps"]), round(float(point["return"]), 2)] for point in points]
