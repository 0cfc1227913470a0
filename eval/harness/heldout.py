"""Token NLL of held-out answers: how well a model predicts answers that no training has seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from eval.config import EvalConfig
from eval.engine.lm import SharedPrefixLM
from eval.harness.model import EvaluatedModel
from pacos.console import progress
from pacos.errors import UserError
from pacos.files import atomic_folder, read_jsonl, write_json, write_jsonl
from pacos.model.protocols import CausalLM
from pacos.prompts.encoder import encode
from pacos.prompts.formats import PromptFormat
from pacos.prompts.tokens import IGNORE, TokenizedRow
from pacos.schemas import Row


@dataclass(frozen=True, slots=True)
class RowScore:
    """Score of one held-out answer."""

    id: str
    nll: float
    """Nats, summed over all tokens of the answer and its stop token."""
    tokens: int


def read_rows(path: Path) -> list[Row]:
    """Read held-out rows.

    Raises:
        UserError: the file has no row, or a line is not a row.
    """
    try:
        records = list(read_jsonl(path))
    except ValueError as error:
        raise UserError(str(error)) from error
    if not records:
        raise UserError(f"heldout = {path}: holds no rows; give a JSONL file of rows")
    return [Row.from_json(record, f"{path}:{n}") for n, record in enumerate(records, 1)]


def score_heldout(lm: EvaluatedModel, folder: Path, *, rows: list[Row], config: EvalConfig) -> None:
    """Score held-out answers with a model, and publish results.json and samples.jsonl in `folder`.

    Args:
        lm: a model whose weights are loaded here.
        folder: appears when everything is written.
        rows: the held-out rows.
        config: prompt format, which both models share, and batch size.
    """
    assert isinstance(lm, SharedPrefixLM), "EvalConfig.problems() refuses an endpoint"
    encoded = _encoded(lm, rows, config.prompt_format)
    with progress("predicting answers", len(rows), "rows") as counter:
        nlls = answer_nlls(lm.model, encoded, config.batch_size, counter.advance)
    for row, nll in zip(rows, nlls, strict=True):
        if not math.isfinite(nll):
            raise UserError(
                f"heldout: the NLL of row {row.id} is {nll}: the weights of "
                f"{lm.model.name_or_path} are broken or diverged in training"
            )
    scores = [
        RowScore(row.id, nll, tokenized.num_supervised)
        for row, nll, tokenized in zip(rows, nlls, encoded, strict=True)
    ]
    facts = {
        "model": lm.model.name_or_path,
        "heldout": config.heldout,
        "prompt_format": config.prompt_format.name if config.prompt_format else None,
        "precision": config.precision.name,
    }
    with atomic_folder(folder) as partial:
        write_jsonl(partial / "samples.jsonl", [asdict(score) for score in scores])
        write_json(partial / "results.json", {**summary(scores), **facts})


def summary(scores: Sequence[RowScore]) -> dict[str, float]:
    """Return the figures over all rows. Every token has the same weight, as in training."""
    nll, tokens = math.fsum(score.nll for score in scores), sum(score.tokens for score in scores)
    return {"rows": len(scores), "tokens": tokens, "nll": nll / tokens}


def read_heldout(folder: Path) -> list[RowScore]:
    """Read back what `score_heldout` wrote."""
    return [RowScore(**record) for record in read_jsonl(folder / "samples.jsonl")]


def _encoded(
    lm: SharedPrefixLM, rows: list[Row], prompt_format: PromptFormat | None
) -> list[TokenizedRow]:
    encoded = encode(lm.tokenizer, prompt_format, [row.messages() for row in rows])
    for row, tokenized in zip(rows, encoded, strict=True):
        if len(tokenized.ids) > lm.max_length:
            raise UserError(
                f"heldout: row {row.id} has {len(tokenized.ids)} tokens, but the model reads "
                f"{lm.max_length}; remove the row"
            )
    return encoded


@torch.inference_mode()
def answer_nlls(
    model: CausalLM,
    rows: Sequence[TokenizedRow],
    batch_size: int,
    done: Callable[[int], None] = lambda count: None,
) -> list[float]:
    """Return the summed NLL of the supervised tokens of each row, with the softmax in fp32.

    Args:
        model: a causal language model of transformers.
        rows: tokens and labels.
        batch_size: rows per forward pass; rows of like length share one.
        done: called after each pass with its number of rows.
    """
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index].ids))
    nlls = [0.0] * len(rows)
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        shape = (len(batch), len(rows[batch[0]].ids))
        ids, labels = torch.zeros(shape, dtype=torch.long), torch.full(shape, IGNORE)
        for line, index in enumerate(batch):
            length = len(rows[index].ids)
            ids[line, :length] = torch.tensor(rows[index].ids)
            labels[line, :length] = torch.tensor(rows[index].labels)
        for index, nll in zip(batch, _batch_nlls(model, ids, labels), strict=True):
            nlls[index] = nll
        done(len(batch))
    return nlls


def _batch_nlls(model: CausalLM, ids: torch.Tensor, labels: torch.Tensor) -> list[float]:
    # Padding is on the right, where no real token attends to it, so there is no mask.
    # The output head runs only at positions where some row of the batch is scored: its logits are
    # the largest tensor by far.
    scored = (labels[:, 1:] != IGNORE).any(0).nonzero().squeeze(1)
    # A list, because a tensor would have to be on the GPU of the last layer.
    keep = scored.tolist()
    logits = model(input_ids=ids.to(model.device), use_cache=False, logits_to_keep=keep).logits
    targets = labels[:, 1:][:, scored].to(logits.device)
    losses = [
        torch.nn.functional.cross_entropy(row.float(), target, ignore_index=IGNORE, reduction="sum")
        for row, target in zip(logits, targets, strict=True)
    ]
    return torch.stack(losses).tolist()
