"""Names of the prompt formats. The formats themselves are in prompts.py."""

from __future__ import annotations

from enum import Enum


class PromptFormat(Enum):
    """How a conversation is written out for the model; see `pacos/model/prompts.py`."""

    alpaca = "alpaca"
    llama2 = "llama2"
    llama3 = "llama3"
    chatml = "chatml"
