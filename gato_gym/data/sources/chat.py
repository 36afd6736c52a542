"""A conversation as the turns of an agent: what was said to it, and what it replied.

Messages are mappings {"role": ..., "content": ...} as chat models take them. All that is said
between two replies is one observation, a message a line; what the system says stands there as
"system: ...". A conversation that ends with somebody else's words has a last turn without a reply:
that is where an agent speaks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gato_gym.errors import InvalidObservationError

ROLES = ("system", "user", "assistant")
REPLIES = "assistant"


def turns(messages: Sequence[Mapping[str, Any]]) -> list[tuple[str, str | None]]:
    """The turns of a conversation: (what was said since the last reply, the reply or None).

    A reply that follows a reply answers "", as does one that begins a conversation.

    Args:
        messages: each {"role": "system", "user" or "assistant", "content": text}; further keys are
            ignored.

    Raises:
        InvalidObservationError: there are no messages, or one has another form, another role or
            nothing but spaces in it; names its place.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        raise InvalidObservationError(
            f"messages are a {type(messages).__name__}; expected a list: "
            '[{"role": "user", "content": "hello"}]'
        )
    if not messages:
        raise InvalidObservationError(
            'there are no messages; expected at least one: [{"role": "user", "content": "hello"}]'
        )
    found: list[tuple[str, str | None]] = []
    said: list[str] = []
    for place, message in enumerate(messages):
        role, content = _checked(message, place)
        if role == REPLIES:
            found.append(("\n".join(said), content))
            said = []
        else:
            said.append(f"system: {content}" if role == "system" else content)
    if said:
        found.append(("\n".join(said), None))
    return found


def _checked(message: Any, place: int) -> tuple[str, str]:
    where = f"message {place}"
    if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
        raise InvalidObservationError(
            f"{where} is {str(message)[:80]!r}; expected a mapping with "
            '"role" and "content": {"role": "user", "content": "hello"}'
        )
    role, content = message["role"], message["content"]
    if role not in ROLES:
        raise InvalidObservationError(
            f"{where} has the role {role!r}; expected one of {', '.join(ROLES)}"
        )
    if not isinstance(content, str):
        raise InvalidObservationError(
            f"{where} of {role} has a {type(content).__name__} as content; expected text"
        )
    if not content.strip():
        raise InvalidObservationError(
            f"{where} of {role} is empty; expected words: leave the message out"
        )
    return role, content
