import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eval.config import EvalConfig
from eval.engine.lm import SharedPrefixLM
from eval.engine.loading import build_lm
from eval.harness.heldout import (
    RowScore,
    answer_nlls,
    read_heldout,
    read_rows,
    score_heldout,
    summary,
)
from pacos.errors import UserError
from pacos.prompts.encoder import encode
from pacos.prompts.formats import PromptFormat
from pacos.prompts.tokens import IGNORE, TokenizedRow


def naive(lm: SharedPrefixLM, row: TokenizedRow) -> float:
    """One row alone, by the definition."""
    with torch.no_grad():
        logits = lm.model(torch.tensor([row.ids])).logits[0].double().log_softmax(-1)
    places = [place for place, label in enumerate(row.labels) if label != IGNORE]
    return -math.fsum(logits[place - 1, row.labels[place]].item() for place in places)


def encoded(lm: SharedPrefixLM, heldout: Path, prompt_format: PromptFormat) -> list[TokenizedRow]:
    return encode(lm.tokenizer, prompt_format, [row.messages() for row in read_rows(heldout)])


@pytest.mark.parametrize("prompt_format", [PromptFormat.chatml, PromptFormat.alpaca])
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_nll_equals_a_loop_over_rows(
    config: EvalConfig, heldout: Path, batch_size: int, prompt_format: PromptFormat
) -> None:
    lm = build_lm(config.target, config)
    rows = encoded(lm, heldout, prompt_format)
    got = answer_nlls(lm.model, rows, batch_size)
    for row, nll in zip(rows, got, strict=True):
        tokens = row.num_supervised
        assert nll / tokens == pytest.approx(naive(lm, row) / tokens, abs=1e-5)


def test_progress_counts_every_row(config: EvalConfig, heldout: Path) -> None:
    lm = build_lm(config.target, config)
    steps: list[int] = []
    answer_nlls(lm.model, encoded(lm, heldout, PromptFormat.chatml), 2, steps.append)
    assert steps == [2, 2, 1]


def test_files_hold_every_row_and_the_sums(config: EvalConfig, tmp_path: Path) -> None:
    assert config.heldout is not None
    lm = build_lm(config.target, config)
    rows = read_rows(Path(config.heldout))
    folder = tmp_path / "heldout" / "target"
    score_heldout(lm, folder, rows=rows, config=config)
    scores = read_heldout(folder)
    results = json.loads((folder / "results.json").read_text())
    assert [score.id for score in scores] == ["a", "b", "c", "d", "e"]
    assert results["tokens"] == sum(score.tokens for score in scores)
    assert results["nll"] * results["tokens"] == pytest.approx(sum(s.nll for s in scores))
    assert results["prompt_format"] == "chatml"
    assert results["model"] == config.target


def test_every_token_counts_the_same() -> None:
    figures = summary([RowScore("a", 2.0, 1), RowScore("b", 1.0, 3)])
    assert figures == {"rows": 2, "tokens": 4, "nll": 0.75}


def test_a_row_beyond_the_model_is_named(config: EvalConfig, tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"id": "x", "instruction": "Go.", "output": "on and " * 400}) + "\n")
    lm = build_lm(config.target, config)
    with pytest.raises(UserError, match=r"row x has \d+ tokens, but the model reads 512"):
        score_heldout(lm, tmp_path / "out", rows=read_rows(path), config=config)
    assert not (tmp_path / "out").exists()


def test_broken_weights_are_an_error(config: EvalConfig, heldout: Path, tmp_path: Path) -> None:
    lm = build_lm(config.target, config)
    torch.nn.init.constant_(lm.model.model.norm.weight, math.nan)
    with pytest.raises(UserError, match="the NLL of row a is nan"):
        score_heldout(lm, tmp_path / "out", rows=read_rows(heldout), config=config)


def test_a_format_that_the_tokenizer_lacks_is_refused(config: EvalConfig) -> None:
    with pytest.raises(UserError, match=r"stop token <\|eot_id\|>"):
        build_lm(config.target, replace(config, prompt_format=PromptFormat.llama3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no rows"),
        ("{]\n", r"heldout\.jsonl:1: not JSON"),
        ('{"instruction": "Go."}\n', r"heldout\.jsonl:1: output"),
    ],
)
def test_wrong_rows_are_named(heldout: Path, text: str, message: str) -> None:
    heldout.write_text(text)
    with pytest.raises(UserError, match=message):
        read_rows(heldout)
