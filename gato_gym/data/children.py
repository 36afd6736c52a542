"""Processes of this machine that are told what to do over a pipe, and answer over it.

They are spawned, so none shares a simulator, a lock or a thread with the one that started it, and
they end with it: a child that reads the end of its pipe leaves.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
from collections.abc import Callable
from multiprocessing import resource_tracker
from typing import Any, Generic, TypeVar

from gato_gym.errors import GatoGymError

Task = TypeVar("Task")
CONTEXT = multiprocessing.get_context("spawn")
"""How processes are started."""


def shared_integer() -> Any:
    """A number that a child can change and its parent read, `.value`; 0 at first."""
    return CONTEXT.RawValue("q", 0)


class Child(Generic[Task]):
    """A process, from the side of the one that started it.

    Ctrl-C reaches all processes of a terminal; a child does not hear it, its parent tells it.

    Args:
        target: a function of a module, called in the child with its end of the pipe and the
            arguments.
        arguments: of the target, picklable.

    Attributes:
        connection: this end of the pipe, for `multiprocessing.connection.wait`.
        task: what it is at, None while it waits.
    """

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        self.task: Task | None = None
        self.connection, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=target, args=(theirs, *arguments), daemon=True)
        resource_tracker.ensure_running()  # started below it would lift the block
        # Inherited.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def send(self, what: Any) -> None:
        """Say something; to a child that has died, nothing: `receive` tells."""
        with contextlib.suppress(OSError):
            self.connection.send(what)

    def receive(self) -> Any | None:
        """Its next answer; None if it has died, and then it is gone altogether."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            self.connection.close()
            return None

    def death(self) -> str:
        """How it died, in words; after `receive` has returned None."""
        code = self._process.exitcode or 0
        if code < 0:
            names = {int(known): known.name for known in signal.Signals}
            return f"killed by {names.get(-code, f'signal {-code}')}"
        return f"exit code {code}, see above" if code else "exit code 0"

    def leave(self) -> None:
        """Ask it to go; one that waits does so at once."""
        self.connection.close()

    def stop(self, patience: float | None = 0.0) -> None:
        """End it.

        Args:
            patience: seconds that it has to go by itself after `leave`; None is for ever.
        """
        if patience != 0:
            self._process.join(patience)
        if self._process.is_alive():
            self._process.terminate()
        self._process.join()
        self.connection.close()


def sendable_error(error: BaseException) -> Exception:
    """The error itself if it survives pickling, else one that tells the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return GatoGymError(f"{type(error).__name__}: {error}")
    return error if isinstance(error, Exception) else GatoGymError(repr(error))
