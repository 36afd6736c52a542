"""Agents that play a task in one of the three ways, and which other task's demonstration is the
wrong one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gato_gym.agents.demonstrations import OtherTask
from gato_gym.agents.prompted import WithoutPrompt, WithPrompt
from gato_gym.errors import GatoGymError, PromptError
from gato_gym.evaluation.prompting.conditions import CONDITIONS, Condition
from gato_gym.types import Episode, TaskSpec


def wrong_tasks(
    task: str, specs: Mapping[str, TaskSpec], shown: Mapping[str, Episode]
) -> list[str]:
    """The tasks whose demonstration may stand in for a task's own, the most alike first.

    First come those of the same domain, of them those with the same actions, then with actions of
    the same kind, then with observations of the same form or at least of the same kinds; those
    that are as much alike in order of their ids. So the wrong prompt is as hard to tell from the
    right one as the checkpoint allows, and always the same.

    Args:
        task: is not among them.
        specs: of all tasks of a checkpoint.
        shown: its demonstrations.
    """
    own = specs[task]

    def unlike(other: str) -> tuple[Any, ...]:
        spec = specs[other]
        return (
            spec.domain != own.domain,
            spec.action != own.action,
            spec.action.kind != own.action.kind,
            spec.observations != own.observations,
            _kinds(spec) != _kinds(own),
            other,
        )

    return sorted((one for one in shown if one != task and one in specs), key=unlike)


def with_condition(agent: Any, task: str, condition: Condition) -> tuple[Any, str | None]:
    """An agent that plays a task in one of the ways, and the task that its prompt shows.

    A demonstration of any other task can be read, for its steps become the tokens that they are in
    that task; only one of which not a single step fits into half of the context is passed over.

    Args:
        agent: a `GatoAgent`; is reset.
        task: one of its `specs`.
        condition: which.

    Raises:
        PromptError: there is no such demonstration, or not a step of it fits.
    """
    if condition == "none":
        return WithoutPrompt(agent), None
    if condition == "own":
        if task not in agent.prompts:
            raise PromptError("the checkpoint has no demonstration of it")
        # Not as "expert", where one of which no step fits is left out without a word.
        own = WithPrompt(agent, _shown(agent, task), CONDITIONS[condition])
        own.reset(task)
        return own, task
    others = wrong_tasks(task, agent.specs, agent.prompts)
    told = "the checkpoint has no demonstration of another task"
    for other in others:
        player = WithPrompt(agent, _shown(agent, other), f"prompt of {other}")
        try:
            player.reset(task)
        except GatoGymError as error:
            told = f"no demonstration of another task can be read; the last one: {error}"
            continue
        return player, other
    raise PromptError(told)


def _shown(agent: Any, task: str) -> OtherTask:
    return OtherTask(agent.prompts[task], agent.specs[task])


def _kinds(spec: TaskSpec) -> list[str]:
    return sorted(leaf.kind for leaf in spec.observations)
