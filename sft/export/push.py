"""Upload of an exported model to the Hugging Face hub. Free of torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pacos.errors import UserError, first_line

TOKEN = "HF_TOKEN"
OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
"""Variables that sites set for jobs. They are ignored here, where uploading is the purpose."""

SAID = 300
"""Characters of an answer of the hub that are shown. Its first line is the HTTP status alone."""


def prepare_push(repository: str) -> str:
    """Return the token to push with; call it before huggingface_hub is imported.

    Raises:
        UserError: there is none, or no repository can have this name.
    """
    for name in OFFLINE_VARIABLES:
        os.environ.pop(name, None)
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UserError(f"--push {repository}: {first_line(error)}; give owner/name") from error
    if repository.count("/") != 1:
        raise UserError(f"--push {repository}: names no owner; give owner/name")
    token = os.environ.get(TOKEN, "")
    if not token:
        raise UserError(
            f"--push {repository}: {TOKEN} is not set; create a token with write access in the "
            f"hub's settings and export {TOKEN}=…"
        )
    return token


def push(folder: Path, repository: str, token: str, *, public: bool) -> str:
    """Upload a model directory, and return the address of the commit.

    Files that the hub has already, from a push that broke off, are not sent again.

    Args:
        folder: the model directory, with its card.
        repository: owner/name; created if there is none.
        token: of an account that may write there.
        public: True if everyone may read a new repository.

    Raises:
        UserError: the hub refuses or cannot be reached, or the repository is public unexpectedly.
    """
    from huggingface_hub import HfApi

    # No other source of a token: one that an earlier login left on the disk may be someone else's.
    hub: Any = HfApi(token=token)
    try:
        hub.create_repo(repository, private=not public, exist_ok=True)
        if not public and not hub.model_info(repository).private:
            raise UserError(
                f"--push {repository}: exists and is public; add --public to push to it, or name "
                "another repository"
            )
        done = hub.upload_folder(
            repo_id=repository, folder_path=folder, commit_message=f"Upload {folder.name}"
        )
    except UserError:
        raise
    except Exception as error:  # errors of connections are those of the client's HTTP library
        said = " ".join(str(error).split())[:SAID] or type(error).__name__
        raise UserError(
            f"--push {repository}: {said}; {folder} is complete, and the same command sends what "
            "is missing"
        ) from error
    return str(done.commit_url)
