from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pacos.errors import UserError
from pacos.llm.request import Reply, Request, Sampling
from pacos.model.sampling import draw
from pacos.prompts.formats import PromptFormat
from selfinstruct.configs.generator import GeneratorConfig
from selfinstruct.generators.local import LocalGenerator

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


def requests(max_tokens: int = 12, temperature: float = 1.0, top_p: float = 0.9) -> list[Request]:
    return [
        Request(
            endpoint="local",
            model="tiny",
            prompt=prompt,
            sampling=Sampling(
                max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed
            ),
        )
        for seed, prompt in enumerate(PROMPTS)
    ]


def changed(request: Request, **values: Any) -> Request:
    sampling = dataclasses.replace(request.sampling, **values)
    return dataclasses.replace(request, sampling=sampling)


def answer(generator: LocalGenerator, asked: list[Request]) -> list[Reply]:
    async def ask() -> list[Reply]:
        return await asyncio.gather(*map(generator.ask, asked))

    return asyncio.run(ask())


def test_a_reply_does_not_depend_on_its_batch(generator: LocalGenerator) -> None:
    together = answer(generator, requests())
    alone = [answer(generator, [request])[0] for request in requests()]
    assert together == alone
    assert together == answer(generator, requests())
    other = [changed(request, seed=9 + at) for at, request in enumerate(requests())]
    assert answer(generator, other) != together


def test_rows_that_end_early_leave_the_others_as_they_are(generator: LocalGenerator) -> None:
    short, *rest = requests()
    mixed = answer(generator, [changed(short, max_tokens=3), *rest])
    assert mixed[1:] == answer(generator, requests())[1:]
    assert (mixed[0].completion_tokens, mixed[0].finish) == (3, "length")


def test_requests_of_different_sampling_are_answered_together(generator: LocalGenerator) -> None:
    greedy, *rest = requests()
    mixed = answer(generator, [changed(greedy, temperature=0.0), *rest])
    assert mixed[1:] == answer(generator, requests())[1:]


def test_the_likeliest_tokens_are_those_of_transformers(generator: LocalGenerator) -> None:
    model, tokenizer = generator._model, generator.tokenizer
    for request in requests(temperature=0.0):
        ids = tokenizer(request.prompt, return_tensors="pt")
        told = model.generate(**ids, max_new_tokens=12, do_sample=False, pad_token_id=0)
        expected = tokenizer.decode(told[0, ids["input_ids"].shape[1] :])
        assert expected.startswith(answer(generator, [request])[0].text)


def test_a_stop_text_ends_a_reply_and_is_not_part_of_it(generator: LocalGenerator) -> None:
    (whole,) = answer(generator, requests()[:1])
    stop = whole.text[10:13]
    (cut,) = answer(generator, [changed(requests()[0], stop=(stop,))])
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish == "stop"


def test_an_end_token_ends_a_chat_reply_but_not_a_text_that_holds_it(model_folder: Path) -> None:
    config = GeneratorConfig(
        name="tiny", model=str(model_folder), terms="", prompt_format=PromptFormat.chatml
    )
    generator = LocalGenerator(config)
    end = generator.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert end == 2
    generator._model.lm_head.weight.data[:] = 0
    norm = generator._model.model.norm
    norm.weight.data[:] = 0
    generator._model.lm_head.bias = torch.nn.Parameter(torch.zeros(len(generator.tokenizer)))
    generator._model.lm_head.bias.data[end] = 9.0
    sampling = Sampling(max_tokens=3, temperature=0.0)
    message = ({"role": "user", "content": "Why?"},)
    chat = Request(endpoint="local", model="tiny", prompt=message, sampling=sampling)
    (reply,) = answer(generator, [chat])
    assert (reply.text, reply.finish) == ("", "stop")
    text = dataclasses.replace(chat, prompt="<|im_start|>user\nWhy?<|im_end|>\n")
    (reply,) = answer(generator, [text])
    assert (reply.text, reply.finish) == ("<|im_end|>" * 3, "length")


def test_a_stopped_generator_answers_no_more(model_folder: Path) -> None:
    generator = LocalGenerator(GeneratorConfig(name="tiny", model=str(model_folder), terms=""))
    generator.stop()
    with pytest.raises(UserError, match="stopped"):
        answer(generator, requests())


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


def test_requests_that_come_one_after_the_other_share_a_batch(
    generator: LocalGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    decode = generator._decode
    monkeypatch.setattr(
        generator, "_decode", lambda asked: (sizes.append(len(asked)), decode(asked))[1]
    )

    async def ask() -> None:
        tasks = []
        for request in requests(max_tokens=2):
            tasks.append(asyncio.create_task(generator.ask(request)))
            await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)

    asyncio.run(ask())
    assert sizes == [3]


def test_only_the_likeliest_are_drawn_from() -> None:
    logits = torch.tensor([[1.0, 3.0, 0.0, 2.0]]).repeat(1000, 1)
    chances = [(n + 0.5) / 1000 for n in range(1000)]
    tokens = draw(logits, temperature=1.0, top_p=1.0, uniforms=chances, top_k=2)
    assert torch.bincount(tokens, minlength=4).tolist() == [0, 731, 0, 269]
