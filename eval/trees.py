"""A context with all its continuations as one row of tokens, and rows as one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pacos.errors import UserError

Request = tuple[tuple[str, str] | None, list[int], list[int]]
"""The harness's tokenised request: its texts, the context's tokens, the continuation's tokens."""


@dataclass(slots=True)
class Tree:
    """A context and its continuations as one row of tokens."""

    context: list[int]
    continuations: list[list[int]]
    numbers: list[int]
    """Place of each continuation among the requests."""

    def __len__(self) -> int:
        # The last token of a continuation is predicted, never read.
        return len(self.context) + sum(len(tokens) - 1 for tokens in self.continuations)


def make_trees(requests: Sequence[Request], max_length: int) -> list[Tree]:
    """Group requests by context, cut from the left as the harness cuts what is too long.

    Raises:
        UserError: a continuation has no token of its own, or leaves no room for a context.
    """
    trees: dict[tuple[int, ...], Tree] = {}
    for number, (texts, context, continuation) in enumerate(requests):
        if not 0 < len(continuation) <= max_length:
            raise UserError(
                f"{texts}: the continuation has {len(continuation)} tokens of its own, which must "
                f"be 1 to {max_length}; change the task's doc_to_choice or target_delimiter"
            )
        kept = context[-(max_length + 1 - len(continuation)) :]
        tree = trees.setdefault(tuple(kept), Tree(kept, [], []))
        tree.continuations.append(continuation)
        tree.numbers.append(number)
    return list(trees.values())


@dataclass(slots=True)
class LaidOut:
    """Several trees as the tensors of one forward pass."""

    ids: torch.Tensor
    positions: torch.Tensor
    visible: torch.Tensor
    """Which earlier token a token attends to: of the context, or of its own continuation."""
    rows: torch.Tensor
    columns: torch.Tensor
    """Where, row and column, each scored token is predicted."""
    targets: torch.Tensor
    """The scored tokens."""

    @classmethod
    def of(cls, trees: Sequence[Tree], device: torch.device) -> LaidOut:
        """Lay trees out, padded on the right; no real token attends to padding, which is later."""
        shape = (len(trees), max(len(tree) for tree in trees))
        ids, positions, branch = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
        rows, columns, targets = [], [], []
        for row, tree in enumerate(trees):
            depth = end = len(tree.context)
            ids[row, :end] = torch.tensor(tree.context)
            positions[row, :end] = torch.arange(end)
            for number, tokens in enumerate(tree.continuations, start=1):
                start, end = end, end + len(tokens) - 1
                ids[row, start:end] = torch.tensor(tokens[:-1])
                positions[row, start:end] = torch.arange(depth, depth + end - start)
                branch[row, start:end] = number
                rows += [row] * len(tokens)
                columns += [depth - 1, *range(start, end)]
                targets += tokens
        earlier = torch.ones(shape[1], shape[1], dtype=torch.bool).tril()
        visible = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
        tensors = (ids, positions, (visible & earlier)[:, None])
        places = (torch.tensor(rows), torch.tensor(columns), torch.tensor(targets))
        return cls(*(tensor.to(device) for tensor in (*tensors, *places)))
