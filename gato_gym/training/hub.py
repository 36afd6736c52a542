"""An agent's folder on its way to and from the Hugging Face Hub, through `huggingface_hub`.

An upload is one commit, so that nobody can download half of it; a download names the files that it
wants, so that nothing else arrives.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub import constants as settings
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars

import gato_gym
from gato_gym.errors import HubError

# What `huggingface_hub.snapshot_download` is told on request.
OPTIONS = frozenset(
    {"token", "cache_dir", "force_download", "local_files_only", "endpoint", "etag_timeout"}
)
LIBRARY: dict[str, Any] = {"library_name": "gato-gym", "library_version": gato_gym.__version__}
LOG_IN = "log in with `hf auth login`, or pass token="


def download(
    repo_id: str, revision: str | None, patterns: Sequence[str], options: Mapping[str, Any]
) -> Path:
    """Fetch files of a repository that the cache does not have yet.

    Args:
        repo_id: "owner/name".
        revision: a branch, a tag or a commit's hash; None is the main branch.
        patterns: names of files, with wildcards; no others are fetched.
        options: see `OPTIONS`.

    Returns:
        The folder in the cache. The Hub is asked for the revision's newest commit; if it cannot be
        reached, the last one that the cache has whole stands in.

    Raises:
        HubError: there is no such repository or revision, or we may not read it, or neither Hub nor
            cache has it.
    """
    try:
        with _bars_for_people():
            wanted: dict[str, Any] = {"allow_patterns": list(patterns), **LIBRARY, **options}
            folder = huggingface_hub.snapshot_download(repo_id, revision=revision, **wanted)
    except Exception as error:  # what it raises has no common base
        reason = _reason(error, repo_id, revision, HfApi(options.get("endpoint")), options)
        raise HubError(
            f"{repo_id!r} is neither a folder here nor a model that the Hub gave: {reason}"
        ) from error
    return Path(folder)


def full_name(repo_id: str, token: str | bool | None = None) -> str:
    """ "owner/name" of a repository; of a bare name the owner is who is logged in.

    Raises:
        HubError: nobody is logged in, or the Hub is out of reach.
    """
    if "/" in repo_id:
        return repo_id
    api = HfApi(token=token, **LIBRARY)
    try:
        return f"{api.whoami()['name']}/{repo_id}"
    except Exception as error:  # what it raises has no common base
        raise HubError(_refusal(error, repo_id, None, api)) from error


def upload(
    files: Mapping[str, Path],
    repo_id: str,
    replaced: Callable[[str], bool],
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    commit_message: str = "Upload agent",
    branch: str | None = None,
    create_pr: bool = False,
) -> CommitInfo:
    """Put files into a repository, which is made if it does not exist, as one commit.

    Args:
        files: name in the repository -> file here.
        repo_id: "owner/name", or "name" for one's own.
        replaced: which files there go, if `files` has none of their name.
        private: whether a new repository is; None leaves it to the owner's settings.
        token: of an account that may write there; None is the one that is logged in.
        commit_message: its first line.
        branch: made if it does not exist; None is the main one.
        create_pr: open a pull request instead of changing the branch.

    Raises:
        HubError: we may not write there, somebody else did meanwhile, or the Hub is out of reach.
        ValueError: asked for a private repository where a public one exists; a README.md that the
            Hub does not accept.
    """
    api = HfApi(token=token, **LIBRARY)
    try:
        with _bars_for_people():
            repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
            if branch and branch != settings.DEFAULT_REVISION and not branch.startswith("refs/"):
                api.create_branch(repo_id, branch=branch, exist_ok=True)
            now = api.model_info(repo_id, revision=branch)
            if private and not now.private:
                raise _PublicError
            there = [sibling.rfilename for sibling in now.siblings or []]
            gone = [name for name in there if replaced(name) and name not in files]
            return api.create_commit(
                repo_id,
                [
                    *(CommitOperationAdd(name, path) for name, path in files.items()),
                    *(CommitOperationDelete(name) for name in gone),
                ],
                commit_message=commit_message,
                revision=branch,
                create_pr=create_pr,
                # What is left out as unchanged must still be there.
                parent_commit=now.sha,
            )
    except _PublicError:
        raise ValueError(
            f"{repo_id} exists and is public, so nothing was uploaded: choose another name, or "
            "make it private in its settings on the Hub"
        ) from None
    except ValueError as error:
        if isinstance(error, HFValidationError | HfHubHTTPError):
            raise HubError(_refusal(error, repo_id, branch, api)) from error
        raise
    except Exception as error:  # what it raises has no common base
        raise HubError(_refusal(error, repo_id, branch, api)) from error


class _PublicError(Exception):
    pass


def _refusal(error: Exception, repo_id: str, branch: str | None, api: HfApi) -> str:
    """Why nothing was uploaded."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403) or isinstance(error, RepositoryNotFoundError | LocalTokenNotFoundError):
        reason = f"your account may not write there: {LOG_IN} one with write access"
    elif status == 412:
        reason = "somebody else changed it at the same time: push again"
    else:
        reason = _reason(error, repo_id, branch, api, {"token": api.token})
    return f"nothing was uploaded to {repo_id!r}: {reason}"


def _reason(
    error: Exception, repo_id: str, revision: str | None, api: HfApi, options: Mapping[str, Any]
) -> str:
    """What is wrong and what to do about it."""
    if isinstance(error, GatedRepoError):
        return f"it is gated: ask for access on {api.endpoint}/{repo_id}, then {LOG_IN}"
    if isinstance(error, RepositoryNotFoundError):
        return f"it does not exist, or it is private: check the name; for a private one {LOG_IN}"
    if isinstance(error, RevisionNotFoundError):
        known = _revisions(repo_id, api, options)
        return f"it has no revision {revision!r}{known}: pass one that exists, or a commit's hash"
    if isinstance(error, HFValidationError):
        return f"not a name the Hub can have, expected owner/name: {error}"
    cause = error.__cause__
    why = "" if cause is None else f" ({type(cause).__name__}: {cause})"
    if isinstance(error, LocalEntryNotFoundError):
        return (
            f"the Hub at {api.endpoint} was not asked or did not answer{why}, and the cache has no "
            "whole copy: check the network, HF_ENDPOINT, HF_HUB_OFFLINE and local_files_only"
        )
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return f"it does not accept the token (status {status}): {LOG_IN}"
        return f"it answered with status {status}: {error}; try again later"
    return (
        f"it broke off with {type(error).__name__}: {error}{why}; try again, what has arrived "
        "whole is not sent again"
    )


def _revisions(repo_id: str, api: HfApi, options: Mapping[str, Any]) -> str:
    """The branches and tags there, for a message; empty where the Hub does not tell."""
    try:
        refs = api.list_repo_refs(repo_id, token=options.get("token"))
    except Exception:  # only the message gets shorter
        return ""
    names = [ref.name for ref in (*refs.branches, *refs.tags)]
    return f", but {', '.join(names[:20])}"


@contextmanager
def _bars_for_people() -> Iterator[None]:
    """Progress bars only where a person watches; a setting of the environment goes before."""
    watched = sys.stderr is not None and sys.stderr.isatty()
    if watched or are_progress_bars_disabled() or settings.HF_HUB_DISABLE_PROGRESS_BARS is False:
        yield
    else:
        with disable_progress_bars():
            yield
