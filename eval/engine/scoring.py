"""Run the plan's passes on a model: log-likelihoods of continuations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import torch

from eval.engine.attention import PassAttention
from eval.engine.packed_pass import PackedPass, PrefixCache
from eval.engine.plan import Fork, ForwardPass, PrefixGroup
from pacos.model.protocols import CausalLM

T = TypeVar("T")

LogLikelihood = tuple[float, bool]
"""Log-likelihood of a continuation in nats; True if greedy decoding generates it."""

HEAD_POSITIONS = 1024
"""Positions that go through the output head at once. Their fp32 logits take 0.5 GiB for a
vocabulary of 128k, where all positions of a pass would take several."""

IDLE_PASS = ForwardPass([PrefixGroup([], [Fork([0], [[0]], [0])])])
"""One token, computed by a rank without work while the ranks share the parameters (ZeRO-3): each
forward pass gathers them, so every rank has to make it."""


class Scorer:
    """Scores passes; those of one chain must come in their order."""

    def __init__(self, model: CausalLM, device: torch.device) -> None:
        self._model, self._device = model, device
        self._prefix_cache: PrefixCache = {}

    @torch.no_grad()
    def score(self, forward_pass: ForwardPass) -> list[tuple[int, LogLikelihood]]:
        """Return the score of each request of a pass, with the request's index."""
        # Keys and values of the previous chain go before those of this one are computed.
        if not forward_pass.reuses_prefix:
            self._prefix_cache.clear()
        packed = PackedPass(forward_pass, self._model, self._device, self._prefix_cache)

        def compute(model: CausalLM) -> list[LogLikelihood]:
            hidden = hidden_states(model, packed)
            head = model.get_output_embeddings()
            return score_spans(head, hidden, packed.scored, packed.targets, packed.spans)

        scores = as_one_call(self._model, compute)
        return list(zip(forward_pass.request_indices(), scores, strict=True))


class FlatPass(PassAttention, Protocol):
    """A pass as one flat sequence of T tokens."""

    ids: torch.Tensor
    """[1, T]."""
    positions: torch.Tensor
    """[1, T]."""
    places: torch.Tensor
    """[S], positions in the flat sequence whose next token matters."""


def hidden_states(model: CausalLM, packed: FlatPass) -> torch.Tensor:
    """Return the hidden states at `places`, [S, H], on the device of the last layer."""
    hidden: torch.Tensor = model.base_model(
        input_ids=packed.ids, position_ids=packed.positions, use_cache=False, packed=packed
    ).last_hidden_state
    return hidden[0, packed.places.to(hidden.device)]


def score_spans(
    head: Callable[[torch.Tensor], torch.Tensor],
    hidden: torch.Tensor,
    scored: torch.Tensor,
    targets: torch.Tensor,
    spans: Sequence[int],
) -> list[LogLikelihood]:
    """Score continuations, with the softmax in fp32.

    Args:
        head: maps hidden states to logits.
        hidden: [S, H], hidden states that predict a scored token; their device computes.
        scored: [K], for each scored token the row of `hidden` that predicts it.
        targets: [K], the scored tokens.
        spans: number of scored tokens of each continuation.
    """
    scored, targets = scored.to(hidden.device), targets.to(hidden.device)
    scores = hidden.new_empty(len(targets), dtype=torch.float32)
    greedy = hidden.new_empty(len(targets), dtype=torch.bool)
    for start in range(0, len(hidden), HEAD_POSITIONS):
        # A head that is tied to the embedding lies on the first GPU of a spread model.
        logits = head(hidden[start : start + HEAD_POSITIONS]).to(hidden.device).float()
        # log_softmax, because lm_eval uses it: on CPUs logsumexp differs by 6e-6 per token.
        logprobs = logits.log_softmax(-1)
        chunk = ((scored >= start) & (scored < start + HEAD_POSITIONS)).nonzero().squeeze(1)
        rows, wanted = scored[chunk] - start, targets[chunk]
        scores[chunk] = logprobs[rows, wanted]
        greedy[chunk] = logits.argmax(-1)[rows] == wanted
    # Summed on the CPU: one transfer for all continuations instead of one for each.
    sums = [float(part.sum()) for part in scores.cpu().split(list(spans))]
    exact = [bool(part.all()) for part in greedy.cpu().split(list(spans))]
    return list(zip(sums, exact, strict=True))


def as_one_call(model: CausalLM, compute: Callable[[CausalLM], T]) -> T:
    """Run `compute`, which calls parts of a model, within one call of the model itself.

    ZeRO-3 gathers the parameters of a module when it is called, and prefetches them in the order it
    has recorded. That order begins and ends with a call of the whole model: calling its parts alone
    would invalidate the record.
    """
    # A model in training has a forward of its own instance, which computes the loss.
    own = model.__dict__.get("forward")
    model.forward = lambda: compute(model)
    try:
        return model()
    finally:
        del model.forward
        if own is not None:
            model.forward = own
