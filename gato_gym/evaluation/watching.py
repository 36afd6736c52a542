"""Watching an environment that is checked: what it returns, and what it says on the side."""

from __future__ import annotations

import contextlib
import io
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from gato_gym.errors import InvalidObservationError
from gato_gym.evaluation.findings import Level
from gato_gym.evaluation.probes import Outcome, misfits
from gato_gym.tokenizers.timestep import StepTokenizer
from gato_gym.tokenizers.vocabulary import PAD


@dataclass
class Noise:
    """What was said: each different warning and log line, and all that was printed."""

    warned: dict[str, None] = field(default_factory=dict)
    logged: dict[str, None] = field(default_factory=dict)
    printed: io.StringIO = field(default_factory=io.StringIO)


class _Listener(logging.Handler):
    """Keeps what is logged from WARNING on."""

    def __init__(self, heard: dict[str, None]) -> None:
        super().__init__(logging.WARNING)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        """One more line."""
        self._heard[f"{record.name}: {record.getMessage()}"] = None


@contextlib.contextmanager
def listening() -> Iterator[Noise]:
    """Notes down what is warned of, logged and printed in here, in place of showing it."""
    noise = Noise()
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, [_Listener(noise.logged)]
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with contextlib.redirect_stdout(noise.printed):
                yield noise
    finally:
        root.handlers = handlers
    for warning in caught:
        # Gymnasium colours its warnings for terminals.
        text = str(warning.message).replace("\x1b[33m", "").replace("\x1b[0m", "")
        noise.warned[" ".join(text.split())] = None


class Watcher:
    """Looks at everything that an environment returns, and tokenizes it.

    Args:
        add: takes level, what and fix of a finding.
        space: of the observations.
        tokenizer: of the task.
    """

    def __init__(
        self, add: Callable[[Level, str, str], None], space: gym.Space, tokenizer: StepTokenizer
    ) -> None:
        self._add, self._space, self._tokenizer = add, space, tokenizer
        self._task = tokenizer.spec.id
        self.told: set[str] = set()
        """Kinds of problems that were found; each is told once, at its first step."""
        self.seconds, self.count = 0.0, 0

    def __call__(self, step: int, observation: Any, info: Any, outcome: Outcome | None) -> None:
        """What one reset or step returned, see `probes.Watch`."""
        fits = True
        for misfit in misfits(self._space, observation):
            fits = False
            what = f"observation {misfit.key!r} at step {step} {misfit.problem}"
            self._tell(f"observation {misfit.key}", what, misfit.fix)
        self._tokenize(step, observation, told=not fits)
        if not isinstance(info, dict):
            self._tell("info", f"info at step {step} is a {type(info).__name__}", "return a dict")
        if outcome is None:
            return
        reward, terminated, truncated = outcome
        kind = type(reward).__name__
        if isinstance(reward, bool | np.bool_) or not isinstance(
            reward, int | float | np.integer | np.floating
        ):
            self._tell("reward", f"the reward at step {step} is a {kind}", "return a float")
        elif not np.isfinite(reward):
            self._tell("reward", f"the reward at step {step} is {reward}", "return a finite float")
        for name, value in (("terminated", terminated), ("truncated", truncated)):
            if not isinstance(value, bool | np.bool_):
                problem = f"{name} at step {step} is a {type(value).__name__}"
                self._tell(name, problem, "return a bool")

    def _tokenize(self, step: int, observation: Any, *, told: bool) -> None:
        begin = time.process_time()
        try:
            batch = {k: v[None] for k, v in self._tokenizer.prepare(observation).items()}
            ids, _ = self._tokenizer.observation_ids(batch, step)
        except InvalidObservationError as error:
            if not told:
                self._tell("tokens", str(error).partition(": ")[2])
            return
        self.seconds += time.process_time() - begin
        self.count += 1
        if ids.min() < PAD or ids.max() >= self._tokenizer.vocabulary.size:
            self._tell("tokens", f"step {step} has tokens {ids.min()} to {ids.max()}")

    def _tell(self, kind: str, what: str, fix: str = "") -> None:
        if kind not in self.told:
            self.told.add(kind)
            self._add("error", f"{self._task}: {what}", fix)
