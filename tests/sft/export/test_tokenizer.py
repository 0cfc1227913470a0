"""The exported tokenizer gives the ids of training, whoever loads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pacos.data.example import Conversation
from pacos.model.loading import load_tokenizer
from pacos.prompts.choice import format_of, prompt_text, stop_token_id
from pacos.prompts.encoder import Encoder
from pacos.prompts.formats import PromptFormat
from sft.export.metadata import write_metadata
from tests.llama2_tokenizer import save_llama2_tokenizer
from tests.pacos.prompts.encoding import encoded
from tests.pacos.prompts.special_tokenizers import split_as_llama3
from tests.sft.export.small_models import small_model

TURNS = [
    {"role": "system", "content": "Be brief  ."},
    {"role": "user", "content": "Hi there, 12345 ~ 안녕 👋\n\n a"},
    {"role": "assistant", "content": "Hi a <b> .\n\n둘"},
    {"role": "user", "content": " [INST] again"},
    {"role": "assistant", "content": "B."},
]
TEXTS = ["Hi a", " Hi a  ", "\n\nHi", "a , b . it 's", "<s>[INST] Hi</s> a", "<|im_start|>user\nHi"]

Loader = Callable[[Path], Any]
LOADERS: dict[str, Loader] = {
    "AutoTokenizer": AutoTokenizer.from_pretrained,
    "PreTrainedTokenizerFast": PreTrainedTokenizerFast.from_pretrained,
    "load_tokenizer": lambda folder: load_tokenizer(str(folder)),
}


def of_llama2(folder: Path, _: Any) -> Any:
    return load_tokenizer(str(save_llama2_tokenizer(folder / "base")), pad_token="<unk>")


def of_smollm2(_: Path, tokenizer: Any) -> Any:
    return split_as_llama3(tokenizer)


@pytest.mark.parametrize(
    ("build", "prompt_format"),
    [
        (of_llama2, PromptFormat.llama2),
        (of_llama2, PromptFormat.alpaca),
        (of_smollm2, PromptFormat.chatml),
        (of_smollm2, PromptFormat.llama3),
    ],
)
def test_ids_are_those_of_training(
    tmp_path: Path,
    tokenizer: Any,
    build: Callable[[Path, Any], Any],
    prompt_format: PromptFormat,
) -> None:
    trained, folder = build(tmp_path, tokenizer), tmp_path / "export"
    folder.mkdir()
    stop = stop_token_id(trained, prompt_format)
    template = format_of(trained, prompt_format).exported()
    write_metadata(folder, small_model("llama1"), trained, [stop], template, torch.bfloat16)
    (example,) = encoded(Encoder.of(trained, prompt_format), Conversation(TURNS))
    prompt = prompt_text(trained, prompt_format, TURNS[:-1])
    file = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert file.encode(prompt, add_special_tokens=False).ids == [
        *trained(prompt, add_special_tokens=False)["input_ids"]
    ]
    for name, load in LOADERS.items():
        loaded = load(folder)
        ids = loaded.apply_chat_template(TURNS, return_dict=True)["input_ids"]
        assert ids == example.ids.tolist(), name
        asked = loaded.apply_chat_template(
            TURNS[:-1], add_generation_prompt=True, return_dict=True
        )["input_ids"]
        # The prompt of generation is what the last answer followed in training.
        assert asked == example.ids.tolist()[: len(asked)], name
        for text in TEXTS:
            for special in (True, False):
                here, there = (
                    one(text, add_special_tokens=special)["input_ids"] for one in (trained, loaded)
                )
                assert here == there, (name, text, special)
        assert loaded.decode(ids) == trained.decode(ids), name
        assert loaded.eos_token_id == stop
        assert loaded.pad_token == trained.pad_token
