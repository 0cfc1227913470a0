"""Overrides as a person types them."""

from __future__ import annotations

import shlex


def typed(key: str, value: str) -> str:
    """Return KEY=VALUE for the shell, with quotes where the shell or Hydra needs them."""
    # Hydra takes a bare bracket, as in train[:10], for a list.
    return shlex.quote(f'{key}="{value}"' if "[" in value else f"{key}={value}")
