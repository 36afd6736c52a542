"""Trains, exports and evaluates learned experts with Stable-Baselines3.

    python -m gato_gym.agents.experts.sb3 train --task CartPole-v1 --out runs-local/cartpole
    python -m gato_gym.agents.experts.sb3 export --task CartPole-v1 --zip model.zip --trust
    python -m gato_gym.agents.experts.sb3 evaluate --expert sb3/CartPole-v1

What ships is the actor alone, as safetensors + JSON (see `policy.py`). Stable-Baselines3's own zips
hold pickles, which run code when they are loaded: they are read only with `trust`.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from safetensors.numpy import save

from gato_gym import envs
from gato_gym.agents import Agent
from gato_gym.agents.experts import load_expert, weights_folder
from gato_gym.agents.experts.features import FEATURES, FeatureEnv
from gato_gym.agents.experts.hyperparameters import HYPERPARAMETERS, Hyperparameters
from gato_gym.agents.experts.policy import CARD, TENSORS
from gato_gym.errors import GatoGymError, MissingExtraError, UnknownTaskError
from gato_gym.evaluation.rollout import rollout

try:
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.common.torch_layers import FlattenExtractor
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecMonitor
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f'training experts needs {error.name}: pip install "gato-gym[experts]"'
    ) from error

EVALUATION_SEED = 5000
CHECKPOINT, PROGRESS = "checkpoint.zip", "progress.json"
ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
PACKAGES = ("gymnasium", "ale-py", "stable-baselines3", "torch", "numpy")

Curve = list[tuple[int, float]]
"""(steps trained, mean return of the last 100 training episodes)"""


def training_env(task: str, hyperparameters: Hyperparameters) -> gym.Env:
    """One environment as its expert sees it."""
    env = envs.make(task, **hyperparameters.env_kwargs)
    return FeatureEnv(env, FEATURES[hyperparameters.features]())


def train_expert(
    task: str,
    out: Path,
    total_steps: int | None = None,
    *,
    episodes: int = 20,
    checkpoint_every: int | None = None,
) -> dict[str, Any]:
    """Train the expert of a task, then evaluate and export it to `out`.

    A run that was cut off goes on from its last checkpoint in `out`, except that its environments
    begin new episodes.

    Args:
        task: key of `HYPERPARAMETERS`.
        out: a folder; gets policy.safetensors, policy.json and the checkpoint.
        total_steps: of all environments together; default is the table's.
        episodes: of the evaluation.
        checkpoint_every: steps between checkpoints and points of the curve; default is a 20th.

    Returns:
        The contents of policy.json.
    """
    if task not in HYPERPARAMETERS:
        known = ", ".join(sorted(HYPERPARAMETERS))
        raise UnknownTaskError(f"no hyper-parameters for {task!r}; there are for {known}")
    hyperparameters = HYPERPARAMETERS[task]
    total = total_steps or hyperparameters.total_steps
    out.mkdir(parents=True, exist_ok=True)
    vec_env = _vec_env(task, hyperparameters)
    try:
        model = _ppo(vec_env, hyperparameters)
        curve = _resume(model, out)
        remaining = total - model.num_timesteps
        if remaining > 0:
            callback = _Checkpoint(out, curve, checkpoint_every or max(1, total // 20))
            bar = sys.stderr.isatty()
            model.learn(remaining, callback, reset_num_timesteps=False, progress_bar=bar)
            callback.save()
    finally:
        vec_env.close()
    return export_sb3(model, out, task=task, curve=curve, episodes=episodes)


def export_sb3(
    model: PPO | Path | str,
    out: Path,
    trust: bool = False,
    *,
    task: str,
    curve: Sequence[tuple[int, float]] = (),
    episodes: int = 20,
    seed: int = EVALUATION_SEED,
) -> dict[str, Any]:
    """Write the actor of a PPO model as safetensors + JSON and evaluate what was written.

    Args:
        model: the model, or the path of its zip.
        out: the folder to write, see `policy.py`.
        trust: load a zip although it holds pickles, which can run any code.
        task: what it was trained on, with the hyper-parameters of the table.
        curve: (steps, return) points to record.
        episodes: of the evaluation, on the standard environment of the task.
        seed: of the first of them.

    Returns:
        The contents of policy.json.

    Raises:
        PermissionError: a zip without `trust`.
        ValueError: a network that is no plain multi-layer perceptron.
    """
    if isinstance(model, str | Path):
        model = _load_zip(Path(model), trust)
    hyperparameters = HYPERPARAMETERS[task]
    tensors, activation = actor_tensors(model.policy)
    data = save(tensors)
    card: dict[str, Any] = {
        "task": task,
        "algorithm": type(model).__name__,
        "features": hyperparameters.features,
        "network": {
            "sizes": _sizes(tensors),
            "activation": activation,
            "n": list(envs.task_spec(task).action.n),
        },
        "steps_trained": int(model.num_timesteps),
        "hyperparameters": hyperparameters.to_json(),
        "seeds": {"training": model.seed, "evaluation": [seed, seed + episodes]},
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "curve": [[int(steps), round(float(value), 2)] for steps, value in curve],
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    out.mkdir(parents=True, exist_ok=True)
    _replace(out / TENSORS, data)
    _replace(out / CARD, _json(card))
    card["evaluation"] = evaluate(load_expert(out), task, episodes, seed)
    _replace(out / CARD, _json(card))
    return card


def evaluate(agent: Agent, task: str, episodes: int, seed: int) -> dict[str, Any]:
    """Undiscounted return of `episodes` episodes with seeds `seed`, `seed + 1`, ..."""
    env = envs.make(task)
    try:
        results = rollout(env, agent, episodes=episodes, seed=seed)
    finally:
        env.close()
    returns = [result.episode_return for result in results]
    return {
        "episodes": episodes,
        "seed": seed,
        "mean": round(float(np.mean(returns)), 3),
        "std": round(float(np.std(returns)), 3),
    }


def actor_tensors(policy: torch.nn.Module) -> tuple[dict[str, np.ndarray], str]:
    """The actor's tensors as `policy.MLPPolicy` names them, and its activation.

    Raises:
        ValueError: the network is no multi-layer perceptron over a vector of floats.
    """
    if not isinstance(policy, ActorCriticPolicy) or not isinstance(
        policy.pi_features_extractor, FlattenExtractor
    ):
        raise ValueError(f"cannot export {type(policy).__name__}: only MlpPolicy of PPO and A2C")
    if not isinstance(policy.observation_space, gym.spaces.Box) or policy.squash_output:
        raise ValueError("cannot export: observations must be a Box, outputs not squashed")
    names = {module: name for name, module in ACTIVATIONS.items()}
    tensors: dict[str, np.ndarray] = {}
    used = set()
    for module in policy.mlp_extractor.policy_net:
        if isinstance(module, torch.nn.Linear):
            tensors |= _linear(f"hidden.{len(tensors) // 2}", module)
        else:
            used.add(names.get(type(module), type(module).__name__))
    activation = used.pop() if used else "tanh"
    if used or activation not in ACTIVATIONS:
        raise ValueError(
            f"cannot export activations {[activation, *used]}: one of {[*ACTIVATIONS]}"
        )
    tensors |= _linear("head", policy.action_net)
    if isinstance(policy.action_space, gym.spaces.Box):
        tensors["log_std"] = policy.log_std.detach().numpy().copy()
    return tensors, activation


def _linear(name: str, module: Any) -> dict[str, np.ndarray]:
    return {
        f"{name}.weight": module.weight.detach().numpy().copy(),
        f"{name}.bias": module.bias.detach().numpy().copy(),
    }


def _sizes(tensors: dict[str, np.ndarray]) -> list[int]:
    weights = [value for name, value in tensors.items() if name.endswith(".weight")]
    return [weights[0].shape[1], *(weight.shape[0] for weight in weights)]


def _load_zip(path: Path, trust: bool) -> PPO:
    if not trust:
        raise PermissionError(
            f"{path} holds pickles, which can run any code when loaded: "
            "pass trust=True (--trust) if you made it or trust who did"
        )
    # Schedules are pickled functions of the training script; acting needs none of them.
    schedules = {"learning_rate": 0.0, "lr_schedule": _zero, "clip_range": _zero}
    return PPO.load(path, device="cpu", custom_objects=schedules)


def _zero(_: float) -> float:
    return 0.0


def _vec_env(task: str, hyperparameters: Hyperparameters) -> VecEnv:
    functions: list[Callable[[], gym.Env]] = [
        partial(training_env, task, hyperparameters) for _ in range(hyperparameters.num_envs)
    ]
    if hyperparameters.processes:
        return VecMonitor(SubprocVecEnv(functions, start_method="forkserver"))
    return VecMonitor(DummyVecEnv(functions))


def _ppo(vec_env: VecEnv, hyperparameters: Hyperparameters) -> PPO:
    rate, final = hyperparameters.learning_rate, hyperparameters.final_rate
    return PPO(
        "MlpPolicy",
        vec_env,
        n_steps=hyperparameters.n_steps,
        batch_size=hyperparameters.batch_size,
        n_epochs=hyperparameters.n_epochs,
        gamma=hyperparameters.gamma,
        gae_lambda=hyperparameters.gae_lambda,
        clip_range=hyperparameters.clip_range,
        ent_coef=hyperparameters.ent_coef,
        learning_rate=lambda remaining: rate * max(remaining, final),
        policy_kwargs={
            "net_arch": list(hyperparameters.hidden),
            "activation_fn": ACTIVATIONS[hyperparameters.activation],
        },
        seed=hyperparameters.seed,
        device="cpu",  # a small perceptron is faster there
    )


def _resume(model: PPO, out: Path) -> Curve:
    """Take over weights, optimiser and step count of an earlier run, without unpickling."""
    if not (out / PROGRESS).exists():
        return []
    progress = json.loads((out / PROGRESS).read_text(encoding="utf-8"))
    model.set_parameters(str(out / CHECKPOINT), device="cpu")
    model.num_timesteps = progress["steps"]
    return [(steps, value) for steps, value in progress["curve"]]


class _Checkpoint(BaseCallback):
    """Saves model and learning curve between rollouts, when the weights are at rest."""

    def __init__(self, out: Path, curve: Curve, every: int) -> None:
        super().__init__()
        self.out, self.curve, self.every = out, curve, every
        self._saved = curve[-1][0] if curve else 0

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps - self._saved >= self.every:
            self.save()

    def save(self) -> None:
        """Write the checkpoint; each file appears whole or not at all."""
        returns = [episode["r"] for episode in self.model.ep_info_buffer or ()]
        steps = self.model.num_timesteps
        if returns:
            self.curve.append((steps, round(float(np.mean(returns)), 2)))
        self._saved = steps
        partial_zip = self.out / f"partial-{CHECKPOINT}"
        self.model.save(partial_zip)
        os.replace(partial_zip, self.out / CHECKPOINT)
        _replace(self.out / PROGRESS, _json({"steps": steps, "curve": self.curve}))


def _json(value: dict[str, Any]) -> bytes:
    """A JSON object with one line per key."""
    lines = (f"  {json.dumps(key)}: {json.dumps(item)}" for key, item in value.items())
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"partial-{path.name}")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def read_curve(path: Path) -> Curve:
    """Points of a JSON-lines file with "steps" and "return"."""
    lines = path.read_text(encoding="utf-8").splitlines()
    points = (json.loads(line) for line in lines if line.strip())
    return [(int(point["steps"]), float(point["return"])) for point in points]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 ok, 2 wrong use."""
    parser = argparse.ArgumentParser(prog="python -m gato_gym.agents.experts.sb3")
    verbs = parser.add_subparsers(dest="verb", required=True)
    train = verbs.add_parser("train", help="train, evaluate and export; resumes")
    train.add_argument("--task", required=True, choices=sorted(HYPERPARAMETERS))
    train.add_argument("--out", required=True, type=Path)
    train.add_argument("--steps", type=int, help="default: the table's")
    export = verbs.add_parser("export", help="make safetensors + JSON of a Stable-Baselines3 zip")
    export.add_argument("--task", required=True, choices=sorted(HYPERPARAMETERS))
    export.add_argument("--zip", required=True, type=Path)
    export.add_argument("--out", type=Path, help="default: the folder of the shipped expert")
    export.add_argument("--trust", action="store_true", help="the zip holds pickles: I trust it")
    export.add_argument("--curve", type=Path, help='JSON lines {"steps": .., "return": ..}')
    test = verbs.add_parser("evaluate", help="returns of an expert")
    test.add_argument("--expert", required=True, help="id, task id or folder")
    test.add_argument("--task", help="default: the expert's own")
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
        task = options.task or agent.card["task"]  # type: ignore[attr-defined]
        return evaluate(agent, task, options.episodes, options.seed)
    if options.verb == "train":
        card = train_expert(options.task, options.out, options.steps, episodes=options.episodes)
    else:
        card = export_sb3(
            options.zip,
            options.out or weights_folder(options.task),
            options.trust,
            task=options.task,
            curve=read_curve(options.curve) if options.curve else (),
            episodes=options.episodes,
            seed=options.seed,
        )
    return {"steps_trained": card["steps_trained"], "evaluation": card["evaluation"]}


if __name__ == "__main__":
    sys.exit(main())
