"""The rows of a preview are those of the batches that the engine gets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pacos.distributed import World
from pacos.errors import UserError
from pacos.prompts.tokens import IGNORE, Reason
from sft.config import SFTConfig
from sft.configs.batch import Layout
from sft.configs.data import OnError, TooLong, TrainOn
from sft.data.mixture import load_data
from sft.preview.rows import ALONE, PreviewRow, RunRows
from sft.steps.batch import Batch
from sft.steps.plan import StepPlan
from sft.steps.stream import StepStream
from tests.sft.byte_tokenizer import byte_tokenizer
from tests.sft.preview.conftest import Load, row, write

CPU = torch.device("cpu")


def labels(shown: PreviewRow) -> list[tuple[int, int]]:
    """Each token with its label, as the preview shows them."""
    return [
        (token, token if piece.reason is Reason.trained else IGNORE)
        for piece in shown.pieces
        for token in piece.ids
    ]


def documents(batch: Batch) -> Iterable[list[tuple[int, int]]]:
    """Each token of each document with its label, from the tensors alone."""
    targets = np.full(batch.input_ids.shape[1], IGNORE)
    targets[batch.scored.numpy() + 1] = batch.targets.numpy()
    pairs = list(zip(batch.input_ids[0].tolist(), targets.tolist(), strict=True))
    ends = batch.cu_seq_lens.tolist()
    return [pairs[begin:end] for begin, end in pairwise(ends)]


def by_reason(shown: PreviewRow) -> dict[str, str]:
    texts: dict[str, str] = {}
    for piece in shown.pieces:
        texts[piece.reason.name] = texts.get(piece.reason.name, "") + piece.text
    return texts


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("ranks", [1, 2])
def test_rows_are_those_of_the_batches_of_the_run(
    config: SFTConfig, load: Load, layout: Layout, ranks: int
) -> None:
    config.batch.layout = layout
    config.cluster.ranks_per_node = ranks
    config.data.max_length, config.data.too_long = 90, TooLong.truncate
    rows = load(config)
    shown = rows.first(100)
    plan = StepPlan.of(rows.training.lengths, 90, config.batch, config.model.shape)
    trained: list[list[tuple[int, int]]] = []
    for rank in range(ranks):
        stream = StepStream(config, rows.training, plan, World(rank, ranks, rank))
        for step in stream.after(0):
            for indices in stream.own_passes(step):
                if indices:
                    trained += documents(stream.batch(indices, CPU))
    # Padding at the end of a document is the batch's own: it is not supervised.
    lengths = sorted(map(len, map(labels, shown)))
    assert lengths[-1] == 90
    assert len(shown) == len(trained) == 12 * config.epochs
    for pairs in map(labels, shown):
        same = [document for document in trained if document[: len(pairs)] == pairs]
        assert same
        assert all(label == IGNORE for _, label in same[0][len(pairs) :])


def test_any_row_is_shown_from_the_step_that_trains_on_it(config: SFTConfig, load: Load) -> None:
    rows = load(config)
    shown = {row.place: row for row in rows.first(12)}
    assert len({row.use for row in shown.values()}) > 1
    for number in range(1, 13):
        (found,) = rows.at(f"{config.data.path}:{number}")
        assert found == shown[f"{config.data.path}:{number}"]


def test_every_reason_is_told(config: SFTConfig, load: Load, tmp_path: Path) -> None:
    config.data.path = write(
        tmp_path / "reasons.jsonl",
        [
            row({"content": "Bad.", "weight": 0}, "Good."),
            row({"content": "Four.", "reasoning_content": "Two and two."}),
            {"input_ids": [5, 6, 7, 8], "labels": [5, -100, 7, 8]},
        ],
    )
    config.data.train_on_reasoning = False
    rows = load(config)
    (weighted,), (thought,), (given,) = (rows.at(f"reasons.jsonl:{n}") for n in (1, 2, 3))
    assert by_reason(weighted)["trained"] == "Good.<|im_end|>"
    assert by_reason(weighted)["turn"] == "Bad.<|im_end|>"
    assert "Question 0?" in by_reason(weighted)["prompt"]
    assert "Two and two." in by_reason(thought)["thought"]
    assert by_reason(thought)["trained"] == "Four.<|im_end|>"
    assert [piece.reason.name for piece in given.pieces] == ["first", "given", "trained", "trained"]
    assert (given.tokens, given.trained) == (4, 2)
    config.data.train_on = TrainOn.last
    (earlier,) = load(config).at(f"{config.data.path}:1")
    assert by_reason(earlier)["trained"] == "Good.<|im_end|>"


def test_an_earlier_answer_is_history_when_only_the_last_is_trained(
    config: SFTConfig, load: Load
) -> None:
    config.data.train_on = TrainOn.last
    (shown,) = load(config).at("rows.jsonl:2")
    assert by_reason(shown)["earlier"] == "2 2 <|im_end|>"
    assert by_reason(shown)["trained"] == "Yes.<|im_end|>"


def test_rows_that_are_not_trained_on_say_why(
    config: SFTConfig, load: Load, tmp_path: Path
) -> None:
    long, silent = row("long " * 200), {"messages": [{"role": "user", "content": "Hm."}]}
    kept = [row(f"answer {n}") for n in range(6)]
    config.data.path = write(tmp_path / "some.jsonl", [long, silent, *kept, kept[0]])
    config.data.on_error = OnError.quarantine
    rows = load(config)
    (dropped,), (unusable,) = rows.at("some.jsonl:1"), rows.at("some.jsonl:2")
    assert dropped.use.startswith("not used: ")
    assert "left out (data.max_length = 512)" in dropped.use
    assert "has no turn of the assistant" in unusable.use
    assert not dropped.pieces
    assert not unusable.pieces
    config.data.too_long = TooLong.truncate
    (cut,) = load(config).at("some.jsonl:1")
    assert cut.use.startswith("step 1")
    assert "tokens: truncated" in cut.use
    assert cut.tokens == 512


def test_held_out_rows_and_their_copies_say_so(
    config: SFTConfig, load: Load, tmp_path: Path
) -> None:
    kept = [row(f"answer {n}") for n in range(6)]
    config.data.path = write(tmp_path / "twice.jsonl", [*kept, *kept])
    config.validation.rows = 2
    uses = [load(config).at(f"twice.jsonl:{n}")[0].use for n in range(1, 13)]
    assert uses.count("held out for validation") == 2
    copies = "not trained on: it has the same tokens as a row held out for validation"
    assert uses.count(copies) == 2
    assert sum(use.startswith("step ") for use in uses) == 8


def test_rows_of_the_validation_have_uses_of_their_own(
    config: SFTConfig, load: Load, tmp_path: Path
) -> None:
    other = [row(f"other {n}") for n in range(3)]
    seen = row("1 ", "Yes.")
    config.validation.path = write(tmp_path / "held.jsonl", [*other, seen, other[0]])
    config.validation.rows = 2
    uses = [load(config).at(f"held.jsonl:{n}")[0].use for n in range(1, 6)]
    assert uses.count("held out for validation") == 2
    assert uses[3] == "not measured: a row with the same tokens is trained on"
    assert uses[4].startswith("not measured: ")
    assert "not measured: validation.rows = 2 draws other rows" in uses


def test_weights_and_the_end_of_the_run_decide_what_is_used(config: SFTConfig, load: Load) -> None:
    config.data.weight = 0.5
    uses = [load(config).at(f"rows.jsonl:{n}")[0].use for n in range(1, 13)]
    assert sum("draws other rows" in use for use in uses) == 6
    config.data.weight = 2
    assert load(config).at("rows.jsonl:1")[0].use.endswith("; 2 times in an epoch")
    config.data.weight, config.max_steps = 1, 1
    uses = [load(config).at(f"rows.jsonl:{n}")[0].use for n in range(1, 13)]
    assert {use.split(",")[0] for use in uses} == {
        "step 1",
        "not trained on: the run ends before",
    }


def test_a_step_that_cannot_be_made_is_refused(config: SFTConfig, load: Load) -> None:
    config.batch = dataclasses.replace(config.batch, rows=1, tokens=None)
    with pytest.raises(UserError, match=r"batch\.rows = 1: less than"):
        load(config)


def test_ranks_that_share_rows_are_one(config: SFTConfig, load: Load) -> None:
    before = load(config).first(12)
    config.cluster.ranks_per_node, config.deepspeed.sequence_ranks = 2, 2
    assert load(config).first(12) == before


def test_the_order_is_that_of_the_steps(config: SFTConfig, load: Load) -> None:
    uses: list[Any] = [row.use for row in load(config).first(100)]
    assert [use.split(",")[0] for use in uses] == sorted(use.split(",")[0] for use in uses)


LAST_THOUGHT_ONLY = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if loop.last and m.reasoning_content %}"
    "{{ '<think>' + m.reasoning_content + '</think>' }}{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_examples_of_one_row_are_numbered(config: SFTConfig, tmp_path: Path) -> None:
    thought = {"content": "Four.", "reasoning_content": "Two and two."}
    config.data.path = write(tmp_path / "thoughts.jsonl", [row(thought, thought)])
    config.model.prompt_format = None
    tokenizer = byte_tokenizer(LAST_THOUGHT_ONLY)
    rows = RunRows(config, tokenizer, load_data(config, tokenizer, ALONE), None)
    first, second = rows.at("thoughts.jsonl:1")
    assert first.use.startswith("example 1 of 2, step 1")
    assert second.use.startswith("example 2 of 2, step 1")
    for shown in (first, second):
        assert by_reason(shown)["trained"] == "<think>Two and two.</think>Four.<|im_end|>"
    assert by_reason(second)["earlier"] == "Four.<|im_end|>"
