"""The three ways in which an episode may begin.

Gato is given a demonstration because its weights play many tasks and must be told which (paper
section 2.3). An observation may tell that, too. With its own demonstration, without one, and with
one of another task shows which of it an agent goes by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Condition = Literal["own", "none", "wrong"]
CONDITIONS: Mapping[Condition, str] = {
    "own": "own demonstration",
    "none": "no demonstration",
    "wrong": "another task's demonstration",
}
