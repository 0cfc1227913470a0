"""What a run proves on its own device before it starts: a pack is the sum of its documents."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from torch import distributed
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from pacos.errors import UserError
from pacos.model.prompts import IGNORE, TokenizedRow
from pacos.model.shape import LlamaShape
from sft.configs.compute import Attention
from sft.model.attention import PackedAttention, candidates
from sft.model.loss import nll_sum, teach_loss
from sft.model.sequence_parallel import SequenceGroup
from sft.steps.batch import Batch

log = logging.getLogger(__name__)

LENGTHS = (37, 1, 64, 23, 130)
"""Tokens of the documents of the proof: one alone, one block of a kernel, and what is neither."""

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1}
"""Largest relative difference of gradients. Rounding alone makes 2e-6 in fp32 and 0.02 in bf16;
documents that see each other make 1.3."""


def choose_attention(
    wanted: Attention,
    shape: LlamaShape,
    device: torch.device,
    dtype: torch.dtype,
    sequence: SequenceGroup | None,
) -> PackedAttention:
    """The best attention of this device, proved on it.

    Raises:
        UserError: the wanted one is not installed or cannot run here, or is wrong.
    """
    reasons = []
    for name, load in candidates(wanted, device, dtype):
        try:
            attention = PackedAttention(name, load(), sequence)
            difference = pack_difference(attention, shape, device, dtype)
        except Exception as error:  # noqa: BLE001  # packages for another torch or GPU raise anything
            reasons.append(f"{name.value}: {error}")
            log.warning(f"attention {name.value} cannot run here: {error}")
            continue
        if not difference <= TOLERANCE[dtype]:
            raise UserError(
                f"attention = {wanted.value}: {name.value} is wrong on {device}: the gradient of a "
                f"pack differs from that of its documents by {difference:.0%}; set attention=sdpa, "
                "or install another release of its package"
            )
        log.info(f"attention {name.value}: a pack is the sum of its documents ({difference:.1e})")
        return attention
    raise UserError(
        f"attention = {wanted.value}: {'; '.join(reasons) or 'not installed, or not for'} "
        f"{dtype} on {device}; run pip install -e '.[gpu]', or set attention=sdpa"
    )


def pack_difference(
    attention: PackedAttention, shape: LlamaShape, device: torch.device, dtype: torch.dtype
) -> float:
    """Gradient of a pack against the sum over its documents, each alone through torch's attention.

    The model is random and small, with the head width, the grouping of heads, the kernels, the loss
    and the exchange among ranks of the real one.

    Returns:
        The norm of the difference over the norm of the sum.
    """
    sequence = attention.sequence
    model = _small_model(shape, sequence.size if sequence else 1, device, dtype)
    rows = _rows(model.config.vocab_size)
    expected = _gradient(model, torch.stack([_plain_nll(model, row) for row in rows]).sum())
    attention.install(model)
    teach_loss(model, sequence)
    found = _gradient(model, nll_sum(model, Batch.of(rows, device)))
    if sequence is not None:
        distributed.all_reduce(found, group=sequence.group)
    return float((found - expected).norm() / expected.norm())


def _small_model(shape: LlamaShape, ranks: int, device: torch.device, dtype: torch.dtype) -> Any:
    groups = shape.num_attention_heads // shape.num_key_value_heads
    width = shape.hidden_size // shape.num_attention_heads
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        model: Any = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=128,
                hidden_size=ranks * groups * width,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=ranks * groups,
                num_key_value_heads=ranks,
                # Wide enough that scores differ: attention that is nearly even hides mistakes.
                initializer_range=0.1,
            )
        )
    return model.to(dtype)


def _rows(vocabulary: int) -> list[TokenizedRow]:
    draw = torch.Generator().manual_seed(0)
    rows = []
    for length in LENGTHS:
        ids = torch.randint(vocabulary, (length,), generator=draw).int().numpy()
        rows.append(TokenizedRow(ids=ids, labels=np.concatenate([[IGNORE], ids[1:]])))
    return rows


def _plain_nll(model: Any, row: TokenizedRow) -> torch.Tensor:
    ids = torch.from_numpy(row.ids).to(model.device, torch.int64)[None]
    logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
    return functional.cross_entropy(logits.float(), ids[0, 1:], reduction="sum")


def _gradient(model: Any, nll: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    nll.backward()
    return torch.cat([parameter.grad.float().flatten() for parameter in model.parameters()])
