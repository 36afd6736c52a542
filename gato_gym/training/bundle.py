"""An agent on disk: all that acting needs, in one folder.

    config.json         shape of the model
    model.safetensors   weights
    tasks.json          specs of the tasks it was trained on
    prompts/            a demonstration per task, as corpus records
    text.model          SentencePiece model, where it reads text
    card.json, README.md, scorecard.json    how it was made and how it scores, where known
    manifest.json       size and crc32c of every file but the scorecard, which is measured later

The folder is complete or absent: it is written beside its place, checked in, and renamed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import huggingface_hub
import safetensors.torch

from gato_gym.config import ModelConfig
from gato_gym.data.records import decode, encode
from gato_gym.errors import CorruptCheckpointError
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.training.checkpoint import (
    MANIFEST,
    check_manifest,
    load_weights,
    read_json,
    write_manifest,
)
from gato_gym.types import Episode, TaskSpec

# Files that travel with an agent but that acting does not read.
SCORECARD = "scorecard.json"
DOCUMENTS = ("card.json", "README.md", SCORECARD)


@dataclass
class Bundle:
    """What the folder holds; `documents` maps the names of `DOCUMENTS` to their text."""

    model: Gato
    specs: dict[str, TaskSpec]
    prompts: dict[str, Episode] = field(default_factory=dict)
    text: TextTokenizer | None = None
    documents: Mapping[str, str] = field(default_factory=dict)


def save_bundle(bundle: Bundle, folder: str | Path) -> Path:
    """Write the folder; an older agent there is replaced.

    Raises:
        FileExistsError: the folder holds something that is not an agent.
    """
    final = Path(folder).absolute()
    if final.is_dir() and any(final.iterdir()) and not (final / "config.json").is_file():
        raise FileExistsError(f"{final} is not empty and holds no agent: choose another folder")
    temporary = final.with_name(f".{final.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        _write_json(temporary / "config.json", bundle.model.config.to_json())
        _write_json(temporary / "tasks.json", {k: v.to_json() for k, v in bundle.specs.items()})
        weights = {k: v.detach().cpu().contiguous() for k, v in bundle.model.state_dict().items()}
        safetensors.torch.save_file(weights, temporary / "model.safetensors")
        (temporary / "prompts").mkdir()
        for task, episode in bundle.prompts.items():
            (temporary / "prompts" / prompt_name(task)).write_bytes(encode(episode))
        if bundle.text is not None:
            (temporary / "text.model").write_bytes(bundle.text.model)
        for name, content in bundle.documents.items():
            (temporary / name).write_text(content)
        write_manifest(temporary, skip=[SCORECARD])
        shutil.rmtree(final, ignore_errors=True)
        os.rename(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def find_bundle(source: str | Path, revision: str | None = None, **hub: Any) -> Bundle:
    """Load the agent of a folder, or of a Hub id ("owner/name") where there is no such folder.

    Args:
        source: folder or id.
        revision: of the Hub repository.
        hub: passed on to `huggingface_hub.snapshot_download`.

    Raises:
        CorruptCheckpointError: see `load_bundle`; or the Hub has no such model, or is out of reach.
    """
    name = str(source)
    looks_like_an_id = name.count("/") == 1 and not name.startswith((".", "/", "~"))
    if Path(source).exists() or not looks_like_an_id:
        return load_bundle(source)
    try:
        folder = huggingface_hub.snapshot_download(name, revision=revision, **hub)
    except Exception as error:  # its errors share no base: network, missing, gated, bad revision
        raise CorruptCheckpointError(
            f"{name!r} is neither a folder here nor a model that the Hub gave: {error}"
        ) from error
    return load_bundle(folder, follow_links=True)


def load_bundle(folder: str | Path, *, follow_links: bool = False) -> Bundle:
    """Read and check a folder that `save_bundle` wrote; nothing is unpickled.

    Args:
        folder: where it is.
        follow_links: its files may be links, as in the Hub's cache.

    Raises:
        CorruptCheckpointError: missing, incomplete or changed.
    """
    root = Path(folder)
    if not root.is_dir():
        raise CorruptCheckpointError(f"{root} does not exist: no agent was saved there")
    inner = root / "agent"
    if not (root / MANIFEST).is_file() and (inner / MANIFEST).is_file():
        raise CorruptCheckpointError(f"{root} is a training run; its agent is in {inner}")
    present = ("config.json", "tasks.json", "model.safetensors", "text.model", "prompts/*")
    read = [p.relative_to(root).as_posix() for pattern in present for p in root.glob(pattern)]
    required = {"config.json", "tasks.json", "model.safetensors", *read}
    check_manifest(root, sorted(required), follow_links=follow_links)
    try:
        config = ModelConfig(**read_json(root / "config.json"))
        specs = {k: TaskSpec.from_json(v) for k, v in read_json(root / "tasks.json").items()}
    except (TypeError, KeyError, ValueError) as error:
        if isinstance(error, CorruptCheckpointError):
            raise
        raise CorruptCheckpointError(
            f"{root}: its JSON files are not an agent's: {error}"
        ) from error
    model = Gato(config)
    load_weights(model, root / "model.safetensors")
    text = root / "text.model"
    return Bundle(
        model=model.eval(),
        specs=specs,
        prompts={
            task: decode((root / "prompts" / prompt_name(task)).read_bytes(), prompt_name(task))
            for task in specs
            if (root / "prompts" / prompt_name(task)).is_file()
        },
        text=TextTokenizer.load(text) if text.is_file() else None,
        documents={n: (root / n).read_text() for n in DOCUMENTS if (root / n).is_file()},
    )


def prompt_name(task: str) -> str:
    """File name of a task's demonstration: "ALE/Boxing-v5" -> "ALE__Boxing-v5.episode"."""
    return task.replace("/", "__") + ".episode"


def _write_json(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n")
