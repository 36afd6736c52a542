"""What `gato-gym bench act` measures: steps of an agent, beside recomputing the context.

At a full context and on observations of the task, tokenising included: `agent.act`, the plain
reference, and `agent.predict` on batches, in turn. Speed does not depend on the weights: without a
checkpoint they are random.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch

from gato_gym import envs
from gato_gym.cli.act_reference import Recompute
from gato_gym.cli.act_workload import Batch, check, observe, open_task, stacks
from gato_gym.cli.export import machine
from gato_gym.envs.registry import domain_of
from gato_gym.models.choice import deterministic
from gato_gym.models.decode import Decoder
from gato_gym.models.device import choose_device
from gato_gym.models.stream import TokenStreams
from gato_gym.tokenizers.timestep import StepTokenizer, TokenSequence

if TYPE_CHECKING:
    from gato_gym.agents.gato import GatoAgent
    from gato_gym.cli.bench import Options

OBSERVATIONS = 64
"""Of the task, taken in turn."""
MOST_ROUNDS, LEAST_ROUNDS = 5, 2
ROUNDS_SECONDS = 100.0
"""Without --rounds there are as many of them as fit in this time."""
DECODED_STEPS = 40
"""In which each number of an action is timed."""

PUBLISHED = {
    "what": "milliseconds per step on Meta-World: 39 observation and 4 action numbers, "
    "4 layers x 256",
    "source": "measured on two CPU cores, elsewhere",
    "JAT, 2 tokens a step": 17.0,
    "JAT's faithful-Gato predecessor, 44 tokens a step": [170.0, 1500.0],
    "NEKO, at least": 4000.0,
}


@dataclass
class Timed:
    """Calls of one thing, each timed; `steps` environment steps a call."""

    call: Callable[[], Any]
    steps: int = 1
    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    """Steps per second of each round."""

    def round(self, least: float, finish: Callable[[], Any]) -> None:
        """Call for at least so many seconds; `finish` waits for what a call has only started."""
        spent: list[float] = []
        while not spent or sum(spent) < least:
            began = time.perf_counter()
            self.call()
            finish()
            spent.append(time.perf_counter() - began)
        self.seconds += spent
        self.rates.append(self.steps * len(spent) / sum(spent))

    @property
    def rate(self) -> float:
        """Steps per second, the median of the rounds."""
        return statistics.median(self.rates)


def measure(options: Options) -> dict[str, Any]:
    """All figures, ready for JSON.

    Raises:
        UnknownTaskError, MissingExtraError: no such task, or it is not installed.
        UnsupportedSpaceError: a step does not fit the context.
        ValueError: options that do not fit together, a shape that is none, no such device.
    """
    check(options)
    device = choose_device(options.device)
    before = torch.get_num_threads()
    try:
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        with open_task(options) as (agent, env):
            return _measure(options, agent, env) | {"machine": machine(str(device))}
    finally:
        torch.set_num_threads(before)


def compiled(decoder: Decoder) -> int:
    """Graphs that this process has compiled so far, and that the decoder has captured."""
    captured = decoder.captures
    if "torch._dynamo" not in sys.modules:
        return captured
    from torch._dynamo.utils import counters

    return captured + counters["stats"]["unique_graphs"]


def _measure(options: Options, agent: GatoAgent, env: gym.Env) -> dict[str, Any]:
    spec = envs.task_spec(env)
    tokenizer = StepTokenizer(spec, agent.vocabulary, agent.text)
    observations = observe(env, OBSERVATIONS)
    sequences = [tokenizer.observe(obs) for obs in observations]
    numbers = len(tokenizer.legal_ids)
    fill = agent.config.context // (min(map(len, sequences)) + numbers) + 1
    # Fused causal attention: the fastest there is for a whole context, and nothing to compile.
    agent.model.attention = "documents"
    recompute = Recompute(agent.model, tokenizer)
    for step in range(fill):
        agent.act(observations[step % OBSERVATIONS])
        recompute.observe(sequences[step % OBSERVATIONS])
        recompute.append(tokenizer.legal_ids[:, 0])
    batches = {
        copies: Batch(agent, stacks(env, observations, copies), copies, fill)
        for copies in sorted({1, *options.batch_sizes})
    }
    act, reference = (Timed(cycled(call, observations)) for call in (agent.act, recompute.act))
    timed = {copies: Timed(batches[copies], copies) for copies in options.batch_sizes}
    wait = torch.cuda.synchronize if next(agent.model.parameters()).is_cuda else lambda: None
    streams = batches[1].state
    warm = [act, reference, *timed.values()]
    for one in warm:
        one.call()
    graphs = compiled(streams.decoder)
    rounds = alternate(warm, options, wait)
    decoded = decode_seconds(streams, sequences) if numbers > 1 else []
    found = {
        "task": spec.id,
        "value": round(act.rate, 2),
        "unit": "steps/s",
        "reference": round(reference.rate, 3),
        "ratio": round(act.rate / reference.rate, 3),
        **percentiles(act.seconds),
        **percentiles(reference.seconds, "reference_"),
        **percentiles(decoded, "decode_"),
        "batches": {
            str(copies): {
                "steps_per_second": round(one.rate, 2),
                **percentiles(one.seconds),
                "speedup": round(one.rate / act.rate, 3),
            }
            for copies, one in timed.items()
        },
        "rounds": rounds,
        "calls": {"act": len(act.seconds), "reference": len(reference.seconds)},
        "recompiles_after_warm_up": compiled(streams.decoder) - graphs,
        "tokens_per_step": tokenizer.tokens_per_step,
        "action_numbers": numbers,
        "context": agent.config.context,
        "parameters": agent.model.parameter_count(),
        "model": agent.config.to_json(),
        "weights": agent.checkpoint,
        "device": str(next(agent.model.parameters()).device),
        "precision": options.precision,
        "threads": torch.get_num_threads(),
    }
    if domain_of(spec.id) == "meta_world":
        found["published"] = PUBLISHED
    return found


def alternate(timed: Sequence[Timed], options: Options, wait: Callable[[], Any]) -> int:
    """Rounds of all in turn, as a busy machine slows all of them; how many there were."""
    began, done = time.perf_counter(), 0
    while True:
        if options.rounds is not None:
            enough = options.rounds
        else:
            spent = time.perf_counter() - began
            late = done and spent + spent / done > ROUNDS_SECONDS
            enough = LEAST_ROUNDS if late else MOST_ROUNDS
        if done >= enough:
            return done
        for one in timed:
            one.round(options.seconds, wait)
        done += 1


def cycled(decide: Callable[[Any], Any], observations: Sequence[Any]) -> Callable[[], Any]:
    """`decide` of one observation after the other."""
    endless = cycle(observations)
    return lambda: decide(next(endless))


def decode_seconds(streams: TokenStreams, sequences: Sequence[TokenSequence]) -> list[float]:
    """Of each action number but the first, which comes with its observation."""
    found = []
    for sequence in sequences[:DECODED_STEPS]:
        moments: list[float] = []

        def choose(
            logits: torch.Tensor, rows: list[int], ordered: bool, moments: list[float] = moments
        ) -> Any:
            chosen = deterministic(logits, rows, ordered)
            moments.append(time.perf_counter())
            return chosen

        streams.decide([sequence], choose)
        found += np.diff(moments).tolist()
    return found


def percentiles(seconds: Sequence[float], prefix: str = "") -> dict[str, float]:
    """p50 and p99 in milliseconds; nothing of nothing."""
    if not seconds:
        return {}
    return {f"{prefix}p{p}_ms": round(1e3 * float(np.percentile(seconds, p)), 3) for p in (50, 99)}


def lines(result: Mapping[str, Any]) -> list[str]:
    """A table of the rates, and the other figures, for people."""
    reference = {"steps_per_second": result["reference"]}
    reference |= {key: result[f"reference_{key}"] for key in ("p50_ms", "p99_ms")}
    rows = [
        (
            "act",
            {**result, "steps_per_second": result["value"]},
            f"{result['ratio']:.1f} x reference",
        ),
        ("reference", reference, "the whole context for each number"),
        *(
            (f"predict, batch {copies}", one, f"{one['speedup']:.2f} x act")
            for copies, one in result["batches"].items()
        ),
    ]
    told = [
        f"{result['task']}: {result['tokens_per_step']} tokens a step of {result['context']}, "
        f"{result['parameters']:,} parameters, {result['precision']}, {result['machine']}",
        f"{'':20} {'steps/s':>10} {'p50 ms':>10} {'p99 ms':>10}",
        *(
            f"{name:20} {one['steps_per_second']:>10,.2f} {one['p50_ms']:>10,.2f} "
            f"{one['p99_ms']:>10,.2f}  {note}"
            for name, one, note in rows
        ),
    ]
    if "decode_p50_ms" in result:
        told.append(
            f"each further action number: p50 {result['decode_p50_ms']:.2f} ms, "
            f"p99 {result['decode_p99_ms']:.2f} ms"
        )
    return [*told, f"recompiles after warm-up: {result['recompiles_after_warm_up']}"]
