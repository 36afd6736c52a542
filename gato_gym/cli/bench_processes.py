"""The processes in which `gato-gym bench train` trains: each path has memory of its own."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from multiprocessing.connection import Connection
from typing import Any

import torch

from gato_gym.cli.bench_ladder import Ladder
from gato_gym.cli.bench_paths import OurPath, PlainPath
from gato_gym.cli.bench_workload import Workload
from gato_gym.errors import TrainingError

KINDS = {"ours": OurPath, "plain": PlainPath, "ladder": Ladder}


class Process:
    """A path, or the ladder, in a process of its own; `ask` calls one of its methods."""

    def __init__(self, kind: str, workload: Workload) -> None:
        self.kind = kind
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, kind, workload))
        self._process.start()
        theirs.close()

    def ask(self, method: str, *arguments: Any) -> Any:
        """Its answer.

        Raises:
            TrainingError: it failed, or its process is gone.
        """
        try:
            self._connection.send((method, arguments))
            good, answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            raise TrainingError(
                f"the process of {self.kind!r} has ended (exit code {self._process.exitcode}); out "
                "of memory? Try a smaller --batch"
            ) from None
        if not good:
            raise TrainingError(f"{self.kind}: {answer}")
        return answer

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.kill()
        self._process.join()


def _serve(connection: Connection, kind: str, workload: Workload) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    logging.getLogger("absl").setLevel(logging.ERROR)  # as in the parent
    torch.set_num_threads(workload.threads)
    made: Any = None
    while True:
        try:
            method, arguments = connection.recv()
        except (EOFError, OSError):
            return
        try:
            if method == "make":
                made, answer = KINDS[kind](workload, *arguments), None
            else:
                answer = getattr(made, method)(*arguments)
            connection.send((True, answer))
        except Exception as error:  # told by the parent
            connection.send((False, f"{type(error).__name__}: {error}"))
