"""What tokens cost."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files

import yaml

TABLE = "conf/prices.yaml"
SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
"""Date at the end of a model's name, as in gpt-4o-mini-2024-07-18; the price is the model's."""


@dataclass(frozen=True, slots=True)
class Price:
    """Price of a model's tokens, in US dollars for a million."""

    prompt: float
    completion: float

    def usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Cost of tokens, in US dollars. Discounts for cached prompts are left out of account."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


def listed_price(model: str, *, batch: bool) -> Price | None:
    """The price that conf/prices.yaml has for a model, or for the model it is a snapshot of."""
    table = yaml.safe_load(files("conf").joinpath("prices.yaml").read_text(encoding="utf-8"))
    models = table["models"]
    entry = models.get(model, models.get(SNAPSHOT.sub("", model)))
    if entry is None:
        return None
    share = 1.0 - entry["batch_discount"] if batch else 1.0
    return Price(entry["prompt"] * share, entry["completion"] * share)
