"""The agent that comes with the package: where it is and what it is called. No torch."""

from __future__ import annotations

from pathlib import Path

import gato_gym

BUNDLED = Path(gato_gym.__file__).with_name("pretrained")
NAME = "bundled"


def means_bundled(source: str | Path | None) -> bool:
    """Whether who names an agent so means the bundled one: by None, or by its name where no folder
    is called so."""
    return source is None or (str(source) == NAME and not Path(NAME).exists())
