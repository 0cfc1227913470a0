from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pacos.config import PromptFormat
from selfinstruct.config import GeneratorConfig
from selfinstruct.generators import LocalGenerator
from selfinstruct.ledger import Request
from selfinstruct.prompts import BLOCKS
from selfinstruct.sampling import complete, draw

PROMPTS = ["Name a river", "List the things that I should not forget to take", "Why"]


@pytest.fixture(scope="module")
def model_folder(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        eos_token_id=2,
    )
    folder = tmp_path_factory.mktemp("model")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def generator(model_folder: Path) -> LocalGenerator:
    return LocalGenerator(
        GeneratorConfig(name="tiny", model=str(model_folder), terms="", batch_size=4)
    )


def requests(max_tokens: int = 24, temperature: float = 1.0, top_p: float = 0.9) -> list[Request]:
    return [
        Request("tiny", prompt, 1, max_tokens, temperature, top_p, seed)
        for seed, prompt in enumerate(PROMPTS)
    ]


def test_a_reply_does_not_depend_on_its_batch(generator: LocalGenerator) -> None:
    together = generator.answer(requests())
    alone = [generator.answer([request])[0] for request in requests()]
    assert together == alone
    assert together == generator.answer(requests())
    other = [dataclasses.replace(request, seed=request.seed + 9) for request in requests()]
    assert generator.answer(other) != together


def test_rows_that_end_early_leave_the_others_as_they_are(generator: LocalGenerator) -> None:
    short, *rest = requests()
    mixed = generator.answer([dataclasses.replace(short, max_tokens=3), *rest])
    assert mixed[1:] == generator.answer(requests())[1:]
    assert mixed[0].tokens == 3
    assert mixed[0].cut


def test_the_likeliest_tokens_are_those_of_transformers(generator: LocalGenerator) -> None:
    model, tokenizer = generator._model, generator._tokenizer
    for request in requests(temperature=1e-4):
        ids = tokenizer(request.prompt, return_tensors="pt")
        told = model.generate(**ids, max_new_tokens=24, do_sample=False, pad_token_id=0)
        expected = tokenizer.decode(told[0, ids["input_ids"].shape[1] :])
        got = complete(model, tokenizer, BLOCKS, [request])[0].text
        assert expected.startswith(got)


def test_a_chat_reply_goes_on_after_the_end_of_the_users_turn(model_folder: Path) -> None:
    config = GeneratorConfig(
        name="tiny", model=str(model_folder), terms="", prompt_format=PromptFormat.chatml
    )
    generator = LocalGenerator(config)
    end = generator._tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert end == 2
    generator._model.lm_head.weight.data[:] = 0
    generator._model.lm_head.weight.data[end] = 1
    norm = generator._model.model.norm
    norm.weight.data[:] = 0
    generator._model.lm_head.bias = torch.nn.Parameter(torch.zeros(len(generator._tokenizer)))
    generator._model.lm_head.bias.data[end] = 9.0
    reply = generator.answer([Request("tiny", "Why", 1, 24, 0.01, 1.0, 0)])[0]
    assert (reply.text, reply.cut) == ("<|im_end|><|im_end|>", False)


def test_the_nucleus_is_the_smallest_set_that_reaches_top_p() -> None:
    logits = torch.tensor([[0.1, 0.5, 0.3, 0.1]]).log()
    uniforms = [number / 100 for number in range(100)]
    many = logits.expand(100, -1)
    counts = draw(many, 1.0, 0.7, uniforms).bincount(minlength=4).tolist()
    assert counts[0] == counts[3] == 0
    assert counts[1] == pytest.approx(100 * 5 / 8, abs=1)
    assert draw(many, 1.0, 1.0, uniforms).bincount().tolist() == pytest.approx(
        [10, 50, 30, 10], abs=1
    )
    assert draw(many, 0.01, 0.7, uniforms).unique().tolist() == [1]


def test_a_flat_distribution_needs_the_whole_vocabulary() -> None:
    chosen = draw(torch.zeros(50, 5000), 1.0, 0.9, [number / 50 for number in range(50)])
    assert chosen.unique().numel() == 50
