"""The small files of an exported model: each fact where every program looks, with one value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.sft.byte_tokenizer import byte_tokenizer
from tests.sft.export.small_models import KINDS, SAMPLING, export_small, small_model

IDS = torch.tensor([[number * 7919 % 251 for number in range(300)]])


def logits(folder: Path) -> torch.Tensor:
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        found: torch.Tensor = model(IDS).logits
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_each_spelling_of_the_config_alone_gives_the_same_logits(tmp_path: Path, kind: str) -> None:
    model = small_model(kind)
    folder = export_small(tmp_path, kind, model)
    with torch.no_grad():
        expected = model(IDS).logits
    assert torch.equal(logits(folder), expected)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    before_5 = {"rope_theta", "rope_scaling", "torch_dtype"}
    since_5 = {"rope_parameters", "dtype"}
    for dropped in (before_5, since_5):
        kept = {key: value for key, value in config.items() if key not in dropped}
        path.write_text(json.dumps(kept))
        assert torch.equal(logits(folder), expected)


def test_facts_are_written_under_both_names(tmp_path: Path) -> None:
    config = json.loads(
        (export_small(tmp_path, "llama3", small_model("llama3")) / "config.json").read_text()
    )
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 500_000.0
    assert {**config["rope_scaling"], "rope_theta": 500_000.0} == config["rope_parameters"]
    assert config["torch_dtype"] == config["dtype"] == "float32"
    plain = json.loads(
        (export_small(tmp_path, "llama1", small_model("llama1")) / "config.json").read_text()
    )
    assert plain["rope_scaling"] is None


def test_quantization_of_the_base_model_is_dropped(tmp_path: Path) -> None:
    model = small_model("llama1")
    model.config.quantization_config = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    folder = export_small(tmp_path, "llama1", model)
    assert "quant" not in (folder / "config.json").read_text()


def test_sampling_defaults_are_the_base_models_and_stops_the_new_ones(tmp_path: Path) -> None:
    stop, other = byte_tokenizer().convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    model = small_model("llama1")
    folder = export_small(tmp_path, "llama1", model)
    written = json.loads((folder / "generation_config.json").read_text())
    assert {key: written[key] for key in SAMPLING} == SAMPLING
    assert written["eos_token_id"] == [stop, other]
    assert written["pad_token_id"] == other
    # LLaMA 2 was published so, and transformers saves no such file.
    del model.generation_config.do_sample
    model.generation_config.do_sample = None
    again = export_small(tmp_path, "again", model)
    assert json.loads((again / "generation_config.json").read_text())["temperature"] == 0.6


def test_a_model_without_sampling_defaults_gets_none(tmp_path: Path) -> None:
    from transformers import GenerationConfig

    model = small_model("llama1")
    model.generation_config = GenerationConfig.from_model_config(model.config)
    folder = export_small(tmp_path, "llama1", model)
    names = json.loads((folder / "generation_config.json").read_text()).keys()
    assert names <= {"bos_token_id", "eos_token_id", "pad_token_id", "transformers_version"}


def test_the_tokenizer_is_one_that_transformers_4_knows(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    folder = export_small(tmp_path, "llama1", small_model("llama1"), tokenizer=tokenizer)
    written = json.loads((folder / "tokenizer_config.json").read_text())
    assert written["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert written["model_input_names"] == ["input_ids", "attention_mask"]
    assert written["clean_up_tokenization_spaces"] is False
    assert not {"backend", "extra_special_tokens"} & written.keys()
    loaded: Any = AutoTokenizer.from_pretrained(folder)
    text = "Hi , <|im_start|>there ."
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert loaded.decode(loaded(text)["input_ids"]) == text
    assert "<|im_start|>" in loaded.all_special_tokens


def test_the_chat_template_is_the_same_in_both_places(tmp_path: Path) -> None:
    folder = export_small(tmp_path, "llama1", small_model("llama1"))
    template = (folder / "chat_template.jinja").read_text()
    written = json.loads((folder / "tokenizer_config.json").read_text())
    assert written["chat_template"] == template
    assert AutoTokenizer.from_pretrained(folder).chat_template == template
