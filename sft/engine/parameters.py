"""Parameters of an engine at any ZeRO stage."""

from __future__ import annotations

from typing import Any


def elements(parameter: Any) -> int:
    """Elements of a whole parameter; of one divided by ZeRO-3, only DeepSpeed knows."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))
