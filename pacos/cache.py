"""Where pacos keeps what it can make again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """PACOS_CACHE, else a folder of its own among the user's caches."""
    root = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("PACOS_CACHE", f"{root}/pacos")).expanduser()
