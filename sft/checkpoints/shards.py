"""The files of a checkpoint: one a rank, in the format of safetensors, hashed while it is written.

A tensor of a file is called KIND/PARAMETER/START: what of a parameter it is, and where in it, in
the order of memory, it begins.
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

from sft.checkpoints.engine_state import MOMENTS, WEIGHT, Span

DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.uint8: "U8"}
"""Names of number formats in safetensors."""

RANDOM = "random"
"""First part of the names of what is no part of a parameter: random states of the rank."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file has to be like."""

    bytes: int
    sha256: str


Layout = Sequence[tuple[str, torch.dtype, int]]
"""Name, number format and elements of each tensor of a file."""


def name_of(span: Span) -> str:
    """The name of its tensor."""
    return f"{span.kind}/{span.parameter}/{span.start}"


def shard_name(rank: int) -> str:
    """The file of a rank."""
    return f"rank-{rank:05d}.safetensors"


def layout_bytes(layout: Layout) -> int:
    """Size of the tensors of a file."""
    return sum(dtype.itemsize * count for _, dtype, count in layout)


def write_shard(path: Path, layout: Layout, tensors: Iterable[torch.Tensor]) -> FileFacts:
    """Write flat tensors one after another, each once, and fsync.

    The digest is of what was in memory: it tells what a disk does to it afterwards.

    Raises:
        OSError: it cannot be written, or not all of it.
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


def _header(layout: Layout) -> memoryview:
    """Its length in 8 bytes, and as JSON what the file holds (huggingface/safetensors, README)."""
    entries, end = {}, 0
    for name, dtype, count in layout:
        start, end = end, end + dtype.itemsize * count
        entries[name] = {"dtype": DTYPES[dtype], "shape": [count], "data_offsets": [start, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return memoryview(struct.pack("<Q", len(text)) + text)


def _content(tensor: torch.Tensor) -> memoryview:
    return tensor.cpu().view(torch.uint8).numpy().data


@dataclass(frozen=True, slots=True)
class _Piece:
    """A tensor of a file: some elements of a parameter."""

    start: int
    end: int
    name: str
    file: Any


class Shards:
    """The tensors of all files of a checkpoint."""

    def __init__(self, files: Iterable[Path]) -> None:
        """Read what the files hold, but not the numbers.

        Raises:
            SafetensorError: a file is none.
        """
        self._pieces: defaultdict[tuple[str, str], list[_Piece]] = defaultdict(list)
        self._dtypes: set[str] = set()
        for path in files:
            file: Any = safe_open(path, framework="pt")
            for name in file.keys():  # noqa: SIM118  # it is no dict
                kind, parameter, start = name.split("/")
                if kind == RANDOM:
                    continue
                view = file.get_slice(name)
                self._dtypes.add(view.get_dtype())
                first, count = int(start), view.get_shape()[0]
                self._pieces[kind, parameter].append(_Piece(first, first + count, name, file))
        for pieces in self._pieces.values():
            pieces.sort(key=lambda piece: piece.start)

    def differences(self, sizes: Mapping[str, int], dtype: torch.dtype) -> list[str]:
        """What is not as an engine has it.

        Args:
            sizes: elements of each of its parameters.
            dtype: of its optimizer's weights and moments.
        """
        found = [
            f"{there} numbers there, {DTYPES[dtype]} here"
            for there in sorted(self._dtypes - {DTYPES[dtype]})
        ]
        for name in sorted(sizes.keys() | {name for _, name in self._pieces}):
            for kind in (WEIGHT, *MOMENTS):
                there, wanted = self._whole(kind, name), sizes.get(name, 0)
                if there != wanted:
                    found.append(f"{kind} of {name}: {there} elements there, {wanted} here")
        return found

    def _whole(self, kind: str, parameter: str) -> int:
        """How many elements are there without a gap from the first on."""
        end = 0
        for piece in self._pieces.get((kind, parameter), ()):
            if piece.start != end:
                break
            end = piece.end
        return end

    def read(self, span: Span) -> torch.Tensor:
        """[count]: the elements of a span, from all files that hold some of them."""
        first, end = span.start, span.start + span.count
        found = [
            piece.file.get_slice(piece.name)[
                max(first, piece.start) - piece.start : min(end, piece.end) - piece.start
            ]
            for piece in self._pieces[span.kind, span.parameter]
            if piece.start < end and piece.end > first
        ]
        return found[0] if len(found) == 1 else torch.cat(found)
