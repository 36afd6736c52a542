"""Cached against recomputed: does the cache change what the agent would do?

    python benchmarks/cached_acting.py --out benchmarks/results/cached_acting.json

The agent plays batches of environments whose episodes end at different times, some of them cut
short: each task with and without its prompt, and all tasks in one batch, of which some are prompted
and some wait now and then. At each step and each number of an action the logits by which it decides
are compared with those of `act_reference.Recompute`, which computes everything again from raw
observations and a plain mask. A state depends on what earlier states saw, one context further back
with each layer: as many contexts are recomputed as there are layers, which is exact.

Exit code 1 where a legal logit differs by more than --tolerance, or any chosen action differs.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from gato_gym import envs
from gato_gym.agents.demonstrations import PROMPT_SHARE
from gato_gym.agents.gato import GatoAgent
from gato_gym.cli.act_reference import Recompute
from gato_gym.cli.act_workload import stack
from gato_gym.cli.export import machine
from gato_gym.models.choice import Choose, deterministic
from gato_gym.models.stream import TokenStreams
from gato_gym.tokenizers.timestep import StepTokenizer

TASKS = ("CartPole-v1", "ALE/Boxing-v5", "gato_gym/BlockStacking-v0")
ROWS = 4
CUTS = (None, 41, 23, None)
"""Steps after which a row's episode is cut short, row after row."""
LOST = 3
"""The row whose environment does something random instead of what the agent wants."""
UNPROMPTED = TASKS[1]
"""In the batch of all tasks."""


@dataclass
class Findings:
    """What comparing showed."""

    steps: int = 0
    predictions: int = 0
    worst: float = 0.0
    different: list[dict[str, Any]] = field(default_factory=list)
    """Numbers of actions that a recomputation would choose otherwise."""
    slides: int = 0
    ended: int = 0
    cut: int = 0
    waited: int = 0

    def add(self, other: Findings) -> None:
        """Take another batch's in."""
        for name, value in vars(other).items():
            mine = getattr(self, name)
            setattr(self, name, max(mine, value) if name == "worst" else mine + value)

    def figures(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "largest_difference": self.worst,
            "equal_actions": 1 - len(self.different) / max(1, self.predictions),
            "steps": self.steps,
            "predictions": self.predictions,
            "slides": self.slides,
            "episodes_ended": self.ended,
            "episodes_cut": self.cut,
            "steps_waited": self.waited,
        }


class Tap:
    """Notes the logits by which streams decide."""

    def __init__(self) -> None:
        self.logits: list[list[torch.Tensor]] = []
        self.ids: list[np.ndarray | None] = []

    @contextmanager
    def open(self) -> Iterator[Tap]:
        """Note every decision meanwhile; only the last one is kept."""
        honest = TokenStreams.decide

        def decide(streams: TokenStreams, sequences: Any, choose: Choose = deterministic) -> Any:
            self.logits = [[] for _ in sequences]

            def note(logits: torch.Tensor, rows: list[int], ordered: bool) -> np.ndarray:
                for row, values in zip(rows, logits.float().cpu(), strict=True):
                    self.logits[row].append(values.clone())
                return choose(logits, rows, ordered)

            self.ids = honest(streams, sequences, note)
            return self.ids

        with mock.patch.object(TokenStreams, "decide", decide):
            yield self


class Row:
    """One environment, played by the agent and followed by a recomputation.

    Args:
        agent: whose prompts and weights are used.
        task: an id.
        prompted: whether episodes begin with the prompt.
        index: its place in the batch, which decides how its episodes end.
        seeds: of episodes.
    """

    def __init__(
        self, agent: GatoAgent, task: str, prompted: bool, index: int, seeds: Iterator[int]
    ) -> None:
        self.env = envs.make(task)
        self.env.action_space.seed(index)
        self.tokenizer = StepTokenizer(agent.specs[task], agent.vocabulary, agent.text)
        self.findings = Findings()
        self._agent, self._seeds = agent, seeds
        self._cut, self._lost = CUTS[index % len(CUTS)], index % len(CUTS) == LOST
        self._prompt = agent.prompts.get(task) if prompted else None
        self._begin()

    def _begin(self) -> None:
        self.obs, self.starts, self._steps = self.env.reset(seed=next(self._seeds))[0], True, 0
        model = self._agent.model
        self._recompute = Recompute(model, self.tokenizer, depth=model.config.layers)
        if self._prompt is None:
            return
        room = int(model.config.context * PROMPT_SHARE)
        fits = max(1, room // self.tokenizer.tokens_per_step)
        for step in range(min(len(self._prompt), fits)):
            observed = {key: value[step] for key, value in self._prompt.observations.items()}
            self._recompute.observe(self.tokenizer.observe(observed))
            actions = self._prompt.actions[step : step + 1]
            self._recompute.append(self.tokenizer.action_ids(actions)[0])

    def compare(self, logits: Sequence[torch.Tensor], ids: np.ndarray) -> None:
        """Hold the logits of one action and the chosen ids against a recomputation."""
        found, again = self.findings, self._recompute
        slid = again.slid
        again.observe(self.tokenizer.observe(self.obs))
        found.slides += again.slid - slid
        again.append(ids[:-1])
        expected = again.logits(len(ids)).float().cpu()
        again.append(ids[-1:])
        ordered = self.tokenizer.spec.action.kind == "continuous"
        for number, (low, high) in enumerate(self.tokenizer.legal_ids):
            legal = expected[number, low:high]
            found.worst = max(found.worst, float((legal - logits[number]).abs().max()))
            if deterministic(legal[None], [0], ordered)[0] + low != ids[number]:
                best, second = legal.topk(2).values.tolist()
                found.different.append(
                    {
                        "task": self.tokenizer.spec.id,
                        "step": self._steps,
                        "number": number,
                        "ahead_by": best - second,
                    }
                )
        found.steps += 1
        found.predictions += len(ids)

    def act(self, action: Any) -> None:
        """Step the environment; begin anew where its episode ends or is cut."""
        done = self.env.action_space.sample() if self._lost else action
        self.obs, _, terminated, truncated, _ = self.env.step(done)
        self.starts, self._steps = False, self._steps + 1
        if terminated or truncated:
            self.findings.ended += 1
        elif self._steps == self._cut:
            self.findings.cut += 1
        else:
            return
        self._begin()


def play(agent: GatoAgent, rows: Sequence[Row], steps: int, mixed: bool) -> Findings:
    """Play a batch until so many steps were compared.

    Args:
        agent: after its reset for these rows.
        rows: of one task, or with `mixed` of several, of which one waits now and then.
        steps: of all rows together, at least.
        mixed: see rows.
    """
    state, total = None, Findings()
    with Tap().open() as tap:
        for tick in count():
            if sum(row.findings.steps for row in rows) >= steps:
                break
            waits = [mixed and tick % 5 == 4 and tick % len(rows) == i for i in range(len(rows))]
            given: Any = [None if wait else row.obs for row, wait in zip(rows, waits, strict=True)]
            if not mixed:
                given = stack(rows[0].env, given)
            actions, state = agent.predict(given, state, np.array([row.starts for row in rows]))
            for index, row in enumerate(rows):
                if waits[index]:
                    row.findings.waited += 1
                    row.starts = False  # it was told, and the row is as it was
                    continue
                ids = tap.ids[index]
                assert ids is not None
                row.compare(tap.logits[index], ids)
                row.act(actions[index])
    for row in rows:
        row.env.close()
        total.add(row.findings)
    return total


def batches(agent: GatoAgent, steps: int, seed: int) -> Iterator[dict[str, Any]]:
    """Play and compare each batch; its tasks and what was found.

    Args:
        agent: knows the tasks.
        steps: of all batches together.
        seed: of the first episode.
    """
    seeds, each = count(seed), -(-steps // (2 * len(TASKS) + 1))
    own = dict(agent.prompts)
    for tasks, prompted in (
        *(((task,) * ROWS, prompted) for task in TASKS for prompted in (True, False)),
        (TASKS * 2, True),
    ):
        mixed = len(set(tasks)) > 1
        agent.prompts = {t: e for t, e in own.items() if not mixed or t != UNPROMPTED}
        rows = [Row(agent, task, prompted, index, seeds) for index, task in enumerate(tasks)]
        where = [row.env for row in rows] if mixed else rows[0].env
        agent.reset(where, prompt="expert" if prompted else None)
        found = play(agent, rows, each, mixed)
        prompts = [task for task in dict.fromkeys(tasks) if prompted and task in agent.prompts]
        agent.prompts = own
        yield {"tasks": list(tasks), "prompted": prompts, "found": found}


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=2000, help="of all environments together")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", help="a folder or Hub id; default is the bundled weights")
    parser.add_argument("--device", help="cpu or cuda")
    parser.add_argument("--out", type=Path, help="write the figures there, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    agent = GatoAgent.from_pretrained(options.checkpoint, device=options.device)
    total, told = Findings(), []
    for batch in batches(agent, options.steps, options.seed):
        found = batch.pop("found")
        total.add(found)
        told.append(batch | found.figures())
        print(", ".join(dict.fromkeys(batch["tasks"])), found.figures(), file=sys.stderr)
    same = not total.different and total.worst <= options.tolerance
    words = sys.argv[1:] if arguments is None else arguments
    result = {
        "value": total.worst,
        "unit": "largest absolute difference of a legal logit",
        "tolerance": options.tolerance,
        "same": same,
        **total.figures(),
        "different_actions": total.different,
        "batches": told,
        "checkpoint": agent.checkpoint,
        "machine": machine(str(next(agent.model.parameters()).device)),
        "command": shlex.join(["python", "benchmarks/cached_acting.py", *words]),
    }
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    if options.json:
        print(json.dumps(result))
    else:
        print(
            f"{total.steps} steps, {total.predictions} predictions, {total.slides} slides, "
            f"{total.ended} episodes ended and {total.cut} cut: logits at most {total.worst:.2e} "
            f"apart, {result['equal_actions']:.2%} of the actions equal"
        )
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
