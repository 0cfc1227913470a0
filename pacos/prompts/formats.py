"""Names of the prompt formats, for configs, which do without numpy."""

from __future__ import annotations

from enum import Enum


class PromptFormat(Enum):
    """Prompt format of a conversation; see `pacos/prompts/encoder.py`."""

    alpaca = "alpaca"
    llama2 = "llama2"
    llama3 = "llama3"
    chatml = "chatml"
