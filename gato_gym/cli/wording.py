"""What a person types -> words that the suite's language tasks are made of."""

from __future__ import annotations

from typing import Any


def as_trained(text: str, agent: Any, usual: str, task: str | None) -> str:
    """The text in lower case if it is for a task of the suite, whose own texts all are; else as it
    is.

    Args:
        text: of a user.
        agent: who is asked.
        usual: the suite's task of this form, "text/vqa" or "text/dialogue".
        task: which one the user names; None for the usual one where the agent has it.
    """
    return text.lower() if task in (None, usual) and usual in agent.specs else text
