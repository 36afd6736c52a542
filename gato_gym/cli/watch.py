"""All that a person can see of a training run: stderr, JSON lines, TensorBoard, rollouts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from gato_gym.cli.console import Console
from gato_gym.cli.rollouts import Played, Rollouts
from gato_gym.cli.runlog import RunLog
from gato_gym.models.gato import Gato
from gato_gym.training.progress import StepLog, ValidationLog
from gato_gym.training.sinks import Sink, scalars


class Watch:
    """Shows the logs of a run and plays its weights; use it as a context manager.

    Of several ranks only one has it. Whether rollouts are due all of them can tell, and have to:
    it takes all to gather the weights.

    Args:
        log: gets every log.
        console: as well.
        sinks: as well; they are closed in the end.
        rollouts: what to play when; stopped in the end.
        write: saves a model as an agent in a folder.
    """

    def __init__(
        self,
        log: RunLog,
        console: Console,
        sinks: Sequence[Sink],
        rollouts: Rollouts,
        write: Callable[[Path, Gato], object],
    ) -> None:
        self.log, self.console, self.sinks, self.rollouts = log, console, sinks, rollouts
        self._write = write
        self._stack = ExitStack()

    def show(self, log: StepLog | ValidationLog, model: Gato | None = None) -> None:
        """Show a log, and what rollouts gave meanwhile; play the model where it is given."""
        self.log.add(log)
        self.console.log(log)
        self._scalars(log.step, scalars(log))
        self._played(self.rollouts.poll())
        if model is not None:
            self.rollouts.start(log.step, lambda folder: self._write(folder, model))

    def finish(self, step: int, model: Gato, leave: Callable[[], bool]) -> None:
        """Wait until the model of the last step is played, or `leave()` is true."""
        self._played(self.rollouts.finish(step, lambda folder: self._write(folder, model), leave))

    def _played(self, found: Iterable[Played]) -> None:
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
