"""The tokenizer of a training run."""

from __future__ import annotations

from typing import Any

from pacos.config import ModelConfig
from pacos.errors import UserError
from pacos.models import load_tokenizer
from pacos.prompts import stop_token_id


def build_tokenizer(model: ModelConfig) -> Any:
    """Load a model's tokenizer, whose stop and pad tokens are two.

    Raises:
        UserError: it cannot be loaded, lacks one of the tokens, or one is both.
    """
    tokenizer = load_tokenizer(model.path, model.revision, model.pad_token)
    stop = stop_token_id(tokenizer, model.prompt_format)
    if tokenizer.pad_token_id == stop:
        name = tokenizer.convert_ids_to_tokens(stop)
        raise UserError(
            f"model.pad_token = {model.pad_token}: {name} also ends an answer, and whoever trains "
            "on from here will mask what pads; name another token of the vocabulary, such as an "
            "unused one"
        )
    return tokenizer
