"""All that a person can see of a training run: stderr, JSON lines, TensorBoard, rollouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from torch import Tensor

from gato_gym.cli.console import Console
from gato_gym.cli.rollouts import Played, Rollouts
from gato_gym.cli.runlog import RunLog
from gato_gym.training.progress import StepLog, ValidationLog
from gato_gym.training.sinks import Sink, scalars

Weights = Mapping[str, Tensor]


class Watch:
    """Shows the logs of a run and plays its weights; use it as a context manager.

    Of several ranks only one has it. Whether rollouts are due all of them can tell, and have to
    where gathering the weights takes all.

    Args:
        log: gets every log.
        console: as well.
        sinks: as well; they are closed in the end.
        rollouts: what to play when; stopped in the end.
        write: saves weights as an agent in a folder.
    """

    def __init__(
        self,
        log: RunLog,
        console: Console,
        sinks: Sequence[Sink],
        rollouts: Rollouts,
        write: Callable[[Path, Weights], None],
    ) -> None:
        self.log, self.console, self.sinks, self.rollouts = log, console, sinks, rollouts
        self._write = write
        self._stack = ExitStack()

    def show(self, log: StepLog | ValidationLog, weights: Weights | None = None) -> None:
        """Show a log, and what rollouts gave meanwhile; play the weights where they are given."""
        self.log.add(log)
        self.console.log(log)
        self._scalars(log.step, scalars(log))
        self._played(self.rollouts.poll())
        if weights is not None:
            self.rollouts.start(log.step, lambda folder: self._write(folder, weights))

    def finish(self, step: int, weights: Weights, leave: Callable[[], bool]) -> None:
        """Wait until the weights of the last step are played, or `leave()` is true."""
        found = self.rollouts.finish(step, lambda folder: self._write(folder, weights), leave)
        self._played(found)

    def _played(self, found: Sequence[Played]) -> None:
        for played in found:
            self.log.add_rollouts(played.to_json())
            self.console.tell(played.line())
            self._scalars(played.step, played.scalars())

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        for sink in self.sinks:
            sink.scalars(step, values)

    def __enter__(self) -> Watch:
        for sink in self.sinks:
            self._stack.callback(sink.close)
        self._stack.enter_context(self.console)
        self._stack.enter_context(self.rollouts)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
