"""dm_control through Shimmy: the control suite by state, by pixels and with random dynamics; arms.

Five domains share the namespace "dm_control/". The ids `<domain>-<task>-v0` and `<arm task>-v0` are
Shimmy's, registered anew for what `dm_control_envs.py` mends; those with `-pixels`, `-random-small`
or `-random-large` after the task's name are ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

import gymnasium as gym

from gato_gym.envs.families.base import Family, base_name

NAMESPACE = "dm_control/"
IMAGE_SIZE = (64, 64)
VARIANTS = ("pixels", "random-small", "random-large")
_ENVS = "gato_gym.envs.families.dm_control_envs:"
_ENTRY_POINTS = {
    "": _ENVS + "SuiteTask",
    "pixels": _ENVS + "PixelTask",
    "random-small": "gato_gym.envs.families.dm_control_random:RandomTask",
    "random-large": "gato_gym.envs.families.dm_control_random:RandomTask",
}
_VARIANT = re.compile(rf"-({'|'.join(VARIANTS)})$")

# Not in the catalogue, though they can be made:
NOT_LISTED = {
    # The linear-quadratic regulators have unbounded actions and diverge under random ones.
    "lqr-lqr_2_1",
    "lqr-lqr_6_2",
    # Sparse twins of dense tasks. The dense ones are listed, as the task that the paper holds out
    # for transfer is one of them: cartpole swingup (section 5.2).
    "acrobot-swingup_sparse",
    "cartpole-balance_sparse",
    "cartpole-swingup_sparse",
    # humanoid-run with other observations.
    "humanoid-run_pure_state",
}
# The task draws poses until no two limbs touch: with limbs 1.2 times as thick it may never end.
NOT_RANDOM_LARGE = ("humanoid_CMU-",)


def register() -> None:
    """Registers the ids of all five domains; a second call changes nothing."""
    if f"{NAMESPACE}cartpole-swingup-pixels-v0" in gym.registry:
        return
    from gato_gym.envs.families.dm_control_package import manipulation, suite

    for domain, task in suite.ALL_TASKS:
        for variant, entry_point in _ENTRY_POINTS.items():
            kwargs = {"domain_name": domain, "task_name": task}
            if variant.startswith("random"):
                kwargs["strength"] = variant.removeprefix("random-")
            _register(_suite_id(f"{domain}-{task}", variant), entry_point, kwargs)
    for name in manipulation.ALL:
        if name.endswith("_features"):
            _register(f"{NAMESPACE}{name}-v0", _ENVS + "ManipulationTask", {"name": name})


def _register(id: str, entry_point: str, kwargs: dict[str, str]) -> None:
    # Importing Shimmy has registered its own; ours is the same environment, mended.
    gym.registry.pop(id, None)
    gym.register(id, entry_point, kwargs=kwargs)


def _suite_id(name: str, variant: str) -> str:
    return f"{NAMESPACE}{name}-{variant}-v0" if variant else f"{NAMESPACE}{name}-v0"


def state_task(task: str) -> str:
    """The task by state and with fixed dynamics that one of the suite is a variant of."""
    if not _variant(task):
        return task
    stem, dash, version = task.rpartition("-v")
    return f"{_VARIANT.sub('', stem)}{dash}{version}"


def _variant(task: str) -> str | None:
    """One of `VARIANTS`, "" for the suite by state, "manipulation"; None for anything else."""
    if not task.startswith(NAMESPACE):
        return None
    name = base_name(task)
    found = _VARIANT.search(name)
    if found:
        return found[1]
    if name.endswith("_features"):
        return "manipulation"
    return "" if "-" in name else None


def _suite_names() -> Iterator[str]:
    from gato_gym.envs.families.dm_control_package import suite

    for domain, task in suite.ALL_TASKS:
        if f"{domain}-{task}" not in NOT_LISTED:
            yield f"{domain}-{task}"


def _suite_ids(variant: str) -> list[str]:
    left_out = NOT_RANDOM_LARGE if variant == "random-large" else ()
    return [_suite_id(name, variant) for name in _suite_names() if not name.startswith(left_out)]


def _manipulation_ids() -> list[str]:
    from gato_gym.envs.families.dm_control_package import manipulation

    names = [name for name in manipulation.ALL if name.endswith("_features")]
    return [f"{NAMESPACE}{name}-v0" for name in names]


def _facts(env: gym.Env) -> dict[str, object]:
    task = env.unwrapped
    return {"horizon": task.horizon, "control_hz": task.control_hz}  # type: ignore[attr-defined]


def _family(variant: str, ids: Callable[[], list[str]], **images: object) -> Family:
    name = f"dm_control_{variant}".rstrip("_").replace("-", "_")
    return Family(
        name=name,
        distribution="dm-control",
        extra="dm_control",
        modules=("dm_control", "shimmy", "imageio"),
        owns=lambda task: _variant(task) == variant,
        register=register,
        ids=ids,
        domain=lambda task: name,
        facts=_facts,
        **images,  # type: ignore[arg-type]
    )


FAMILIES = (
    _family("", partial(_suite_ids, "")),
    _family("pixels", partial(_suite_ids, "pixels"), image_size=IMAGE_SIZE, any_size=True),
    _family("random-small", partial(_suite_ids, "random-small")),
    _family("random-large", partial(_suite_ids, "random-large")),
    _family("manipulation", _manipulation_ids),
)
