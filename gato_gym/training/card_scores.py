"""The scores of an agent as its folder holds them, and what the Hugging Face Hub reads of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from huggingface_hub import EvalResult

from gato_gym.training.bundle import SCORECARD, Bundle
from gato_gym.types import TaskSpec

Row = Mapping[str, Any]

NUMBERS = (
    *("episodes", "mean_return", "random", "expert", "normalized", "success_rate"),
    *("accuracy", "exact", "perplexity"),
)

# Above so many tasks the Hub's table tells domains: hundreds of rows nobody reads.
MANY_TASKS = 30


def score_rows(bundle: Bundle) -> list[Row]:
    """The tasks of scorecard.json; none where there is no such document.

    Raises:
        ValueError: it is not one that `gato-gym eval --out` wrote.
    """
    told = document(bundle, SCORECARD)
    rows = [told] if "task" in told else told.get("tasks", [])
    fits = isinstance(rows, list) and all(isinstance(row, dict) and _fits(row) for row in rows)
    if not fits:
        raise ValueError(f"{SCORECARD} is not one that gato-gym eval --out wrote: measure again")
    return rows


def _fits(row: Row) -> bool:
    told = [row.get(name) for name in NUMBERS]
    intervals = [row.get(name) or [0, 0] for name in ("ci95", "accuracy_ci95")]
    return (
        isinstance(row.get("task"), str)
        and row.get("mean_return") is not None
        and all(isinstance(bounds, list) and len(bounds) == 2 for bounds in intervals)
        and all(isinstance(number, int | float | None) for number in sum(intervals, told))
    )


def document(bundle: Bundle, name: str) -> dict[str, Any]:
    """A JSON document of the agent's folder; an empty one where it is not there.

    Raises:
        ValueError: it is no JSON object.
    """
    if name not in bundle.documents:
        return {}
    try:
        told = json.loads(bundle.documents[name], parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not valid JSON: {error}") from error
    if not isinstance(told, dict):
        raise ValueError(f"{name} must hold a JSON object")
    return told


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def hub_results(bundle: Bundle) -> list[EvalResult]:
    """What the Hub draws its table of results from: each task's, or of many each domain's.

    Raises:
        ValueError: see `score_rows` and `domain_rows`.
    """
    domains = domain_rows(bundle)
    if domains and len(score_rows(bundle)) > MANY_TASKS:
        return [_domain_result(domain, summary) for domain, summary in domains.items()]
    return task_results(bundle)


def task_results(bundle: Bundle) -> list[EvalResult]:
    """What the Hub reads of each task of scorecard.json.

    Raises:
        ValueError: see `score_rows`.
    """
    return [
        result
        for row in score_rows(bundle)
        for result in eval_results(row, bundle.specs.get(row["task"]))
    ]


def domain_rows(bundle: Bundle) -> dict[str, Row]:
    """Domain -> its summary in scorecard.json, at last "all": those with a normalised score; none
    where a single task was measured.

    Raises:
        ValueError: it is not one that `gato-gym eval --out` wrote.
    """
    told = document(bundle, SCORECARD)
    domains, overall = told.get("domains", {}), told.get("overall", {"count": 0})
    fits = isinstance(domains, dict) and all(map(_summarizes, [*domains.values(), overall]))
    if not fits:
        raise ValueError(f"{SCORECARD} is not one that gato-gym eval --out wrote: measure again")
    if not overall["count"]:
        return {}
    scored = {domain: summary for domain, summary in domains.items() if summary["count"]}
    return scored | {"all": overall}


def _summarizes(summary: Any) -> bool:
    """Whether it is one of `aggregate_scores`; of no task (count 0) there is nothing to tell."""
    if not isinstance(summary, dict) or not isinstance(summary.get("count"), int):
        return False
    bounds, above = summary.get("iqm_ci95"), summary.get("above")
    return summary["count"] == 0 or (
        isinstance(summary.get("iqm"), int | float)
        and isinstance(bounds, list)
        and len(bounds) == 2
        and all(isinstance(bound, int | float) for bound in bounds)
        and isinstance(above, dict)
        and {"50", "80"} <= above.keys()
    )


def _domain_result(domain: str, summary: Row) -> EvalResult:
    kind = "reinforcement-learning"
    return EvalResult(
        task_type=kind,
        task_name=kind.replace("-", " "),
        dataset_type=domain,
        dataset_name=domain,
        metric_type="expert_normalized_iqm",
        metric_name="interquartile mean of the expert-normalised scores",
        metric_value=round(summary["iqm"], 4),
        metric_args={key: summary[key] for key in ("iqm_ci95", "count")},
    )


def eval_results(row: Row, spec: TaskSpec | None) -> Iterable[EvalResult]:
    """What the Hub reads of a row; `spec` is its task's, where the agent knows it."""
    kind, interval = "reinforcement-learning", "ci95"
    measured = {
        "mean_reward": ("mean return", row["mean_return"]),
        "expert_normalized_score": ("expert-normalised score", row.get("normalized")),
        "success_rate": ("success rate", row.get("success_rate")),
    }
    if row.get("accuracy") is not None:
        kind, interval = kind_of_text(spec), "accuracy_ci95"
        measured = {
            "accuracy": ("accuracy", row["accuracy"]),
            "exact_match": ("wholly right replies", row.get("exact")),
            "perplexity": ("perplexity of an expert's replies", row.get("perplexity")),
        }
    how = {key: row[key] for key in (interval, "episodes", "seed") if row.get(key) is not None}
    for metric, (name, value) in measured.items():
        if value is not None:
            yield EvalResult(
                task_type=kind,
                task_name=kind.replace("-", " "),
                dataset_type=row["task"],
                dataset_name=row["task"],
                metric_type=metric,
                metric_name=name,
                metric_value=round(value, 4),
                # The interval is the first metric's.
                metric_args=how if metric == next(iter(measured)) else None,
            )


def kind_of_text(spec: TaskSpec | None) -> str:
    """The Hub's name for a task whose actions are text."""
    kinds = {leaf.kind for leaf in spec.observations} if spec is not None else set()
    if "image" not in kinds:
        return "text-generation"
    return "visual-question-answering" if "text" in kinds else "image-to-text"
