"""The tokenizer of a training run."""

from __future__ import annotations

from typing import Any

from pacos.configs.shared import Init, ModelConfig
from pacos.errors import UserError
from pacos.model.loading import load_tokenizer
from pacos.model.prompts import stop_token_id
from sft.config import SFTConfig


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


def stop_ids(config: SFTConfig, tokenizer: Any, model: Any) -> list[int]:
    """Ids of all tokens that end an answer.

    The stop token of the prompt format comes first; after it those that the tokenizer and the base
    model's own generation config name, which the trained model may still write.
    """
    ids = [stop_token_id(tokenizer, config.model.prompt_format), tokenizer.eos_token_id]
    if config.model.init is Init.pretrained:
        named = model.generation_config.eos_token_id
        ids += named if isinstance(named, list) else [named]
    return list(dict.fromkeys(number for number in ids if number is not None))
