"""The training run of one expert: it goes on where it was cut off."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.running_mean_std import RunningMeanStd

from gato_gym.agents.experts.hyperparameters import (
    HYPERPARAMETERS,
    Hyperparameters,
    hyperparameters_for,
)
from gato_gym.agents.experts.sb3.algorithms import build, training_env, training_envs
from gato_gym.agents.experts.sb3.export import export_sb3, json_lines, replace_file
from gato_gym.envs.families.dm_control import state_task
from gato_gym.errors import TrainingError, UnknownTaskError

__all__ = ["train_expert", "training_env"]

PROGRESS = "progress.json"


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
    begin new episodes and that SAC, TQC and DQN fill their replay buffer anew.

    Args:
        task: a task that `hyperparameters_for` knows.
        out: a folder; gets policy.safetensors, policy.json and the checkpoint.
        total_steps: of all environments together; default is the table's.
        episodes: of the evaluation.
        checkpoint_every: steps between checkpoints and points of the curve; default is a 40th.

    Returns:
        The contents of policy.json.

    Raises:
        UnknownTaskError: nobody has written down how this task's expert is trained.
    """
    hyperparameters = _settings(task)
    total = total_steps or hyperparameters.total_steps
    out.mkdir(parents=True, exist_ok=True)
    vec_env = training_envs(task, hyperparameters)
    try:
        model = build(vec_env, hyperparameters)
        run = {"task": task, "hyperparameters": {**hyperparameters.to_json(), "total_steps": 0}}
        history = _resume(model, out, run)
        remaining = total - model.num_timesteps
        if remaining > 0:
            callback = _Checkpoint(out, run, history, checkpoint_every or max(1, total // 40))
            bar = sys.stderr.isatty()
            model.learn(remaining, callback, reset_num_timesteps=False, progress_bar=bar)
            callback.save()
        return export_sb3(
            model, out, task=task, total_steps=total, history=history, episodes=episodes
        )
    finally:
        vec_env.close()


def _settings(task: str) -> Hyperparameters:
    found = hyperparameters_for(task)
    if found is not None:
        return found
    if hyperparameters_for(state_task(task)) is not None:
        raise UnknownTaskError(
            f"{task!r} is played by the expert of {state_task(task)!r}: train it"
        )
    known = ", ".join(sorted(HYPERPARAMETERS))
    raise UnknownTaskError(
        f"no hyper-parameters for {task!r}: add some to agents/experts/hyperparameters.py; there "
        f"are for {known} and for all of ALE, dm_control, MuJoCo and robotics"
    )


def _resume(model: BaseAlgorithm, out: Path, run: dict[str, Any]) -> dict[str, Any]:
    """Take over weights, optimiser, statistics and step count of an earlier run.

    Nothing is unpickled. Returns the run's history so far.

    Raises:
        TrainingError: the folder holds the run of another task or with other settings.
    """
    history: dict[str, Any] = {"wall_seconds": 0.0, "cpu_seconds": 0.0, "curve": []}
    if not (out / PROGRESS).exists():
        return history
    progress = json.loads((out / PROGRESS).read_text(encoding="utf-8"))
    if progress["run"] != json.loads(json.dumps(run)):
        raise TrainingError(
            f"{out} holds a run of {progress['run']['task']} with other settings than "
            f"{run['task']} has now: choose another folder, or delete it"
        )
    model.set_parameters(str(out / progress["checkpoint"]), device="cpu")
    model.num_timesteps = progress["steps"]
    if hasattr(model, "learning_starts"):
        model.learning_starts += model.num_timesteps  # type: ignore[operator]
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None:
        for name, numbers in progress["statistics"].items():
            _restore(getattr(normalizer, name), numbers)
    return {name: progress[name] for name in history}


def _statistics(model: BaseAlgorithm) -> dict[str, Any]:
    normalizer = model.get_vec_normalize_env()
    if normalizer is None:
        return {}
    named = {name: getattr(normalizer, name, None) for name in ("obs_rms", "ret_rms")}
    return {
        name: {"mean": value.mean.tolist(), "var": value.var.tolist(), "count": float(value.count)}
        for name, value in named.items()
        if isinstance(value, RunningMeanStd)
    }


def _restore(statistics: RunningMeanStd, numbers: dict[str, Any]) -> None:
    statistics.mean, statistics.var = np.array(numbers["mean"]), np.array(numbers["var"])
    statistics.count = numbers["count"]


class _Checkpoint(BaseCallback):
    """Saves model and history between rollouts, when the weights are at rest."""

    def __init__(self, out: Path, run: dict[str, Any], history: dict[str, Any], every: int) -> None:
        super().__init__()
        self.out, self.run, self.history, self.every = out, run, history, every
        curve = history["curve"]
        self._saved = curve[-1][0] if curve else 0
        self._clocks = time.perf_counter(), time.process_time()

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
            # The mean of the last 100 training episodes, whose actions were sampled.
            self.history["curve"].append([steps, round(float(np.mean(returns)), 2)])
        clocks = time.perf_counter(), time.process_time()
        for name, now, before in zip(
            ("wall_seconds", "cpu_seconds"), clocks, self._clocks, strict=True
        ):
            self.history[name] = round(self.history[name] + now - before, 3)
        self._saved, self._clocks = steps, clocks
        # The name is in the progress file: replacing that one file switches to the new state.
        name = f"checkpoint-{steps}.zip"
        self.model.save(self.out / name)
        progress = {
            "run": self.run,
            "checkpoint": name,
            "steps": steps,
            "statistics": _statistics(self.model),
            **self.history,
        }
        replace_file(self.out / PROGRESS, json_lines(progress))
        for old in self.out.glob("checkpoint-*.zip"):
            if old.name != name:
                old.unlink()
