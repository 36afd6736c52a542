"""What each choice behind the generalist gives: one change at a time, trained and played.

    OMP_NUM_THREADS=1 python benchmarks/generalist_choices.py --work W
    python demos/tables.py

Collects the same seven tasks three times, with no, weak and strong noise in what their experts do,
and two more as symbols in the place of pictures. Every choice is a training from random weights on
as many tokens, then episodes with seeds that no corpus has. A run is one file in W: the same
command goes on where it was stopped. The second line makes the table of `docs/generalist.md` from
`benchmarks/results/generalist_choices.json`.

Scores say more than losses here: a corpus with noise has a higher loss and makes a better player.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.cli import main as gato_gym
from gato_gym.cli.export import choose_prompts, machine, shortened
from gato_gym.cli.players import write_json
from gato_gym.config import TrainConfig, model_config
from gato_gym.data.corpus import Corpus
from gato_gym.data.mixture import Mixture
from gato_gym.data.windows import WindowSource
from gato_gym.evaluation.scores import evaluate
from gato_gym.tokenizers.default_text import default_text
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.training.trainer import Trainer

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "generalist_choices.json"
ARMS = tuple(f"Meta-World/{arm}-v3" for arm in ("reach", "button-press", "drawer-open"))
ARMS += ("gato_gym/BlockStacking-Reach-v0",)
PICTURES = ("gato_gym/BabyAI-GoToObj-pixels-v0", "gato_gym/BabyAI-GoToRedBallNoDists-pixels-v0")
SYMBOLS = ("BabyAI-GoToObj-v0", "BabyAI-GoToRedBallNoDists-v0")
TASKS = (*ARMS, *PICTURES, "CartPole-v1")
CORPORA = {
    "none": [],
    "weak": ["--noise", "0.1", "--burst", "1", "4"],
    "strong": ["--noise", "0.25", "--burst", "1", "5"],
}
LONGEST = 250
"""Steps of an episode that is learned from: arms hold still once they are there."""


@dataclass(frozen=True)
class Choice:
    """What differs from the first one.

    of       what is chosen
    label    its name in the table
    shape    fields of the model's configuration
    train    fields of the training's
    noise    of the corpus
    rows     times --batch, so that each choice reads as many tokens
    weights  of the mixture; None: all tasks alike
    tasks    that are learned and played
    """

    of: str
    label: str
    shape: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    noise: str = "strong"
    rows: float = 1.0
    weights: Mapping[str, float] | None = None
    tasks: tuple[str, ...] = TASKS


BABYAI_HALF = {task: 0.25 for task in PICTURES} | {
    task: 0.1 for task in TASKS if task not in PICTURES
}
CHOICES = {
    "base": Choice("", "4 blocks x 192, context 308, rate 1e-3, prompts 25 %, strong noise"),
    "layers-2": Choice("model shape", "2 blocks x 192", {"layers": 2}),
    "layers-6": Choice("model shape", "6 blocks x 192", {"layers": 6}),
    "width-96": Choice("model shape", "4 blocks x 96", {"width": 96, "hidden": 384}),
    "width-288": Choice("model shape", "4 blocks x 288", {"width": 288, "hidden": 1152}),
    "rate-5e-4": Choice("learning rate", "5e-4", train={"learning_rate": 5e-4}),
    "rate-2e-3": Choice("learning rate", "2e-3", train={"learning_rate": 2e-3}),
    "rate-4e-3": Choice("learning rate", "4e-3", train={"learning_rate": 4e-3}),
    "noise-none": Choice("noise in experts", "none", noise="none"),
    "noise-weak": Choice("noise in experts", "10 %, 1 to 4 steps", noise="weak"),
    "prompts-0": Choice("prompt share", "0", train={"prompt_share": 0.0}),
    "prompts-50": Choice("prompt share", "50 %", train={"prompt_share": 0.5}),
    "context-154": Choice("context", "154 tokens", {"context": 154}, rows=2),
    "context-616": Choice("context", "616 tokens", {"context": 616}, rows=0.5),
    "mixture-babyai": Choice("mixture", "half of it BabyAI", weights=BABYAI_HALF),
    "symbols": Choice(
        "observation",
        "BabyAI as 147 symbols, not as 16 patches",
        tasks=(*ARMS, *SYMBOLS, "CartPole-v1"),
    ),
}


def collect(work: Path, episodes: int) -> None:
    """The corpora: clean episodes are where prompts come from."""
    for name, noise in CORPORA.items():
        tasks = (*TASKS, *SYMBOLS) if name == "strong" else TASKS
        cut = ["--max-steps", str(LONGEST), "--out", str(work / "corpora" / name)]
        for number, seed, how in ((5, 400_000, []), (episodes, 500_000, noise)):
            told = ["--episodes", str(number), "--seed", str(seed)]
            if code := gato_gym(["collect", *tasks, *told, *how, *cut]):
                raise SystemExit(code)


def train(choice: Choice, seed: int, options: argparse.Namespace) -> tuple[GatoAgent, Trainer]:
    """Train and return the agent, and who trained it."""
    corpus = Corpus.open(options.work / "corpora" / choice.noise)
    specs = {task: envs.task_spec(task) for task in choice.tasks}
    shape = replace(model_config("bundle"), **choice.shape)
    settings = {"learning_rate": 1e-3, "optimizer": "muon", "schedule": "wsd", **choice.train}
    config = TrainConfig(
        steps=options.steps,
        batch=round(choice.rows * options.batch),
        arithmetic=options.arithmetic,
        seed=seed,
        log_every=50,
        save_every=options.steps,
        loader_threads=1,
        **settings,
    )
    weights = choice.weights or dict.fromkeys(choice.tasks, 1.0)
    mixture = Mixture(corpus, weights, {task: spec.domain for task, spec in specs.items()})
    text, vocabulary = default_text(), Vocabulary(shape.text_size)
    rows = WindowSource(
        corpus, mixture, specs, shape.context, vocabulary, text, seed, config.prompt_share
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(shape, config, rows, folder, "cpu")
        for log in trainer.run():
            tell(f"  step {log.step}: loss {log.loss:.3f}")
        model = trainer.trained()
    assert model is not None  # there is one process only
    prompts = choose_prompts(corpus, choice.tasks)
    for tokenizer in rows.tokenizers:
        task = tokenizer.spec.id
        prompts[task] = shortened(prompts[task], tokenizer, shape.context)
    return GatoAgent(model, specs, prompts, text=text, name="choice"), trainer


def run(name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """One choice with one seed: its scores, and what a training step took."""
    choice = CHOICES[name]
    tell(f"{name}, seed {seed}")
    agent, trainer = train(choice, seed, options)
    scores = {}
    for task in choice.tasks:
        score = evaluate(task, agent, episodes=options.episodes, seed=7000, num_envs=8)
        scores[task] = {"normalized": score.normalized, "returns": list(score.returns)}
        tell(f"  {task}: {score.normalized:.2f}")
    return {
        "choice": name,
        "seed": seed,
        "parameters": trainer.parameters,
        "tokens": trainer.tokens,
        "seconds": trainer.seconds,
        "scores": scores,
    }


def groups(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Mean scores of the arms, of BabyAI, of the pole, and of all tasks; each between 0 and 1, so
    that a task that is played far worse than by chance does not outweigh others."""
    cut = {task: min(max(row["normalized"], 0.0), 1.0) for task, row in scores.items()}
    parts = {
        "arms": [value for task, value in cut.items() if task in ARMS],
        "babyai": [value for task, value in cut.items() if task in (*PICTURES, *SYMBOLS)],
        "pole": [cut["CartPole-v1"]],
        "all": list(cut.values()),
    }
    return {part: statistics.fmean(values) for part, values in parts.items() if values}


def tell(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="corpora and a file for each run")
    parser.add_argument("--choices", nargs="+", choices=CHOICES, default=list(CHOICES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--collected", type=int, default=60, help="noisy episodes of each task")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--episodes", type=int, default=10, help="played, of each task")
    parser.add_argument("--arithmetic", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--out", type=Path, default=RESULTS, help="file for the JSON")
    options = parser.parse_args(arguments)
    collect(options.work, options.collected)
    for seed in options.seeds:
        for name in options.choices:
            path = options.work / f"{name}-{seed}.json"
            if not path.exists():
                path.write_text(json.dumps(run(name, seed, options)))
    runs = [json.loads(path.read_text()) for path in sorted(options.work.glob("*-*.json"))]
    result = {
        "settings": {
            name: getattr(options, name)
            for name in ("steps", "batch", "collected", "episodes", "arithmetic")
        },
        "machine": f"{machine()}, PyTorch {torch.__version__}",
        "command": f"python benchmarks/generalist_choices.py --work {options.work.name}",
        "choices": [
            {
                "choice": name,
                "of": CHOICES[name].of,
                "label": CHOICES[name].label,
                "seeds": [
                    {k: v for k, v in found.items() if k not in ("choice", "scores")}
                    | {"groups": groups(found["scores"]), "scores": found["scores"]}
                    for found in runs
                    if found["choice"] == name
                ],
            }
            for name in CHOICES
            if any(found["choice"] == name for found in runs)
        ],
    }
    write_json(options.out, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
