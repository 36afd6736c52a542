"""The text model of all environments that are made without one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from gato_gym.errors import CorruptCheckpointError
from gato_gym.tokenizers.text import TextTokenizer

MODEL_PATH = Path(__file__).with_name("default_text.model")
"""Written by `python -m gato_gym.tokenizers.train_default_text`."""


def default_text() -> TextTokenizer:
    """1,024 pieces for missions, instructions and plain English; read once per process.

    Raises:
        CorruptCheckpointError: the model file, a part of the package, is missing or damaged.
    """
    return _load(MODEL_PATH)


@cache
def _load(path: Path) -> TextTokenizer:
    try:
        return TextTokenizer.load(path)
    except FileNotFoundError as error:
        raise CorruptCheckpointError(
            f"the default text model {path} is missing: reinstall gato-gym, or write it again with "
            "python -m gato_gym.tokenizers.train_default_text"
        ) from error
