"""Checkpoints that survive anything: tensors as safetensors, scalars as JSON, a manifest last.

    step-00001000/
      model.safetensors      weights
      optimizer.safetensors  moments by parameter name, and the random generator's state
      state.json             step, configs, tokens seen
      manifest.json          size and crc32c of the files above; a folder without it does not exist

A checkpoint is written to a temporary folder, every file is fsynced, then the folder is renamed.
Nothing is pickled and nothing on the load path unpickles.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from gato_gym.errors import CorruptCheckpointError

MANIFEST = "manifest.json"
TENSORS_AND_STATE = ("model.safetensors", "optimizer.safetensors", "state.json")


def write_manifest(folder: Path, skip: Iterable[str] = ()) -> None:
    """Record size and crc32c of every file below `folder`; fsync all, the manifest last."""
    files = {}
    unlisted = {MANIFEST, *skip}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in unlisted):
        files[path.relative_to(folder).as_posix()] = _fingerprint(path)
        _fsync(path)
    (folder / MANIFEST).write_text(json.dumps(files, indent=1) + "\n")
    _fsync(folder / MANIFEST)
    _fsync(folder)


def check_manifest(
    folder: Path, required: Iterable[str] = (), *, follow_links: bool = False
) -> None:
    """Compare every file with the manifest.

    Args:
        folder: what to check.
        required: names that the manifest must list, or their bytes would go unchecked.
        follow_links: files may be links to elsewhere, as in the Hub's cache.

    Raises:
        CorruptCheckpointError: a file is missing, changed, not listed, or lies outside the folder.
    """
    files = read_json(folder / MANIFEST)
    for name in required:
        if name not in files:
            raise CorruptCheckpointError(
                f"{folder / MANIFEST} does not list {name}: copy the whole folder again"
            )
    for name, expected in files.items():
        path = folder / name
        named_inside = not Path(name).is_absolute() and ".." not in Path(name).parts
        lies_inside = follow_links or path.resolve().is_relative_to(folder.resolve())
        if not (named_inside and lies_inside):
            raise CorruptCheckpointError(f"{folder / MANIFEST} names a file outside it: {name!r}")
        if not path.is_file():
            raise CorruptCheckpointError(f"{path} is missing: copy the whole folder again")
        if _fingerprint(path) != expected:
            raise CorruptCheckpointError(
                f"{path} is not the file that was saved (size or crc32c differ): copy it again"
            )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file that may be damaged.

    Raises:
        CorruptCheckpointError: missing or not a JSON object.
    """
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise CorruptCheckpointError(f"{path} is missing: this is no checkpoint folder") from error
    except (ValueError, RecursionError) as error:
        raise CorruptCheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise CorruptCheckpointError(f"{path} must hold a JSON object")
    return data


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises:
        CorruptCheckpointError: missing, truncated or not safetensors.
    """
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CorruptCheckpointError(f"{path} cannot be read: {error}") from error


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Load a model's weights strictly.

    Raises:
        CorruptCheckpointError: unreadable, or names or shapes differ from the model's.
    """
    tensors = load_tensors(path)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    if expected != found:
        differing = sorted(
            k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k)
        )
        raise CorruptCheckpointError(
            f"{path} does not fit the config beside it: {len(differing)} tensors differ, e.g. "
            f"{differing[0]} is {found.get(differing[0])}, expected {expected.get(differing[0])}"
        )
    model.load_state_dict(tensors)


def save(
    root: Path,
    step: int,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    keep: int = 2,
) -> Path:
    """Write checkpoint `step`; older ones beyond `keep` go once it is durable."""
    final = root / f"step-{step:08d}"
    temporary = root / f".{final.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        safetensors.torch.save_file(
            _contiguous(model.state_dict()), temporary / "model.safetensors"
        )
        moments = _moments(model, optimizer)
        moments["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            moments["random.cuda"] = torch.cuda.get_rng_state()
        safetensors.torch.save_file(moments, temporary / "optimizer.safetensors")
        (temporary / "state.json").write_text(json.dumps({"step": step, **state}, indent=1) + "\n")
        write_manifest(temporary)
        shutil.rmtree(final, ignore_errors=True)
        os.rename(temporary, final)
        _fsync(root)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for old in checkpoints(root)[:-keep]:
        shutil.rmtree(old)
    return final


def checkpoints(root: Path) -> list[Path]:
    """Committed checkpoints, oldest first."""
    return sorted(p for p in root.glob("step-*") if (p / MANIFEST).is_file())


def load(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Restore weights, moments and random state; returns state.json.

    Raises:
        CorruptCheckpointError: see `check_manifest`, `load_weights`.
    """
    check_manifest(folder, TENSORS_AND_STATE)
    load_weights(model, folder / "model.safetensors")
    tensors = load_tensors(folder / "optimizer.safetensors")
    torch.set_rng_state(tensors.pop("random.cpu"))
    if "random.cuda" in tensors:
        cuda = tensors.pop("random.cuda")
        if torch.cuda.is_available():
            torch.cuda.set_rng_state(cuda)
    for name, parameter in model.named_parameters():
        # What has had no gradient yet has no moments: the patch network, where no task has images.
        if f"{name}.step" in tensors:
            optimizer.state[parameter] = {
                kind: tensors[f"{name}.{kind}"].to(parameter.device)
                for kind in ("step", "exp_avg", "exp_avg_sq")
            }
    return read_json(folder / "state.json")


def _moments(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return _contiguous(
        {
            f"{name}.{kind}": value
            for name, parameter in model.named_parameters()
            for kind, value in optimizer.state[parameter].items()
        }
    )


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _fingerprint(path: Path) -> dict[str, int]:
    checksum, size = google_crc32c.Checksum(), 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            checksum.update(block)
            size += len(block)
    return {"size": size, "crc32c": int.from_bytes(checksum.digest(), "big")}


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
