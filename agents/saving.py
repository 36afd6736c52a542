"""How an agent leaves the process: into a folder, or to the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo

from gato_gym.models.gato import Gato
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.training.bundle import Bundle
from gato_gym.training.publish import push_bundle, save_with_card
from gato_gym.types import Episode, TaskSpec


class Saving:
    """The part of `GatoAgent` that writes what `from_pretrained` reads."""

    model: Gato
    specs: dict[str, TaskSpec]
    prompts: dict[str, Episode]
    text: TextTokenizer | None
    documents: Mapping[str, str]

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **hub: Any,
    ) -> CommitInfo | None:
        """Write the agent's folder (see `training.bundle`) with a model card.

        Args:
            save_directory: an older agent there is replaced.
            push_to_hub: also call `push_to_hub(repo_id, **hub)`; without an id the folder's name.
            repo_id, hub: see `push_to_hub`.

        Raises:
            FileExistsError: the folder holds something that is not an agent.
            ValueError: the weights are rounded, see `models.precision`.
        """
        save_with_card(self._bundle(), save_directory)
        return (
            self.push_to_hub(repo_id or Path(save_directory).name, **hub) if push_to_hub else None
        )

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        commit_message: str = "Upload agent",
        branch: str | None = None,
        create_pr: bool = False,
        video: str | Path | None = None,
    ) -> CommitInfo:
        """Upload the agent with its model card to the Hugging Face Hub, as one commit.

        Args:
            repo_id: "owner/name"; made if it does not exist.
            private: whether a new repository is; None leaves it to the owner's settings.
            token: of an account that may write there; None is the one that is logged in.
            commit_message: first line of the commit.
            branch: made if it does not exist; None is the main one.
            create_pr: open a pull request instead of changing the branch.
            video: mp4 or picture that shows the agent at play.

        Returns:
            The commit: `oid` is the revision that loads exactly this agent.

        Raises:
            HubError: not logged in, no right to write there, or the Hub is out of reach.
            ValueError: the weights are rounded; a public repository where a private one was asked.
            FileNotFoundError: no such video.
        """
        return push_bundle(
            self._bundle(),
            repo_id,
            video=video,
            private=private,
            token=token,
            commit_message=commit_message,
            branch=branch,
            create_pr=create_pr,
        )

    def _bundle(self) -> Bundle:
        return Bundle(self.model, self.specs, self.prompts, self.text, self.documents)
