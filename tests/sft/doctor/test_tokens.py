"""The tokenizer and the first rows: checks pass, and fail on the fault that they are for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from pacos.checks import Finding, Outcome, run_check
from pacos.prompts.formats import FORMATS, Format, PromptFormat
from sft.config import SFTConfig
from sft.configs.data import OnError
from sft.doctor import tokens
from tests.llama2_tokenizer import save_llama2_tokenizer
from tests.sft.byte_tokenizer import byte_tokenizer
from tests.sft.small_runs import write_rows


def look(config: SFTConfig) -> dict[str, Finding]:
    """What the checks on tokens find, as the program makes them."""
    found = tokens.TokenChecks(config)
    findings = {}
    for name, check in {
        "tokenizer": found.tokenizer,
        "mask": found.mask,
        "stop token": found.stop_token,
    }.items():
        findings[name] = run_check(name, check)
        if findings[name].outcome is Outcome.failed:
            break
    return findings


def first_fault(config: SFTConfig) -> str:
    last = list(look(config).values())[-1]
    assert last.outcome is Outcome.failed, last
    return f"{last.check}: {last.message}"


def test_rows_as_they_should_be(config: SFTConfig) -> None:
    found = look(config)
    assert {finding.outcome for finding in found.values()} == {Outcome.ok}
    assert "<|im_end|> ends an answer, <|endoftext|> pads" in found["tokenizer"].message
    assert "tokens in 40 rows supervised" in found["mask"].message
    assert found["stop token"].message == "<|im_end|> is supervised after each of 40 answers"


def test_rows_of_the_validation(config: SFTConfig, tmp_path: Path) -> None:
    held = tmp_path / "held.jsonl"
    held.write_text('{"instruction": "Count.", "output": "1"}\n')
    config.validation.path = str(held)
    assert "tokens in 41 rows supervised" in look(config)["mask"].message
    held.write_text('{"instruction": "Count."}\n')
    assert "held.jsonl:1: columns = instruction: have no answer" in first_fault(config)


def test_a_pad_token_that_ends_answers(config: SFTConfig) -> None:
    config.model.pad_token = "<|im_end|>"
    assert "tokenizer: model.pad_token = <|im_end|>: <|im_end|> also ends" in first_fault(config)


def test_a_tokenizer_without_a_pad_token(config: SFTConfig) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(config.model.path)
    config.model.pad_token = None
    assert "has no pad token; name an unused one" in first_fault(config)
    config.model.pad_token = "<pad>"
    assert "model.pad_token = <pad>: not in the tokenizer's vocabulary" in first_fault(config)


def test_a_format_whose_stop_token_the_tokenizer_lacks(config: SFTConfig) -> None:
    config.model.prompt_format = PromptFormat.llama3
    assert "its stop token <|eot_id|> is not in the tokenizer's vocabulary" in first_fault(config)


def test_a_tokenizer_that_differs_from_its_file(
    config: SFTConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.model.path = str(save_llama2_tokenizer(Path(config.model.path)))
    config.model.pad_token = "<unk>"
    config.model.prompt_format = PromptFormat.llama2
    assert look(config)["tokenizer"].message.endswith("</s> ends an answer, <unk> pads")
    rebuilt = AutoTokenizer.from_pretrained(config.model.path)
    monkeypatch.setattr(tokens, "build_tokenizer", lambda _: rebuilt)
    said = "transformers makes ['[', 'I', 'N'] of '<s>[INST] Hi there [/INST]' where its "
    assert said + "tokenizer.json makes ['▁[', 'I', 'N'];" in first_fault(config)


PLAIN = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' %}ANSWER{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\n' }}{% endfor %}"
)
MARKS = "{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}"


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ("{{ m['content'] + '<|im_end|>' }}", "rows.jsonl:1: the chat template marks 0 of 1"),
        (
            "{% generation %}{% endgeneration %}{{ m['content'] + '<|im_end|>' }}",
            "rows.jsonl:1 has no supervised token: the mask is empty",
        ),
        (
            "{% generation %}{{ m['content'] }}{% endgeneration %}{{ '<|im_end|>' }}",
            "stop token: model.prompt_format = chatml:",
        ),
        (
            "{{ m['content'][:1] }}{% generation %}"
            "{{ m['content'][1:] + '<|im_end|>' }}{% endgeneration %}",
            "supervises '<|im_end|>' instead of '0'",
        ),
        (
            "{% generation %}{{ m['content'] + '<|im_end|><|im_end|>' }}{% endgeneration %}",
            "supervises <|im_end|> 2 times per answer, not once",
        ),
    ],
)
def test_a_template_that_marks_answers_wrongly(
    config: SFTConfig, monkeypatch: pytest.MonkeyPatch, instead: str, said: str
) -> None:
    wrong = Format(PLAIN.replace("ANSWER", instead), "<|im_end|>")
    monkeypatch.setitem(FORMATS, PromptFormat.chatml, wrong)
    lines = write_rows(Path(config.data.path)).read_text().splitlines(keepends=True)
    # The first answer is one letter, "0".
    lines.insert(0, lines.pop(8))
    Path(config.data.path).write_text("".join(lines))
    assert said in first_fault(config)


def test_a_template_that_marks_only_the_last_answer(
    config: SFTConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = "{% if loop.last %}" + MARKS + "{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}"
    monkeypatch.setitem(
        FORMATS,
        PromptFormat.chatml,
        Format(PLAIN.replace("ANSWER", last), "<|im_end|>"),
    )
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}] * 2
    Path(config.data.path).write_text(json.dumps({"messages": turns}) + "\n")
    assert "rows.jsonl:1: the chat template marks 1 of 2 answers" in first_fault(config)


def test_rows_that_cannot_be_used(config: SFTConfig) -> None:
    path = Path(config.data.path)
    path.write_text('{"instruction": "Sing."}\n' + path.read_text())
    assert "rows.jsonl:1: columns = instruction: have no answer" in first_fault(config)
    config.data.on_error = OnError.quarantine
    assert {finding.outcome for finding in look(config).values()} == {Outcome.ok}
