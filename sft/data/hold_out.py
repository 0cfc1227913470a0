"""Held-out rows: drawn by the seed, never trained on."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np

from pacos.errors import UserError
from pacos.seeds import derived_seed
from sft.data.mixture import Mixture


def hold_out(data: Mixture, rows: int, seed: int) -> tuple[Mixture, Mixture]:
    """Divide the rows of an epoch into those to train on and `rows` others, drawn by the seed.

    A row that an epoch takes more than once goes to one side with all its copies.

    Raises:
        UserError: nothing would be left to train on.
    """
    if not rows:
        return data, _take(data, [])
    different = np.unique(data.picked)
    if rows >= len(different):
        raise UserError(
            f"validation.rows = {rows}: there are {len(different)} rows in all; lower it"
        )
    draw = random.Random(derived_seed(seed, "validation"))
    held = np.array(sorted(draw.sample(different.tolist(), rows)), dtype=np.int64)
    trained = np.flatnonzero(~np.isin(data.picked, held))
    first = np.flatnonzero(np.isin(data.picked, held))
    once = first[np.unique(data.picked[first], return_index=True)[1]]
    return _take(data, trained), _take(data, once)


def _take(data: Mixture, rows: Any) -> Mixture:
    return replace(
        data,
        picked=data.picked[rows],
        lengths=data.lengths[rows],
        counts=data.counts[rows],
    )
