"""The split into training rows and held-out rows.

Rows with equal tokens are one row here, whichever sources they come from: a copy of a held-out row
that is trained on would make the held-out loss measure memory.
"""

from __future__ import annotations

import logging
import random

import numpy as np
from numpy.typing import NDArray

from pacos.errors import UserError
from pacos.seeds import derived_seed
from sft.data.mixture import Mixture

log = logging.getLogger(__name__)


def split(data: Mixture, own: Mixture | None, rows: int, seed: int) -> tuple[Mixture, Mixture]:
    """Return training rows and held-out rows.

    Args:
        data: all rows of the epoch.
        own: the rows of `validation.path`, if it is set.
        rows: `validation.rows`.
        seed: draws the held-out rows.

    Raises:
        UserError: there are too few rows.
    """
    if own is None:
        return split_heldout(data, rows, seed)
    return data, separate_heldout(data, own, rows, seed)


def split_heldout(data: Mixture, rows: int, seed: int) -> tuple[Mixture, Mixture]:
    """Split the rows of an epoch into training rows and `rows` held-out rows.

    All copies of a row go to the same side: a row with a weight of 2 is never both trained on and
    held out.

    Returns:
        The training rows with all their copies, and one copy of each held-out row.

    Raises:
        UserError: no row would be left to train on.
    """
    if not rows:
        return data, data.subset(np.array([], dtype=np.int64))
    first_copies = _first_copies(data)
    if rows >= len(first_copies):
        raise UserError(
            f"validation.rows = {rows}: the data has only {len(first_copies)} different rows; "
            "lower it"
        )
    heldout = first_copies[_drawn(len(first_copies), rows, seed)]
    digests = data.digests()
    is_heldout = np.isin(digests, digests[heldout])
    return data.subset(np.flatnonzero(~is_heldout)), data.subset(np.sort(heldout))


def separate_heldout(data: Mixture, held: Mixture, rows: int, seed: int) -> Mixture:
    """Return the held-out rows of a source of their own.

    Args:
        data: the training rows, which stay as they are.
        held: the rows of `validation.path`.
        rows: number of rows to draw; 0 takes all.
        seed: draws them.

    Returns:
        One copy of each row that is not trained on.

    Raises:
        UserError: there are too few.
    """
    first_copies = _first_copies(held)
    is_trained = np.isin(held.digests()[first_copies], data.digests())
    unseen = first_copies[~is_trained]
    path = held.parts[0].source.path
    if is_trained.any():
        log.warning(
            f"validation.path = {path}: {is_trained.sum():,} of its {len(first_copies):,} "
            "different rows are also trained on; they are left out of the validation"
        )
    if not len(unseen):
        raise UserError(f"validation.path = {path}: every row of it is also trained on; give other")
    if rows > len(unseen):
        raise UserError(
            f"validation.rows = {rows}: validation.path has only {len(unseen)} different rows that "
            "are not trained on; lower it, or set 0 for all of them"
        )
    return held.subset(np.sort(unseen[_drawn(len(unseen), rows, seed)] if rows else unseen))


def _first_copies(data: Mixture) -> NDArray[np.int64]:
    """Return the position of one copy of each different row, in the order of the sources."""
    # In the order of the sources, so that a weight does not change which rows are drawn.
    order = np.argsort(data.indices, kind="stable")
    first = np.unique(data.digests()[order], return_index=True)[1]
    return order[np.sort(first)]


def _drawn(count: int, rows: int, seed: int) -> NDArray[np.int64]:
    rng = random.Random(derived_seed(seed, "validation"))
    return np.array(sorted(rng.sample(range(count), rows)), dtype=np.int64)
