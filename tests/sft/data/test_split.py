"""The split into training rows and held-out rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pacos.errors import UserError
from sft.config import SFTConfig
from sft.configs.validation import ValidationConfig
from sft.data.mixture import Mixture, load_data, load_heldout
from sft.data.split import split, split_heldout
from tests.sft.byte_tokenizer import byte_tokenizer
from tests.sft.data.small_data import ALONE, instructions, record, write

REWRITES = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] + '\n' }}"
    "{% else %}{% if loop.last %}{{ '<think>' }}{% endif %}"
    "{{ m['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<think>' }}{% endif %}"
)
"""A template that writes the last answer otherwise than the earlier ones."""


def copies(tmp_path: Path) -> tuple[str, str]:
    """Ten texts, of which the last five are in both files, and some twice in one."""
    first = write(tmp_path / "first.jsonl", [record("a", n % 10) for n in range(13)])
    return first, write(tmp_path / "second.jsonl", [record("a", n) for n in range(5, 10)])


def test_no_copy_of_a_held_out_row_is_trained_on_from_any_source(
    tokenizer: Any, config: SFTConfig, tmp_path: Path
) -> None:
    config.data.path, other = copies(tmp_path)
    config.data.mix = {other: 1.5}
    data = load_data(config, tokenizer, ALONE)
    for seed in range(5):
        trained, held = split_heldout(data, 4, seed)
        texts, held_texts = instructions(tokenizer, trained), instructions(tokenizer, held)
        assert len(held_texts) == len(set(held_texts)) == 4
        assert len(set(texts)) == 6
        assert not set(texts) & set(held_texts)
    with pytest.raises(UserError, match="only 10 different rows"):
        split_heldout(data, 10, seed=0)


def test_weights_and_copies_do_not_change_which_rows_are_held_out(
    tokenizer: Any, config: SFTConfig, tmp_path: Path
) -> None:
    plain = split_heldout(load_data(config, tokenizer, ALONE), 3, seed=1)[1]
    config.data.mix = {write(tmp_path / "copy.jsonl", [record("main", n) for n in range(8)]): 1.0}
    config.data.weight = 2.5
    mixed = split_heldout(load_data(config, tokenizer, ALONE), 3, seed=1)[1]
    assert instructions(tokenizer, mixed) == instructions(tokenizer, plain)


@pytest.fixture
def conversations(config: SFTConfig, tmp_path: Path) -> Mixture:
    """Eight conversations of three answers, each an example of its own; the first one twice."""
    rows = [
        {"messages": [turn for n in range(3) for turn in exchange(f"{number % 8}.{n}")]}
        for number in range(9)
    ]
    config.data.path = write(tmp_path / "talks.jsonl", rows)
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = REWRITES
    config.model.prompt_format = None
    return load_data(config, tokenizer, ALONE)


def exchange(name: str) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": f"Q {name}"},
        {"role": "assistant", "content": f"A {name}"},
    ]


def test_the_examples_of_a_conversation_stay_together(
    tokenizer: Any, conversations: Mixture
) -> None:
    assert len(conversations) == 9 * 3
    assert conversations.records().tolist() == sorted([*range(1, 10)] * 3)

    def talks(data: Mixture) -> list[str]:
        return [tokenizer.decode(data.row(index).ids)[2] for index in range(len(data))]

    for seed in range(5):
        trained, held = split_heldout(conversations, 2, seed)
        assert len(held) == 2 * 3
        assert len(set(talks(held))) == 2
        assert not set(talks(held)) & set(talks(trained))
        assert {*talks(held), *talks(trained)} == set("01234567")
    with pytest.raises(UserError, match="only 8 different rows"):
        split_heldout(conversations, 8, seed=0)


def test_held_out_rows_may_have_a_source_of_their_own(
    tokenizer: Any, config: SFTConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, config.validation.path = copies(tmp_path)
    config.data.path = write(tmp_path / "train.jsonl", [record("a", n) for n in range(7)])
    data = load_data(config, tokenizer, ALONE)
    own = load_heldout(config, tokenizer, ALONE)
    trained, held = split(data, own, rows=0, seed=0)
    assert trained is data
    assert instructions(tokenizer, held) == ["a 7", "a 8", "a 9"]
    assert (
        f"validation.path = {config.validation.path}: 2 of 5 different rows are also trained on, "
        "and left out of the validation"
    ) in caplog.messages
    assert len(split(data, own, rows=2, seed=0)[1]) == 2
    with pytest.raises(UserError, match=r"^validation.rows = 4: .* has only 3 different rows"):
        split(data, own, rows=4, seed=0)
    config.data.path = config.validation.path
    with pytest.raises(UserError, match="every row of it is also trained on"):
        split(load_data(config, tokenizer, ALONE), own, rows=0, seed=0)


def test_held_out_rows_have_the_columns_of_the_training_rows(
    tokenizer: Any, config: SFTConfig, tmp_path: Path
) -> None:
    held = [{"frage": f"Q{n}", "antwort": f"A{n}", "thema": "x"} for n in range(3)]
    config.validation.path = write(tmp_path / "held.jsonl", held)
    with pytest.raises(
        UserError, match=r"^validation.path: .*held.jsonl:1: columns = frage, antwort, thema: match"
    ):
        load_heldout(config, tokenizer, ALONE)
    config.data.columns = {"frage": "question", "antwort": "answer"}
    config.data.ignore = ["thema"]
    own = load_heldout(config, tokenizer, ALONE)
    assert own is not None
    assert instructions(tokenizer, own) == ["Q0", "Q1", "Q2"]
    # Names that the training rows do not have mean nothing for them.
    assert len(load_data(config, tokenizer, ALONE)) == 10


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nothing.jsonl", "no nothing.jsonl; give"),
        ("rows.txt", ".txt does not tell the format"),
        ("both:dev", "has no split or subset dev; its splits are train, validation"),
    ],
)
def test_a_validation_path_that_cannot_be_read_is_named_by_its_key(
    tokenizer: Any,
    config: SFTConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.txt").write_text("text")
    for split_name in ("train", "validation"):
        (tmp_path / "both").mkdir(exist_ok=True)
        write(tmp_path / "both" / f"{split_name}.jsonl", [record(split_name, 1)])
    config.validation.path = path
    (problem,) = ValidationConfig(path=path).missing_files()
    assert str(problem).startswith(f"validation.path = {path}: {says}")
    with pytest.raises(UserError) as refused:
        load_heldout(config, tokenizer, ALONE)
    assert str(refused.value).startswith(f"validation.path = {path}: {says}")
    config.validation.path = "both:validation"
    own = load_heldout(config, tokenizer, ALONE)
    assert own is not None
    assert instructions(tokenizer, own) == ["validation 1"]
