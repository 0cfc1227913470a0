"""Loss of a step: Σ token NLL over the global step / supervised tokens of the global step."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from sft.batch import Batch


def nll_sum(model: Any, batch: Batch) -> torch.Tensor:
    """Summed negative log-likelihood of the tokens that carry loss, in nats: a scalar, fp32.

    The output head runs only at scored positions. Never an attention mask and never a cache: with
    either, packed documents would see each other without an error.
    """
    outputs = model(
        input_ids=batch.input_ids,
        position_ids=batch.position_ids,
        cu_seq_lens_q=batch.cu_seq_lens,
        cu_seq_lens_k=batch.cu_seq_lens,
        max_length_q=batch.longest,
        max_length_k=batch.longest,
        logits_to_keep=batch.scored,
        use_cache=False,
    )
    return functional.cross_entropy(outputs.logits[0].float(), batch.targets, reduction="sum")
