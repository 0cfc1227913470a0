"""Repositories of the Hugging Face hub: their files in its cache, and words for what goes wrong.

The library huggingface_hub downloads, resumes and caches; nothing here needs torch.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacos.errors import UserError, first_line

TOKENIZER_FILES = ("*.json", "*.jinja", "*.txt", "tokenizer.model")
"""Of a model's files those that are small; its configs are among them."""
WEIGHT_FILES = ("*.safetensors",)
OLD_WEIGHT_FILES = ("*.bin",)
"""Of models that have no others."""
DATA_FILES = ("*",)

COMMANDS = {"target": "eval target", "generator.model": "selfinstruct generator.model"}
"""Words of `pacos prefetch` for keys that pacos sft does not have; others are its own."""


@dataclass(frozen=True, slots=True)
class Repository:
    """Files of one repository that a run needs."""

    key: str
    """Key of the config that names it."""
    name: str
    """owner/name"""
    revision: str | None = None
    """Commit, tag or branch; None takes the newest."""
    patterns: tuple[str, ...] = (*TOKENIZER_FILES, *WEIGHT_FILES)
    """Globs of its files; those that match none are left out."""
    kind: str = "model"
    """`model` or `dataset`."""

    def command(self) -> str:
        """The command that downloads it."""
        named = f"{COMMANDS.get(self.key, self.key)}={self.name}"
        if self.revision is not None:
            named += (
                f"@{self.revision}"
                if self.kind == "dataset"
                else f" model.revision={self.revision}"
            )
        return f"pacos prefetch {named}"


def fetch(repository: Repository) -> Path:
    """The folder with a repository's files, downloaded as far as they are not in the cache.

    Where the hub cannot be reached, what is in the cache is taken if it is whole.

    Raises:
        UserError: it cannot be had; what to do is said.
    """
    folder = Path(_snapshot(repository))
    if _lacks_weights(repository, [path.name for path in folder.iterdir()]):
        return Path(_snapshot(_with_old_weights(repository)))
    return folder


def files_of(repository: Repository) -> list[Any]:
    """What `fetch` would take: `huggingface_hub.DryRunFileInfo` of each file.

    Raises:
        UserError: it cannot be had; what to do is said.
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
    wanted = set(WEIGHT_FILES) <= set(repository.patterns)
    return wanted and not any(name.endswith(".safetensors") for name in names)


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
    except (OSError, ValueError) as error:
        raise UserError(explain(repository, error)) from error


def explain(repository: Repository, error: BaseException) -> str:
    """What is wrong with a repository, and what to do."""
    from huggingface_hub import errors

    at = f"{repository.key} = {repository.name}"
    cause, endpoint = _cause(error), _endpoint()
    token = "HF_TOKEN is set" if os.environ.get("HF_TOKEN") else "HF_TOKEN is not set"
    if isinstance(cause, errors.GatedRepoError):
        page = "" if repository.kind == "model" else f"{repository.kind}s/"
        return (
            f"{at}: is gated: its owners let in who accepts its licence ({token}).\n"
            f"  1. accept it, signed in, at {endpoint}/{page}{repository.name}; some owners take "
            "hours to answer\n"
            f"  2. make a token that may read, at {endpoint}/settings/tokens\n"
            f"  3. export HF_TOKEN=…, then: {repository.command()}"
        )
    if isinstance(cause, errors.RevisionNotFoundError):
        return f"{at}: has no revision {repository.revision}; name a commit, tag or branch of it"
    if isinstance(cause, errors.HfHubHTTPError) and cause.response.status_code in (401, 403, 404):
        return (
            f"{at}: no such {repository.kind} on {endpoint}, or not for you ({token}); check the "
            "name, or export HF_TOKEN=… of an account that may read it"
        )
    return (
        f"{at}: not whole in the cache of this machine ({_cache()}), and {endpoint} cannot be had: "
        f"{first_line(cause)}; on a machine with a network type: {repository.command()}"
    )


def _cause(error: BaseException) -> BaseException:
    """What the hub answered, within a chain of errors; where it answered nothing, its deepest."""
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
