"""The rows of an epoch, mixed from one data set or several, and the split into held-out rows."""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pacos.cache import cache_directory
from pacos.data.sources import open_source
from pacos.distributed import World
from pacos.errors import UserError
from pacos.model.protocols import Tokenizer
from pacos.prompts.tokens import TokenizedRow
from pacos.run.stop import NEVER_STOP, StopCheck
from pacos.seeds import derived_seed
from sft.config import SFTConfig
from sft.data.build_once import build_once
from sft.data.token_cache import TokenCache, cache_key, read_cache, write_cache
from sft.data.tokenizer import build_encoder

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mixture:
    """The rows of an epoch; every epoch has the same."""

    parts: list[TokenCache]
    """One per path of the config."""
    indices: NDArray[np.int64]
    """[rows]: index of each row into the concatenation of all parts."""
    lengths: NDArray[np.int64]
    """[rows]: tokens of each row."""
    num_supervised: NDArray[np.int64]
    """[rows]: supervised tokens of each row."""

    @classmethod
    def of(cls, parts: list[TokenCache], weights: Mapping[str, float], seed: int) -> Mixture:
        """Select the rows of an epoch.

        Args:
            parts: in the order of `weights`.
            weights: path to passes over it per epoch.
            seed: selects the rows of a fractional pass.

        Raises:
            UserError: the weights select no row.
        """
        selected, first = [], 0
        for part, (path, weight) in zip(parts, weights.items(), strict=True):
            rows = len(part.lengths)
            selected.append(first + select_rows(rows, weight, derived_seed(seed, "mixture", path)))
            first += rows
        indices = np.concatenate(selected)
        if not len(indices):
            shown = ", ".join(f"{path}: {weight}" for path, weight in weights.items())
            raise UserError(f"data.weight, data.mix = {shown}: select no row at all; raise them")
        # int64 from here on: the caches' int32 would overflow in sums over an epoch.
        counts = np.concatenate([part.counts for part in parts])
        return cls(
            parts=parts,
            indices=indices,
            lengths=np.concatenate([part.lengths for part in parts])[indices].astype(np.int64),
            num_supervised=counts[indices].astype(np.int64),
        )

    def __len__(self) -> int:
        return len(self.indices)

    def digest(self) -> str:
        """Return the SHA-256, in hex, of all tokens, their supervision and the selected rows."""
        digest = hashlib.sha256(self.indices.data)
        for part in self.parts:
            for array in (part.lengths, part.ids, part.supervised):
                digest.update(array.data)
        return digest.hexdigest()

    def _locate(self, index: int) -> tuple[TokenCache, int]:
        row = int(self.indices[index])
        for part in self.parts:
            if row < len(part.lengths):
                return part, row
            row -= len(part.lengths)
        raise IndexError(index)

    def row(self, index: int) -> TokenizedRow:
        """Return the tokens and labels of a row of the epoch."""
        part, row = self._locate(index)
        return part.row(row)

    def place(self, index: int) -> str:
        """Return the file and line of a row of the epoch, for messages."""
        part, row = self._locate(index)
        return part.source.place(int(part.numbers[row]))

    @property
    def dropped(self) -> list[dict[str, Any]]:
        """Rows left out for their length, all or in part: place, id and reason."""
        return [row for part in self.parts for row in part.excluded("dropped")]

    @property
    def quarantined(self) -> list[dict[str, Any]]:
        """Rows that cannot be used: place, id and reason."""
        return [row for part in self.parts for row in part.excluded("quarantined")]

    @property
    def terms(self) -> dict[str, list[str]]:
        """By source, the terms that its rows name; an empty text if some name none."""
        return {part.source.path: part.facts["terms"] for part in self.parts}

    @property
    def inputs(self) -> dict[str, Path]:
        """Every file read, by its name in the manifest: `data`, `data 2` and so on."""
        files = [file for part in self.parts for file in part.source.files]
        return {"data" if n == 1 else f"data {n}": file for n, file in enumerate(files, start=1)}


def select_rows(rows: int, weight: float, seed: int) -> NDArray[np.int64]:
    """Return row indices: all rows once per whole pass, then a random subset for the fraction."""
    passes = int(weight)
    # The seed does not depend on the epoch: every epoch trains on the same subset. Sorted, the rows
    # lie on disk in the order in which they are read.
    rest = random.Random(seed).sample(range(rows), round((weight - passes) * rows))
    return np.concatenate(
        [np.tile(np.arange(rows), passes), np.array(sorted(rest), dtype=np.int64)]
    )


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
        return data, _subset(data, np.array([], dtype=np.int64))
    # Drawn among rows rather than among their copies: a weight does not change the choice.
    distinct = np.unique(data.indices)
    if rows >= len(distinct):
        raise UserError(
            f"validation.rows = {rows}: the data has only {len(distinct)} different rows; lower it"
        )
    rng = random.Random(derived_seed(seed, "validation"))
    heldout = np.array(sorted(rng.sample(distinct.tolist(), rows)), dtype=np.int64)
    is_heldout = np.isin(data.indices, heldout)
    positions = np.flatnonzero(is_heldout)
    first_copies = positions[np.unique(data.indices[positions], return_index=True)[1]]
    return _subset(data, np.flatnonzero(~is_heldout)), _subset(data, first_copies)


def _subset(data: Mixture, positions: NDArray[np.int64]) -> Mixture:
    return replace(
        data,
        indices=data.indices[positions],
        lengths=data.lengths[positions],
        num_supervised=data.num_supervised[positions],
    )


def load_data(
    config: SFTConfig, tokenizer: Tokenizer, world: World, stop: StopCheck = NEVER_STOP
) -> Mixture:
    """Read and tokenize the data of a run; what an earlier run tokenized is only mapped.

    Args:
        config: of the run.
        tokenizer: of the model.
        world: this rank.
        stop: asked for each row and while waiting, by this rank alone.

    Raises:
        UserError: a source cannot be read, or a row is unusable under `data.on_error=refuse`.
    """
    data = config.data
    encoder = build_encoder(config, tokenizer)
    parts = []
    for path in data.weights():
        source = open_source(path)
        # Named by content: a file that moved or was copied is not tokenized again.
        folder = cache_directory() / "tokens" / cache_key(source.digest(), encoder, data)
        start = time.monotonic()
        build = partial(write_cache, source=source, encoder=encoder, config=data, stop=stop)
        build_once(folder, build, world, stop)
        parts.append(read_cache(folder, source))
        log.info(
            f"{path}: {len(parts[-1].lengths)} rows, {len(parts[-1].ids)} tokens, "
            f"in {time.monotonic() - start:.1f} s"
        )
    return Mixture.of(parts, data.weights(), config.seed)
