"""What a fine-tuning run tells: its summary, and the card of the agent that it exports."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gato_gym.cli.export import machine, versions
from gato_gym.evaluation.few_shot import Evaluation, FewShotRun

if TYPE_CHECKING:
    from gato_gym.cli.finetune import Options


def summary(tuning: FewShotRun, options: Options) -> dict[str, Any]:
    """What `--json` prints and OUT/result.json keeps."""
    return {
        **tuning.result(),
        "base": base_name(options),
        "checkpoint": str(options.out / "agent"),
        "best": str(options.out / "best"),
        "command": command_line(options),
        "machine": machine(str(tuning.trainer.device)),
        "versions": versions(),
    }


def base_name(options: Options) -> str:
    """What the run starts from."""
    name = options.checkpoint or "bundled"
    return f"random weights in the shape of {name}" if options.scratch else name


def command_line(options: Options) -> str:
    """The command that these options came from; of a path only its name, the same anywhere."""
    words = ["gato-gym", "finetune"]
    for field in fields(options):
        value: Any = getattr(options, field.name)
        if value == field.default or field.name == "json":
            continue
        words.append(f"--{field.name.replace('_', '-')}")
        if value is not True:
            words.append(value.name if isinstance(value, Path) else str(value))
    return shlex.join(words)


def documents(tuning: FewShotRun, options: Options) -> Mapping[str, str]:
    """The card and the README that travel with the agent."""
    result = summary(tuning, options)
    result["curve"] = [{k: v for k, v in p.items() if k != "returns"} for p in result["curve"]]
    card: dict[str, Any] = {"finetune": result}
    known = tuning.base.documents.get("card.json")
    if known and not options.scratch:
        card["base"] = json.loads(known)
    return {"card.json": json.dumps(card, indent=1) + "\n", "README.md": readme(result)}


def readme(result: Mapping[str, Any]) -> str:
    """The model card for people."""
    weights = "LoRA adapters, merged" if result["method"] == "lora" else "all weights"
    lines = [
        "---",
        "library_name: gato-gym",
        "license: apache-2.0",
        "tags: [gato, reinforcement-learning, robotics]",
        "---",
        "",
        f"# Gato, adapted to {result['task']} with {counted(result['episodes'])}",
        "",
        f"Started from {result['base']}; trained {weights} for {result['steps']:,} steps on "
        f"{result['machine']}.",
        score_line(result),
        *shortfall(result),
        "",
        "```bash",
        result["command"],
        "```",
        "",
        "`card.json` has all settings, the episodes, versions and the curve.",
        "",
    ]
    return "\n".join(lines)


def shortfall(result: Mapping[str, Any]) -> list[str]:
    """Where the corpus has fewer episodes than the protocol wants."""
    data = result["data"]
    best, drawn = data["protocol"]
    if data["available"] >= best:
        return []
    return [
        f"The corpus has {data['available']} episodes of the task; the protocol keeps the {best} "
        f"best and draws {drawn}. Here the best are all of them, and {data['drawn']} are drawn."
    ]


def score_line(result: Mapping[str, Any]) -> str:
    """The score and where it stands in the curve."""
    normalized, before = result["normalized"], result["before"]
    shown = "" if normalized is None else f", normalised {normalized:.2f}"
    started = "" if before is None else f"; {before:.1f} before training"
    return (
        f"Score {result['score']:.1f} at step {result['score_at_step']}{shown} (mean return, the "
        f"best of {result['smoothed_over']} evaluations on end); {result['last']:.1f} at the end"
        f"{started}."
    )


def counted(episodes: int) -> str:
    """1 episode, 2 episodes."""
    return f"{episodes} episode{'' if episodes == 1 else 's'}"


def begins(tuning: FewShotRun, options: Options) -> str:
    """What is about to be trained on what."""
    trained = sum(p.numel() for p in tuning.trainer.model.parameters() if p.requires_grad)
    step = tuning.trainer.step
    lines = [
        f"{base_name(options)}, {tuning.base.model.parameter_count():,} parameters of which "
        f"{trained:,} are trained; {counted(len(tuning.chosen))} of {tuning.spec.id}; "
        + (f"resuming at step {step}" if step else "starting"),
        *shortfall({"data": tuning.data()}),
    ]
    return "\n".join(lines)


def evaluation_line(tuning: FewShotRun, point: Evaluation) -> str:
    """One line for people."""
    line = f"step {point.step}/{tuning.config.steps}  return {point.mean_return:.1f}"
    means = tuning.smoothed()
    if point.step and means:
        line += f"  smoothed {means[-1]:.1f}, best {max(means):.1f}"
    return line


def told(result: Mapping[str, Any]) -> str:
    """The result for people."""
    what = f"{result['task']}, {counted(result['episodes'])}, draw {result['draw']}"
    lines = [
        f"{what}, from {result['base']}, {result['method']}:",
        score_line(result),
        f"{result['checkpoint']}: the last step's agent. {result['best']}: the best window's.",
    ]
    return "\n".join(lines)
