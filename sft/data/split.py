"""The split into training rows and held-out rows.

Rows with equal tokens are one row here, whichever sources they come from: a copy of a held-out row
that is trained on would make the held-out loss measure memory. A record that makes several examples
stays together for the same reason: the later ones hold the answers of the earlier ones.
"""

from __future__ import annotations

import logging
import random

import numpy as np
from numpy.typing import NDArray

from pacos.errors import UserError
from pacos.seeds import derived_seed
from pacos.text.counted import counted
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
    """Split the rows of an epoch into training rows and held-out rows.

    All copies of a row go to the same side: a row with a weight of 2 is never both trained on and
    held out.

    Args:
        data: all rows of the epoch.
        rows: different records to hold out.
        seed: draws them.

    Returns:
        The training rows with all their copies, and one copy of each held-out row.

    Raises:
        UserError: no row would be left to train on.
    """
    if not rows:
        return data, data.subset(np.array([], dtype=np.int64))
    groups, first_copies = _groups(data), _first_copies(data)
    different = _different(groups[first_copies])
    if rows >= len(different):
        raise UserError(
            f"validation.rows = {rows}: the data has only "
            f"{counted(len(different), 'different row')}; lower it"
        )
    is_heldout = np.isin(groups, _drawn(different, rows, seed))
    heldout = first_copies[is_heldout[first_copies]]
    return data.subset(np.flatnonzero(~is_heldout)), data.subset(np.sort(heldout))


def separate_heldout(data: Mixture, held: Mixture, rows: int, seed: int) -> Mixture:
    """Return the held-out rows of a source of their own.

    Args:
        data: the training rows, which stay as they are.
        held: the rows of `validation.path`.
        rows: different records to draw; 0 takes all.
        seed: draws them.

    Returns:
        One copy of each row, without the records of which a row is trained on.

    Raises:
        UserError: there are too few.
    """
    groups, first_copies = _groups(held), _first_copies(held)
    different = _different(groups[first_copies])
    trained = np.unique(groups[np.isin(held.digests(), data.digests())])
    unseen = different[~np.isin(different, trained)]
    path = held.parts[0].source.path
    if len(trained):
        log.warning(
            f"validation.path = {path}: {len(trained):,} of "
            f"{counted(len(different), 'different row')} {'is' if len(trained) == 1 else 'are'} "
            "also trained on, and left out of the validation"
        )
    if not len(unseen):
        raise UserError(
            f"validation.path = {path}: every row of it is also trained on; give other rows, or "
            "set validation.rows alone to hold out some of data.path"
        )
    if rows > len(unseen):
        raise UserError(
            f"validation.rows = {rows}: {path} (validation.path) has only "
            f"{counted(len(unseen), 'different row')} not trained on; lower it, or set 0 for all"
        )
    taken = _drawn(unseen, rows, seed) if rows else unseen
    return held.subset(np.sort(first_copies[np.isin(groups[first_copies], taken)]))


def _first_copies(data: Mixture) -> NDArray[np.int64]:
    """Return the position of one copy of each different row, in the order of the sources."""
    # In the order of the sources, so that a weight does not change which rows are drawn.
    order = np.argsort(data.indices, kind="stable")
    first = np.unique(data.digests()[order], return_index=True)[1]
    return order[np.sort(first)]


def _groups(data: Mixture) -> NDArray[np.int64]:
    """Return [rows]: the group of each row; rows with equal tokens or of one record share it."""
    group = np.arange(len(data), dtype=np.int64)
    links = [np.unique(key, return_inverse=True)[1] for key in (data.digests(), data.records())]
    while True:
        before = group
        for link in links:
            least = np.full(len(data), len(data), dtype=np.int64)
            np.minimum.at(least, link, group)
            group = least[link]
        if np.array_equal(group, before):
            return group


def _different(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each group once, in the order in which they come."""
    return groups[np.sort(np.unique(groups, return_index=True)[1])]


def _drawn(groups: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    rng = random.Random(derived_seed(seed, "validation"))
    return groups[sorted(rng.sample(range(len(groups)), count))]
