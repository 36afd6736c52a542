"""Ctrl-C and SIGTERM: the first asks a run to save and leave, the second stops it at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
MESSAGE = "saving, then leaving; once more stops at once"


class Interrupts:
    """A context manager in which the first signal only sets `requested`.

    The second one, of either kind, restores the handlers from before and raises: KeyboardInterrupt
    for Ctrl-C, SystemExit(143) for SIGTERM. Signals reach a process's main thread only; in another
    thread nothing is caught and `requested` stays None.

    Args:
        tell: write a line on stderr at the first signal; of several ranks only one should.
    """

    def __init__(self, tell: bool = True) -> None:
        self.tell = tell
        self.requested: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def exit_code(self) -> int:
        """As a shell reports it: 130 after Ctrl-C, 143 after SIGTERM, 0 after neither."""
        return 0 if self.requested is None else 128 + self.requested

    def __enter__(self) -> Interrupts:
        self.requested = None
        if threading.current_thread() is threading.main_thread():
            for known in SIGNALS:
                self._before[known] = signal.signal(known, self._caught)
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def _restore(self) -> None:
        while self._before:
            known, handler = self._before.popitem()
            # None: a handler that was not installed from Python, which cannot be put back.
            signal.signal(known, signal.SIG_DFL if handler is None else handler)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        if self.requested is None:
            self.requested = signal.Signals(number)
            if self.tell:
                # Not print: the signal may have come in the middle of one.
                os.write(2, f"\n{self.requested.name}: {MESSAGE}\n".encode())
            return
        self._restore()
        if number == signal.SIGINT:
            raise KeyboardInterrupt("stopped at once; run the same command again to resume")
        raise SystemExit(128 + number)
