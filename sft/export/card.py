"""The model card: README.md of an exported model, with its recipe, losses and terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pacos.errors import UserError
from pacos.files import read_json, read_jsonl
from pacos.model.paths import EMBEDDED, looks_local
from pacos.run_paths import RunPaths
from pacos.terms.show import markdown
from pacos.tracking import metrics
from sft.config import SFTConfig

MEASURED = {"last training loss": metrics.LOSS, "validation loss": metrics.VALIDATION_LOSS}
"""Losses that a card names, and their keys in metrics.jsonl."""


def card_of_run(config: SFTConfig, run: RunPaths, step: int) -> str:
    """Return the card of the model after a step, from the records of the run.

    Raises:
        UserError: an older version of pacos recorded the run.
    """
    manifest = read_json(run.manifest)
    if "rows" not in manifest:
        raise UserError(
            f"{run.manifest} lacks the number of rows: an older version of pacos made the run; "
            "export with that version"
        )
    losses: dict[str, object] = {}
    for record in read_jsonl(run.metrics):
        if record[metrics.STEP] > step:
            break
        for name, key in MEASURED.items():
            if (value := record.get(key)) is not None:
                losses[name] = value
    losses = {name: losses[name] for name in MEASURED if name in losses}
    rows, terms = manifest["rows"], manifest["terms"]
    return model_card(config, run.path.name, rows, terms, step, losses)


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
        "a chat template of its own" if model.prompt_format is None else model.prompt_format.name
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
