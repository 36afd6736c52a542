"""Captions, questions and dialogues of our own, about pictures of other families' environments."""

from __future__ import annotations

from gato_gym.envs.families.base import Family
from gato_gym.envs.language import DOMAIN, register_language


def _family(
    name: str, tasks: tuple[str, ...], steps: int, extra: str, modules: tuple[str, ...]
) -> Family:
    return Family(
        name=name,
        distribution="gato-gym",
        extra=extra,
        modules=modules,
        owns=lambda task: task in tasks,
        register=register_language,
        ids=lambda: list(tasks),
        domain=lambda task: DOMAIN,
        facts=lambda env: {"horizon": steps, "has_success": True},
    )


_PICTURES = ("text/captioning", "text/vqa")
_SOURCES = ("ale_py", "minigrid", "mujoco")
"""Of the pictures: ALE, MiniGrid and the block-stacking scene."""

FAMILIES = (
    _family("pictures", _PICTURES, 5, "pictures", _SOURCES),
    _family("dialogue", ("text/dialogue",), 6, "", ()),
)
