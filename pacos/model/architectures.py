"""The table of model architectures, for training, checks, plans and evaluation. Free of torch.

transformers loads hundreds of architectures without complaint. pacos replaces their attention with
kernels of its own, so a feature that such a kernel ignores (a sliding window, say) would give wrong
losses without an error. Only what this table lists is therefore trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pacos.errors import Problem, UserError
from pacos.files import read_json
from pacos.model.paths import looks_local


@dataclass(frozen=True, slots=True)
class Requirement:
    """A key of config.json with the values that pacos computes correctly."""

    key: str
    allowed: tuple[object, ...]
    """Correct values; of a list, every element must be one of them."""
    default: object
    """The value that transformers takes if config.json lacks the key."""
    consequence: str
    """The effect of any other value, for the message."""

    def is_met(self, config: Mapping[str, object]) -> bool:
        """Return True if config.json has a correct value."""
        value = config.get(self.key, self.default)
        values = value if isinstance(value, list) else [value]
        return all(element in self.allowed for element in values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """One family of models, by its `model_type`."""

    class_name: str
    """Class of the causal language model in transformers."""
    model_type: str
    is_trained: bool
    """True if sft trains it: packing, loss, checkpoints and export are tested for it."""
    attention: tuple[Requirement, ...] = ()
    """What makes its attention the plain one: every token sees all tokens before it, and the scores
    are q·k times one scale. Empty if the family has nothing else."""
    training: tuple[Requirement, ...] = ()
    """What training requires besides."""


NO_DROPOUT = Requirement(
    "attention_dropout", (0, None), 0.0, "the kernels of packed attention have no dropout"
)

WINDOW = "tokens would see beyond their window"
FULL_ATTENTION = (
    # The switches, not the size: published Qwen2 configs name a `sliding_window` that is off.
    Requirement("use_sliding_window", (False, None), False, WINDOW),
    Requirement("layer_types", ("full_attention", None), None, WINDOW),
)

ARCHITECTURES = {
    row.model_type: row
    for row in (
        Architecture(
            class_name="LlamaForCausalLM",
            model_type="llama",
            is_trained=True,
            training=(NO_DROPOUT,),
        ),
        Architecture(
            class_name="Qwen2ForCausalLM",
            model_type="qwen2",
            is_trained=False,
            attention=FULL_ATTENTION,
        ),
        Architecture(
            class_name="Qwen3ForCausalLM",
            model_type="qwen3",
            is_trained=False,
            attention=FULL_ATTENTION,
        ),
    )
}
"""The architectures that pacos knows, by `model_type`. Evaluation scores any other model too, but
computes shared prefixes once only for those listed here."""


def has_plain_attention(config: Mapping[str, object]) -> bool:
    """Return True if a model is known to attend to all earlier tokens by q·k alone.

    Args:
        config: content of config.json, or `to_dict()` of the loaded config.
    """
    architecture = ARCHITECTURES.get(str(config.get("model_type")))
    return architecture is not None and all(
        requirement.is_met(config) for requirement in architecture.attention
    )


def training_problem(config: Mapping[str, object], key: str, path: str) -> Problem | None:
    """Return the reason why sft cannot train a model, or None if it can.

    Args:
        config: content of the model's config.json.
        key: config key that names the model, for the message.
        path: value of that key.
    """
    trained = [row for row in ARCHITECTURES.values() if row.is_trained]
    names = ", ".join(f"{row.class_name} (model_type {row.model_type})" for row in trained)
    remedy = f"choose a model of a supported architecture: {names}"
    model_type = config.get("model_type")
    architecture = next((row for row in trained if row.model_type == model_type), None)
    if architecture is None:
        classes = config.get("architectures")
        name = classes[0] if isinstance(classes, list) and classes else "its architecture"
        return Problem(key, path, f"{name} (model_type {model_type}) cannot be trained", remedy)
    for requirement in (*architecture.attention, *architecture.training):
        if not requirement.is_met(config):
            value = config.get(requirement.key, requirement.default)
            fault = f"its config.json has {requirement.key} = {value}: {requirement.consequence}"
            return Problem(key, path, fault, f"set it to {requirement.allowed[0]}, or {remedy}")
    return None


def require_trainable(folder: Path, key: str, path: str) -> Architecture:
    """Return the architecture of a model directory.

    Args:
        folder: the directory, with its config.json.
        key: config key that names the model, for the message.
        path: value of that key.

    Raises:
        UserError: sft cannot train it.
    """
    config, problem = _read(folder, key, path)
    problem = problem or training_problem(config, key, path)
    if problem is not None:
        raise UserError(str(problem))
    return ARCHITECTURES[str(config["model_type"])]


def local_training_problem(key: str, path: str) -> Problem | None:
    """Return `training_problem` for a model directory on this machine.

    None for any other path: the config of an embedded model is known to fit, and that of a hub
    model is looked at once it is downloaded.
    """
    folder = Path(path).expanduser()
    if not (looks_local(path) and (folder / "config.json").is_file()):
        return None
    config, problem = _read(folder, key, path)
    return problem or training_problem(config, key, path)


def _read(folder: Path, key: str, path: str) -> tuple[dict[str, object], Problem | None]:
    """Return the content of config.json, and what is wrong with the file."""
    try:
        config = read_json(folder / "config.json")
        if not isinstance(config, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError) as error:
        fault = f"its config.json cannot be read: {error}"
        return {}, Problem(key, path, fault, "copy or download the directory again")
    return config, None


def refuse_unused(options: Mapping[str, object]) -> None:
    """Refuse arguments that transformers passes to an attention function that does not use them.

    A model passes what its attention needs besides the usual arguments: `sliding_window` (Mistral,
    Qwen), `softcap` (Gemma 2), `s_aux` (gpt-oss). Dropping one changes scores without an error.

    Args:
        options: arguments that the attention function has no parameter for.

    Raises:
        ValueError: one of them is set. None means that the feature is off.
    """
    used = [name for name, value in options.items() if value is not None]
    if used:
        raise ValueError(
            f"attention option {', '.join(used)}: not computed by pacos; "
            "ignoring it would change the model's scores without an error"
        )
