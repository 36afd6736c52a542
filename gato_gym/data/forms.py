"""Whether stored episodes observe what their tasks observe now.

A task's observation may change from one version to the next. Its older episodes stay readable, but
beside newer ones, or under the task's spec of today, they teach nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from gato_gym.data.corpus import Corpus
from gato_gym.errors import CorpusPathError
from gato_gym.types import TaskSpec


def refuse_other_forms(corpus: Corpus, specs: Iterable[TaskSpec]) -> None:
    """Compare the oldest and the newest episode of each task with its spec.

    Args:
        corpus: may have nothing of some of the tasks.
        specs: of tasks.

    Raises:
        CorpusPathError: some observe something else; says which, and what to do.
        CorruptShardError: see `Corpus.read_steps`.
    """
    present = set(corpus.tasks())
    found = []
    for spec in specs:
        if spec.id not in present:
            continue
        entries = corpus.episodes(spec.id)
        now = {item.key: item.shape for item in spec.observations}
        for entry in (entries[0], entries[-1]):
            observed = corpus.read_steps(entry, 0, 1)["observations"]
            then = {key: tuple(values.shape[1:]) for key, values in observed.items()}
            if then != now:
                found.append((spec.id, then, now))
                break
    if found:
        task, then, now = found[0]
        others = f" (so do those of {len(found) - 1} more tasks)" if found[1:] else ""
        raise CorpusPathError(
            f"{str(corpus.path)!r} has episodes of {task} that observe {then}, and the task "
            f"observes {now} now{others}: they are of another version or made with other options. "
            "Collect into a new folder, or leave the task out"
        )
