"""Repositories of the Hugging Face hub: their files in the local cache, and clear error messages.

huggingface_hub downloads, resumes and caches. Free of torch.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacos.errors import UserError, first_line
from pacos.text.typed import typed

TOKENIZER_FILES = ("*.json", "*.jinja", "*.txt", "tokenizer.model")
"""The small files of a model: tokenizer and configs."""
WEIGHT_FILES = ("*.safetensors",)
OLD_WEIGHT_FILES = ("*.bin",)
"""Weights of models that have no safetensors."""
DATA_FILES = ("*",)

COMMANDS = {"target": "eval target", "generator.model": "selfinstruct generator.model"}
"""Arguments of `pacos prefetch` for config keys that `pacos sft` does not have."""


@dataclass(frozen=True, slots=True)
class Repository:
    """The files of one hub repository that a run needs."""

    key: str
    """Config key that names the repository."""
    name: str
    """owner/name"""
    revision: str | None = None
    """Commit, tag or branch; None for the newest."""
    patterns: tuple[str, ...] = (*TOKENIZER_FILES, *WEIGHT_FILES)
    """Globs of the files needed."""
    kind: str = "model"
    """`model` or `dataset`."""
    path: str | None = None
    """Path of a data set in the config, with subset, split and slice."""

    def command(self) -> str:
        """Return the command that downloads it."""
        if self.path is not None:
            # Whichever key names it: data.mix takes no path alone.
            return f"pacos prefetch {typed('data.path', self.path)}"
        argument = f"{COMMANDS.get(self.key, self.key)}={self.name}"
        if self.revision is not None:
            argument += f" model.revision={self.revision}"
        return f"pacos prefetch {argument}"


def fetch(repository: Repository) -> Path:
    """Return the folder of a repository's files; download what the cache lacks.

    If the hub cannot be reached, a complete copy in the cache is enough.

    Raises:
        UserError: the files cannot be obtained; the message names the remedy.
    """
    folder = Path(_snapshot(repository))
    # Old weights only where there are no others: many repositories have both, and asking for both
    # would double the download.
    if _lacks_weights(repository, [path.name for path in folder.iterdir()]):
        return Path(_snapshot(_with_old_weights(repository)))
    return folder


def files_of(repository: Repository) -> list[Any]:
    """Return what `fetch` would need: `huggingface_hub.DryRunFileInfo` of each file.

    Raises:
        UserError: the hub does not list the files; the message names the remedy.
    """
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

    disable_progress_bars()
    try:
        files = list(_snapshot(repository, dry_run=True))
        if _lacks_weights(repository, [file.filename for file in files]):
            return list(_snapshot(_with_old_weights(repository), dry_run=True))
        return files
    finally:
        enable_progress_bars()


def _lacks_weights(repository: Repository, names: list[str]) -> bool:
    expected = set(WEIGHT_FILES) <= set(repository.patterns)
    return expected and not any(name.endswith(".safetensors") for name in names)


def _with_old_weights(repository: Repository) -> Repository:
    return dataclasses.replace(repository, patterns=(*TOKENIZER_FILES, *OLD_WEIGHT_FILES))


def _snapshot(repository: Repository, **options: Any) -> Any:
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(
            repository.name,
            repo_type=repository.kind,
            revision=repository.revision,
            allow_patterns=list(repository.patterns),
            **options,
        )
    # Every HTTP error of the hub is an OSError; a name that no repository can have, a ValueError.
    except (OSError, ValueError) as error:
        raise UserError(explain(repository, error)) from error


def explain(repository: Repository, error: BaseException) -> str:
    """Return what is wrong with a repository, and what to do."""
    from huggingface_hub import errors

    subject = f"{repository.key} = {repository.name}"
    cause, endpoint = _cause(error), _endpoint()
    token = "HF_TOKEN is set" if os.environ.get("HF_TOKEN") else "HF_TOKEN is not set"
    if isinstance(cause, errors.GatedRepoError):
        page = "" if repository.kind == "model" else f"{repository.kind}s/"
        return (
            f"{subject}: is gated: its owners require you to accept its license ({token}).\n"
            f"  1. sign in and accept it at {endpoint}/{page}{repository.name}; some owners take "
            "hours to approve\n"
            f"  2. create a token with read access at {endpoint}/settings/tokens\n"
            f"  3. export HF_TOKEN=…, then run: {repository.command()}"
        )
    if isinstance(cause, errors.RevisionNotFoundError):
        return (
            f"{subject}: has no revision {repository.revision}; name a commit, tag or branch of it"
        )
    # The hub answers 401 for a missing repository, too, so as not to reveal private ones.
    if isinstance(cause, errors.HfHubHTTPError) and cause.response.status_code in (401, 403, 404):
        return (
            f"{subject}: no such {repository.kind} on {endpoint}, or no access to it ({token}); "
            "check the name, or export HF_TOKEN=… of an account that may read it"
        )
    return (
        f"{subject}: not complete in this machine's cache ({_cache()}), and {endpoint} cannot be "
        f"reached: {first_line(cause)}; on a machine with a network run: {repository.command()}"
    )


def _cause(error: BaseException) -> BaseException:
    """Return the hub's answer within a chain of errors, or the deepest error if it gave none."""
    from huggingface_hub.errors import HfHubHTTPError

    while not isinstance(error, HfHubHTTPError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _endpoint() -> str:
    from huggingface_hub.constants import ENDPOINT

    return ENDPOINT


def _cache() -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    return HF_HUB_CACHE
