"""Config of the model that is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from pacos.identity import FREE
from pacos.model.shape import LlamaShape
from pacos.prompts.formats import PromptFormat


class Init(Enum):
    """Source of a model's weights."""

    pretrained = "pretrained"
    random = "random"


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    """A causal language model of the LLaMA architecture."""

    name: str = "???"
    """Short name, used in the names of runs."""
    path: str = "???"
    """Model directory, hub id (owner/name), or `embedded:NAME` for a model shipped as a Python
    package."""
    revision: str | None = None
    """Commit or tag on the hub. null: the newest, which may change between two runs."""
    init: Init = Init.pretrained
    """`pretrained` loads the weights of `path`. `random` takes only its tokenizer and draws weights
    of the sizes in `shape` from the seed."""
    prompt_format: PromptFormat | None = PromptFormat.chatml
    """Prompt format of training, evaluation and the exported chat template. null: the tokenizer's
    own chat template, which must mark assistant turns with {% generation %}."""
    pad_token: str | None = None
    """Token of the vocabulary to pad with; must not be the stop token, whose loss would be masked.
    null: the tokenizer's own pad token."""
    license: str = field(default="???", metadata=FREE)
    """License of the weights: an id of docs/licences.md. It binds every model trained from them."""
    shape: LlamaShape = field(default_factory=LlamaShape)
    """Sizes of the model, so that `pacos plan` needs neither the weights nor torch."""
    pretraining_tokens: float | None = field(default=None, metadata=FREE)
    """Tokens that the weights were pretrained on, as published. `pacos plan` compares them with the
    compute-optimal number (Chinchilla)."""
