"""The tokenizer of a training run, and the tokens that end an answer."""

from __future__ import annotations

from pacos.configs.model import Init, ModelConfig
from pacos.errors import UserError
from pacos.model.loading import load_tokenizer, pad_hint
from pacos.model.protocols import CausalLM, Tokenizer
from pacos.prompts.choice import stop_token_id
from pacos.prompts.encoder import Encoder
from pacos.prompts.formats import read_template
from sft.config import SFTConfig
from sft.configs.data import TrainOn


def build_tokenizer(model: ModelConfig) -> Tokenizer:
    """Load a model's tokenizer and require different stop and pad tokens.

    Raises:
        UserError: it cannot be loaded, lacks one of the two tokens, or uses one token as both.
    """
    tokenizer = load_tokenizer(model.path, model.revision, model.pad_token)
    if model.chat_template is not None:
        # Everything that takes the tokenizer's template uses this one: data, samples and export.
        tokenizer.chat_template = read_template(model.chat_template)
    stop = stop_token_id(tokenizer, model.prompt_format)
    if tokenizer.pad_token_id == stop:
        # pacos itself never pads, but a trainer that masks padding by id would mask the stop token.
        name = tokenizer.convert_ids_to_tokens(stop)
        raise UserError(
            f"model.pad_token = {model.pad_token}: {name} also ends an answer, and trainers that "
            "mask the pad token would stop teaching it; name another token of the vocabulary"
            f"{pad_hint(tokenizer, name)}"
        )
    return tokenizer


def build_encoder(config: SFTConfig, tokenizer: Tokenizer) -> Encoder:
    """Return the encoder of a run's rows.

    Raises:
        UserError: the prompt format or chat template cannot be used.
    """
    return Encoder.of(
        tokenizer,
        config.model.prompt_format,
        only_last=config.data.train_on is TrainOn.last,
        train_on_reasoning=config.data.train_on_reasoning,
    )


def stop_ids(config: SFTConfig, tokenizer: Tokenizer, model: CausalLM) -> list[int]:
    """Return the ids of all tokens that end an answer.

    The prompt format's stop token comes first. Those of the tokenizer and of the base model's
    generation config follow: the trained model may still write them.
    """
    ids = [stop_token_id(tokenizer, config.model.prompt_format), tokenizer.eos_token_id]
    if config.model.init is Init.pretrained:
        base = model.generation_config.eos_token_id
        ids += base if isinstance(base, list) else [base]
    return list(dict.fromkeys(token for token in ids if token is not None))
