"""The judgement on a model directory: whether sft can train what its config.json describes.

The directory is the truth: a config that describes another shape is refused, because memory, time
and utilization would be estimated for another model. Free of torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pacos.errors import Problem, UserError
from pacos.files import read_json
from pacos.model.architectures import (
    ARCHITECTURES,
    ROPE_KEYS,
    Architecture,
    ModelType,
    rope_of,
    training_problem,
    window_of,
)
from pacos.model.paths import looks_local
from pacos.model.requirements import HARMLESS, NEUTRAL
from pacos.model.shape import ModelShape, differences, shape_of

KEY = "model.path"

USED = {
    *("model_type", "architectures", "auto_map", "rms_norm_eps", "rope_theta", *ROPE_KEYS),
    *("original_max_position_embeddings", "sliding_window", "use_sliding_window", "layer_types"),
    *("max_window_layers", "attention_bias", "mlp_bias"),
    *(requirement.key for requirement in NEUTRAL),
}
"""Keys of config.json that are heeded in every family, beside those of its shape."""


def local_problems(path: str, shape: ModelShape, max_length: int) -> list[Problem]:
    """Return what keeps a model directory on this machine from being trained.

    Empty for any other path: the config of an embedded model is known to fit, and that of a hub
    model is looked at once it is downloaded.

    Args:
        path: value of `model.path`.
        shape: the shape of the config.
        max_length: most tokens of a row.
    """
    folder = Path(path).expanduser()
    if not (looks_local(path) and (folder / "config.json").is_file()):
        return []
    return _problems(folder, path, shape, max_length)


def local_shape(path: str) -> ModelShape | None:
    """Return the shape of a model directory on this machine.

    None for any other path, and for a directory that `local_problems` refuses.
    """
    folder = Path(path).expanduser()
    if not (looks_local(path) and (folder / "config.json").is_file()):
        return None
    try:
        config = _read(folder)
        return None if training_problem(config, KEY, path) else shape_of(config)
    except (OSError, ValueError):
        return None


def require_trainable(folder: Path, path: str, shape: ModelShape, max_length: int) -> Architecture:
    """Return the architecture of a model directory.

    Args:
        folder: the directory, with its config.json.
        path: value of `model.path`, for messages.
        shape: the shape of the config.
        max_length: most tokens of a row.

    Raises:
        UserError: sft cannot train it.
    """
    problems = _problems(folder, path, shape, max_length)
    if problems:
        raise UserError("\n".join(map(str, problems)))
    return ARCHITECTURES[ModelType(_read(folder)["model_type"])]


def unknown_keys(folder: Path) -> list[str]:
    """Return the keys of config.json that neither pacos nor transformers uses in this family."""
    config = _read(folder)
    family = ARCHITECTURES[ModelType(config["model_type"])]
    return sorted(config.keys() - USED - HARMLESS - family.defaults.keys())


def _problems(folder: Path, path: str, shape: ModelShape, max_length: int) -> list[Problem]:
    try:
        config = _read(folder)
        problem = training_problem(config, KEY, path)
        if problem is not None:
            return [problem]
        return [
            *_shape_problems(config, path, shape),
            *_length_problems(config, path, max_length),
        ]
    except (OSError, ValueError) as error:
        fault = f"its config.json cannot be read: {error}"
        return [Problem(KEY, path, fault, "copy or download the directory again")]


def _read(folder: Path) -> dict[str, Any]:
    """Return the content of config.json.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no JSON object.
    """
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise ValueError("not a JSON object")
    return config


def _shape_problems(config: Mapping[str, object], path: str, shape: ModelShape) -> list[Problem]:
    found = differences(shape, shape_of(config))
    if not found:
        return []

    def shown(values: Sequence[tuple[str, object]]) -> str:
        return " ".join(
            f"model.shape.{key}={getattr(value, 'name', value)}" for key, value in values
        )

    given = ", ".join(f"{key}={getattr(ours, 'name', ours)}" for key, (ours, _) in found.items())
    return [
        Problem(
            "model.shape",
            given,
            f"is not that of {path}, by its config.json",
            f"set {shown([(key, true) for key, (_, true) in found.items()])}",
        )
    ]


def _length_problems(config: Mapping[str, object], path: str, max_length: int) -> list[Problem]:
    """Return the limits within which attention and rotation are the plain ones."""
    limits: list[tuple[object, str]] = [(window_of(config), "sliding_window")]
    rope, key = rope_of(config), "original_max_position_embeddings"
    if rope.get("rope_type", rope.get("type")) == "longrope":
        # One set of frequencies per pass: beyond this, a short row in a pack would get those of
        # its longest neighbour.
        own = config.get(key) or rope.get(key) or config.get("max_position_embeddings")
        limits.append((own, f"{key} of longrope"))
    return [
        Problem(
            "data.max_length",
            max_length,
            f"{path} has {name} = {limit} in its config.json, and longer rows would be computed "
            "wrongly",
            f"set it to {limit} or less, or train a model without this limit",
        )
        for limit, name in limits
        if isinstance(limit, int) and max_length > limit
    ]
