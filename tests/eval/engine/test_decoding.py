from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from eval.config import EvalConfig
from eval.engine.lm import SharedPrefixLM
from eval.engine.loading import build_lm
from pacos.configs.cluster import ClusterConfig, Device

TEXTS = [
    "The cook leaves butter in the sun.",
    "오늘은 비가 온다. 나는",
    "Once",
    "one two three four five six seven eight nine ten " * 6,
    "Water is",
    "A",
    "The end of a story is",
]


def asked(texts: list[str], **settings: Any) -> list[Instance]:
    given = {"until": ["\n\n"], "max_gen_toks": 12, **settings}
    return [
        Instance("generate_until", {}, (text, dict(given)), 0, ("task", n, 1))
        for n, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def lm(tiny: Path) -> SharedPrefixLM:
    return build_lm(
        str(tiny),
        EvalConfig(
            target=str(tiny),
            batch_size=3,
            batch_tokens=50,
            cluster=ClusterConfig(device=Device.cpu),
        ),
    )


def answers(lm: SharedPrefixLM, requests: list[Instance]) -> list[str]:
    return lm.generate_until(requests, disable_tqdm=True)


def test_answers_equal_the_harness(lm: SharedPrefixLM) -> None:
    harness = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=1)
    expected = harness.generate_until(asked(TEXTS), disable_tqdm=True)
    assert len(set(expected)) > 4
    assert answers(lm, asked(TEXTS)) == expected


def test_answers_end_before_a_stop_text(lm: SharedPrefixLM) -> None:
    whole = answers(lm, asked(TEXTS))
    stop = whole[0][len(whole[0]) // 2 :][:3]
    harness = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=1)
    expected = harness.generate_until(asked(TEXTS, until=[stop, "\n\n"]), disable_tqdm=True)
    got = answers(lm, asked(TEXTS, until=[stop, "\n\n"]))
    assert got == expected
    assert got[0] == whole[0].split(stop)[0]


def test_a_prompt_beyond_the_model_loses_its_left_end(lm: SharedPrefixLM) -> None:
    texts = ["word " * 600, "Water is"]
    harness = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=1)
    expected = harness.generate_until(asked(texts), disable_tqdm=True)
    assert answers(lm, asked(texts)) == expected


def test_settings_that_only_transformers_knows_are_left_to_it(lm: SharedPrefixLM) -> None:
    harness = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=1)
    given = {"repetition_penalty": 1.5}
    expected = harness.generate_until(asked(TEXTS[:3], **given), disable_tqdm=True)
    assert answers(lm, asked(TEXTS[:3], **given)) == expected


def test_a_draw_is_the_same_whatever_is_beside_it(lm: SharedPrefixLM) -> None:
    given = {"do_sample": True, "temperature": 1.0}
    together = answers(lm, asked(TEXTS, **given))
    alone = [answers(lm, asked([text], **given))[0] for text in TEXTS]
    assert together == alone
    assert together != answers(lm, asked(TEXTS))


def test_repeated_prompts_get_different_draws(lm: SharedPrefixLM) -> None:
    (one,) = asked(["Water is"], do_sample=True, temperature=1.0)
    assert len(set(answers(lm, [one] * 8))) > 4
