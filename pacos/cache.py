"""The cache: files that pacos can make again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """Return PACOS_CACHE from the environment, else `pacos` in the user's cache folder (XDG)."""
    root = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("PACOS_CACHE", f"{root}/pacos")).expanduser()
