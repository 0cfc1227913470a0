"""Prices of tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files

import yaml

TABLE = "conf/prices.yaml"
SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
"""Date at the end of a model's name, as in gpt-4o-mini-2024-07-18. Snapshots cost the same."""


@dataclass(frozen=True, slots=True)
class Price:
    """Price of a model's tokens, in US dollars per million."""

    prompt: float
    completion: float

    def usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the cost in US dollars, without discounts for cached prompts."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


def listed_price(model: str, *, batch: bool) -> Price | None:
    """Return the price of a model, or of the model it is a snapshot of, from conf/prices.yaml."""
    table = yaml.safe_load(files("conf").joinpath("prices.yaml").read_text(encoding="utf-8"))
    models = table["models"]
    entry = models.get(model, models.get(SNAPSHOT.sub("", model)))
    if entry is None:
        return None
    share = 1.0 - entry["batch_discount"] if batch else 1.0
    return Price(entry["prompt"] * share, entry["completion"] * share)
