"""Config of the model that is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from pacos.errors import Problem, UserError
from pacos.identity import FREE
from pacos.model.shape import ModelShape
from pacos.prompts.formats import PromptFormat, read_template


class Init(Enum):
    """Source of a model's weights."""

    pretrained = "pretrained"
    random = "random"


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    """A causal language model of a trained architecture."""

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
    """Prompt format of training, evaluation and the exported chat template. null: `chat_template`,
    or else the tokenizer's own chat template. Answers are found by {% generation %} marks, or
    without them by what the template writes after its generation prompt."""
    chat_template: str | None = None
    """Jinja file of a chat template, for `prompt_format=null`: used in training, evaluation and
    chat, and exported with the tokenizer. null: the tokenizer's own."""
    pad_token: str | None = None
    """Token of the vocabulary to pad with; must not be the stop token, whose loss would be masked.
    null: the tokenizer's own pad token."""
    license: str = field(default="???", metadata=FREE)
    """License of the weights: an id of docs/licences.md. It binds every model trained from them."""
    shape: ModelShape = field(default_factory=ModelShape)
    """Sizes of the model, so that `pacos plan` needs neither the weights nor torch. Those of a
    directory are read from its config.json; a value that you set must agree with it."""
    pretraining_tokens: float | None = field(default=None, metadata=FREE)
    """Tokens that the weights were pretrained on, as published. `pacos plan` compares them with the
    compute-optimal number (Chinchilla)."""

    def problems(self) -> list[Problem]:
        return template_problems("model.", self.prompt_format, self.chat_template)

    def missing_files(self) -> list[Problem]:
        return missing_template("model.", self.chat_template)


def template_problems(
    prefix: str, prompt_format: PromptFormat | None, chat_template: str | None
) -> list[Problem]:
    """Return the problem of a chat template that a prompt format would override.

    Args:
        prefix: of the keys, `model.` or empty.
        prompt_format: as configured.
        chat_template: as configured.
    """
    if chat_template is None or prompt_format is None:
        return []
    fault = f"{prefix}prompt_format={prompt_format.name} has a template of its own"
    remedy = f"set {prefix}prompt_format=null to use the file"
    return [Problem(f"{prefix}chat_template", chat_template, fault, remedy)]


def missing_template(prefix: str, chat_template: str | None) -> list[Problem]:
    """Return the problem of a chat template that is no readable Jinja file."""
    if chat_template is None:
        return []
    try:
        read_template(chat_template)
    except UserError as error:
        remedy = "give a Jinja file"
        return [Problem(f"{prefix}chat_template", chat_template, str(error), remedy)]
    return []
