"""The README.md of an exported model: what it is, and under which terms it came to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pacos.model.paths import EMBEDDED, looks_local
from sft.config import SFTConfig


def model_card(
    config: SFTConfig,
    name: str,
    rows: int,
    terms: Sequence[str],
    steps: int,
    losses: Mapping[str, object],
) -> str:
    """A model card in the hub's format.

    Args:
        config: of the run.
        name: of the run.
        rows: rows of an epoch.
        terms: licences and terms that the rows name.
        steps: optimizer updates.
        losses: in nats a token, by what they were measured on.
    """
    model = config.model
    prompt_format = (
        "its tokenizer's own" if model.prompt_format is None else model.prompt_format.name
    )
    measured = ", ".join(f"{what} {loss:.4f}" for what, loss in losses.items())
    return f"""---
{_base(model.path)}library_name: transformers
pipeline_tag: text-generation
---

# {name}

{model.name}, fully fine-tuned with pacos on {rows} rows for {steps} steps; weights in bf16.

| | |
|---|---|
| prompt format | {prompt_format}; the tokenizer carries it as its chat template |
| end of an answer | every id of `eos_token_id` in generation_config.json |
| optimizer | AdamW, peak learning rate {config.optimizer.lr:g}, {config.schedule.decay.name} |
| longest row | {config.data.max_length} tokens |
| nats a token | {measured} |

## Terms of what it was made from

- weights: {model.license}
{"".join(f"- data: {line}" + chr(10) for line in terms)}"""


def _base(path: str) -> str:
    """The line that links to the base model, where this is on the hub."""
    return "" if path.startswith(EMBEDDED) or looks_local(path) else f"base_model: {path}\n"
