"""The model card: README.md of an exported model, with its recipe, losses and terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pacos.model.paths import EMBEDDED, looks_local
from pacos.terms.show import markdown
from sft.config import SFTConfig


def model_card(
    config: SFTConfig,
    name: str,
    rows: int,
    terms: Mapping[str, Any],
    steps: int,
    losses: Mapping[str, object],
) -> str:
    """Return a model card in the hub's format.

    Args:
        config: of the run.
        name: of the run.
        rows: rows of an epoch.
        terms: as in the manifest (`pacos.terms.record`).
        steps: optimizer updates.
        losses: nats per token, by what they were measured on.
    """
    model, optimizer = config.model, config.optimizer
    prompt_format = (
        "its tokenizer's own" if model.prompt_format is None else model.prompt_format.name
    )
    measured = ", ".join(f"{source} {loss:.4f}" for source, loss in losses.items())
    return f"""---
{_base_model(model.path)}library_name: transformers
pipeline_tag: text-generation
---

# {name}

{model.name}, fully fine-tuned with pacos on {rows} rows for {steps} steps; weights in bf16.

| | |
|---|---|
| prompt format | {prompt_format}; saved as the tokenizer's chat template |
| end of an answer | any id of `eos_token_id` in generation_config.json |
| optimizer | {optimizer.NAME}, peak learning rate {optimizer.lr:g}, {config.schedule.decay.name} |
| longest row | {config.data.max_length} tokens |
| nats per token | {measured} |

## Terms

{markdown(terms, "model")}
"""


def _base_model(path: str) -> str:
    """Return the metadata line that links to the base model; empty unless it is on the hub."""
    # The hub takes a base_model for a link: a local path there would make the card invalid.
    return "" if path.startswith(EMBEDDED) or looks_local(path) else f"base_model: {path}\n"
