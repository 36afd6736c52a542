"""An agent made public: its folder with a model card, saved here or pushed to the Hub."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo

from gato_gym.training import hub
from gato_gym.training.bundle import README, Bundle, belongs, save_bundle
from gato_gym.training.model_card import MARK, complete_card, model_card

# The Hub plays a file of this name on the page of a model for reinforcement learning.
REPLAY = "replay"
MEDIA = (".mp4", ".png", ".jpg", ".gif")


def save_with_card(bundle: Bundle, folder: str | Path) -> Path:
    """Write an agent's folder; one without a card, or with one of ours, gets a new one.

    Raises:
        FileExistsError, ValueError: see `save_bundle` and `model_card`.
    """
    own = bundle.documents.get(README)
    if own is None or MARK in own:
        bundle = _with_card(bundle, model_card(bundle, Path(folder).absolute().name))
    return save_bundle(bundle, folder)


def push_bundle(
    bundle: Bundle, repo_id: str, *, video: str | Path | None = None, **options: Any
) -> CommitInfo:
    """Upload an agent with its card, as one commit; of an older agent there nothing stays.

    Args:
        bundle: the agent. Of a card that somebody wrote the text is kept.
        repo_id: "owner/name", or "name" for one's own.
        video: file that shows it at play: mp4, or a picture.
        options: of `hub.upload`.

    Raises:
        HubError, ValueError: see `hub.upload`, `model_card` and `complete_card`.
        FileNotFoundError: no such video.
    """
    media = _media(video)
    repo_id = hub.full_name(repo_id, options.get("token"))
    own = bundle.documents.get(README)
    if own is None or MARK in own:
        card = model_card(bundle, repo_id, next(iter(media), None))
    else:
        card = complete_card(own, bundle, repo_id)
    with tempfile.TemporaryDirectory() as temporary:
        folder = save_bundle(_with_card(bundle, card), Path(temporary) / "agent")
        files = {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        return hub.upload(files | media, repo_id, belongs, **options)


def _with_card(bundle: Bundle, card: str) -> Bundle:
    return replace(bundle, documents={**bundle.documents, README: card})


def _media(video: str | Path | None) -> dict[str, Path]:
    """Name in the repository -> file."""
    if video is None:
        return {}
    path = Path(video)
    if path.suffix.lower() not in MEDIA:
        raise ValueError(f"video {str(video)!r} must be one of {', '.join(MEDIA)}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no video {str(video)!r}: gato-gym record makes one")
    return {REPLAY + path.suffix.lower(): path}
