"""Loss of a step: Σ token NLL over the global step / supervised tokens of the global step."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from pacos.model.protocols import CausalLM
from sft.model.head import ScoringHead
from sft.model.sequence_parallel import SequenceGroup
from sft.steps.batch import Batch


def nll_sum(model: Callable[..., Any], batch: Batch) -> torch.Tensor:
    """Return the summed negative log-likelihood of the supervised tokens, in nats: a scalar, fp32.

    Args:
        model: a model with `install_loss`, or the engine that trains it.
        batch: a whole row. If ranks share it, each returns its own part of the sum.
    """
    nll: torch.Tensor = model(batch=batch)
    return nll


def install_loss(model: CausalLM, sequence: SequenceGroup | None = None) -> None:
    """Give a model a second way to be called: `model(batch=…)` returns Σ NLL.

    Two things are replaced, and every call without `batch` (generation, evaluation) stays as it
    was. The output head becomes a `ScoringHead` on the same parameter under the same name, so
    checkpoints and exports do not change. The instance's `forward` takes the new argument: the loss
    must be part of the one call that DeepSpeed sees, whose hooks before and after `forward` gather
    parameters and reset ZeRO-3's record of the order in which they are used.

    Args:
        model: a causal language model of transformers, whose head has no bias.
        sequence: the ranks that share each row with this one.
    """
    model.set_output_embeddings(ScoringHead(model.get_output_embeddings().weight))
    plain_forward = model.forward

    # `generate` reads the signature of `forward` to find out which arguments a model takes.
    @functools.wraps(plain_forward)
    def forward(*args: Any, batch: Batch | None = None, **options: Any) -> Any:
        if batch is None:
            return plain_forward(*args, **options)
        return _nll_sum(model, batch if sequence is None else sequence.share(batch))

    model.forward = forward


def _nll_sum(model: CausalLM, batch: Batch) -> torch.Tensor:
    """Run the decoder on a row and the output head on its scored positions alone.

    Never with an attention mask and never with a cache: with either, transformers lets packed
    documents see each other, without an error.
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
    nll: torch.Tensor = model.get_output_embeddings()(hidden[0, batch.scored], batch.targets)
    return nll
