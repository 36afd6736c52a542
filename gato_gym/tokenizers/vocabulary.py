"""The id ranges. One dataclass owns them; nobody else adds offsets.

    text        [0, V)
    discrete    [0, 1024)            shared with the first text ids, as the paper says (section 2.1)
    continuous  [V, V + 1024)
    separator   V + 1024             between observation and action (appendix B)

Two more markers are not ids of the model: an image patch has no id (`PATCH`), and observations
whose text is shorter than its slot are filled with `PAD`, which is dropped on the way to the model.
"""

from __future__ import annotations

from dataclasses import dataclass

DISCRETE_VALUES = 1024
BINS = 1024
PATCH = -1
PAD = -2


@dataclass(frozen=True)
class Vocabulary:
    """Id ranges for a text model of `text_size` pieces; 32,000 in the paper."""

    text_size: int = 32_000

    def __post_init__(self) -> None:
        if self.text_size < DISCRETE_VALUES:
            raise ValueError(
                f"text_size {self.text_size} is below {DISCRETE_VALUES}: "
                "discrete values share the first text ids"
            )

    @property
    def continuous_start(self) -> int:
        """Id of the lowest of the 1024 bins."""
        return self.text_size

    @property
    def separator(self) -> int:
        """Id of the separator."""
        return self.text_size + BINS

    @property
    def size(self) -> int:
        """Rows of the embedding table."""
        return self.text_size + BINS + 1
