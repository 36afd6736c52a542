"""`gato-gym eval --all`: many tasks, one result; what is finished is kept, what fails is named."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gato_gym
from gato_gym import envs
from gato_gym.agents.prompted import WithoutPrompt
from gato_gym.cli.choose_tasks import playable
from gato_gym.cli.players import load_gato, print_json, write_json
from gato_gym.cli.score_table import print_domains
from gato_gym.envs.registry import domain_of
from gato_gym.errors import GatoGymError
from gato_gym.evaluation import published
from gato_gym.evaluation.aggregate import aggregate_scores
from gato_gym.evaluation.journal import Journal
from gato_gym.evaluation.processes import Outcome
from gato_gym.evaluation.scores import Score

if TYPE_CHECKING:
    from gato_gym.cli.eval import Options

_MESSAGE = 300


@dataclass
class _Kept:
    """The scores so far, those of a journal first; with a journal each is on the disk at once."""

    finished: dict[str, Score] = field(default_factory=dict)
    journal: Journal | None = None

    def add(self, score: Score) -> None:
        if self.journal is not None:
            self.journal.add(score)
        self.finished[score.task] = score

    def scores(self, tasks: Sequence[str]) -> list[Score]:
        """In order of the tasks, however they were played; then those that are gone from it."""
        order = dict.fromkeys([*tasks, *self.finished])
        return [self.finished[task] for task in order if task in self.finished]


def run_all(
    options: Options,
    agent: Any,
    name: str,
    play: Callable[[Sequence[str]], Iterator[Outcome]],
) -> int:
    """Play what is not finished yet, write and print the result.

    Args:
        options: of the command.
        agent: the model; None where experts or random actions play.
        name: of the checkpoint in the result.
        play: plays tasks, in any order.

    Returns:
        The exit code: 1 if nothing could be played.

    Raises:
        GatoGymError: there is a journal of other settings.
    """
    if options.chart is not None:
        from gato_gym.evaluation.threshold_chart import check_chart

        check_chart(options.chart)
    tasks, skipped = _choose(options, agent)
    settings = _settings(options, agent, name)
    if options.out is None:
        kept = _Kept()
        _fill(kept, tasks, skipped, play)
        return _finish(options, kept.scores(tasks), skipped, settings)
    with Journal(options.out, settings) as journal:
        kept = _Kept(dict(journal.finished), journal)
        if kept.finished:
            _tell(f"{_tasks(len(kept.finished))} taken over from {journal.path}, not played again")
        try:
            _fill(kept, tasks, skipped, play)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted; {_tasks(len(kept.finished))} finished, kept in {journal.path}: the "
                "same command goes on"
            ) from None
        code = _finish(options, kept.scores(tasks), skipped, settings)
        journal.remove()
    return code


def one_by_one(tasks: Sequence[str], play: Callable[[str, str], Score]) -> Iterator[Outcome]:
    """Play tasks in turn, in this process.

    Args:
        tasks: their ids.
        play: is given a task and the title of its progress bar.
    """
    for number, task in enumerate(tasks, start=1):
        outcome: Score | Exception
        try:
            outcome = play(task, f"{task} ({number}/{len(tasks)})")
        except Exception as error:  # of any package: it costs this task only
            outcome = error
        yield task, outcome


def _choose(options: Options, agent: Any) -> tuple[list[str], dict[str, str]]:
    """The tasks, and of those that cannot be played why."""
    if agent is None:
        known = (spec for spec in envs.tasks() if spec.expert or options.agent == "random")
        return [spec.id for spec in known], {}
    tasks, skipped = playable(agent.specs)
    for task, why in skipped.items():
        _tell(f"skipped {task}: {why}")
    return tasks, skipped


def _fill(
    kept: _Kept,
    tasks: Sequence[str],
    skipped: dict[str, str],
    play: Callable[[Sequence[str]], Iterator[Outcome]],
) -> None:
    for task, outcome in play([task for task in tasks if task not in kept.finished]):
        if isinstance(outcome, Score) and not all(map(math.isfinite, outcome.returns)):
            outcome = ArithmeticError("the return of an episode is not finite")
        if isinstance(outcome, Score):
            kept.add(outcome)
        else:
            _skip(skipped, task, reason(outcome))
    if skipped:
        whole = len(skipped) + len(kept.finished)
        _tell(f"{len(skipped)} of {_tasks(whole)} skipped, see `skipped` in the result")


def _finish(
    options: Options,
    scores: Sequence[Score],
    skipped: Mapping[str, str],
    settings: Mapping[str, Any],
) -> int:
    if not scores:
        _tell("no task could be played")
        return 1
    result = _result(scores, skipped, settings)
    if options.out is not None:
        write_json(options.out, result)
    if options.chart is not None:
        if result["overall"]["count"]:
            from gato_gym.evaluation.threshold_chart import save_thresholds

            save_thresholds(result, options.chart)
        else:
            _tell(f"no task has a normalised score, so there is no {options.chart}")
    if options.json:
        print_json(result)
    else:
        print_domains(result)
    return 0


def _result(
    scores: Sequence[Score], skipped: Mapping[str, str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    domains = {one.task: domain_of(one.task) for one in scores}
    rows = [
        one.to_json() | {"domain": domains[one.task], "published": published.of_task(one.task)}
        for one in scores
    ]
    found = aggregate_scores(scores, domains)
    normalized = {one.task: one.normalized for one in scores if one.normalized is not None}
    for domain, figures in found["domains"].items():
        here = {task: value for task, value in normalized.items() if domains[task] == domain}
        figures["published"] = published.on_the_same_tasks(here)
    found["overall"]["published"] = published.on_the_same_tasks(normalized)
    return {
        "tasks": rows,
        **found,
        "skipped": dict(skipped),
        "checkpoint": settings["checkpoint"],
        "settings": dict(settings),
        "published": {"headlines": published.headlines(), "sources": published.sources()},
    }


def _settings(options: Options, agent: Any, name: str) -> dict[str, Any]:
    """All that the scores depend on. How many play at once, and where, is not part of it."""
    return {
        "agent": options.agent,
        "checkpoint": name,
        "weights": None if agent is None else _weights(options, agent),
        "episodes": options.episodes,
        "seed": options.seed,
        "precision": options.precision,
        "prompt": not options.no_prompt,
        "controls": options.controls,
        "version": gato_gym.__version__,
    }


def _weights(options: Options, agent: Any) -> str:
    """The fingerprint of the weights, before they were rounded: the rounding is a setting too."""
    from gato_gym.training.adapt import fingerprint

    if options.precision != "float32":
        return fingerprint(load_gato(options.checkpoint, device="cpu").model)
    return fingerprint((agent.agent if isinstance(agent, WithoutPrompt) else agent).model)


def _skip(skipped: dict[str, str], task: str, why: str) -> None:
    skipped[task] = why
    _tell(f"skipped {task}: {why}")


def reason(error: Exception) -> str:
    """Why there is no score, in a line."""
    told = " ".join(str(error).split())[:_MESSAGE]
    # Our own errors are sentences; of others the kind is half of what there is to know.
    return told if isinstance(error, GatoGymError) else f"{type(error).__name__}: {told}"


def _tasks(count: int) -> str:
    return f"{count} task" if count == 1 else f"{count} tasks"


def _tell(text: str) -> None:
    print(f"gato-gym eval: {text}", file=sys.stderr)
