"""List the tasks: their spaces, their scores, and the extra that installs them.

example:
    gato-gym tasks --domain atari
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gato_gym.cli.players import print_json
from gato_gym.envs.registry import EXTRA_MODULES, is_available, nearest, tasks
from gato_gym.types import TaskSpec

DISTRIBUTIONS = {"": "gymnasium", "ale_py": "ale-py", "mujoco": "mujoco"}


@dataclass(frozen=True)
class Options:
    """What to list."""

    domain: str | None = None
    """Only tasks of this domain."""
    json: bool = False
    """Print JSON."""


def describe(spec: TaskSpec) -> dict[str, Any]:
    """A task as JSON."""
    action = spec.action
    sizes = "x".join(map(str, action.n)) if action.kind == "discrete" else str(action.size)
    return {
        "id": spec.id,
        "domain": spec.domain,
        "package": DISTRIBUTIONS[EXTRA_MODULES[spec.extra] if spec.extra else ""],
        "observation": {
            leaf.key: f"{leaf.kind} {'x'.join(map(str, leaf.shape))}".strip()
            for leaf in spec.observations
        },
        "actions": f"{action.kind} {sizes}",
        "available": is_available(spec),
        "random": spec.random_score,
        "expert": spec.expert_score,
        "source": {"random": spec.random_source, "expert": spec.expert_source},
        "extra": spec.extra,
        "horizon": spec.horizon,
        "made_by": spec.expert,
    }


def run(options: Options) -> int:
    """Print the table or JSON."""
    specs = tasks(available=False)
    if options.domain is not None:
        domains = sorted({spec.domain for spec in specs})
        if options.domain not in domains:
            near = nearest(options.domain, domains, 1) or domains
            raise ValueError(f"no domain {options.domain!r}: did you mean {', '.join(near)}?")
        specs = tuple(spec for spec in specs if spec.domain == options.domain)
    rows = [describe(spec) for spec in specs]
    if options.json:
        print_json(rows)
        return 0
    print(f"{'task':28}{'domain':14}{'actions':14}{'random':>9}{'expert':>9}  install")
    for row in rows:
        scores = "".join(f"{'-' if x is None else f'{x:.1f}':>9}" for x in _references(row))
        extra = f'pip install "gato-gym[{row["extra"]}]"' if row["extra"] else "-"
        there = "here" if row["available"] else extra
        print(f"{row['id']:28}{row['domain']:14}{row['actions']:14}{scores}  {there}")
    return 0


def _references(row: dict[str, Any]) -> tuple[float | None, float | None]:
    return row["random"], row["expert"]
