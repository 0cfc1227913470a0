"""Config of experiment tracking."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class TrackingService(Enum):
    """Service that mirrors metrics.jsonl."""

    none = "none"
    wandb = "wandb"


class TrackingMode(Enum):
    """Time of the upload: during the run, or later by `pacos sync`."""

    online = "online"
    offline = "offline"


@dataclass(kw_only=True, slots=True)
class TrackingConfig:
    """Mirror of metrics.jsonl. The file itself is always written."""

    service: TrackingService = TrackingService.none
    """`none`, or `wandb` for Weights & Biases."""
    mode: TrackingMode = TrackingMode.offline
    """`online` uploads during the run and needs WANDB_API_KEY in the environment; without a key or
    a connection the run goes offline. `offline` keeps everything for `pacos sync RUN`."""
    project: str = "pacos"
    """W&B project."""
    entity: str | None = None
    """W&B team or user. null: the default entity of the API key."""
    group: str | None = None
    """W&B group. null: none, and for the points of a sweep the sweep's name."""
