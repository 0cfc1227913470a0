"""Pretrained weights from safetensors, one tensor in memory at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deepspeed
import torch
from safetensors import SafetensorError, safe_open

from pacos.configs.stage import is_plain_name
from pacos.errors import UserError
from pacos.files import read_json
from pacos.model.protocols import CausalLM

log = logging.getLogger(__name__)

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

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
        UserError: a file is damaged, or a parameter is missing or has another shape there.
    """
    parameters = dict(model.named_parameters())
    vocabulary = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    missing = set(parameters)
    unused = []
    for file, name in _tensors(folder):
        parameter = parameters.get(name)
        if parameter is None:
            unused.append(name)
            continue
        missing.discard(name)
        # A collective under ZeRO-3: every rank must walk the same tensors in the same order.
        with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0, enabled=divided):
            if reads:
                _fill(parameter, name, file.get_tensor(name), may_grow=id(parameter) in vocabulary)
    if missing:
        raise UserError(
            f"model.path = {folder}: no file holds {_few(sorted(missing))}; "
            "the directory is incomplete, or of another architecture"
        )
    # Tied weights appear once among the parameters, but some files hold both copies.
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    unused = [name for name in unused if name not in tied and not name.endswith(RECOMPUTED)]
    if unused:
        log.warning(f"{folder}: the model has no parameter for {_few(unused)}")


def _tensors(folder: Path) -> Iterator[tuple[Any, str]]:
    """Yield the open file and name of every tensor, in the same order on every rank."""
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                for name in sorted(file.keys()):
                    yield file, name
        except SafetensorError as error:
            raise UserError(f"model.path: {path}: {error}; copy or download it again") from error


@torch.no_grad()
def _fill(parameter: torch.Tensor, name: str, tensor: torch.Tensor, *, may_grow: bool) -> None:
    rows = len(tensor)
    same_width = parameter.shape[1:] == tensor.shape[1:]
    if not same_width or rows > len(parameter) or (rows < len(parameter) and not may_grow):
        raise UserError(
            f"model.path: {name} has shape {list(tensor.shape)} in its file and "
            f"{list(parameter.shape)} by config.json; the directory mixes two models"
        )
    parameter[:rows].copy_(tensor)
    if rows < len(parameter):
        parameter[rows:].copy_(tensor.float().mean(dim=0))


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
