"""All that the model is trained on: the rows of an epoch, from one data set or several."""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pacos.cache import cache_directory
from pacos.data.sources import open_source
from pacos.distributed import World
from pacos.errors import UserError
from pacos.model.prompts import Encoder, TokenizedRow
from pacos.run.stop import Check, go_on
from pacos.seeds import derived_seed
from sft.config import SFTConfig
from sft.data.build_once import made_once
from sft.data.token_cache import TokenCache, cache_key, read_cache, write_cache

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mixture:
    """The rows of an epoch; each epoch has the same."""

    parts: list[TokenCache]
    """One for each path of the config."""
    picked: NDArray[np.int64]
    """[rows]: which rows of the parts, numbered through from the first part's first."""
    lengths: NDArray[np.int64]
    """[rows]: tokens of each row."""
    counts: NDArray[np.int64]
    """[rows]: tokens of each row that carry loss."""

    @classmethod
    def of(cls, parts: list[TokenCache], weights: Mapping[str, float], seed: int) -> Mixture:
        """Pick the rows of an epoch.

        Args:
            parts: in the order of `weights`.
            weights: path to passes over it in an epoch.
            seed: of which rows make up a part of a pass.

        Raises:
            UserError: no row is picked.
        """
        picked, first = [], 0
        for part, (path, weight) in zip(parts, weights.items(), strict=True):
            rows = len(part.lengths)
            picked.append(first + passes(rows, weight, derived_seed(seed, "mixture", path)))
            first += rows
        chosen = np.concatenate(picked)
        if not len(chosen):
            shown = ", ".join(f"{path}: {weight}" for path, weight in weights.items())
            raise UserError(f"data.weight, data.mix = {shown}: take no row at all; raise them")
        return cls(
            parts=parts,
            picked=chosen,
            lengths=np.concatenate([part.lengths for part in parts])[chosen].astype(np.int64),
            counts=np.concatenate([part.counts for part in parts])[chosen].astype(np.int64),
        )

    def __len__(self) -> int:
        return len(self.picked)

    def digest(self) -> str:
        """SHA-256 of all tokens, of which carry loss, and of which rows are taken, in hex."""
        found = hashlib.sha256(self.picked.data)
        for part in self.parts:
            for array in (part.lengths, part.ids, part.supervised):
                found.update(array.data)
        return found.hexdigest()

    def _find(self, index: int) -> tuple[TokenCache, int]:
        row = int(self.picked[index])
        for part in self.parts:
            if row < len(part.lengths):
                return part, row
            row -= len(part.lengths)
        raise IndexError(index)

    def row(self, index: int) -> TokenizedRow:
        """The tokens of a row of the epoch."""
        part, row = self._find(index)
        return part.row(row)

    def place(self, index: int) -> str:
        """Where a person finds a row of the epoch: file and line."""
        part, row = self._find(index)
        return part.source.place(int(part.numbers[row]))

    @property
    def dropped(self) -> list[dict[str, Any]]:
        """Rows that are too long, whole or in part: place, id, reason."""
        return [row for part in self.parts for row in part.listed("dropped")]

    @property
    def quarantined(self) -> list[dict[str, Any]]:
        """Rows that cannot be used: place, id, reason."""
        return [row for part in self.parts for row in part.listed("quarantined")]

    @property
    def terms(self) -> list[str]:
        """Licences and terms that the rows' lineage names."""
        return sorted({terms for part in self.parts for terms in part.facts["terms"]})

    @property
    def inputs(self) -> dict[str, Path]:
        """Every file that was read, for the manifest; the first is called data."""
        files = [file for part in self.parts for file in part.source.files]
        return {"data" if n == 1 else f"data {n}": file for n, file in enumerate(files, start=1)}


def passes(rows: int, weight: float, seed: int) -> NDArray[np.int64]:
    """Indices of rows that are taken: all of them for each whole pass, some for the rest."""
    whole = int(weight)
    rest = random.Random(seed).sample(range(rows), round((weight - whole) * rows))
    return np.concatenate([np.tile(np.arange(rows), whole), np.array(sorted(rest), dtype=np.int64)])


def load_data(config: SFTConfig, tokenizer: Any, world: World, check: Check = go_on) -> Mixture:
    """Read and tokenise what the config trains on; what was tokenised before is only mapped.

    Args:
        config: of the run.
        tokenizer: of the model.
        world: this rank.
        check: called again and again.

    Raises:
        UserError: a source cannot be read, or a row cannot be used and is not to be quarantined.
    """
    data = config.data
    encoder = Encoder.of(tokenizer, config.model.prompt_format)
    parts = []
    for path in data.weights():
        source = open_source(path)
        folder = cache_directory() / "tokens" / cache_key(source.digest(), encoder, data)
        began = time.monotonic()
        make = partial(write_cache, source=source, encoder=encoder, config=data, check=check)
        made_once(folder, make, world, check)
        parts.append(read_cache(folder, source))
        log.info(
            f"{path}: {len(parts[-1].lengths)} rows, {len(parts[-1].ids)} tokens, "
            f"in {time.monotonic() - began:.1f} s"
        )
    return Mixture.of(parts, data.weights(), config.seed)
