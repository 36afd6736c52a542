"""What `gato-gym bench train` trains on what: the same for each path, in whatever process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from gato_gym import envs
from gato_gym.config import ModelConfig, TrainConfig, model_config
from gato_gym.data.collect import collect
from gato_gym.data.corpus import Corpus
from gato_gym.data.mixture import Mixture
from gato_gym.data.packing import Window
from gato_gym.data.windows import WindowSource
from gato_gym.envs.registry import domain_of, named_by_data
from gato_gym.errors import UnknownTaskError
from gato_gym.tokenizers.timestep import SEPARATOR_ROW
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import TaskSpec

if TYPE_CHECKING:
    from gato_gym.cli.bench import Options

MIXTURE = {
    "gato_gym/BlockStacking-v0": 1 / 3,
    "ALE/Boxing-v5": 1 / 3,
    "BabyAI-BossLevel-v0": 1 / 9,
    "BabyAI-GoToLocal-v0": 1 / 9,
    "BabyAI-PutNextLocal-v0": 1 / 9,
}
"""Shares of the default: numbers, images, and discrete values with text."""

EPISODES = 4
"""Collected per task where no corpus is given."""
DOMAIN_TASKS = 3
"""Tasks that stand for a domain where no corpus is given."""


@dataclass(frozen=True)
class Workload:
    """A model, its recipe and its data; picklable.

    folder    for what a path writes
    shares    task -> share of the rows
    specs     task -> how it is tokenised
    threads   of the arithmetic
    """

    folder: Path
    corpus: Path
    shares: Mapping[str, float]
    specs: Mapping[str, TaskSpec]
    model: ModelConfig
    train: TrainConfig
    device: str
    threads: int

    @property
    def compiled(self) -> bool:
        """Whether our path compiles its blocks, see `TrainConfig.compile`."""
        wanted = self.train.compile
        return self.device.startswith("cuda") if wanted is None else wanted

    def source(self, kind: type[WindowSource] = WindowSource) -> WindowSource:
        """The rows, from their corpus.

        Raises:
            ValueError: a step does not fit the context.
        """
        mixture = Mixture(Corpus.open(self.corpus), self.shares)
        return kind(
            mixture=mixture,
            corpus=Corpus.open(self.corpus),
            specs=self.specs,
            context=self.model.context,
            vocabulary=Vocabulary(self.model.text_size),
            seed=self.train.seed,
            prompt_share=self.train.prompt_share,
        )


@contextmanager
def open_workload(options: Options, device: str, threads: int) -> Iterator[Workload]:
    """The workload that the options describe; what it collects is gone afterwards.

    Raises:
        UnknownTaskError: no such task or domain, or no expert plays it.
        ValueError: a shape that is none.
    """
    model = build_model_config(options)
    train = TrainConfig(steps=1 << 30, batch=options.batch, log_every=1, save_every=1 << 30, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        if options.corpus is not None:
            corpus = Corpus.open(options.corpus)
            shares = choose(options.task, {task: domain_of(task) for task in corpus.tasks()})
            specs = {task: envs.task_spec(named_by_data(task)) for task in shares}
            path = options.corpus
        else:
            path = Path(folder) / "corpus"
            experts = {spec.id: spec.domain or "other" for spec in envs.tasks() if spec.expert}
            shares = choose(options.task, experts, DOMAIN_TASKS) if options.task else dict(MIXTURE)
            specs = {task: _collect(task, path) for task in shares}
        workload = Workload(Path(folder), path, shares, specs, model, train, device, threads)
        workload.source()  # what is wrong with it is told before anything is measured
        yield workload


def build_model_config(options: Options) -> ModelConfig:
    """The preset of --size, with what --layers, --width, --heads and --context change.

    With another width the feed-forward part has four times as many numbers, and heads 64 each, as
    near as it divides.
    """
    model = model_config(options.size)
    changes: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("layers", "width", "heads", "context")
        if getattr(options, name) is not None
    }
    for name, value in changes.items():
        if value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")
    if "width" in changes:
        width = changes["width"]
        changes["hidden"] = 4 * width
        if "heads" not in changes:
            changes["heads"] = next(n for n in range(max(1, width // 64), 0, -1) if not width % n)
    return replace(model, **changes)


def choose(
    names: Sequence[str], available: Mapping[str, str], per_domain: int | None = None
) -> dict[str, float]:
    """Shares of tasks: each name the same, a domain's divided among its tasks.

    Args:
        names: task ids and names of domains, several joined by commas; none: every domain.
        available: task -> domain.
        per_domain: only so many tasks of a domain, spread over it.

    Raises:
        UnknownTaskError: neither a task nor a domain of those available.
    """
    domains: dict[str, list[str]] = {}
    for task, domain in sorted(available.items()):
        domains.setdefault(domain, []).append(task)
    wanted = [name for one in names for name in one.split(",") if name] or list(domains)
    by_letters = {_letters(domain): domain for domain in domains}
    shares: dict[str, float] = {}
    for name in dict.fromkeys(wanted):
        members = [name]
        if name not in available:
            found = by_letters.get(_letters(name))
            if found is None:
                known = [*available, *domains]
                near = get_close_matches(name, known, n=3, cutoff=0.0)
                raise UnknownTaskError(f"{name!r} is no task or domain with data: it has {near}")
            members = domains[found]
            if per_domain is not None and len(members) > per_domain:
                spread = np.linspace(0, len(members) - 1, per_domain).round().astype(int)
                members = [members[i] for i in spread]
        for task in members:
            shares[task] = shares.get(task, 0.0) + 1 / len(members)
    total = sum(shares.values())
    return {task: share / total for task, share in shares.items()}


def env_steps(window: Window) -> int:
    """Steps of environments in a window: each has one separator."""
    return int((window.local == SEPARATOR_ROW).sum())


def _letters(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def make_env(task: str) -> gymnasium.Env:
    """An environment of the suite; of Meta-World with all 39 numbers, as its other users see it."""
    if domain_of(task) == "meta_world":
        return envs.make(task, raw=True)
    return envs.make(task)


def _collect(task: str, folder: Path) -> TaskSpec:
    """A few episodes by the task's expert; how they are tokenised."""
    collect(
        task,
        out=folder,
        episodes=EPISODES,
        seed=1,
        episodes_per_shard=EPISODES,
        progress=False,
        make_env=make_env,
    )
    env = make_env(task)
    try:
        return envs.task_spec(env)
    finally:
        env.close()
