"""What a study has cost, from what was noted beside its results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gato_gym.evaluation.studies.units import Units


def costs(plan: Units, records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """`seconds` of processes by stage, and all `machines` and `versions`, each once.

    Args:
        plan: the units.
        records: unit -> `StudyFolder.record`, of those that are done.
    """
    seconds: dict[str, float] = {}
    for unit in plan.units:
        spent = records.get(unit.key, {}).get("seconds", 0.0)
        seconds[unit.stage] = round(seconds.get(unit.stage, 0.0) + spent, 1)
    return {
        "machines": _different(records, "machine"),
        "versions": _different(records, "versions"),
        "seconds": seconds,
    }


def _different(records: Mapping[str, Mapping[str, Any]], name: str) -> list[Any]:
    found: list[Any] = []
    for one in records.values():
        if one.get(name) is not None and one[name] not in found:
            found.append(one[name])
    return found
