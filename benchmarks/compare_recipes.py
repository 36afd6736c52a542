"""Train one small model by several recipes on one corpus; compare losses on episodes not seen.

    python benchmarks/compare_recipes.py --corpus C --held-out H --work W --rates 1e-3 2e-3 4e-3
    python benchmarks/compare_recipes.py --corpus C --held-out H --work W --seeds 1 2
    python demos/recipes.py

The first line looks for each recipe's best learning rate with seed 0, the second repeats each at
its best with other seeds. Every run has the same steps, rows and held-out rows; with the same seed,
the same training rows and initialisation. A run is one file in W, so the same command goes on where
it was stopped. Each call ends by writing all of W's runs to `benchmarks/results/recipes.json`,
from which the third line makes `docs/recipes.png` and the tables of `docs/recipes.md`.

H is a corpus of the same tasks, collected with other seeds. Running means of the weights are kept
beside each run and judged with it, at no cost to it. Time is the processor time of the training
thread, which other processes do not lengthen much; run it with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gato_gym import envs
from gato_gym.config import ModelConfig, TrainConfig
from gato_gym.data.corpus import Corpus
from gato_gym.data.mixture import Mixture
from gato_gym.data.windows import WindowSource, batches
from gato_gym.envs.registry import named_by_data, registered
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.default_text import default_text
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.training.ema import Ema
from gato_gym.training.trainer import Trainer

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "recipes.json"
MODEL = ModelConfig(
    "recipes",
    width=128,
    layers=4,
    heads=4,
    hidden=512,
    context=308,
    text_size=1024,
    patch_channels=32,
    patch_features=32,
)
DECAYS = (0.9, 0.97, 0.99)
HELD_OUT_SEED = 10**6
INPUTS = ("ids", "local", "patches", "pixels", "positions", "first_visible", "queries")


@dataclass(frozen=True)
class Recipe:
    """What differs from the paper's."""

    label: str
    train: dict[str, Any] = field(default_factory=dict)
    stochastic_depth: float = 0.1
    length: float = 1.0
    """Times --steps."""


RECIPES = {
    "paper": Recipe("AdamW, cosine"),
    "wsd": Recipe("AdamW, WSD", {"schedule": "wsd"}),
    "muon": Recipe("Muon, cosine", {"optimizer": "muon"}),
    "muon-wsd": Recipe("Muon, WSD", {"optimizer": "muon", "schedule": "wsd"}),
    "no-depth": Recipe("AdamW, cosine, no stochastic depth", stochastic_depth=0.0),
    # As long as Muon takes: its steps are so much slower in this comparison.
    "longer": Recipe("AdamW, cosine, 1.33 times the steps", length=1.33),
    "no-clip": Recipe("AdamW, cosine, no clipping", {"clip": 0.0}),
}


def domain_of(task: str) -> str:
    """The domain of a task of the catalogue."""
    known = registered(task)
    return known.domain if known else "other"


def source(corpus: Corpus, seed: int, prompt_share: float) -> WindowSource:
    """Rows of a corpus: every domain alike, and every task of a domain."""
    domains = {task: domain_of(task) for task in corpus.tasks()}
    weights = {f"domain:{domain}": 1.0 for domain in set(domains.values())}
    mixture = Mixture(corpus, weights, domains)
    specs = {task: envs.task_spec(named_by_data(task)) for task in mixture.shares}
    text, vocabulary = default_text(), Vocabulary(MODEL.text_size)
    return WindowSource(corpus, mixture, specs, MODEL.context, vocabulary, text, seed, prompt_share)


@torch.no_grad()
def evaluate(model: Gato, held_out: HeldOut) -> dict[str, float]:
    """Mean loss in nats per target, of all and of each domain's."""
    model.eval()
    losses, domains = [], []
    for row in held_out.rows:
        logits = model(*(row[name] for name in INPUTS))
        loss = functional.cross_entropy(
            logits.flatten(0, 1), row["targets"].flatten(), ignore_index=-1, reduction="none"
        )
        judged = row["targets"].flatten() >= 0
        losses.append(loss[judged])
        domains.append(row["domains"].flatten()[judged])
    model.train()
    every, of = torch.cat(losses), torch.cat(domains)
    return {"all": every.mean().item()} | {
        name: every[of == index].mean().item() for index, name in enumerate(held_out.domains)
    }


@dataclass(frozen=True)
class HeldOut:
    """Batches of rows that stay the same for all runs."""

    domains: list[str]
    rows: list[dict[str, Tensor]]


def held_out_rows(source: WindowSource, count: int, batch: int) -> HeldOut:
    """The first rows of a source."""
    names = sorted({domain_of(task) for task in source.tasks})
    domains = torch.tensor([names.index(domain_of(task)) for task in source.tasks])
    rows = []
    for window in batches(source, batch, 0, count // batch, threads=0):
        row = {name: torch.as_tensor(getattr(window, name)) for name in (*INPUTS, "targets")}
        rows.append(row | {"domains": domains[torch.as_tensor(window.tasks)]})
    return HeldOut(names, rows)


def train(
    name: str, rate: float, seed: int, corpus: Corpus, held_out: HeldOut, options: Any
) -> dict[str, Any]:
    """One run: its losses on the held-out rows, raw and of the mean weights, and its times."""
    recipe = RECIPES[name]
    steps = round(recipe.length * options.steps)
    config = TrainConfig(
        steps=steps,
        batch=options.batch,
        learning_rate=rate,
        seed=seed,
        save_every=steps,
        log_every=1,
        loader_threads=1,
        **recipe.train,
    )
    shape = replace(MODEL, stochastic_depth=recipe.stochastic_depth)
    curve: list[dict[str, Any]] = []
    training: list[float] = []
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        rows = source(corpus, seed, config.prompt_share)
        trainer = Trainer(shape, config, rows, folder, "cpu")
        means = [Ema(trainer.model, decay) for decay in DECAYS]
        run = trainer.run()
        while True:
            began = time.thread_time()
            log = next(run, None)
            if log is None:
                break
            seconds.append(time.thread_time() - began)
            training.append(log.loss)
            for mean in means:
                mean.update(log.step)
            if log.step % options.every == 0 or log.step == steps:
                recent = statistics.fmean(training[-options.every :])
                point = {"step": log.step, "training": recent, "ema": {}}
                point["held_out"] = evaluate(trainer.model, held_out)
                if log.step == steps:
                    for mean in means:
                        with mean.swapped():
                            point["ema"][str(mean.decay)] = evaluate(trainer.model, held_out)
                curve.append(point)
                tell(
                    f"{name} rate {rate:g} seed {seed} step {log.step}: training {recent:.4f}, "
                    f"held out {point['held_out']['all']:.4f}, "
                    f"{statistics.median(seconds[-options.every :]):.3f} s/step"
                )
    return {
        "recipe": name,
        "rate": rate,
        "seed": seed,
        "curve": curve,
        "step_seconds": statistics.median(seconds),
    }


def final(run: Mapping[str, Any]) -> float:
    """Held-out loss after the last step."""
    return run["curve"][-1]["held_out"]["all"]


def best_rates(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Recipe -> the rate with the lowest final held-out loss at seed 0."""
    first = [run for run in runs if run["seed"] == 0]
    ordered = sorted(first, key=final, reverse=True)
    return {run["recipe"]: run["rate"] for run in ordered}


def rounded(value: Any) -> Any:
    """The same with five digits after the point; small numbers, such as rates, as they are."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 5) if isinstance(value, float) and value > 0.01 else value


def read(work: Path) -> list[dict[str, Any]]:
    """All runs in a folder."""
    return [json.loads(path.read_text()) for path in sorted(work.glob("*.json"))]


def tell(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def main(given: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="a file for each run")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--rates", nargs="+", type=float, help="default: the best of seed 0")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--every", type=int, default=25, help="steps between held-out losses")
    parser.add_argument("--rows", type=int, default=48, help="held-out rows")
    parser.add_argument("--out", type=Path, default=RESULTS, help="file for the JSON")
    options = parser.parse_args(given)
    torch.set_num_threads(1)
    corpus, other = Corpus.open(options.corpus), Corpus.open(options.held_out)
    unseen = source(other, HELD_OUT_SEED, TrainConfig().prompt_share)
    held_out = held_out_rows(unseen, options.rows, options.batch)
    options.work.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for name in options.recipes:
            for rate in options.rates or [best_rates(read(options.work))[name]]:
                path = options.work / f"{name}-{rate:g}-{seed}.json"
                if not path.exists():
                    run = train(name, rate, seed, corpus, held_out, options)
                    path.write_text(json.dumps(run))
    result = {
        "steps": options.steps,
        "batch": options.batch,
        "rows": options.rows,
        "model": MODEL.to_json(),
        "settings": TrainConfig().to_json(),
        "recipes": {name: asdict(recipe) for name, recipe in RECIPES.items()},
        "episodes": {
            task: [len(corpus.episodes(task)), len(other.episodes(task))] for task in corpus.tasks()
        },
        "machine": f"{platform.machine()}, one thread, PyTorch {torch.__version__}",
        "command": f"python benchmarks/compare_recipes.py --corpus {options.corpus.name} "
        f"--held-out {options.held_out.name} --work {options.work.name} --steps {options.steps} "
        f"--batch {options.batch} --every {options.every} --rows {options.rows}",
        "runs": read(options.work),
    }
    options.out.write_text(json.dumps(rounded(result)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
