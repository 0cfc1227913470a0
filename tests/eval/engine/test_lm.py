import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from eval.config import EvalConfig
from eval.engine.lm import SharedPrefixLM
from eval.engine.loading import build_lm, load_directory
from pacos.configs.cluster import ClusterConfig, Device
from pacos.errors import UserError
from pacos.prompts.formats import FORMATS, PromptFormat
from tests.eval.conftest import EMBEDDED


def request(*args: Any) -> Instance:
    return Instance("loglikelihood", {}, args, 0, ("task", 0, 1))


CHOICES = [
    request("The cook leaves butter in the sun.\nAnswer:", " It melts slowly"),
    request("The cook leaves butter in the sun.\nAnswer:", " It freezes"),
    request("Water is", " wet"),
    request("The cook leaves butter in the sun.\nAnswer:", " No"),
    request("The cook leaves butter in the sun.\nAnswer:", " Yes"),
    request("", "Once upon a time"),
    request("오늘은 비가 온다. 나는", " 우산을 챙겼다."),
    request("Trailing space ", "moves to the continuation"),
]


@pytest.fixture(scope="module")
def lm(tiny: Path) -> SharedPrefixLM:
    return build_lm(
        str(tiny),
        EvalConfig(target=str(tiny), batch_size=3, cluster=ClusterConfig(device=Device.cpu)),
    )


def direct(lm: SharedPrefixLM, context: str, continuation: str) -> tuple[float, bool]:
    """One request alone, by the definition."""
    if context:
        prompt, answer = lm._encode_pair(context, continuation)
    else:
        prompt, answer = [lm.prefix_token_id], lm.tok_encode(continuation)
    with torch.no_grad():
        logits = lm.model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    places = range(len(prompt) - 1, len(prompt) + len(answer) - 1)
    total = sum(logits[place, token].item() for place, token in zip(places, answer, strict=True))
    greedy = all(
        logits[place].argmax() == token for place, token in zip(places, answer, strict=True)
    )
    return total, greedy


def test_scores_equal_direct_log_softmax_sums(lm: SharedPrefixLM) -> None:
    got = lm.loglikelihood(CHOICES, disable_tqdm=True)
    for one, (score, greedy) in zip(CHOICES, got, strict=True):
        expected, expected_greedy = direct(lm, *one.args)
        assert score == pytest.approx(expected, abs=1e-4)
        assert greedy == expected_greedy


def test_scores_equal_the_harness(lm: SharedPrefixLM) -> None:
    harness = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=3)
    expected = harness.loglikelihood(CHOICES, disable_tqdm=True)
    got = lm.loglikelihood(CHOICES, disable_tqdm=True)
    assert [score for score, _ in got] == pytest.approx([score for score, _ in expected], abs=1e-4)
    assert [greedy for _, greedy in got] == [greedy for _, greedy in expected]


def test_a_greedy_continuation_is_found(lm: SharedPrefixLM) -> None:
    context = lm.tok_encode("Once upon")
    with torch.no_grad():
        grown = torch.tensor([context])
        for _ in range(3):
            following = lm.model(grown).logits[0, -1].argmax()
            grown = torch.cat([grown, following.view(1, 1)], dim=1)
    continuation = grown[0, len(context) :].tolist()
    other = [*continuation[:-1], (continuation[-1] + 1) % lm.vocab_size]
    requests = [(None, context, continuation), (None, context, other)]
    flags = [
        found[1][1] for found in sorted(each for part in lm._scores(requests) for each in part)
    ]
    assert flags == [True, False]


def test_too_long_contexts_are_cut_as_the_harness_does(lm: SharedPrefixLM) -> None:
    harness = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=2)
    long = "one two three four five six seven eight nine ten " * 60
    requests = [request(long, " eleven"), request(long, " eleven of them all"), CHOICES[0]]
    expected = harness.loglikelihood(requests, disable_tqdm=True)
    got = lm.loglikelihood(requests, disable_tqdm=True)
    assert [score for score, _ in got] == pytest.approx([score for score, _ in expected], abs=1e-4)


def test_rolling_loglikelihood_equals_the_harness(lm: SharedPrefixLM) -> None:
    harness = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=2)
    requests = [request("A short text."), request("A text beyond the window. " * 150)]
    expected = harness.loglikelihood_rolling(requests, disable_tqdm=True)
    assert lm.loglikelihood_rolling(requests, disable_tqdm=True) == pytest.approx(
        expected, rel=1e-5
    )


def test_generation_ends_at_the_stop_token_of_the_format(tiny: Path) -> None:
    config = EvalConfig(
        target=str(tiny),
        prompt_format=PromptFormat.chatml,
        cluster=ClusterConfig(device=Device.cpu),
    )
    lm = build_lm(str(tiny), config)
    assert (
        lm.tokenizer.convert_tokens_to_ids("<|im_end|>") in lm.model.generation_config.eos_token_id
    )
    assert lm.tokenizer.chat_template == FORMATS[PromptFormat.chatml].exported()


def test_a_chat_template_of_the_config_replaces_the_models(tiny: Path, tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m['content'] + '<file_sep>' }}{% endfor %}"
    (tmp_path / "t.jinja").write_text(template)
    config = EvalConfig(target=str(tiny), chat_template=str(tmp_path / "t.jinja"))
    lm = build_lm(str(tiny), config)
    assert lm.tokenizer.chat_template == template
    stop = lm.tokenizer.convert_tokens_to_ids("<file_sep>")
    assert stop in lm.model.generation_config.eos_token_id


def test_a_model_without_a_template_needs_a_format(
    config: EvalConfig, tiny: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny, tmp_path / "base")
    (folder / "chat_template.jinja").unlink()
    base = EvalConfig(target=str(folder), suite=replace(config.suite, chat_template=True))
    with pytest.raises(UserError, match=r"prompt_format = null: .*base has no chat template"):
        build_lm(base.target, base)
    build_lm(base.target, replace(base, prompt_format=PromptFormat.alpaca))


def test_a_run_means_its_exported_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").touch()
    assert load_directory(str(tmp_path)) == str(tmp_path / "model")
    assert load_directory(EMBEDDED).endswith("smollm2-135m-instruct")


def test_a_gpu_that_is_not_there_is_an_error(
    config: EvalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"cluster\.device = cuda"):
        build_lm(config.target, replace(config, cluster=ClusterConfig(device=Device.cuda)))


def test_a_model_that_cannot_be_loaded_is_an_error(tmp_path: Path, config: EvalConfig) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(UserError, match=r"cannot be loaded"):
        build_lm(str(tmp_path), config)
