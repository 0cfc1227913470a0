"""The rows of an epoch, mixed from one data set or several."""

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
from pacos.data.source_config import SourceConfig
from pacos.data.sources import Source, open_source
from pacos.distributed import World
from pacos.errors import UserError
from pacos.lineage.trained_rows import TrainedRows
from pacos.model.protocols import Tokenizer
from pacos.prompts.encoder import Encoder
from pacos.prompts.tokens import EncodedRow, TokenizedRow
from pacos.run.stop import NEVER_STOP, StopCheck
from pacos.seeds import derived_seed
from pacos.text.counted import counted
from sft.config import SFTConfig
from sft.configs.data import DataConfig
from sft.data.build_once import build_once
from sft.data.token_cache import FACTS, TokenCache, cache_key, read_cache, write_cache
from sft.data.tokenize import ARRAYS
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
            for array in (part.lengths, part.ids, *part.supervision()):
                digest.update(array.data)
        return digest.hexdigest()

    def digests(self) -> NDArray[np.uint64]:
        """Return [rows]: a hash of each row's tokens."""
        return np.concatenate([part.digests for part in self.parts])[self.indices]

    def records(self) -> NDArray[np.int64]:
        """Return [rows]: a number for each row's record. A record may have several rows."""
        begins = [np.diff(part.numbers, prepend=-1) != 0 for part in self.parts]
        return np.cumsum(np.concatenate(begins))[self.indices]

    def trained(self, steps: NDArray[np.int32]) -> TrainedRows:
        """Return the rows with the steps that train on them, [epochs, rows], for the records."""
        counts = [len(part.lengths) for part in self.parts]
        return TrainedRows(
            sources=np.repeat(np.arange(len(counts), dtype=np.int16), counts)[self.indices],
            numbers=np.concatenate([part.numbers for part in self.parts])[self.indices],
            contents=np.concatenate([part.contents for part in self.parts])[self.indices],
            steps=steps,
        )

    def subset(self, positions: NDArray[np.int64]) -> Mixture:
        """Return the rows at these positions of the epoch."""
        return replace(
            self,
            indices=self.indices[positions],
            lengths=self.lengths[positions],
            num_supervised=self.num_supervised[positions],
        )

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

    def encoded(self, index: int) -> EncodedRow:
        """Return the tokens of a row of the epoch with the reasons for their labels."""
        part, row = self._locate(index)
        return part.encoded(row)

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

    def inputs(self, name: str) -> dict[str, Path]:
        """Return every file read, by its name in the manifest: `data`, `data 2` and so on."""
        files = [file for part in self.parts for file in part.source.files]
        return {name if n == 1 else f"{name} {n}": file for n, file in enumerate(files, start=1)}


def select_rows(rows: int, weight: float, seed: int) -> NDArray[np.int64]:
    """Return row indices: all rows once per whole pass, then a random subset for the fraction."""
    passes = int(weight)
    # The seed does not depend on the epoch: every epoch trains on the same subset. Sorted, the rows
    # lie on disk in the order in which they are read.
    rest = random.Random(seed).sample(range(rows), round((weight - passes) * rows))
    return np.concatenate(
        [np.tile(np.arange(rows), passes), np.array(sorted(rest), dtype=np.int64)]
    )


def load_data(
    config: SFTConfig, tokenizer: Tokenizer, world: World, stop: StopCheck = NEVER_STOP
) -> Mixture:
    """Read and tokenize the data of a run; what an earlier run tokenized is only mapped.

    Args:
        config: of the run.
        tokenizer: of the model.
        world: this rank.
        stop: asked for each chunk and while waiting, by this rank alone.

    Raises:
        UserError: a source cannot be read, or a row is unusable under `data.on_error=refuse`.
    """
    sources = config.data.sources()
    encoder = build_encoder(config, tokenizer)
    parts = [
        _load(open_source(source.path), source, config.data, encoder, world, stop)
        for source in sources
    ]
    return Mixture.of(parts, {source.path: source.weight for source in sources}, config.seed)


def load_heldout(
    config: SFTConfig, tokenizer: Tokenizer, world: World, stop: StopCheck = NEVER_STOP
) -> Mixture | None:
    """Read and tokenize the rows of `validation.path`; None without one.

    Raises:
        UserError: as `load_data`.
    """
    source = config.validation_source()
    if source is None:
        return None
    opened = open_source(source.path, key="validation.path")
    encoder = build_encoder(config, tokenizer)
    try:
        part = _load(opened, source, config.data, encoder, world, stop)
    except UserError as error:
        raise UserError(f"validation.path: {error}") from error
    return Mixture.of([part], {source.path: 1.0}, config.seed)


def _load(
    source: Source,
    source_config: SourceConfig,
    data: DataConfig,
    encoder: Encoder,
    world: World,
    stop: StopCheck,
) -> TokenCache:
    start = time.monotonic()
    # Named by content: a file that moved or was copied is not tokenized again.
    key = cache_key(source.digest(), encoder, source_config, data)
    folder = cache_directory() / "tokens" / key
    build = partial(
        write_cache,
        source=source,
        source_config=source_config,
        encoder=encoder,
        config=data,
        stop=stop,
    )
    build_once(folder, build, world, stop, [*ARRAYS, FACTS])
    cache = read_cache(folder, source)
    log.info(
        f"{source.path}: {counted(len(cache.lengths), 'row')}, {len(cache.ids):,} tokens, "
        f"in {time.monotonic() - start:.1f} s"
    )
    if world.is_main:
        # From the cache too: a run that is resumed should say the same as the first.
        for remark in cache.remarks(data):
            log.warning(remark)
    return cache
