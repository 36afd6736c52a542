"""How seeds went whose episodes were rejected: a resumed collection need not play them again.

`rejected.jsonl` beside the manifest has one line per seed: its key, return and success, from which
any filter decides anew. Losing lines, or the file, costs time only: those seeds are played again
and go as they went before. So it is neither locked nor synced; a line counts if its checksum fits.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import google_crc32c

from gato_gym.data.jobs import Attempt, Job
from gato_gym.data.manifest import Key

logger = logging.getLogger(__name__)

NAME = "rejected.jsonl"
_CHECKSUM = 8


class RejectedAttempts:
    """The journal of a corpus' folder.

    `seen` has the return and success of every episode in it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.seen: dict[Key, tuple[float, bool | None]] = {}
        damaged = 0
        for line in self.path.read_bytes().splitlines() if self.path.is_file() else ():
            try:
                checksum, body = int(line[:_CHECKSUM], 16), line[_CHECKSUM + 1 :]
                if google_crc32c.value(body) != checksum:
                    raise ValueError("its checksum does not fit")
                *key, episode_return, success = json.loads(body)
                self.seen[_key(*key)] = float(episode_return), success
            except (ValueError, TypeError):
                damaged += 1
        if damaged:
            logger.warning("%s: %d damaged lines are left out", self.path, damaged)

    def add(self, job: Job, attempts: Iterable[Attempt]) -> None:
        """Note the rejected ones among these attempts.

        Raises:
            OSError: the disk refuses.
        """
        lines = []
        for attempt in attempts:
            if attempt.record is None:
                key = job.key(attempt.seed)
                self.seen[key] = attempt.episode_return, attempt.success
                line = json.dumps([*key, attempt.episode_return, attempt.success]).encode()
                lines.append(b"%08x %s\n" % (google_crc32c.value(line), line))
        if lines:
            # One write at the end of the file: that of another collector does not come in between.
            with self.path.open("ab", buffering=0) as file:
                file.write(b"".join(lines))


def _key(
    task: str,
    expert: str,
    seed: int,
    noise: float,
    burst: Sequence[int],
    random_start: int,
    max_steps: int = 0,  # which the lines of the versions before do not have
    learner: str = "",
) -> Key:
    low, high = burst
    return task, expert, seed, noise, (low, high), random_start, max_steps, learner
