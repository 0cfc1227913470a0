"""The files of a checkpoint: one per rank, in the format of safetensors, hashed as it is written.

A tensor in a file is called KIND/PARAMETER/START: what it is of the parameter, and the element of
the parameter, in the order of memory, at which it begins.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

WEIGHT = "weight"
"""Kind of the optimizer's own copy of a weight. The other kinds are its states, by their names."""

RANDOM = "random"
"""First part of the names of tensors that belong to no parameter: random states of the rank."""

DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.uint8: "U8"}
"""Names of number formats in safetensors."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Size and hash that a file must have."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Span:
    """Some elements of the optimizer's state of one parameter."""

    kind: str
    """`weight`, or the name of one of the optimizer's states."""
    parameter: str
    start: int
    """First element, in the order of memory."""
    count: int


ShardLayout = Sequence[tuple[str, torch.dtype, int]]
"""Name, number format and number of elements of each tensor in a file."""


def name_of(span: Span) -> str:
    """Return the name of the tensor that holds a span."""
    return f"{span.kind}/{span.parameter}/{span.start}"


def shard_name(rank: int) -> str:
    """Return the name of a rank's file."""
    return f"rank-{rank:05d}.safetensors"


def layout_bytes(layout: ShardLayout) -> int:
    """Return the size of all tensors of a file."""
    return sum(dtype.itemsize * count for _, dtype, count in layout)


def write_shard(path: Path, layout: ShardLayout, tensors: Iterable[torch.Tensor]) -> FileFacts:
    """Write flat tensors one after another, and fsync.

    Written by hand, because safetensors' own writer wants all tensors in memory at once and hashes
    nothing. The digest is of the bytes in memory, so it also reveals what the disk does to them.

    Raises:
        OSError: the file cannot be written completely.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for piece in chain([_header(layout)], map(_content, tensors)):
            file.write(piece)
            digest.update(piece)
            size += len(piece)
        file.flush()
        os.fsync(file.fileno())
    return FileFacts(size, digest.hexdigest())


def _header(layout: ShardLayout) -> memoryview:
    """Return the header: its length in 8 bytes, then JSON (huggingface/safetensors, README)."""
    entries, end = {}, 0
    for name, dtype, count in layout:
        start, end = end, end + dtype.itemsize * count
        entries[name] = {"dtype": DTYPES[dtype], "shape": [count], "data_offsets": [start, end]}
    text = json.dumps(entries).encode()
    # Padded with spaces, as the format asks, so that tensors begin at multiples of 8 bytes.
    text += b" " * (-len(text) % 8)
    return memoryview(struct.pack("<Q", len(text)) + text)


def _content(tensor: torch.Tensor) -> memoryview:
    return tensor.cpu().view(torch.uint8).numpy().data


@dataclass(frozen=True, slots=True)
class _Piece:
    """A tensor in a file: some elements of a parameter."""

    start: int
    end: int
    name: str
    file: Any


class Shards:
    """The tensors of all files of a checkpoint."""

    def __init__(self, files: Iterable[Path]) -> None:
        """Read the headers of the files, but not the numbers.

        Raises:
            SafetensorError: a file is not in the format.
        """
        self._pieces: defaultdict[tuple[str, str], list[_Piece]] = defaultdict(list)
        self._dtypes: set[str] = set()
        for path in files:
            file: Any = safe_open(path, framework="pt")
            for name in file.keys():  # noqa: SIM118  # it is not a dict
                kind, parameter, start = name.split("/")
                if kind == RANDOM:
                    continue
                view = file.get_slice(name)
                self._dtypes.add(view.get_dtype())
                first, count = int(start), view.get_shape()[0]
                self._pieces[kind, parameter].append(_Piece(first, first + count, name, file))
        for pieces in self._pieces.values():
            pieces.sort(key=lambda piece: piece.start)

    def differences(
        self, kinds: Sequence[str], sizes: Mapping[str, int], dtype: torch.dtype
    ) -> list[str]:
        """Return what differs from the state of an engine.

        Args:
            kinds: what it keeps of each parameter: the weight and the optimizer's states.
            sizes: elements of each of its parameters.
            dtype: number format of its master weights and optimizer states.
        """
        differences = [
            f"{stored} numbers there, {DTYPES[dtype]} here"
            for stored in sorted(self._dtypes - {DTYPES[dtype]})
        ]
        for name in sorted(sizes.keys() | {name for _, name in self._pieces}):
            for kind in kinds:
                stored, wanted = self._complete_elements(kind, name), sizes.get(name, 0)
                if stored != wanted:
                    differences.append(f"{kind} of {name}: {stored} elements there, {wanted} here")
        return differences

    def _complete_elements(self, kind: str, parameter: str) -> int:
        """Return how many elements are stored without a gap, from the first on."""
        end = 0
        for piece in self._pieces.get((kind, parameter), ()):
            if piece.start != end:
                break
            end = piece.end
        return end

    def copy(self, span: Span, into: torch.Tensor) -> None:
        """Copy the elements of a span, from all files that hold some of them.

        Each piece goes from the mapped file to its place at once: a matrix of 4 GB needs no second
        copy in memory, whatever number of files it is divided among.

        Args:
            span: the elements.
            into: [count], of any number format, on any device.
        """
        first, end = span.start, span.start + span.count
        for piece in self._pieces[span.kind, span.parameter]:
            begin, stop = max(first, piece.start), min(end, piece.end)
            if begin < stop:
                elements = piece.file.get_slice(piece.name)[
                    begin - piece.start : stop - piece.start
                ]
                into[begin - first : stop - first].copy_(elements)
