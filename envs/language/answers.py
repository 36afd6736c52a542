"""Which replies mean the same answer: case, articles, punctuation and politeness do not count."""

from __future__ import annotations

import re
from collections.abc import Collection

_DIGITS = {"0": "none", "1": "one", "2": "two", "3": "three", "zero": "none", "gray": "grey"}
_SILENT = frozenset(
    {"the", "a", "an", "it", "it's", "is", "its", "there", "are", "to", "should", "agent"}
    | {"this", "that", "they", "i", "see", "think", "looks"}
)


def normal(reply: str) -> str:
    """A reply without what carries no meaning: "It is the Blue key!" becomes "blue key"."""
    words = re.findall(r"[a-z0-9']+", reply.lower())
    return " ".join(_DIGITS.get(word, word) for word in words if word not in _SILENT)


def is_right(reply: str, answers: Collection[str]) -> bool:
    """Whether a reply is one of the answers, up to `normal`.

    To a yes-no question the first word decides, unless the other follows: "yes, it is" is yes,
    "yes and no" is nothing.
    """
    said = normal(reply)
    accepted = {normal(answer) for answer in answers}
    if accepted & {"yes", "no"}:
        words = said.split()
        return bool(words) and words[0] in accepted and not {"yes", "no"} <= set(words)
    return said in accepted
