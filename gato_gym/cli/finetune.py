"""Adapt an agent to one task with few episodes, by the paper's few-shot protocol (appendix E).

Of the corpus' episodes of the task the 2,000 best are kept, 1,000 drawn, and --episodes are the
first of the draw, so that small sets are parts of the large ones; --draw 0, 1 and 2 give three
points. Every --evaluate-every steps the agent plays. The score is the maximum of the curve's moving
average. Run the same command again to resume; on a finished run it only exports.

The agent of the last step goes to OUT/agent, the one at the end of the curve's best window to
OUT/best. Both know the base's tasks and the new one. On a CPU take fewer steps and a higher rate.

examples:
    gato-gym finetune --task Acrobot-v1 --episodes 10 --corpus corpus --out runs-local/a
    gato-gym finetune --task Acrobot-v1 --corpus corpus --out runs-local/b --steps 200 --lora
    gato-gym eval --task Acrobot-v1 --checkpoint runs-local/a/agent
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gato_gym import envs
from gato_gym.cli.players import print_json, write_json
from gato_gym.errors import GatoGymError, TrainingError
from gato_gym.training.finetune import FineTuneConfig

if TYPE_CHECKING:
    from gato_gym.evaluation.few_shot import Evaluation, FewShotRun

_PROTOCOL = FineTuneConfig()


@dataclass(frozen=True)
class Options:
    """Which agent learns which task from how many episodes."""

    task: str
    """Task id."""
    corpus: Path
    """Has the task's episodes."""
    out: Path
    """The run's folder; resumed if it exists."""
    episodes: int = 10
    """How many to learn from: 1, 3, 5, 10, 100, 1000 in the paper."""
    draw: int = 0
    """Which draw of episodes; it also seeds the order of samples."""
    checkpoint: str | None = None
    """Folder or Hub id of the agent to start from; default is the bundled one."""
    scratch: bool = False
    """Start from random weights of that agent's shape: the comparison."""
    lora: bool = False
    """Train LoRA adapters instead of all weights; they are merged when the agent is exported."""
    rank: int = _PROTOCOL.rank
    """Of the adapters."""
    alpha: int = _PROTOCOL.alpha
    """Of the adapters: their updates are scaled by alpha / rank."""
    steps: int = _PROTOCOL.steps
    """Optimiser steps of the whole run."""
    batch: int = _PROTOCOL.batch
    """Rows of one context length per step."""
    accumulate: int = _PROTOCOL.accumulate
    """Micro-batches of a step: less memory, the same step."""
    learning_rate: float = _PROTOCOL.learning_rate
    """Constant."""
    clip: float = _PROTOCOL.clip
    """Gradient norm limit; 0 = off."""
    stochastic_depth: float = _PROTOCOL.stochastic_depth
    """The regularisation: how often a sub-layer is skipped in training."""
    prompt_share: float = _PROTOCOL.prompt_share
    """Share of documents that start with a prompt."""
    evaluate_every: int = _PROTOCOL.evaluate_every
    """Steps between evaluations."""
    evaluate_episodes: int = _PROTOCOL.evaluate_episodes
    """Episodes of each."""
    smooth: int = _PROTOCOL.smooth
    """Evaluations that the moving average is over."""
    evaluation_seed: int = 1_000_000
    """Of the first episode that is played; raised above the seeds of the corpus' episodes."""
    no_prompt: bool = False
    """Play without a demonstration; default is the best of the episodes that it learns from."""
    log_every: int = 20
    """Steps between log lines, rounded down to divide --evaluate-every."""
    loader_threads: int = 2
    """Threads that build windows."""
    loader_workers: int = 0
    """Processes that build windows; 0 = the one that trains."""
    threads: int | None = None
    """Threads of the arithmetic; default is PyTorch's choice."""
    device: str | None = None
    """cpu or cuda; default is cuda if there is one."""
    json: bool = False
    """Print JSON at the end."""


def run(options: Options) -> int:
    """Fine-tune, then export."""
    config = _config(options)
    envs.make(options.task).close()  # an unknown task is told before a model is loaded
    if options.scratch and options.lora:
        raise ValueError("--lora keeps the base's weights: leave out --scratch or --lora")
    from gato_gym.data.corpus import Corpus

    corpus = Corpus.open(options.corpus)
    # Imported late: they bring torch.
    import torch

    from gato_gym.agents.gato import BUNDLED
    from gato_gym.evaluation.few_shot import FewShotRun
    from gato_gym.training.bundle import find_bundle
    from gato_gym.training.lora import check_peft

    if options.lora:
        check_peft()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    base = find_bundle(options.checkpoint or BUNDLED)
    corpus.check([envs.task_spec(options.task).id])  # a damaged corpus leaves no run behind
    try:
        tuning = FewShotRun(
            base,
            corpus,
            options.task,
            options.episodes,
            options.draw,
            config,
            options.out,
            scratch=options.scratch,
            prompt=not options.no_prompt,
            evaluation_seed=options.evaluation_seed,
            device=options.device,
            documents=lambda tuning: _documents(tuning, options),
            log_every=options.log_every,
            loader_threads=options.loader_threads,
            loader_workers=options.loader_workers,
        )
    except TrainingError as error:  # the run in --out has other settings: wrong use
        raise GatoGymError(str(error)) from error
    _tell(_begins(tuning, options))
    code = _train(tuning)
    if code:
        return code
    tuning.export(options.out / "agent")
    result = summary(tuning, options)
    write_json(options.out / "result.json", result)
    if options.json:
        print_json(result)
    else:
        _print(result)
    return 0


def _config(options: Options) -> FineTuneConfig:
    for name, least in (("threads", 1), ("log_every", 1), ("loader_threads", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, got {value}")
    shared = {f.name for f in fields(FineTuneConfig)} & {f.name for f in fields(Options)}
    settings: dict[str, Any] = {name: getattr(options, name) for name in shared}
    return FineTuneConfig(method="lora" if options.lora else "full", **settings)


def _train(tuning: FewShotRun) -> int:
    """0, or the exit code of the signal that ended it."""
    from gato_gym.cli.console import Console
    from gato_gym.cli.runlog import RunLog
    from gato_gym.evaluation.few_shot import Evaluation
    from gato_gym.training.interrupt import Interrupts
    from gato_gym.training.sinks import TensorBoard, scalars

    trainer = tuning.trainer
    log = RunLog(tuning.folder, trainer.step)
    with ExitStack() as stack:
        board = TensorBoard(tuning.folder, trainer.step)
        stack.callback(board.close)
        console = stack.enter_context(Console(trainer.step, tuning.config.steps))
        interrupts = stack.enter_context(Interrupts())
        for event in tuning.run(stop=lambda: interrupts.requested is not None):
            if isinstance(event, Evaluation):
                console.tell(_evaluation_line(tuning, event))
                board.scalars(event.step, {f"return/{tuning.spec.id}": event.mean_return})
                continue
            log.add(event)
            console.log(event)
            board.scalars(event.step, scalars(event))
        if not tuning.finished:
            console.tell(f"saved step {trainer.step}: run the same command again to resume")
            return interrupts.exit_code
    return 0


def _evaluation_line(tuning: FewShotRun, point: Evaluation) -> str:
    line = f"step {point.step}/{tuning.config.steps}  return {point.mean_return:.1f}"
    means = tuning.smoothed()
    if point.step and means:
        line += f"  smoothed {means[-1]:.1f}, best {max(means):.1f}"
    return line


def summary(tuning: FewShotRun, options: Options) -> dict[str, Any]:
    """What `--json` prints and OUT/result.json keeps."""
    from gato_gym.cli.export import machine, versions

    best = options.out / "best"
    return {
        **tuning.result(),
        "base": base_name(options),
        "checkpoint": str(options.out / "agent"),
        "best": str(best),
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


def _documents(tuning: FewShotRun, options: Options) -> Mapping[str, str]:
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
        f"# Gato, adapted to {result['task']} with {_count(result['episodes'])}",
        "",
        f"Started from {result['base']}; trained {weights} for {result['steps']:,} steps on "
        f"{result['machine']}.",
        _score_line(result),
        *_shortfall(result),
        "",
        "```bash",
        result["command"],
        "```",
        "",
        "`card.json` has all settings, the episodes, versions and the curve.",
        "",
    ]
    return "\n".join(lines)


def _begins(tuning: FewShotRun, options: Options) -> str:
    trained = sum(p.numel() for p in tuning.trainer.model.parameters() if p.requires_grad)
    step = tuning.trainer.step
    lines = [
        f"{base_name(options)}, {tuning.base.model.parameter_count():,} parameters of which "
        f"{trained:,} are trained; {_count(len(tuning.chosen))} of {tuning.spec.id}; "
        + (f"resuming at step {step}" if step else "starting"),
        *_shortfall({"data": tuning.data()}),
    ]
    return "\n".join(lines)


def _shortfall(result: Mapping[str, Any]) -> list[str]:
    """Where the corpus has fewer episodes than the protocol wants."""
    data = result["data"]
    best, drawn = data["protocol"]
    if data["available"] >= best:
        return []
    return [
        f"The corpus has {data['available']} episodes of the task; the protocol keeps the {best} "
        f"best and draws {drawn}. Here the best are all of them, and {data['drawn']} are drawn."
    ]


def _score_line(result: Mapping[str, Any]) -> str:
    normalized, before = result["normalized"], result["before"]
    told = "" if normalized is None else f", normalised {normalized:.2f}"
    started = "" if before is None else f"; {before:.1f} before training"
    return (
        f"Score {result['score']:.1f} at step {result['score_at_step']}{told} (mean return, the "
        f"best of {result['smoothed_over']} evaluations on end); {result['last']:.1f} at the end"
        f"{started}."
    )


def _count(episodes: int) -> str:
    return f"{episodes} episode{'' if episodes == 1 else 's'}"


def _print(result: Mapping[str, Any]) -> None:
    print(f"{result['task']}, {_count(result['episodes'])}, draw {result['draw']}, from", end=" ")
    print(f"{result['base']}, {result['method']}:")
    print(_score_line(result))
    print(f"{result['checkpoint']}: the last step's agent. {result['best']}: the best window's.")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
