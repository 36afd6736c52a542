"""What weights of fewer bits cost and save: bytes, time of a pass, actions, returns.

    OMP_NUM_THREADS=1 python benchmarks/precision.py --out benchmarks/results/precision_cpu.json

Time: one pass of --tokens new tokens over a full context, of all precisions in turn. Actions: along
the episodes that the float32 agent plays, all agents with its observations and its past actions.
Returns: each plays by itself, `evaluate` with the seeds that it is given.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Discrete

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.cli.export import machine
from gato_gym.cli.players import print_json, write_json
from gato_gym.config import model_config
from gato_gym.evaluation.scores import evaluate
from gato_gym.models.choice import deterministic
from gato_gym.models.decode import Decoder, Feed
from gato_gym.models.device import choose_device
from gato_gym.models.gato import Gato
from gato_gym.models.precision import PRECISIONS, set_precision
from gato_gym.models.stream import TokenStreams
from gato_gym.tokenizers.timestep import StepTokenizer

WARM_UP = 5


def weight_bytes(model: Gato) -> int:
    """Of all weights, with the scales of those that are int8."""
    total = 0
    for value in model.parameters():
        parts = (value.qdata, value.scale) if hasattr(value, "qdata") else (value,)
        total += sum(part.numel() * part.element_size() for part in parts)
    return total


class Passes:
    """Passes of a model with random weights, each over a full context."""

    def __init__(self, size: str, tokens: int, precision: str, device: torch.device) -> None:
        torch.manual_seed(0)
        model = Gato(model_config(size)).eval().to(device)
        self.decoder = Decoder(set_precision(model, precision))
        self.cache = self.decoder.new_cache(1, tokens)
        self.tokens, self.times = tokens, list[float]()
        for _ in range(-(-model.config.context // tokens)):
            self._run()

    def time(self) -> None:
        """One more pass."""
        began = time.perf_counter()
        self._run()
        self.times.append(time.perf_counter() - began)

    def _run(self) -> None:
        last = int(self.cache.lengths[0]) + self.tokens
        first = np.full(self.tokens, max(0, last - self.decoder.config.context))
        ids = np.arange(self.tokens) * 37 % 1024
        states = self.decoder.run(
            self.cache, Feed(np.array([0]), np.array([self.tokens]), ids, ids % 512, first)
        )
        self.decoder.logits(states, 0, 1024).argmax(-1).cpu()  # the CPU waits for it


def speed(size: str, tokens: int, passes: int, device: torch.device) -> dict[str, Any]:
    """Milliseconds of a pass and megabytes of weights, by precision."""
    made = {name: Passes(size, tokens, name, device) for name in PRECISIONS}
    for turn in range(WARM_UP + passes):
        for one in made.values():
            one.time()
        if turn == WARM_UP - 1:
            for one in made.values():
                one.times.clear()
    base = float(np.median(made["float32"].times))
    return {
        name: {
            "p50_ms": 1e3 * float(np.median(one.times)),
            "p99_ms": 1e3 * float(np.quantile(one.times, 0.99)),
            "ratio": base / float(np.median(one.times)),
            "weight_megabytes": weight_bytes(one.decoder.model) / 1e6,
        }
        for name, one in made.items()
    }


def agreement(task: str, agents: dict[str, GatoAgent], steps: int, seed: int) -> dict[str, Any]:
    """How often rounded agents choose what the float32 one does, along its episodes."""
    env, lead = envs.make(task), agents["float32"]
    tokenizer = StepTokenizer(envs.task_spec(task), lead.vocabulary, lead.text)
    streams = {name: TokenStreams(Decoder(a.model), [tokenizer]) for name, a in agents.items()}
    chosen: dict[str, list[int]] = {name: [] for name in agents}
    obs, _ = env.reset(seed=seed)
    for step in range(steps):
        sequence, taken = tokenizer.observe(obs, step), list[int]()
        for name in PRECISIONS:
            forced = iter(taken)

            def choose(
                logits: torch.Tensor,
                rows: list[int],
                ordered: bool,
                name: str = name,
                forced: Any = forced,
            ) -> np.ndarray:
                own = deterministic(logits, rows, ordered)
                chosen[name].append(int(own[0]))
                return own if name == "float32" else np.array([next(forced)])

            ids = streams[name].decide([sequence], choose)[0]
            assert ids is not None
            if name == "float32":
                taken = (ids - tokenizer.legal_ids[:, 0]).tolist()
        action = tokenizer.decode_action(ids)
        obs, _, terminated, truncated, _ = env.step(
            action[0] if isinstance(env.action_space, Discrete) else action
        )
        if terminated or truncated:
            obs, _ = env.reset(seed=seed + step + 1)
            for stream in streams.values():
                stream.restart(0)
    env.close()
    numbers = np.array([chosen[name] for name in PRECISIONS]).reshape(len(PRECISIONS), steps, -1)
    apart = np.abs(numbers - numbers[0])
    return {
        name: {
            "equal_actions": float((apart[i] == 0).all(-1).mean()),
            "equal_numbers": float((apart[i] == 0).mean()),
            "mean_difference": float(apart[i].mean()),
        }
        for i, name in enumerate(PRECISIONS)
        if i
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="79m", help="of the timed passes")
    parser.add_argument("--tokens", type=int, default=22)
    parser.add_argument("--passes", type=int, default=200)
    parser.add_argument("--checkpoint", help="who plays; default is the bundled agent")
    parser.add_argument("--task", action="append", help="default: all whose actions are numbers")
    parser.add_argument("--steps", type=int, default=500, help="compared, of each task; 0 = none")
    parser.add_argument("--episodes", type=int, default=20, help="of each task; 0 = none")
    parser.add_argument("--seed", type=int, default=7000)
    parser.add_argument("--device")
    parser.add_argument("--out", type=Path, help="write the figures there, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    device = choose_device(options.device)
    words = sys.argv[1:] if arguments is None else list(arguments)
    result: dict[str, Any] = {
        "size": options.size,
        "tokens": options.tokens,
        "context": model_config(options.size).context,
        "passes": options.passes,
        "speed": speed(options.size, options.tokens, options.passes, device),
        "steps": options.steps,
        "episodes": options.episodes,
        "tasks": {},
        "machine": machine(str(device)),
        "command": shlex.join(["python", "benchmarks/precision.py", *words]),
    }
    agents = {
        name: GatoAgent.from_pretrained(
            options.checkpoint, device=str(device), precision=name, compile=False
        )
        for name in PRECISIONS
    }
    known = agents["float32"].specs.items()
    for task in options.task or [task for task, spec in known if not spec.speaks]:
        found = result["tasks"][task] = {}
        if options.steps:
            found["agreement"] = agreement(task, agents, options.steps, options.seed)
        if options.episodes:
            play = {"episodes": options.episodes, "seed": options.seed}
            scores = {name: evaluate(task, agent, **play) for name, agent in agents.items()}
            kept = ("mean_return", "ci95", "normalized")
            found["returns"] = {
                name: {k: v for k, v in score.to_json().items() if k in kept}
                for name, score in scores.items()
            }
        if options.out is not None:
            write_json(options.out, result)
    if options.json:
        print_json(result)
    else:
        print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
