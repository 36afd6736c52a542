"""The fingerprint of an agent's weights, read off its file; no torch."""

from __future__ import annotations

from pathlib import Path

import google_crc32c
from safetensors import SafetensorError, safe_open

from gato_gym.evaluation.report.source import WEIGHTS


def fingerprint(folder: Path) -> str | None:
    """What `training.adapt.fingerprint` tells of the model; None where the file is no use."""
    checksum = google_crc32c.Checksum()
    try:
        with safe_open(folder / WEIGHTS, framework="numpy") as tensors:
            for name in sorted(tensors.keys()):
                checksum.update(name.encode())
                checksum.update(tensors.get_tensor(name).tobytes())
    except (OSError, SafetensorError, TypeError):  # TypeError: numpy has no such numbers
        return None
    return bytes(checksum.digest()).hex()
