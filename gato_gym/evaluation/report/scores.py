"""The scores of a run: one row per task, domains, all together, and whether they are this agent's.

A scorecard that has no "overall", as older ones, gets the same figures computed from its tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from gato_gym.envs.registry import domain_of
from gato_gym.evaluation.aggregate import THRESHOLDS, aggregate_scores, why_unscored
from gato_gym.evaluation.report.values import (
    Pair,
    mapping,
    number,
    pair,
    percent,
    printable,
)

LEVELS = (50, 100)
"""Per cent of the expert's score that the page counts tasks at."""
_LOWEST, _HIGHEST = -0.5, 2.0  # of the bars' common scale


@dataclass(frozen=True)
class Row:
    """One task; see `scores.Score` for what the values are.

    why  why there is no normalised score, "" where there is one
    """

    task: str
    domain: str
    episodes: int
    mean: float
    ci95: Pair | None
    random: float | None
    expert: float | None
    returns: tuple[float, ...]
    normalized: float | None
    success: float | None
    told: Mapping[str, Any]
    why: str = ""

    @property
    def normalized_ci95(self) -> Pair | None:
        """The interval of the mean return, normalised as it is: that is linear."""
        if self.normalized is None or self.ci95 is None:
            return None
        assert self.random is not None and self.expert is not None
        low, high = ((bound - self.random) / (self.expert - self.random) for bound in self.ci95)
        return low, high


@dataclass(frozen=True)
class Domain:
    """Tasks together; None where none of them has a normalised score.

    above  per cent -> how many of the `count` tasks reach so much of the expert's score
    """

    name: str
    count: int
    mean: float | None
    ci95: Pair | None
    iqm: float | None
    iqm_ci95: Pair | None
    above: Mapping[int, int]
    above_ci95: Mapping[int, Pair]
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Scores:
    """All that the page tells of scores.

    figures    "domains" and "overall" as `aggregate_scores` gives them
    skipped    task -> why it was not played
    settings   that the tasks were played with; older scorecards tell none
    headlines  what was published of other networks, in words
    low, high  of the bars' common scale
    """

    rows: Sequence[Row]
    domains: Sequence[Domain]
    overall: Domain
    figures: Mapping[str, Any]
    skipped: Mapping[str, str]
    settings: Mapping[str, Any]
    headlines: Sequence[str]
    checkpoint: str
    low: float
    high: float

    def place(self, value: float) -> float:
        """Where a normalised score stands on the bars' scale, in per cent of its width."""
        inside = min(max(value, self.low), self.high)
        return 100 * (inside - self.low) / (self.high - self.low)

    @property
    def published(self) -> dict[str, float]:
        """Task -> the normalised score that JAT's authors published of their network."""
        found = {}
        for row in self.rows:
            theirs = mapping(mapping(row.told.get("published")).get("jat"))
            value = number(theirs.get("normalized"))
            if value is not None:
                found[row.task] = value
        return found

    @property
    def unscored(self) -> list[Row]:
        """Rows without a normalised score."""
        return [row for row in self.rows if row.normalized is None]

    @property
    def speaking(self) -> list[Row]:
        """Rows of tasks whose actions are text."""
        return [row for row in self.rows if number(row.told.get("accuracy")) is not None]


def read(scorecard: Mapping[str, Any], specs: Mapping[str, Any], problems: list[str]) -> Scores:
    """The scores of a scorecard; rows that are none are told in `problems`.

    Args:
        scorecard: of `gato-gym eval --all`.
        specs: the agent's tasks.json, which knows the domains of its tasks.
        problems: is added to.
    """
    rows: dict[str, Row] = {}
    for place, told in enumerate(scorecard["tasks"], 1):
        row = _row(mapping(told), specs)
        if row is None:
            problems.append(f"the scorecard's entry {place} is no score of a task and left out")
        elif row.task in rows:
            problems.append(f"the scorecard has {row.task} twice; the first counts")
        else:
            rows[row.task] = row
    found = list(rows.values())
    # What the evaluation wrote stands; it is computed here where it wrote none.
    if _is_whole(scorecard):
        named = {printable(name): told for name, told in scorecard["domains"].items()}
        figures = {"domains": named, "overall": scorecard["overall"]}
    else:
        figures = aggregate_scores(found, {row.task: row.domain for row in found})
    domains = [_domain(name, mapping(told)) for name, told in figures["domains"].items()]
    shown = [row.normalized for row in found if row.normalized is not None]
    ends = [end for row in found for end in row.normalized_ci95 or ()]
    return Scores(
        rows=sorted(found, key=lambda row: (row.domain, row.task)),
        domains=domains,
        overall=_domain("all tasks", mapping(figures["overall"])),
        figures=figures,
        skipped=_skipped(scorecard.get("skipped")),
        settings=mapping(scorecard.get("settings")),
        headlines=_headlines(mapping(scorecard.get("published"))),
        checkpoint=printable(scorecard.get("checkpoint") or ""),
        low=max(min([0.0, *shown, *ends]), _LOWEST),
        high=min(max([1.0, *shown, *ends]), _HIGHEST),
    )


def _row(told: Mapping[str, Any], specs: Mapping[str, Any]) -> Row | None:
    task, mean = told.get("task"), number(told.get("mean_return"))
    if not isinstance(task, str) or mean is None:
        return None
    random, expert = number(told.get("random")), number(told.get("expert"))
    listed = told.get("returns")
    returns = [number(value) for value in listed] if isinstance(listed, list) else []
    why = why_unscored(random, expert) or ""
    # A row without its episodes counts with its mean.
    counted = tuple(value for value in returns if value is not None) or (mean,)
    domain = told.get("domain") or mapping(specs.get(task)).get("domain") or domain_of(task)
    normalized = None
    if not why:
        assert random is not None and expert is not None
        normalized = (mean - random) / (expert - random)
    return Row(
        task=task,
        domain=printable(domain),
        episodes=int(number(told.get("episodes")) or len(counted)),
        mean=mean,
        ci95=pair(told.get("ci95")),
        random=random,
        expert=expert,
        returns=counted,
        normalized=normalized,
        success=number(told.get("success_rate")),
        told=told,
        why=why,
    )


def _is_whole(scorecard: Mapping[str, Any]) -> bool:
    """Whether a scorecard has the counts of all thresholds, as it must to draw them."""
    every = [scorecard.get("overall"), *mapping(scorecard.get("domains")).values()]
    levels = [str(level) for level in THRESHOLDS]
    for told in map(mapping, every):
        if not number(told.get("count")):
            if told is every[0] or "count" not in told:
                return False
            continue
        above, bounds = mapping(told.get("above")), mapping(told.get("above_ci95"))
        if any(number(above.get(at)) is None or pair(bounds.get(at)) is None for at in levels):
            return False
    return True


def _domain(name: str, told: Mapping[str, Any]) -> Domain:
    above, above_ci95 = mapping(told.get("above")), mapping(told.get("above_ci95"))
    bounds = {level: pair(above_ci95.get(str(level))) for level in LEVELS}
    return Domain(
        name=printable(name),
        count=int(number(told.get("count")) or 0),
        mean=number(told.get("mean")),
        ci95=pair(told.get("ci95")),
        iqm=number(told.get("iqm")),
        iqm_ci95=pair(told.get("iqm_ci95")),
        above={level: int(number(above.get(str(level))) or 0) for level in LEVELS},
        above_ci95={level: bound for level, bound in bounds.items() if bound is not None},
        told=told,
    )


def _skipped(told: object) -> dict[str, str]:
    """Task -> why; written as an object, or as a list of objects or of ids."""
    if isinstance(told, dict):
        return {printable(task): printable(why) for task, why in told.items()}
    found = {}
    for one in told if isinstance(told, list) else ():
        row = one if isinstance(one, dict) else {"task": one}
        why = row.get("why") or row.get("reason") or row.get("error") or "no reason is told"
        found[printable(row.get("task"))] = printable(why)
    return found


def _headlines(published: Mapping[str, Any]) -> list[str]:
    """How many of their tasks other networks have at half of the expert's score."""
    found = []
    for name, one in mapping(published.get("headlines")).items():
        told = mapping(one)
        tasks, count = number(told.get("tasks")), number(mapping(told.get("above")).get("50"))
        share = number(mapping(told.get("above_share")).get("50"))
        if tasks is None or (count is None and share is None):
            continue
        more = "more than " if told.get("at_least") else ""
        part = percent(share) if count is None else f"{more}{count:.0f}"
        found.append(f"{printable(name).upper()} {part} of {tasks:.0f}")
    return found


def mismatches(
    scorecard: Mapping[str, Any],
    agents: Sequence[str],
    specs: Mapping[str, Any],
    weights: Callable[[], str | None],
) -> list[str]:
    """What says that a scorecard is of another checkpoint, in sentences.

    Args:
        scorecard: has the name that `gato-gym eval` knew the agent by, newer ones the fingerprint
            of its weights, too.
        agents: names that this agent goes by; "run/agent" and longer paths to it are one name.
        specs: the tasks that it knows; empty where that is unknown.
        weights: the fingerprint of its weights, None where it has none; asked if there is one to
            compare.
    """
    settings, name = mapping(scorecard.get("settings")), scorecard.get("checkpoint")
    player = settings.get("agent", name)
    if player in ("expert", "random"):
        who = "experts" if player == "expert" else "random play"
        return [f"The scores are of {who}, not of this agent."]
    found = []
    theirs, ours = settings.get("weights"), None
    if theirs is not None:
        ours = weights()
    if ours is not None:
        if theirs != ours:
            found.append(
                f"The scores are of another checkpoint: its weights have the fingerprint "
                f"{printable(theirs)}, this agent's have {ours}."
            )
    elif isinstance(name, str) and agents:
        bare = name.partition(" (")[0]  # "run/agent (no prompt)" is run/agent
        if not any(_same(bare, own) for own in agents):
            found.append(
                f"The scores were made for the checkpoint {printable(bare)!r}, the agent here is "
                f"{agents[0]!r}: unless it was renamed, they are another's."
            )
    named = [mapping(row).get("task") for row in scorecard["tasks"]]
    tasks = {task for task in named if isinstance(task, str)}
    strange = sorted(map(printable, tasks - set(specs))) if specs else []
    if strange:
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        found.append(
            f"The scores are of tasks that this agent was not trained on: "
            f"{', '.join(strange[:3])}{more}."
        )
    return found


def _same(name: str, own: str) -> bool:
    """Whether two paths end alike."""
    theirs, ours = PurePath(name).parts[::-1], PurePath(own).parts[::-1]
    return all(a == b for a, b in zip(theirs, ours, strict=False))
