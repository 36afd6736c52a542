"""Adapt an agent to one task with few episodes, by the paper's few-shot protocol (appendix E).

Of the corpus' episodes of the task the 2,000 best are kept, 1,000 drawn, and --episodes are the
first of the draw, so that small sets are parts of the large ones; --draw 0, 1 and 2 give three
points. Every --evaluate-every steps the agent plays. The score is the maximum of the curve's moving
average. Run the same command again to resume; on a finished run it only exports.

The agent of the last step goes to OUT/agent, the one at the end of the curve's best window to
OUT/best. They know the base's tasks and the new one; with --scratch only that. On a CPU take fewer
steps and a higher rate.

examples:
    gato-gym finetune --task Acrobot-v1 --episodes 10 --corpus corpus --out runs-local/a
    gato-gym finetune --task Acrobot-v1 --corpus corpus --out runs-local/b --steps 200 --lora
    gato-gym eval --task Acrobot-v1 --checkpoint runs-local/a/agent
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gato_gym import envs
from gato_gym.cli.players import print_json, write_json
from gato_gym.errors import GatoGymError, TrainingError
from gato_gym.training.finetune import FineTuneConfig

if TYPE_CHECKING:
    from gato_gym.evaluation.few_shot import FewShotRun

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

    from gato_gym.cli.finetune_card import begins, documents, summary, told
    from gato_gym.evaluation.few_shot import FewShotRun
    from gato_gym.training.bundle import find_bundle
    from gato_gym.training.lora import check_peft

    if options.lora:
        check_peft()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    base = find_bundle(options.checkpoint)
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
            documents=lambda tuning: documents(tuning, options),
            log_every=options.log_every,
            loader_threads=options.loader_threads,
            loader_workers=options.loader_workers,
        )
    except TrainingError as error:  # the run in --out has other settings: wrong use
        raise GatoGymError(str(error)) from error
    _tell(begins(tuning, options))
    code = _train(tuning)
    if code:
        return code
    tuning.export(options.out / "agent")
    result = summary(tuning, options)
    write_json(options.out / "result.json", result)
    if options.json:
        print_json(result)
    else:
        print(told(result))
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
    from gato_gym.cli.finetune_card import evaluation_line
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
                console.tell(evaluation_line(tuning, event))
                board.scalars(event.step, {f"return/{tuning.spec.id}": event.mean_return})
                continue
            log.add(event)
            console.log(event)
            board.scalars(event.step, scalars(event))
        if not tuning.finished:
            console.tell(f"saved step {trainer.step}: run the same command again to resume")
            return interrupts.exit_code
    return 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
