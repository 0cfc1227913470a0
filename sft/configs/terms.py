"""The works that a training run makes its model from, with their terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pacos.configs.model import Init, ModelConfig
from pacos.data.source_config import SourceConfig
from pacos.terms.catalogue import UNKNOWN
from pacos.terms.combine import PACOS, Input, Role
from pacos.terms.record import inputs_of
from sft.configs.data import DataConfig


def stated_inputs(model: ModelConfig, data: DataConfig) -> list[Input]:
    """Return the works whose terms the config states; those of the rows are mostly in the rows."""
    sources = [
        Input(Role.data, source.path, source.terms, _terms_key(data, source))
        for source in data.sources()
        if source.terms is not None
    ]
    return [_weights(model), *sources, PACOS]


def inherited_inputs(model: ModelConfig, data: DataConfig) -> list[Input]:
    """Return what a model or a data set of an earlier run was made from, as its manifest says."""
    works = [] if model.init is Init.random else [*inputs_of(model.path, "model.path")]
    for path in data.weights():
        works += inputs_of(path, "data.path")
    return works


def row_inputs(
    model: ModelConfig, data: DataConfig, found: Mapping[str, Sequence[str]]
) -> list[Input]:
    """Return the works of a model whose rows are read.

    Args:
        model: the base model.
        data: its sources.
        found: by source, the terms that its rows carry; an empty text for rows that carry none.
    """
    weights = [] if model.init is Init.random else [*inputs_of(model.path, "model.path")]
    rows = [
        Input(Role.data, source.path, text or source.terms or UNKNOWN, _terms_key(data, source))
        for source in data.sources()
        for text in found.get(source.path, ())
    ]
    return [_weights(model), *weights, *rows, PACOS]


def _weights(model: ModelConfig) -> Input:
    return Input(Role.weights, model.name, model.license, "model.license")


def _terms_key(data: DataConfig, source: SourceConfig) -> str:
    """Return the key that states a source's terms, or would."""
    is_shared = source.path == data.path or source.terms == data.terms
    return "data.terms" if is_shared else f"data.mix.{source.path}.terms"
