"""The check that every run makes on its own device before it starts: a pack equals its documents.

An attention kernel that mixes documents trains without an error, on wrong losses. Versions of
kernel packages, of torch and of the GPU decide whether one is right, so it is measured, in
milliseconds, instead of assumed.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from torch import distributed
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from pacos.errors import UserError
from pacos.model.protocols import CausalLM
from pacos.model.shape import ModelShape
from pacos.prompts.tokens import IGNORE, TokenizedRow
from sft.configs.compute import Attention
from sft.model.attention import PackedAttention, candidates
from sft.model.loss import install_loss, nll_sum
from sft.model.sequence_parallel import SequenceGroup
from sft.steps.batch import Batch

log = logging.getLogger(__name__)

LENGTHS = (37, 1, 64, 23, 130)
"""Tokens of the documents: a single token, one block of a kernel (64), more than two (130), and
lengths that fill none."""

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1}
"""Largest relative difference of gradients. Rounding alone gives 2e-6 in fp32 and 0.02 in bf16;
documents that see each other give 1.3."""


def choose_attention(
    wanted: Attention,
    shape: ModelShape,
    device: torch.device,
    dtype: torch.dtype,
    sequence: SequenceGroup | None,
) -> PackedAttention:
    """Return the best attention of this device, checked on it.

    Raises:
        UserError: the wanted one is not installed, cannot run here, or is wrong.
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
        # Negated, so that NaN is refused too. A wrong kernel ends the run even if another could
        # follow: the user should know that a package on this machine computes wrong gradients.
        if not difference <= TOLERANCE[dtype]:
            raise UserError(
                f"attention = {wanted.value}: {name.value} is wrong on {device}: the gradient of a "
                f"pack differs from that of its documents by {difference:.0%}; set attention=sdpa, "
                "or install another release of its package"
            )
        log.info(f"attention {name.value}: a pack equals its documents ({difference:.1e})")
        return attention
    raise UserError(
        f"attention = {wanted.value}: {'; '.join(reasons) or 'not installed, or not for'} "
        f"{dtype} on {device}; run pip install -e '.[gpu]', or set attention=sdpa"
    )


def pack_difference(
    attention: PackedAttention, shape: ModelShape, device: torch.device, dtype: torch.dtype
) -> float:
    """Compare the gradient of a pack with the sum over its documents, each by torch's attention.

    The model is random and small, but has the head width, the grouping of heads, the kernels, the
    loss and the exchange among ranks of the real one. Gradients rather than logits are compared:
    they also pass through the backward kernel.

    Returns:
        The norm of the difference divided by the norm of the sum.
    """
    sequence = attention.sequence
    model = _small_model(shape, sequence.size if sequence else 1, device, dtype)
    rows = _rows(model.config.vocab_size)
    expected = _gradient(model, torch.stack([_plain_nll(model, row) for row in rows]).sum())
    attention.install(model)
    install_loss(model, sequence)
    packed = _gradient(model, nll_sum(model, Batch.of(rows, device)))
    if sequence is not None:
        distributed.all_reduce(packed, group=sequence.group)
    return float((packed - expected).norm() / expected.norm())


def _small_model(
    shape: ModelShape, ranks: int, device: torch.device, dtype: torch.dtype
) -> CausalLM:
    groups = shape.num_attention_heads // shape.num_key_value_heads
    width = shape.head_width()
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
                # Five times the usual 0.02, so that scores differ: nearly uniform attention
                # would hide mistakes.
                initializer_range=0.1,
            )
        )
    return model.to(dtype)


def _rows(vocabulary: int) -> list[TokenizedRow]:
    generator = torch.Generator().manual_seed(0)
    rows = []
    for length in LENGTHS:
        ids = torch.randint(vocabulary, (length,), generator=generator).int().numpy()
        rows.append(TokenizedRow(ids=ids, labels=np.concatenate([[IGNORE], ids[1:]])))
    return rows


def _plain_nll(model: CausalLM, row: TokenizedRow) -> torch.Tensor:
    ids = torch.from_numpy(row.ids).to(model.device, torch.int64)[None]
    logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
    return functional.cross_entropy(logits.float(), ids[0, 1:], reduction="sum")


def _gradient(model: CausalLM, nll: torch.Tensor) -> torch.Tensor:
    for parameter in model.parameters():
        parameter.grad = None
    nll.backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return torch.cat([gradient.float().flatten() for gradient in gradients])
