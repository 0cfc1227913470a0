"""Loss of a step: Σ token NLL over the global step / supervised tokens of the global step."""

from __future__ import annotations

import functools
from typing import Any

import torch

from sft.model.head import ScoringHead
from sft.model.sequence_parallel import SequenceGroup
from sft.steps.batch import Batch


def nll_sum(model: Any, batch: Batch) -> torch.Tensor:
    """Summed negative log-likelihood of the tokens that carry loss, in nats: a scalar, fp32.

    Args:
        model: a causal language model, or the engine that trains one.
        batch: a whole row. Of a row that ranks share, each returns its own part of the sum.
    """
    bare = getattr(model, "module", model)
    if not isinstance(bare.get_output_embeddings(), ScoringHead):
        teach_loss(bare)
    return model(batch=batch)


def teach_loss(model: Any, sequence: SequenceGroup | None = None) -> None:
    """Let `model(batch=…)` return Σ NLL; every other call stays the model's own.

    The loss is part of the model's forward pass because DeepSpeed needs to see both as one call.
    """
    plain = model.forward
    model.get_output_embeddings().__class__ = ScoringHead

    @functools.wraps(plain)
    def forward(*args: Any, batch: Batch | None = None, **options: Any) -> Any:
        if batch is None:
            return plain(*args, **options)
        return _nll_sum(model, batch if sequence is None else sequence.share(batch))

    model.forward = forward


def _nll_sum(model: Any, batch: Batch) -> torch.Tensor:
    """Σ NLL of a row, with the output head at scored positions alone.

    Never an attention mask and never a cache: with either, packed documents would see each other
    without an error.
    """
    hidden = model.base_model(
        input_ids=batch.input_ids,
        position_ids=batch.position_ids,
        cu_seq_lens_q=batch.cu_seq_lens,
        cu_seq_lens_k=batch.cu_seq_lens,
        max_length_q=batch.longest,
        max_length_k=batch.longest,
        use_cache=False,
    ).last_hidden_state
    return model.get_output_embeddings()(hidden[0, batch.scored], batch.targets)
