"""Tokenizers of one token a byte or of SmolLM2's, with the special tokens of foreign templates."""

from __future__ import annotations

import copy
from importlib import resources
from typing import Any

SPECIAL = [
    *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|eot_id|>", "<|eom_id|>", "<|python_tag|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"),
    *("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
]

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def tokenizer_with(eos: str, bos: str = "<|begin_of_text|>") -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, pad_token="<|end_of_text|>"
    )


def with_special_tokens(tokenizer: Any) -> Any:
    """Copy a tokenizer whose letters merge, and add the tokens of every format."""
    own = copy.deepcopy(tokenizer)
    own.add_special_tokens({"additional_special_tokens": SPECIAL})
    return own


def split_as_llama3(tokenizer: Any) -> Any:
    """Copy SmolLM2's tokenizer with the tokens of every format, and split text as Llama 3 does.

    SmolLM2's own pattern makes other tokens of the newlines before an answer than of those at the
    end of a prompt. TRL trains the former, which generation never sees.
    """
    from tokenizers import Regex, pre_tokenizers

    own = with_special_tokens(tokenizer)
    own.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return own


def trl_template(name: str) -> str:
    """The text of one of TRL's templates, which belong to the packages of the tests alone."""
    return (resources.files("trl") / "chat_templates" / f"{name}.jinja").read_text("utf-8")
