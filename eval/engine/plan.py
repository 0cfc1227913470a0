"""Plan forward passes so that nothing that requests have in common is computed twice.

Requests of one task begin alike: with the few-shot examples of a subject, then with the question
that stands before each of its choices. The plan factors both out:

- a *fork* is the end of a context and the continuations that branch from it;
- a *shared prefix* is the beginning that the contexts of several forks have in common;
- a *forward pass* computes shared prefixes together with their forks;
- a *pass chain* is the passes over one large prefix: the first computes it, the others reuse it.

The plan depends on the requests alone, never on the number of ranks, and so do the scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from pacos.errors import UserError

TokenizedRequest = tuple[tuple[str, str] | None, list[int], list[int]]
"""lm_eval's tokenised request: its two texts, tokens of the context, tokens of the continuation."""

MIN_PREFIX_SHARE = 1 / 8
"""Smallest ratio of prefix tokens to a fork's own tokens at which a prefix is shared. A fork that
shares none has its whole context as its prefix, where attention is causal; tokens of a fork go
through a mask, which costs twice as much."""

MAX_FORK_TOKENS = 2048
"""Continuation tokens above which a fork is split: the memory of its mask grows with the square."""

MAX_CHAIN_PASSES = 8
"""Passes after which a prefix is computed again, so that several ranks can share one subject."""


@dataclass(slots=True)
class Fork:
    """The end of a context, and continuations that each see it but not one another."""

    context: list[int]
    """At least the last token, which predicts the first token of each continuation."""
    continuations: list[list[int]] = field(default_factory=list)
    request_indices: list[int] = field(default_factory=list)
    """Index of each continuation's request."""

    def __len__(self) -> int:
        """Return the number of tokens to compute."""
        # The last token of a continuation is predicted, never read.
        return len(self.context) + sum(len(tokens) - 1 for tokens in self.continuations)


@dataclass(slots=True)
class PrefixGroup:
    """A shared prefix and the forks that continue it."""

    prefix: list[int]
    forks: list[Fork]

    def __len__(self) -> int:
        return len(self.prefix) + sum(map(len, self.forks))


@dataclass(slots=True)
class ForwardPass:
    """The content of one forward pass."""

    groups: list[PrefixGroup]
    reuses_prefix: bool = False
    """True if the pass before computed the prefix of the only group."""
    keeps_prefix: bool = False
    """True if the next pass needs the prefix."""

    def __len__(self) -> int:
        """Return the number of tokens to compute."""
        reused = len(self.groups[0].prefix) if self.reuses_prefix else 0
        return sum(map(len, self.groups)) - reused

    def request_indices(self) -> list[int]:
        """Return the indices of the requests that the pass answers, in its own order."""
        return [
            index for group in self.groups for fork in group.forks for index in fork.request_indices
        ]


PassChain = list[ForwardPass]


def plan_passes(
    requests: Sequence[TokenizedRequest], max_length: int, batch_tokens: int
) -> list[PassChain]:
    """Plan the forward passes of requests. Chains may run in any order and on any rank.

    Args:
        requests: tokenised requests.
        max_length: tokens that the model reads; a longer request loses its left end.
        batch_tokens: tokens per pass; a single fork or prefix may exceed it.

    Raises:
        UserError: a continuation has no token of its own, or leaves no room for a context.
    """
    groups = group_by_prefix(make_forks(requests, max_length))
    small = [group for group in groups if len(group) <= batch_tokens]
    large = [group for group in groups if len(group) > batch_tokens]
    chains = [chain for group in large for chain in _split_group(group, batch_tokens)]
    # Attention pads prefixes to the longest of a pass, so passes hold prefixes of like length.
    small.sort(key=lambda group: len(group.prefix), reverse=True)
    return [*chains, *([one] for one in _pack_groups(small, batch_tokens))]


def make_forks(requests: Sequence[TokenizedRequest], max_length: int) -> list[Fork]:
    """Collect the continuations of each context, truncated on the left as lm_eval does."""
    forks: list[Fork] = []
    by_context: dict[tuple[int, ...], Fork] = {}
    for index, (texts, context, continuation) in enumerate(requests):
        if not 0 < len(continuation) <= max_length:
            raise UserError(
                f"{texts}: the continuation has {len(continuation)} tokens of its own, but must "
                f"have 1 to {max_length}; change the task's doc_to_choice or target_delimiter"
            )
        # One more token than the model reads: the last one is only predicted.
        kept = tuple(context[-(max_length + 1 - len(continuation)) :])
        fork = by_context.get(kept)
        if fork is None or len(fork) - len(kept) + len(continuation) > MAX_FORK_TOKENS:
            fork = by_context[kept] = Fork(list(kept))
            forks.append(fork)
        fork.continuations.append(continuation)
        fork.request_indices.append(index)
    return forks


def group_by_prefix(forks: Sequence[Fork]) -> list[PrefixGroup]:
    """Share the prefixes that save the most tokens. A fork that shares none is its own group."""
    arrays = [np.array(fork.context, dtype=np.int32) for fork in forks]
    # Big-endian bytes sort in the order of the numbers, and far faster than lists of them.
    order = sorted(range(len(forks)), key=lambda index: arrays[index].astype(">i4").tobytes())
    lengths = [len(arrays[index]) for index in order]
    shared = [_shared_length(arrays[left], arrays[right]) for left, right in pairwise(order)]
    groups = []
    for first, end, depth in _best_prefixes(lengths, shared):
        members = [forks[order[place]] for place in range(first, end)]
        prefix = members[0].context[:depth]
        rest = [
            Fork(fork.context[depth:], fork.continuations, fork.request_indices) for fork in members
        ]
        groups.append(PrefixGroup(prefix, sorted(rest, key=len)))
    return groups


def _shared_length(left: np.ndarray, right: np.ndarray) -> int:
    """Return the number of tokens that two contexts begin with alike, short of either's last."""
    size = min(len(left), len(right)) - 1
    different = left[:size] != right[:size]
    return int(different.argmax()) if different.any() else size


@dataclass(slots=True)
class _Span:
    """Forks, in the order of their contexts, that begin with the same `depth` tokens."""

    depth: int
    first: int
    end: int
    saved: int = 0
    """Tokens saved by the best division of the span."""
    cuts: list[tuple[int, int, int]] = field(default_factory=list)
    """That division: first fork, end (exclusive), tokens of the prefix."""

    def add(self, part: _Span) -> None:
        self.end = part.end
        self.saved += part.saved
        self.cuts += part.cuts

    def settle(self, cumulative: Sequence[int]) -> _Span:
        """Give all forks one prefix if that saves at least as much as the parts do."""
        forks = self.end - self.first
        own = cumulative[self.end] - cumulative[self.first] - forks * self.depth
        saved = (forks - 1) * self.depth
        if saved >= self.saved and self.depth * forks >= MIN_PREFIX_SHARE * own:
            self.saved, self.cuts = saved, [(self.first, self.end, self.depth)]
        return self


def _best_prefixes(lengths: Sequence[int], shared: Sequence[int]) -> list[tuple[int, int, int]]:
    """Divide sorted forks into spans with one prefix each, so that most tokens are saved.

    Every beginning that forks share is a node of their prefix trie. The shared lengths of
    neighbours describe that trie without building it, as an LCP array does for a suffix tree; the
    stack holds the nodes from the root to the current fork.

    Args:
        lengths: tokens of each context.
        shared: tokens that each context and the next one begin with alike.

    Returns:
        For each span the first fork, the end (exclusive) and the tokens of the prefix.
    """
    cumulative = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).tolist()
    open_spans: list[_Span] = []
    done = _Span(0, 0, 0)
    for place, length in enumerate(lengths):
        depth = shared[place] if place < len(shared) else -1
        done = _Span(length - 1, place, place + 1, 0, [(place, place + 1, length - 1)])
        # Spans that the next fork does not share end here, and become part of their parents.
        while open_spans and open_spans[-1].depth > depth:
            span = open_spans.pop()
            span.add(done)
            done = span.settle(cumulative)
        if open_spans and open_spans[-1].depth == depth:
            open_spans[-1].add(done)
        elif depth >= 0:
            span = _Span(depth, done.first, done.first)
            span.add(done)
            open_spans.append(span)
    return done.cuts


def _split_group(group: PrefixGroup, batch_tokens: int) -> Iterator[PassChain]:
    """Yield the chains of a group that does not fit into one pass."""
    chain: PassChain = []
    forks: list[Fork] = []
    used = len(group.prefix)
    for fork in group.forks:
        if forks and used + len(fork) > batch_tokens:
            chain.append(ForwardPass([PrefixGroup(group.prefix, forks)], reuses_prefix=bool(chain)))
            # The next pass of the chain finds the prefix computed.
            forks, used = [], 0
            if len(chain) == MAX_CHAIN_PASSES:
                yield _linked(chain)
                chain, used = [], len(group.prefix)
        forks.append(fork)
        used += len(fork)
    chain.append(ForwardPass([PrefixGroup(group.prefix, forks)], reuses_prefix=bool(chain)))
    yield _linked(chain)


def _linked(chain: PassChain) -> PassChain:
    for forward_pass in chain[:-1]:
        forward_pass.keeps_prefix = True
    return chain


def _pack_groups(groups: Sequence[PrefixGroup], batch_tokens: int) -> Iterator[ForwardPass]:
    """Yield passes that each hold as many complete groups as fit."""
    members: list[PrefixGroup] = []
    used = 0
    for group in groups:
        if members and used + len(group) > batch_tokens:
            yield ForwardPass(members)
            members, used = [], 0
        members.append(group)
        used += len(group)
    if members:
        yield ForwardPass(members)
