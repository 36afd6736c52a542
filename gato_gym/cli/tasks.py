"""List the tasks: their spaces, their scores, and the extra that installs them.

examples:
    gato-gym tasks --domain atari
    gato-gym tasks --domains
    gato-gym tasks --check my_package:MyEnv-v0
    gato-gym tasks --measure random --episodes 20 --cache runs/random
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gato_gym.cli.players import print_json
from gato_gym.envs.families import base_name, observation_kind
from gato_gym.envs.gato_domains import GATO_DOMAINS
from gato_gym.envs.registry import (
    HELD_OUT,
    current_version,
    hidden,
    is_available,
    nearest,
    resolve,
    tasks,
)
from gato_gym.errors import UnknownTaskError
from gato_gym.types import TaskSpec


@dataclass(frozen=True)
class Options:
    """What to list, or what to do instead."""

    domain: str | None = None
    """Only tasks of this domain."""
    task: str | None = None
    """Only this task."""
    domains: bool = False
    """Count the tasks per domain, beside the paper's counts."""
    json: bool = False
    """Print JSON."""
    check: str | None = None
    """Check in words whether Gato can play this environment (ID or MODULE:ID)."""
    build: bool = False
    """Build every task and write the catalogue (for maintainers)."""
    name_experts: bool = False
    """Write into the catalogue who makes each task's data, after adding an expert."""
    measure: Literal["random", "expert"] | None = None
    """Play the tasks and write their random or expert scores (for maintainers)."""
    import_scores: Path | None = None
    """Take expert scores from a JSON file of published ones (for maintainers)."""
    episodes: int = 20
    """Episodes per task, with --measure."""
    seed: int = 5000
    """Seed of the first episode, with --measure and --check."""
    workers: int = 2
    """Processes, with --build and --measure."""
    cache: Path = Path("runs/catalogue")
    """Where --build and --measure keep what they have, so that a second run goes on."""


def run(options: Options) -> int:
    """Print the table or JSON."""
    names = ("domains", "check", "build", "name_experts", "measure", "import_scores")
    if sum(bool(getattr(options, name)) for name in names) > 1:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        raise ValueError(f"pass only one of {flags}")
    if options.episodes < 1 or options.workers < 1:
        raise ValueError("--episodes and --workers must be at least 1")
    if options.check is not None:
        return _check(options.check, options)
    if options.build or options.name_experts or options.measure or options.import_scores:
        from gato_gym.cli import catalogue

        if options.name_experts:
            return catalogue.name_experts()
        if options.import_scores:
            return catalogue.import_scores(options.import_scores)
        if options.measure:
            chosen = [spec.id for spec in _chosen(options, available=True)]
            return catalogue.measure(
                chosen,
                options.measure,
                options.episodes,
                options.seed,
                options.cache,
                options.workers,
            )
        return catalogue.build(options.cache, options.workers)
    specs = _chosen(options, available=False)
    if options.domains:
        return _print_domains(specs, whole=options.domain is None, as_json=options.json)
    rows = [describe(spec) for spec in specs]
    if options.json:
        print_json(rows)
    else:
        _print_table(rows)
    return 0


def describe(spec: TaskSpec) -> dict[str, Any]:
    """A task as JSON."""
    action = spec.action
    sizes = "x".join(map(str, action.n)) if action.kind == "discrete" else str(action.size)
    return {
        "id": spec.id,
        "name": base_name(spec.id),
        "domain": spec.domain,
        "family": spec.family,
        "package": spec.package,
        "observation": {
            leaf.key: f"{leaf.kind} {'x'.join(map(str, leaf.shape))}".strip()
            for leaf in spec.observations
        },
        "observation_kind": observation_kind(spec),
        "actions": f"{action.kind} {sizes}",
        "available": is_available(spec),
        "random": spec.random_score,
        "expert": spec.expert_score,
        "source": {"random": spec.random_source, "expert": spec.expert_source},
        "extra": spec.extra,
        "horizon": spec.horizon,
        "control_hz": spec.control_hz,
        "success": 'info["success"]' if spec.has_success else None,
        "made_by": spec.expert,
        "held_out": spec.id in HELD_OUT,
    }


def _chosen(options: Options, *, available: bool) -> tuple[TaskSpec, ...]:
    specs = tasks(available=available)
    if options.task is not None:
        resolve(options.task)  # an unknown one is told with the nearest
        if options.task not in {spec.id for spec in tasks(available=False)}:
            newer = current_version(options.task)
            hint = f"; {newer} is" if newer else ": gato-gym tasks lists what is"
            raise UnknownTaskError(f"{options.task} is not in the catalogue{hint}")
        specs = tuple(spec for spec in specs if spec.id == options.task)
    if options.domain is None:
        return specs
    domains = sorted({spec.domain for spec in tasks(available=False)})
    if options.domain not in domains:
        near = nearest(options.domain, domains, 1) or domains
        raise ValueError(f"no domain {options.domain!r}: did you mean {', '.join(near)}?")
    return tuple(spec for spec in specs if spec.domain == options.domain)


def _check(task: str, options: Options) -> int:
    from gato_gym.evaluation.conformance import check_apart

    # As `python -m` does: "module:id" may name a module that lies here.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    report = check_apart(task, seed=options.seed)
    if options.json:
        print_json(report.to_json())
    else:
        print(report.text())
    return 0 if report.passed else 1


def _print_table(rows: list[dict[str, Any]]) -> None:
    here = [row for row in rows if row["available"]]
    width = max([len(row["id"]) for row in here], default=4) + 2
    print(f"{'task':{width}}{'domain':25}{'actions':18}{'random':>10}{'expert':>10}")
    for row in here:
        scores = "".join(
            f"{'-' if x is None else f'{x:.1f}':>10}" for x in (row["random"], row["expert"])
        )
        actions = row["actions"] if len(row["actions"]) < 17 else f"{row['actions'][:14]}..."
        print(f"{row['id']:{width}}{row['domain']:25}{actions:18}{scores}")
    print(f"{len(here)} tasks")
    away = {row["extra"] for row in rows if not row["available"]}
    for extra, count in hidden().items():
        if extra in away:
            print(f'{count} more with: pip install "gato-gym[{extra}]"', file=sys.stderr)


def _print_domains(specs: tuple[TaskSpec, ...], *, whole: bool, as_json: bool) -> int:
    counts: dict[str, int] = {}
    for spec in specs:
        counts[spec.domain] = counts.get(spec.domain, 0) + is_available(spec)
    beside = {gato.ours: (name, gato.tasks) for name, gato in GATO_DOMAINS.items() if gato.ours}
    rows = [
        {
            "domain": domain,
            "tasks": count,
            "gato_domain": beside.get(domain, (None, None))[0],
            "gato_tasks": beside.get(domain, (None, None))[1],
        }
        for domain, count in sorted(counts.items())
    ]
    rows += [
        {"domain": None, "tasks": 0, "gato_domain": name, "gato_tasks": gato.tasks}
        for name, gato in GATO_DOMAINS.items()
        if whole and gato.ours not in counts
    ]
    if as_json:
        print_json(rows)
        return 0
    print(f"{'domain':28}{'tasks':>6}    {'Gato':34}{'tasks':>6}")
    for row in rows:
        ours, theirs = row["domain"] or "-", row["gato_domain"] or "-"
        print(f"{ours:28}{row['tasks']:6}    {theirs:34}{row['gato_tasks'] or '-':>6}")
    if whole:
        total = sum(gato.tasks for gato in GATO_DOMAINS.values())
        print(f"{'all':28}{sum(counts.values()):6}    {'all control tasks':34}{total:6}")
    return 0
