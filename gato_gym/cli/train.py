"""Train a model on a corpus, or resume, and export it as an agent.

Run the same command again to resume; on a finished run it only exports. Ctrl-C or SIGTERM saves and
leaves, a second one leaves at once. Weights are shares of the training tokens, in any unit: TASK=W
is a task's; 'Meta-World/*'=W a pattern's and domain:NAME=W a domain's, divided equally among its
tasks that have none of their own; what has no weight is left out. Without --mixture and --weights
all tasks count alike.

On N processes: torchrun --nproc-per-node N -m gato_gym.training OPTIONS

examples:
    gato-gym train --corpus corpus --out runs-local/a --steps 9000 --weights CartPole-v1=0.1
    gato-gym train --corpus corpus --out runs-local/b --mixture paper --weights domain:classic=5
    gato-gym eval --task CartPole-v1 --checkpoint runs-local/a/agent
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gato_gym.cli.players import print_json
from gato_gym.config import ModelConfig, TrainConfig, model_config
from gato_gym.data.filters import FilterName
from gato_gym.envs.registry import domain_of

if TYPE_CHECKING:
    from gato_gym.data.corpus import Corpus
    from gato_gym.data.mixture import Mixture

_DEFAULTS = TrainConfig()


@dataclass(frozen=True)
class Options:
    """What to train on what, and for how long."""

    corpus: Path
    """The episodes."""
    out: Path
    """The run's folder: checkpoints, logs, TensorBoard; resumed if it exists."""
    size: str = "bundle"
    """Model size, e.g. tiny, bundle, 79m, 364m, 1.2b; with --start the agent's own."""
    start: str | None = None
    """Go on with the weights of an agent: its folder or Hub id, or "bundled". The optimiser starts
    anew. Default is random weights."""
    layers: int | None = None
    """Deepen the agent of --start to so many blocks; the new ones begin as doing nothing."""
    text_model: Path | None = None
    """SentencePiece model (see gato-gym tokenizer train); default is the agent's of --start, else
    one of 1,024 pieces."""
    mixture: Literal["even", "paper"] = "even"
    """even: all tasks alike. paper: the sample weights of the paper's Table 1 for those of its
    domains that the corpus has, in percent; --weights adds to them or replaces them."""
    weights: tuple[str, ...] = ()
    """TASK=WEIGHT, PATTERN=WEIGHT or domain:NAME=WEIGHT ..."""
    filter: FilterName = "none"
    """Which episodes: all of them; near-expert, with at least 80 % of the task's expert return
    (paper, section 3.1); or success, of tasks that tell it."""
    steps: int = _DEFAULTS.steps
    """Optimiser steps of the whole run."""
    batch: int = _DEFAULTS.batch
    """Rows of one context length per step, over all processes."""
    accumulate: int = _DEFAULTS.accumulate
    """Micro-batches of a step in each process: less memory, the same step."""
    learning_rate: float | None = None
    """Its peak; default is the paper's for its three sizes, 1e-3 for smaller ones."""
    warmup: int = _DEFAULTS.warmup
    """Steps until the peak; -1 is the paper's share of the run."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """adamw is the paper's; muon for the matrices of the blocks."""
    schedule: Literal["cosine", "wsd", "constant"] = "cosine"
    """Of the learning rate after the warm-up; cosine is the paper's."""
    weight_decay: float = _DEFAULTS.weight_decay
    """On matrices and tables."""
    clip: float = _DEFAULTS.clip
    """Gradient norm limit; 0 = off."""
    stochastic_depth: float | None = None
    """How often a sub-layer is skipped; default is the size's."""
    parallel_actions: bool = False
    """Predict all numbers of an action at once, from observations alone (paper, appendix G): faster
    acting, but no number knows what the others are."""
    ema: float = _DEFAULTS.ema
    """Decay of a running mean of the weights, which is validated and exported; 0 = off."""
    prompt_share: float = _DEFAULTS.prompt_share
    """Share of documents that start with a prompt."""
    seed: int = _DEFAULTS.seed
    """Of the initialisation and the sample order."""
    held_out: float = _DEFAULTS.held_out
    """Share of each task's episodes that only validation sees."""
    validate_every: int = _DEFAULTS.validate_every
    """Steps between validation losses on held-out episodes; 0 = never."""
    validation_rows: int = _DEFAULTS.validation_rows
    """Rows of each."""
    eval_every: int = 0
    """Steps between rollouts, which a process of low priority plays meanwhile; 0 = never. They
    begin with the log line of that step, or the next one."""
    eval_tasks: tuple[str, ...] = ()
    """Task ids, patterns or domain:NAME to play; default is all that the run trains on."""
    eval_episodes: int = 10
    """Episodes of each."""
    save_every: int = 250
    """Steps between checkpoints."""
    log_every: int = 50
    """Steps between log lines."""
    wandb: str | None = None
    """Project of Weights & Biases to log to, beside TensorBoard."""
    loader_threads: int = _DEFAULTS.loader_threads
    """Threads that build windows."""
    loader_workers: int = _DEFAULTS.loader_workers
    """Processes that build windows, for a fast GPU and images; 0 = the one that trains."""
    threads: int | None = None
    """Threads of the arithmetic; default is PyTorch's choice."""
    device: str | None = None
    """cpu or cuda; default is cuda if there is one."""
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile; auto = on a GPU, where it pays."""
    arithmetic: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products; auto = bfloat16 on a GPU. A processor with bfloat16 instructions (lscpu:
    avx512_bf16, amx_bf16) is much faster with it, together with --compile on."""
    checkpoint_activations: Literal["auto", "on", "off"] = "auto"
    """Compute the blocks again in the backward pass instead of keeping their activations; auto =
    for as many blocks as the memory asks for."""
    export: Path | None = None
    """Where the agent goes; default is OUT/agent."""
    note: str = ""
    """A sentence for the card, e.g. what the settings of the last call do not show."""
    json: bool = False
    """Print JSON at the end."""


def run(options: Options) -> int:
    """Train, then export."""
    weights = parse_weights(options.weights)
    shape, config = _settings(options)
    for name, least in (("threads", 1), ("loader_threads", 1), ("loader_workers", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, got {value}")
    from gato_gym.data.corpus import Corpus
    from gato_gym.data.mixture import DOMAIN, Mixture, paper_weights

    corpus = Corpus.open(options.corpus)
    domains = {task: domain_of(task) for task in corpus.tasks()}
    if options.mixture == "paper":
        own = weights or {}
        rest = {d for task, d in domains.items() if task not in own and f"{DOMAIN}{d}" not in own}
        weights = (paper_weights(rest) if rest else {}) | own
    view = (corpus, weights, domains, options.filter)
    mixture = Mixture(*view, held_out=config.held_out)
    validation = None
    if config.validate_every:
        validation = Mixture(*view, held_out=config.held_out, part="validation")
    export_to = options.export or options.out / "agent"
    if options.out.exists() and not options.out.is_dir():
        raise FileExistsError(f"{options.out} is a file: choose another --out")
    _refuse_foreign(export_to)  # now, not after hours of training
    from gato_gym.cli.start import Start
    from gato_gym.cli.train_run import TrainingRun
    from gato_gym.training.distributed import join

    start = Start.find(shape, options.start, options.text_model, options.layers)
    ranks = join(options.device)
    try:
        # A damaged corpus leaves no run behind.
        corpus.check(mixture.shares, part=(ranks.rank, ranks.size))
        if ranks.main:
            _tell_what_is_left_out(corpus, mixture, validation)
        start.keep(options.out, write=ranks.main)
        training = TrainingRun(options, start, config, corpus, mixture, validation, domains, ranks)
        code = training.watched(export_to, command_line(options))
        if training.card is not None:
            _tell_result(training.card, options, export_to)
        return code
    finally:
        ranks.leave()


def _tell_result(card: Mapping[str, Any], options: Options, folder: Path) -> None:
    result: dict[str, Any] = {"run": str(options.out), "export": str(folder)}
    result |= {k: card[k] for k in ("steps", "tokens", "seconds", "parameters", "prompts")}
    result |= {"loss": card["curve"][-1]["loss"] if card["curve"] else None}
    if options.json:
        print_json(result)
    else:
        print(f"{folder}: {card['steps']} steps, {card['tokens']:,} tokens, loss {result['loss']}")


def _settings(options: Options) -> tuple[ModelConfig, TrainConfig]:
    """Of the model and the run."""
    from gato_gym.training.optim import default_rate

    shape = model_config(options.size)
    if options.stochastic_depth is not None:
        shape = replace(shape, stochastic_depth=options.stochastic_depth)
    shape = replace(shape, parallel_actions=options.parallel_actions)
    given = {f.name: getattr(options, f.name) for f in fields(TrainConfig)}
    given["compile"] = {"auto": None, "on": True, "off": False}[options.compile]
    if options.learning_rate is None:
        given["learning_rate"] = default_rate(options.size)
    return shape, TrainConfig(**given)


def _tell_what_is_left_out(corpus: Corpus, mixture: Mixture, validation: Mixture | None) -> None:
    missing = [task for task in corpus.tasks() if task not in mixture.shares]
    if missing:
        _tell(f"without a weight, so left out: {', '.join(missing)}")
    kept = sum(len(task.entries) for task in mixture.tasks)
    whole = sum(len(corpus.episodes(task)) for task in mixture.shares)
    if kept < whole:
        reasons = [] if mixture.filter == "none" else [f"--filter {mixture.filter}"]
        reasons += [f"--held-out {mixture.held_out:g}"] if mixture.held_out else []
        _tell(
            f"{' and '.join(reasons)} leave{'s' * (len(reasons) == 1)} {kept} of {whole} episodes"
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
                "--weights takes TASK=WEIGHT, PATTERN=WEIGHT or domain:NAME=WEIGHT above 0, got "
                f"{pair!r}"
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
        elif field.name == "start" and Path(value).is_dir():
            words.append(Path(value).name)
        elif value is not True:
            words.append(value.name if isinstance(value, Path) else str(value))
    return shlex.join(words)


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file: choose another --export")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / "config.json").is_file():
        raise FileExistsError(f"{folder} is not empty and holds no agent: choose another --export")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
