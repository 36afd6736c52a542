"""Train a model on a corpus, or resume, and export it as an agent.

Run the same command again to resume; on a finished run it only exports. Weights are shares of the
training tokens, in any unit: TASK=W is a task's, domain:NAME=W a domain's, divided equally among
its tasks that have none of their own; what has no weight is left out. Without --mixture and
--weights all tasks count alike.

examples:
    gato-gym train --corpus corpus --out runs-local/a --steps 9000 --weights CartPole-v1=0.1
    gato-gym train --corpus corpus --out runs-local/b --mixture paper --weights domain:classic=5
    gato-gym eval --task CartPole-v1 --checkpoint runs-local/a/agent
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gato_gym import envs
from gato_gym.cli.players import print_json
from gato_gym.config import TrainConfig, model_config
from gato_gym.data.filters import FilterName
from gato_gym.envs.registry import named_by_data, registered
from gato_gym.errors import GatoGymError, TrainingError

if TYPE_CHECKING:
    from gato_gym.cli.runlog import RunLog
    from gato_gym.data.corpus import Corpus
    from gato_gym.data.mixture import Mixture
    from gato_gym.training.trainer import StepLog, Trainer


@dataclass(frozen=True)
class Options:
    """What to train on what, and for how long."""

    corpus: Path
    """The episodes."""
    out: Path
    """The run's folder: checkpoints, train.jsonl, TensorBoard; resumed if it exists."""
    size: str = "bundle"
    """Model size, e.g. tiny, bundle, 79m, 364m, 1.2b."""
    mixture: Literal["even", "paper"] = "even"
    """even: all tasks alike. paper: the sample weights of the paper's Table 1 for those of its
    domains that the corpus has, in percent; --weights adds to them or replaces them."""
    weights: tuple[str, ...] = ()
    """TASK=WEIGHT or domain:NAME=WEIGHT ..."""
    filter: FilterName = "none"
    """Which episodes: all of them; near-expert, with at least 80 % of the task's expert return
    (paper, section 3.1); or success, of tasks that tell it."""
    steps: int = 1000
    """Optimiser steps of the whole run."""
    batch: int = 16
    """Rows of one context length per step."""
    learning_rate: float = 1e-3
    """Its peak."""
    warmup: int = -1
    """Steps until the peak; -1 is the paper's share of the run."""
    prompt_share: float = 0.25
    """Share of documents that start with a prompt."""
    seed: int = 0
    """Of the initialisation and the sample order."""
    save_every: int = 250
    """Steps between checkpoints."""
    log_every: int = 50
    """Steps between log lines."""
    loader_threads: int = 2
    """Threads that build windows."""
    loader_workers: int = 0
    """Processes that build windows, for a fast GPU and images; 0 = the one that trains."""
    threads: int | None = None
    """Threads of the arithmetic; default is PyTorch's choice."""
    device: str | None = None
    """cpu or cuda; default is cuda if there is one."""
    export: Path | None = None
    """Where the agent goes; default is OUT/agent."""
    note: str = ""
    """A sentence for the card, e.g. what the settings of the last call do not show."""
    json: bool = False
    """Print JSON at the end."""


def run(options: Options) -> int:
    """Train, then export."""
    weights = parse_weights(options.weights)
    config = TrainConfig(
        **{
            f.name: getattr(options, f.name)
            for f in fields(TrainConfig)
            if hasattr(options, f.name)
        }
    )
    shape = model_config(options.size)
    for name, least in (("threads", 1), ("loader_threads", 1), ("loader_workers", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, got {value}")
    from gato_gym.data.corpus import Corpus
    from gato_gym.data.mixture import DOMAIN, Mixture, paper_weights

    corpus = Corpus.open(options.corpus)
    domains = {task: _domain(task) for task in corpus.tasks()}
    if options.mixture == "paper":
        own = weights or {}
        rest = {d for task, d in domains.items() if task not in own and f"{DOMAIN}{d}" not in own}
        weights = (paper_weights(rest) if rest else {}) | own
    mixture = Mixture(corpus, weights, domains, options.filter)
    specs = {task: envs.task_spec(named_by_data(task)) for task in mixture.shares}
    export_to = options.export or options.out / "agent"
    if export_to.is_dir() and any(export_to.iterdir()):
        _refuse_foreign(export_to)  # now, not after hours of training
    corpus.check(mixture.shares)  # a damaged corpus leaves no run behind

    import torch

    from gato_gym.cli.export import export
    from gato_gym.cli.runlog import RunLog
    from gato_gym.data.windows import WindowSource
    from gato_gym.tokenizers.default_text import default_text
    from gato_gym.tokenizers.vocabulary import Vocabulary
    from gato_gym.training.trainer import Trainer

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    source = WindowSource(
        corpus,
        mixture,
        specs,
        shape.context,
        Vocabulary(shape.text_size),
        default_text() if any(spec.has_text for spec in specs.values()) else None,
        seed=config.seed,
        prompt_share=config.prompt_share,
    )
    try:
        trainer = Trainer(shape, config, source, options.out, options.device)
    except TrainingError as error:  # the run in --out has other settings: wrong use
        raise GatoGymError(str(error)) from error
    log = RunLog(options.out, trainer.step)
    parameters = trainer.model.parameter_count()
    start = f"resuming at step {trainer.step}" if trainer.step else "starting"
    _tell_what_is_left_out(corpus, mixture)
    _tell(f"{shape.size}: {parameters:,} parameters, {len(specs)} tasks, {start}")
    _train(trainer, log)
    card = export(trainer, specs, log, export_to, command_line(options), options.note)
    result: dict[str, Any] = {"run": str(options.out), "export": str(export_to)}
    result |= {k: card[k] for k in ("steps", "tokens", "seconds", "parameters", "prompts")}
    result |= {"loss": card["curve"][-1]["loss"] if card["curve"] else None}
    if options.json:
        print_json(result)
    else:
        print(
            f"{export_to}: {card['steps']} steps, {card['tokens']:,} tokens, loss {result['loss']}"
        )
    return 0


def _domain(task: str) -> str:
    known = registered(task)
    return known.domain if known else "other"


def _tell_what_is_left_out(corpus: Corpus, mixture: Mixture) -> None:
    missing = [task for task in corpus.tasks() if task not in mixture.shares]
    if missing:
        _tell(f"without a weight, so left out: {', '.join(missing)}")
    kept = sum(len(task.entries) for task in mixture.tasks)
    whole = sum(len(corpus.episodes(task)) for task in mixture.shares)
    if kept < whole:
        _tell(f"--filter {mixture.filter} keeps {kept} of {whole} episodes")


def _train(trainer: Trainer, log: RunLog) -> None:
    began = time.perf_counter()
    step = trainer.step
    try:
        for line in trainer.run():
            log.add(line)
            pace = (time.perf_counter() - began) / (line.step - step)
            began, step = time.perf_counter(), line.step
            _tell(log_line(line, trainer.config.steps, pace))
    except KeyboardInterrupt:
        from gato_gym.training.checkpoint import checkpoints

        kept = checkpoints(trainer.folder)
        what = f"{kept[-1]} is kept" if kept else "no checkpoint was due yet"
        raise KeyboardInterrupt(
            f"interrupted; {what}. Run the same command again to resume"
        ) from None


def log_line(line: StepLog, steps: int, seconds_per_step: float) -> str:
    """One line of progress for people."""
    tasks = "  ".join(
        f"{task.rpartition('/')[2]} {loss:.3f} ({line.accuracy[task]:.0%})"
        for task, loss in line.losses.items()
    )
    left = timedelta(seconds=round((steps - line.step) * seconds_per_step))
    return (
        f"step {line.step}/{steps}  loss {line.loss:.3f}  {tasks}  "
        f"{line.tokens_per_second:,.0f} tok/s  waiting {line.loader_wait:.1%}  left {left}"
    )


def parse_weights(pairs: Sequence[str]) -> dict[str, float] | None:
    """NAME=WEIGHT pairs as a mapping; None if there are none.

    Raises:
        ValueError: another form.
    """
    weights: dict[str, float] = {}
    for pair in pairs:
        task, _, text = pair.rpartition("=")
        try:
            weight = float(text)
        except ValueError:
            weight = 0.0
        if not task or not 0 < weight < float("inf"):
            raise ValueError(
                f"--weights takes TASK=WEIGHT or domain:NAME=WEIGHT above 0, got {pair!r}"
            )
        if task in weights:
            raise ValueError(f"--weights names {task} twice")
        weights[task] = weight
    return weights or None


def command_line(options: Options) -> str:
    """The command that these options came from; of a path only its name, the same anywhere."""
    words = ["gato-gym", "train"]
    for field in fields(options):
        value: Any = getattr(options, field.name)
        if value == field.default or field.name in ("json", "export", "note"):
            continue
        words.append(f"--{field.name.replace('_', '-')}")
        if isinstance(value, tuple):
            words += value
        else:
            words.append(value.name if isinstance(value, Path) else str(value))
    return shlex.join(words)


def _refuse_foreign(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise FileExistsError(f"{folder} is not empty and holds no agent: choose another --export")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
