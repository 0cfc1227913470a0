"""Pretrained weights from safetensors, one tensor in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deepspeed
import torch
from safetensors import SafetensorError, safe_open

from pacos.configs.stage import is_plain_name
from pacos.errors import UserError
from pacos.files import read_json
from pacos.model.protocols import CausalLM

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

FLOATS = {"F64", "F32", "F16", "BF16"}
"""Number formats of weights that can be trained, as safetensors names them."""

RECOMPUTED = "rotary_emb.inv_freq"
"""Suffix of the rotary buffers that LLaMA checkpoints of 2023 hold; newer code computes them."""


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a model.

    Raises:
        UserError: there are none, or the index names files that are missing.
    """
    if not (folder / INDEX).is_file():
        if (folder / SINGLE).is_file():
            return [folder / SINGLE]
        raise UserError(
            f"model.path = {folder}: has neither {SINGLE} nor {INDEX}, and pacos reads no other "
            "format; load the model with transformers and save it with save_pretrained"
        )
    names = sorted(set(read_json(folder / INDEX)["weight_map"].values()))
    # An index is downloaded data: `../` in it would read files outside of the model.
    outside = [name for name in names if not is_plain_name(name)]
    if outside:
        raise UserError(
            f"model.path = {folder}: {INDEX} names {outside[0]!r}, which is not a file of the "
            "folder; take the model from a source that you trust"
        )
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"model.path = {folder}: {len(missing)} of {len(names)} weight files are missing: "
            f"{', '.join(missing)}; copy or download them again"
        )
    return [folder / name for name in names]


@dataclass(frozen=True, slots=True)
class _Stored:
    """A tensor in a file."""

    file: Path
    dtype: str


def load_weights(model: CausalLM, folder: Path, *, reads: bool, divided: bool) -> None:
    """Fill a model's parameters; every rank calls it.

    If tokens were added, the matrices of the vocabulary have more rows than their file. The new
    rows get the mean of the others: a new token is then as likely as the average one, where a
    random row would draw most of the probability from the start (Hewitt 2021, "Initializing new
    word embeddings for pretrained language models").

    Args:
        model: a model whose parameters hold anything.
        folder: directory with safetensors files.
        reads: True if this rank reads tensors. Under ZeRO-3 only rank 0 does, and sends them.
        divided: True if parameters are divided over ranks (ZeRO-3).

    Raises:
        UserError: a file is damaged or quantized; its tensors are not those of the model; a value
            is not finite; or a tied model comes with an output head of its own.
    """
    parameters = dict(model.named_parameters())
    vocabulary = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    stored = _stored(folder)
    _check(model, stored, folder)
    for name, tensor in stored.items():
        parameter = parameters.get(name)
        if parameter is None:
            continue
        # A collective under ZeRO-3: every rank must walk the same tensors in the same order.
        with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0, enabled=divided):
            if reads:
                _fill(parameter, name, tensor, may_grow=id(parameter) in vocabulary)
    if reads:
        _check_tied_head(model, stored)


def _stored(folder: Path) -> dict[str, _Stored]:
    """Return the tensors of all files, in the same order on every rank."""
    found: dict[str, _Stored] = {}
    for path in weight_files(folder):
        with _opened(path) as file:
            for name in sorted(file.keys()):
                if name in found:
                    raise UserError(
                        f"model.path = {folder}: both {found[name].file.name} and {path.name} hold "
                        f"{name}; the directory mixes two models"
                    )
                found[name] = _Stored(path, file.get_slice(name).get_dtype())
    return found


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise UserError(f"model.path: {path}: {error}; copy or download it again") from error


def _read(name: str, stored: _Stored) -> torch.Tensor:
    with _opened(stored.file) as file:
        tensor: torch.Tensor = file.get_tensor(name)
    return tensor


def _check(model: CausalLM, stored: Mapping[str, _Stored], folder: Path) -> None:
    """Refuse files whose tensors are not those of the model.

    Raises:
        UserError: with the names.
    """
    quantized = [name for name, tensor in stored.items() if tensor.dtype not in FLOATS]
    if quantized:
        first = stored[quantized[0]]
        raise UserError(
            f"model.path = {folder}: {first.file.name} holds {_few(quantized)} as {first.dtype}: "
            "the weights are quantized; give the model that they were quantized from"
        )
    names = {name for name, _ in model.named_parameters()}
    # A tied head is no parameter of its own, but some files hold both copies.
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    extra = [
        name
        for name in stored
        if name not in names and name not in tied and not name.endswith(RECOMPUTED)
    ]
    missing = sorted(names - stored.keys())
    faults = []
    if missing:
        faults.append(f"no file holds {_few(missing)}")
    if extra:
        faults.append(f"{stored[extra[0]].file.name} holds {_few(extra)}, which the model lacks")
    if faults:
        raise UserError(
            f"model.path = {folder}: {'; '.join(faults)}, by its config.json; the directory is "
            "incomplete, or its config.json is that of another model: copy or download it again"
        )


def _check_tied_head(model: CausalLM, stored: Mapping[str, _Stored]) -> None:
    """Refuse an output head that differs from the embedding it is tied to.

    Raises:
        UserError: config.json ties the two, and the file says otherwise.
    """
    tied = getattr(model, "_tied_weights_keys", None) or {}
    names = {name for name, _ in model.named_parameters()}
    for head, embedding in dict(tied).items():
        if head in names or head not in stored:
            continue
        if not torch.equal(_read(head, stored[head]), _read(embedding, stored[embedding])):
            raise UserError(
                f"model.path: {stored[head].file} holds {head}, which differs from {embedding}, "
                "though config.json has tie_word_embeddings = true; set it to false there and "
                "model.shape.tie_word_embeddings=false, or remove the tensor if the embedding is "
                "meant to be the head"
            )


@torch.no_grad()
def _fill(parameter: torch.Tensor, name: str, stored: _Stored, *, may_grow: bool) -> None:
    tensor = _read(name, stored)
    rows = len(tensor)
    same_width = parameter.shape[1:] == tensor.shape[1:]
    if not same_width or rows > len(parameter) or (rows < len(parameter) and not may_grow):
        raise UserError(
            f"model.path: {name} has shape {list(tensor.shape)} in {stored.file.name} and "
            f"{list(parameter.shape)} by config.json; the directory mixes two models"
        )
    # 17 GB/s on a core, where isfinite makes 0.4: it writes a mask. NaN comes through both ends.
    if not bool(torch.stack(torch.aminmax(tensor)).isfinite().all()):
        count = int(tensor.numel() - tensor.isfinite().sum())
        raise UserError(
            f"model.path: {stored.file}: {count} of {tensor.numel()} values of {name} are NaN or "
            "infinite, and so would every loss be; copy or download it again, or take an earlier "
            "checkpoint"
        )
    parameter[:rows].copy_(tensor)
    if rows < len(parameter):
        parameter[rows:].copy_(tensor.float().mean(dim=0))


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
