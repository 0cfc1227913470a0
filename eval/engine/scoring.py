"""Passes run on a model: log-likelihoods of continuations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from eval.engine.packed_pass import PassLayout, Store
from eval.engine.plan import Group, Pass, Row

T = TypeVar("T")

Score = tuple[float, bool]
"""Log-likelihood of a continuation in nats, and whether greedy decoding gives it."""

HEAD_POSITIONS = 1024
"""Positions that go through the output head at once: bounds the memory for their logits."""


IDLE = Pass([Group([], [Row([0], [[0]], [0])])])
"""What a rank computes that has nothing to do, where ranks share the parameters."""


class Scorer:
    """Scores the passes of one unit after another."""

    def __init__(self, model: Any, device: torch.device) -> None:
        self._model, self._device = model, device
        self._store: Store = {}

    @torch.no_grad()
    def score(self, one: Pass) -> list[tuple[int, Score]]:
        """Answer the requests of a pass, each with its number."""
        if not one.is_resumed:
            self._store.clear()
        laid = PassLayout(one, self._model, self._device, self._store)

        def work(model: Any) -> list[Score]:
            hidden = model.base_model(
                input_ids=laid.ids, position_ids=laid.positions, use_cache=False, layout=laid
            ).last_hidden_state[0, laid.places]
            head = model.get_output_embeddings()
            return scores_at(head, hidden, laid.scored, laid.targets, laid.spans)

        return list(zip(one.numbers(), inside(self._model, work), strict=True))


def scores_at(
    head: Any,
    hidden: torch.Tensor,
    scored: torch.Tensor,
    targets: torch.Tensor,
    spans: Sequence[int],
) -> list[Score]:
    """Scores of continuations, softmax in fp32.

    Args:
        head: from hidden states to logits.
        hidden: [S, H], where something is predicted.
        scored: [K], the row of `hidden` that predicts each scored token; not falling by more than
            what one continuation has.
        targets: [K], the scored tokens.
        spans: scored tokens of each continuation.
    """
    scores = hidden.new_empty(len(targets), dtype=torch.float32)
    greedy = hidden.new_empty(len(targets), dtype=torch.bool)
    for at in range(0, len(hidden), HEAD_POSITIONS):
        logits = head(hidden[at : at + HEAD_POSITIONS]).float()
        # By log_softmax, as the harness: on CPUs logsumexp is nearer to the truth, by 6e-6 a token.
        logprobs = logits.log_softmax(-1)
        here = ((scored >= at) & (scored < at + HEAD_POSITIONS)).nonzero().squeeze(1)
        places, wanted = scored[here] - at, targets[here]
        scores[here] = logprobs[places, wanted]
        greedy[here] = logits.argmax(-1)[places] == wanted
    sums = [float(part.sum()) for part in scores.cpu().split(list(spans))]
    exact = [bool(part.all()) for part in greedy.cpu().split(list(spans))]
    return list(zip(sums, exact, strict=True))


def inside(model: Any, work: Callable[[Any], T]) -> T:
    """Do what calls parts of a model as one call of the whole.

    ZeRO-3 gathers the parameters of a part when it is called, in the order that it has learnt; that
    order begins and ends with a call of the whole.
    """
    own = model.__dict__.get("forward")
    model.forward = lambda: work(model)
    try:
        return model()
    finally:
        del model.forward
        if own is not None:
            model.forward = own
