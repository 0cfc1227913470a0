"""Numbers with their noun."""

from __future__ import annotations


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Return `1 row`, `2 rows` or `1,000 rows`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
