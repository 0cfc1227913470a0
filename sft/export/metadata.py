"""The small files of an exported model: config, generation defaults, tokenizer, chat template.

They are read by transformers 4 and 5, by vLLM and by llama.cpp's converter, which look for the same
fact in different places. What one of them does not find it replaces by a default of its own,
without a warning: other frequencies, other stop tokens, no chat template. So each fact is written
wherever one of them looks, and never with two values.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pacos.files import atomic_write, read_json, write_json
from pacos.model.protocols import CausalLM, Tokenizer

CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
CHAT_TEMPLATE = "chat_template.jinja"

INPUT_NAMES = ["input_ids", "attention_mask"]
"""Inputs that a tokenizer makes. The default of transformers 4 has token types besides, with which
`generate` fails."""

LOADED_WITH = ("backend", "is_local", "local_files_only")
"""Keys that transformers 5 adds to a saved tokenizer about how it was loaded."""


def write_metadata(
    folder: Path,
    model: CausalLM,
    tokenizer: Tokenizer,
    stops: Sequence[int],
    chat_template: str,
    dtype: torch.dtype,
) -> None:
    """Write everything but the weights and the card.

    Args:
        folder: the model directory.
        model: the model, with or without weights.
        tokenizer: its tokenizer.
        stops: ids that end an answer, the prompt format's own first.
        chat_template: Jinja text without marks of training.
        dtype: number format of the exported weights.
    """
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": list(stops) if len(stops) > 1 else stops[0],
        "pad_token_id": tokenizer.pad_token_id,
    }
    ids = {name: value for name, value in ids.items() if value is not None}
    _write_config(folder, model, ids, dtype)
    _write_generation_config(folder, model, ids)
    _write_tokenizer(folder, tokenizer, stops[0], chat_template)


def _write_config(
    folder: Path, model: CausalLM, ids: Mapping[str, object], dtype: torch.dtype
) -> None:
    config = copy.deepcopy(model.config)
    # Training turned use_cache off; generation needs it.
    config.update({**ids, "use_cache": True, "architectures": [type(model).__name__]})
    config.dtype = dtype
    config.save_pretrained(folder)
    written = read_json(folder / CONFIG)
    # The weights are plain numbers, whatever the base model's were.
    written.pop("quantization_config", None)
    write_json(folder / CONFIG, {**written, **_names_before_5(written)})


def _names_before_5(config: dict[str, Any]) -> dict[str, object]:
    """Return the keys of a config.json under the names that transformers 4 and others read.

    Without them transformers 4 takes a rope_theta of 10,000 and no scaling, silently.
    """
    rope = config["rope_parameters"]
    scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
    return {
        "rope_theta": rope["rope_theta"],
        "rope_scaling": None if rope["rope_type"] == "default" else scaling,
        "torch_dtype": config["dtype"],
    }


def _write_generation_config(folder: Path, model: CausalLM, ids: Mapping[str, object]) -> None:
    """Write the base model's sampling defaults with the new stop tokens.

    As JSON, because transformers refuses to save some published files that it loads, such as a
    temperature beside no `do_sample`.
    """
    base = model.generation_config.to_diff_dict()
    # A model without the file has one derived from its config, which knows nothing of sampling.
    defaults = {} if base.pop("_from_model_config", False) else base
    version = {"transformers_version": base["transformers_version"]}
    write_json(folder / GENERATION_CONFIG, {**defaults, **ids, **version})


def _write_tokenizer(folder: Path, tokenizer: Tokenizer, stop: int, chat_template: str) -> None:
    tokenizer = copy.deepcopy(tokenizer)
    # Many programs stop at the tokenizer's eos_token alone, without reading eos_token_id.
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(stop)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    config = read_json(folder / TOKENIZER_CONFIG)
    for name in LOADED_WITH:
        config.pop(name, None)
    # Transformers 4 reads a list of tokens under the first name only, and fails at the second.
    if isinstance(extra := config.get("extra_special_tokens"), list):
        del config["extra_special_tokens"]
        config["additional_special_tokens"] = extra
    config.setdefault("model_input_names", INPUT_NAMES)
    # LLaMA 3 publishes True, which transformers 5 ignores. Transformers 4 then takes the blank out
    # of a written " ,".
    config["clean_up_tokenization_spaces"] = False
    # The one class that reads tokenizer.json as it is in transformers 4 and 5: the former does not
    # know the name that the latter writes, and LLaMA's own class rebuilds the tokenizer in 5.
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    # In both places: older programs read only the first, vLLM and transformers prefer the second.
    config["chat_template"] = chat_template
    write_json(folder / TOKENIZER_CONFIG, config)
    atomic_write(folder / CHAT_TEMPLATE, chat_template)
