"""An agent on disk: all that acting needs, in one folder.

    config.json         shape of the model
    model.safetensors   weights
    tasks.json          specs of the tasks it was trained on
    prompts/            a demonstration per task, as corpus records
    text.model          SentencePiece model, where it reads text
    card.json, README.md, scorecard.json    how it was made and how it scores, where known
    manifest.json       size and crc32c of the files above, but not of the last two, which may
                        change later: a score is measured, a README is edited on the Hub

The folder is complete or absent: it is written beside its place, checked in, and renamed. Whoever
wrote it, loading reads no other file, follows no link out of it, unpickles nothing, and allocates
nothing that the size of its files does not account for.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch

from gato_gym.data.records import decode, encode
from gato_gym.errors import CorruptCheckpointError, CorruptShardError
from gato_gym.models.gato import Gato
from gato_gym.models.precision import check_savable
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.training import hub
from gato_gym.training.bundled import BUNDLED, means_bundled
from gato_gym.training.checkpoint import MANIFEST, check_manifest, read_json, write_manifest
from gato_gym.training.weights import read_config, read_model
from gato_gym.types import Episode, TaskSpec

CONFIG, TASKS, WEIGHTS, TEXT = "config.json", "tasks.json", "model.safetensors", "text.model"
README, SCORECARD = "README.md", "scorecard.json"
# Files that travel with an agent but that acting does not read.
DOCUMENTS = ("card.json", README, SCORECARD)
PROMPTS, EPISODE = "prompts", ".episode"
# Every file of an agent, and how many bytes of it are held in memory at most; none of the weights,
# which are as large as the model.
_MIB = 1 << 20
LIMITS = {
    CONFIG: _MIB,
    TASKS: 16 * _MIB,
    MANIFEST: 16 * _MIB,
    TEXT: 64 * _MIB,
    WEIGHTS: None,
    **dict.fromkeys(DOCUMENTS, 16 * _MIB),
}
PROMPT_LIMIT = 64 * _MIB


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
        ValueError: rounded weights, or a document of an unknown name.
    """
    check_savable(bundle.model)
    for name in bundle.documents:
        if name not in DOCUMENTS:
            raise ValueError(f"document {name!r} is none of an agent's: {', '.join(DOCUMENTS)}")
    final = Path(folder).absolute()
    if final.is_dir() and any(final.iterdir()) and not (final / CONFIG).is_file():
        raise FileExistsError(f"{final} is not empty and holds no agent: choose another folder")
    temporary = final.with_name(f".{final.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        _write_json(temporary / CONFIG, bundle.model.config.to_json())
        _write_json(temporary / TASKS, {k: v.to_json() for k, v in bundle.specs.items()})
        weights = {k: v.detach().cpu().contiguous() for k, v in bundle.model.state_dict().items()}
        safetensors.torch.save_file(weights, temporary / WEIGHTS)
        (temporary / PROMPTS).mkdir()
        for task, episode in bundle.prompts.items():
            (temporary / PROMPTS / prompt_name(task)).write_bytes(encode(episode))
        if bundle.text is not None:
            (temporary / TEXT).write_bytes(bundle.text.model)
        for name, content in bundle.documents.items():
            (temporary / name).write_text(content, encoding="utf-8")
        write_manifest(temporary, skip=[README, SCORECARD])
        shutil.rmtree(final, ignore_errors=True)
        os.rename(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def find_bundle(source: str | Path | None, revision: str | None = None, **options: Any) -> Bundle:
    """Load the agent of a folder, or of a Hub id where there is no such folder.

    Args:
        source: folder, "owner/name" or "owner/name@revision"; None or "bundled" for the agent that
            comes with the package.
        revision: of the Hub repository: a branch, a tag or a commit's hash.
        options: for the Hub, see `hub.OPTIONS`.

    Raises:
        CorruptCheckpointError: see `load_bundle`.
        HubError: the Hub has no such model, does not let us in, or is out of reach.
        ValueError: a revision of a folder, or two revisions.
        TypeError: no such option.
    """
    unknown = sorted(options.keys() - hub.OPTIONS)
    if unknown:
        raise TypeError(f"no option {unknown[0]!r}: there are {', '.join(sorted(hub.OPTIONS))}")
    source = BUNDLED if source is None or means_bundled(source) else source
    name, _, at = str(source).partition("@")
    looks_like_an_id = name.count("/") == 1 and not name.startswith((".", "/", "~"))
    if Path(source).exists() or not looks_like_an_id:
        if revision is not None:
            raise ValueError(f"revision {revision!r} is for a Hub id, {str(source)!r} is a folder")
        return load_bundle(source)
    if at and revision not in (None, at):
        raise ValueError(f"two revisions, {at!r} and {revision!r}: pass one of them")
    folder = hub.download(name, revision or at or None, [*LIMITS, f"{PROMPTS}/*{EPISODE}"], options)
    try:
        return load_bundle(folder)
    except CorruptCheckpointError as error:
        raise CorruptCheckpointError(
            f"{error}; this is the Hub's {name}: force_download=True fetches it again, and if that "
            "does not help, it was damaged before it was uploaded"
        ) from error


def load_bundle(folder: str | Path) -> Bundle:
    """Read and check a folder that `save_bundle` wrote, or the Hub's cache of one.

    Raises:
        CorruptCheckpointError: missing, incomplete, changed, or not what it says it is.
    """
    root = Path(folder)
    if not root.is_dir():
        raise CorruptCheckpointError(f"{root} does not exist: no agent was saved there")
    inner = root / "agent"
    if not (root / MANIFEST).is_file() and (inner / MANIFEST).is_file():
        raise CorruptCheckpointError(f"{root} is a training run; its agent is in {inner}")
    present = _present(root)
    _check_listed(root)
    checked = present - {MANIFEST, *DOCUMENTS} | {CONFIG, TASKS, WEIGHTS}
    check_manifest(root, sorted(checked), follow_links=True)
    specs = _read_specs(root)
    return Bundle(
        model=read_model(read_config(root / CONFIG), root / WEIGHTS),
        specs=specs,
        prompts={
            task: _read_prompt(root, task)
            for task in specs
            if f"{PROMPTS}/{prompt_name(task)}" in present
        },
        text=TextTokenizer.load(root / TEXT) if TEXT in present else None,
        documents={name: _read_text(root / name) for name in DOCUMENTS if name in present},
    )


def prompt_name(task: str) -> str:
    """File name of a task's demonstration: "ALE/Boxing-v5" -> "ALE__Boxing-v5.episode"."""
    return task.replace("/", "__") + EPISODE


def belongs(name: str) -> bool:
    """Whether a file of this name, relative to the folder, is part of an agent."""
    place, _, file = name.rpartition("/")
    return name in LIMITS or (place == PROMPTS and file.endswith(EPISODE))


def _present(root: Path) -> Set[str]:
    """The agent's files that are there, by name; each lies inside and is not too large to read."""
    found = {name for name in LIMITS if (root / name).is_file()}
    found |= {f"{PROMPTS}/{path.name}" for path in (root / PROMPTS).glob(f"*{EPISODE}")}
    # In the Hub's cache the files are links into a folder beside the snapshots.
    cache = root.parent.with_name("blobs") if root.parent.name == "snapshots" else root
    homes = [root.resolve(), cache.resolve()]
    for name in sorted(found):
        path = root / name
        real = path.resolve()
        if not any(real.is_relative_to(home) for home in homes):
            raise CorruptCheckpointError(f"{path} is a link to outside of its folder: {real}")
        limit, size = LIMITS.get(name, PROMPT_LIMIT), path.stat().st_size
        if limit is not None and size > limit:
            raise CorruptCheckpointError(
                f"{path} has {size:,} bytes, in an agent at most {limit:,}: it is something else"
            )
    return found


def _check_listed(root: Path) -> None:
    for name in read_json(root / MANIFEST):
        if not belongs(name):
            raise CorruptCheckpointError(
                f"{root / MANIFEST} names {name!r}, which is outside of an agent's folder or no "
                "part of one; if a newer gato_gym wrote it: pip install --upgrade gato-gym"
            )


def _read_specs(root: Path) -> dict[str, TaskSpec]:
    specs = {}
    for task, told in read_json(root / TASKS).items():
        try:
            specs[task] = TaskSpec.from_json(told)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise CorruptCheckpointError(
                f"{root / TASKS} has no readable spec of {task!r}: {error}"
            ) from error
        if specs[task].id != task:
            raise CorruptCheckpointError(
                f"{root / TASKS} calls {specs[task].id!r} {task!r}: the names must be the same"
            )
    return specs


def _read_prompt(root: Path, task: str) -> Episode:
    path = root / PROMPTS / prompt_name(task)
    try:
        episode = decode(path.read_bytes(), str(path))
    except CorruptShardError as error:
        raise CorruptCheckpointError(str(error)) from error
    if episode.task != task:
        raise CorruptCheckpointError(f"{path} shows {episode.task}, not {task}")
    return episode


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CorruptCheckpointError(f"{path} is not UTF-8 text: {error}") from error


def _write_json(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n")
