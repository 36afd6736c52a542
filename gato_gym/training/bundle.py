"""An agent on disk: all that acting needs, in one folder.

    config.json         shape of the model
    model.safetensors   weights
    tasks.json          specs of the tasks it was trained on
    prompts/            a demonstration per task, as corpus records
    text.model          SentencePiece model, where it reads text
    card.json, README.md, scorecard.json    how it was made and how it scores, where known
    manifest.json       size and crc32c of every file

The folder is complete or absent: it is written beside its place, checked in, and renamed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch

from gato_gym.config import ModelConfig
from gato_gym.data.records import decode, encode
from gato_gym.errors import CorruptCheckpointError
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.training.checkpoint import (
    check_manifest,
    load_weights,
    read_json,
    write_manifest,
)
from gato_gym.types import Episode, TaskSpec

# Files that travel with an agent but that acting does not read.
DOCUMENTS = ("card.json", "README.md", "scorecard.json")


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
        write_manifest(temporary)
        shutil.rmtree(final, ignore_errors=True)
        os.rename(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def load_bundle(folder: str | Path) -> Bundle:
    """Read and check a folder that `save_bundle` wrote; nothing is unpickled.

    Raises:
        CorruptCheckpointError: missing, incomplete or changed.
    """
    root = Path(folder)
    if not root.is_dir():
        raise CorruptCheckpointError(f"{root} does not exist: no agent was saved there")
    check_manifest(root)
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
