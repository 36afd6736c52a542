"""Which agent plays: the options `--agent`, `--checkpoint`, `--no-prompt` and `--precision`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

from gato_gym import envs
from gato_gym.agents import Agent, RandomAgent
from gato_gym.agents.prompted import WithoutPrompt
from gato_gym.errors import UnknownTaskError

AgentKind = Literal["gato", "expert", "random"]
PrecisionName = Literal["float32", "bfloat16", "int8"]
"""`models.precision.PRECISIONS`, which a module without torch cannot ask."""


def load_player(
    kind: AgentKind,
    task: str,
    *,
    checkpoint: str | None,
    prompt: bool,
    seed: int,
    precision: PrecisionName = "float32",
) -> tuple[Agent, str | None]:
    """The agent and its name in reports (None: it knows its own name).

    Raises:
        ValueError: an option that the kind of agent does not have.
        UnknownTaskError: the task has no expert.
        MissingExtraError: int8 without torchao.
    """
    check_player(kind, checkpoint, prompt, precision)
    if kind == "random":
        return RandomAgent(seed), "random"
    if kind == "expert":
        from gato_gym.agents.experts import load_expert

        expert = own_expert(task)
        return load_expert(expert), expert
    agent = load_gato(checkpoint, precision=precision)
    return (agent if prompt else WithoutPrompt(agent)), None


def check_player(
    kind: AgentKind,
    checkpoint: str | None,
    prompt: bool,
    precision: PrecisionName = "float32",
) -> None:
    """Raise ValueError for an option that the kind of agent does not have."""
    if kind != "gato":
        if checkpoint is not None:
            raise ValueError(f"--checkpoint is for --agent gato, not for --agent {kind}")
        if not prompt:
            raise ValueError(f"--no-prompt is for --agent gato, not for --agent {kind}")
        if precision != "float32":
            raise ValueError(f"--precision is for --agent gato, not for --agent {kind}")


def own_expert(task: str) -> str:
    """The id of the expert of a task.

    Raises:
        UnknownTaskError: there is no such task, or it has no expert.
    """
    expert = envs.task_spec(task).expert
    if expert is None:
        from gato_gym.agents.experts import expert_ids

        raise UnknownTaskError(f"{task} has no expert; there are {', '.join(expert_ids())}")
    return expert


def load_gato(
    checkpoint: str | None, device: str | None = None, precision: PrecisionName = "float32"
) -> Any:
    """The bundled agent, or the one of a folder or Hub id; its name tells rounded weights.

    Raises:
        MissingExtraError: int8 without torchao.
    """
    from gato_gym.agents.gato import GatoAgent

    agent = GatoAgent.from_pretrained(checkpoint, device=device, precision=precision)
    if precision != "float32":
        agent.checkpoint += f" ({precision})"
    return agent


def print_json(value: Any) -> None:
    """JSON on stdout, on one line, as machines and line-wise tools want it."""
    print(json.dumps(value, allow_nan=False))


def write_json(path: Path, value: Any) -> None:
    """The same into a file, readable, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
