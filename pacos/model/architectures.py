"""The table of model architectures, for training, checks, plans, evaluation and export.

transformers loads hundreds of architectures without complaint. pacos replaces their attention with
kernels of its own, so a feature that such a kernel ignores (a sliding window, say) would give wrong
losses without an error. Only what this table lists is therefore trained. Free of torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from pacos.errors import Problem
from pacos.model.requirements import NEUTRAL, Requirement

SLIDING, FULL = "sliding_attention", "full_attention"
"""Layer types of `layer_types` in config.json."""

ROPE_KEYS = ("rope_parameters", "rope_scaling")
"""Keys of config.json that hold the rotary embedding: since transformers 5, and before."""
ROPE_TYPES = ("default", "linear", "dynamic", "yarn", "longrope", "llama3")
QUANTIZED = ("quantization_config", "compression_config")


class ModelType(Enum):
    """A family of models: `model_type` in config.json."""

    llama = "llama"
    mistral = "mistral"
    qwen2 = "qwen2"
    qwen3 = "qwen3"


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """One family of models that sft trains."""

    class_name: str
    """Class of the causal language model in transformers."""
    defaults: Mapping[str, object]
    """The keys of config.json that decide the model's shape, with the values that transformers
    takes where one is absent."""
    qkv_bias: bool = False
    """True if queries, keys and values always have a bias, whatever config.json says."""
    qk_norm: bool = False
    """True if each head of queries and keys is normalized."""
    window: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """The keys that set a sliding window, with transformers' values for absent ones; empty if the
    family has none."""

    def requirements(self) -> tuple[Requirement, ...]:
        """Return what config.json must say for a loss like that of transformers."""
        # transformers' classes of families without a bias or a window ignore these keys.
        absent = [key for key in ("attention_bias", "mlp_bias") if key not in self.defaults]
        foreign = [Requirement(key, (False, None), "this family has none") for key in absent]
        if not self.window:
            foreign.append(Requirement("sliding_window", (None,), "this family has none"))
        layers = (FULL, SLIDING) if "use_sliding_window" in self.window else (FULL,)
        return (
            *NEUTRAL,
            *foreign,
            Requirement("layer_types", (*layers, None), "such layers are not computed"),
        )


SIZES: Mapping[str, object] = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": None,
    "head_dim": None,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}
"""Defaults of `transformers.LlamaConfig`, whose keys every family has. None: as many key heads as
query heads, and heads of hidden_size / num_attention_heads."""

QWEN: Mapping[str, object] = {
    **SIZES,
    "vocab_size": 151936,
    "intermediate_size": 22016,
    "num_key_value_heads": 32,
    "max_position_embeddings": 32768,
}
QWEN_WINDOW: Mapping[str, object] = {
    "use_sliding_window": False,
    "sliding_window": 4096,
    "max_window_layers": 28,
}

ARCHITECTURES: Mapping[ModelType, Architecture] = {
    ModelType.llama: Architecture(
        class_name="LlamaForCausalLM",
        defaults={**SIZES, "attention_bias": False, "mlp_bias": False},
    ),
    ModelType.mistral: Architecture(
        class_name="MistralForCausalLM",
        defaults={
            **SIZES,
            "intermediate_size": 14336,
            "num_key_value_heads": 8,
            "max_position_embeddings": 131072,
        },
        window={"sliding_window": 4096},
    ),
    ModelType.qwen2: Architecture(
        class_name="Qwen2ForCausalLM",
        defaults=QWEN,
        qkv_bias=True,
        window=QWEN_WINDOW,
    ),
    ModelType.qwen3: Architecture(
        class_name="Qwen3ForCausalLM",
        defaults={**QWEN, "head_dim": 128, "attention_bias": False},
        qk_norm=True,
        window=QWEN_WINDOW,
    ),
}
"""The trained architectures. Evaluation scores any other model too, but computes shared prefixes
once only for those listed here."""


def architecture_of(config: Mapping[str, object]) -> Architecture | None:
    """Return the row of a model by the content of its config.json, or None."""
    return next(
        (row for name, row in ARCHITECTURES.items() if name.value == config.get("model_type")), None
    )


def whole_number(values: Mapping[str, object], key: str) -> int:
    """Return a number of config.json.

    Raises:
        ValueError: it is none, or is not positive.
    """
    value = values[key]
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{key} = {value!r} is not a number above 0")
    return value


def window_of(config: Mapping[str, object]) -> int | None:
    """Return the tokens that the sliding layers of a listed model see, or None if none slides.

    Args:
        config: content of config.json, or `to_dict()` of the loaded config.

    Raises:
        ValueError: a number is none.
    """
    row = architecture_of(config)
    if row is None or not row.window:
        return None
    values = {**row.defaults, **row.window, **config}
    # The switch, not the size: published Qwen2 configs name a window that is off.
    if "use_sliding_window" in row.window:
        kinds = config.get("layer_types")
        if isinstance(kinds, list):
            slides = SLIDING in kinds
        else:
            slides = whole_number(values, "num_hidden_layers") > int(
                str(values["max_window_layers"])
            )
        if not (values["use_sliding_window"] and slides):
            return None
    return None if values["sliding_window"] is None else whole_number(values, "sliding_window")


def has_plain_attention(config: Mapping[str, object]) -> bool:
    """Return True if a model is known to attend to all earlier tokens by q·k alone.

    Args:
        config: content of config.json, or `to_dict()` of the loaded config.
    """
    row = architecture_of(config)
    if row is None or window_of(config) is not None:
        return False
    # No dropout acts on scores.
    scoring = {**config, "attention_dropout": 0}
    return all(requirement.is_met(scoring) for requirement in row.requirements())


def rope_of(config: Mapping[str, object]) -> Mapping[str, object]:
    """Return the settings of the rotary embedding in config.json; empty for the plain one."""
    found = next((config[key] for key in ROPE_KEYS if config.get(key)), None)
    return found if isinstance(found, dict) else {}


def training_problem(config: Mapping[str, object], key: str, path: str) -> Problem | None:
    """Return the reason why sft cannot train a model, or None if it can.

    Args:
        config: content of the model's config.json.
        key: config key that names the model, for the message.
        path: value of that key.
    """
    names = ", ".join(
        f"{row.class_name} (model_type {name.value})" for name, row in ARCHITECTURES.items()
    )
    remedy = f"choose a model of a supported architecture: {names}"
    model_type, classes = config.get("model_type"), config.get("architectures")
    row = architecture_of(config)
    if row is None:
        name = classes[0] if isinstance(classes, list) and classes else "its architecture"
        return Problem(key, path, f"{name} (model_type {model_type}) cannot be trained", remedy)
    quantized = next((name for name in QUANTIZED if config.get(name)), None)
    if quantized is not None:
        settings = config[quantized]
        method = settings.get("quant_method") if isinstance(settings, dict) else None
        return Problem(
            key,
            path,
            f"its weights are quantized ({quantized} in config.json: {method or 'unnamed'}), and "
            "training needs them whole",
            "give the model that it was quantized from, or dequantize it with transformers, "
            "save_pretrained, and drop that key",
        )
    unmet = [requirement for requirement in row.requirements() if not requirement.is_met(config)]
    faults = [requirement.fault(config) for requirement in unmet]
    faults += _class_faults(config, row) + _rope_faults(config)
    if SLIDING in str(config.get("layer_types")) and window_of(config) is None:
        faults.append(f"layer_types has {SLIDING}, but no window is on")
    if not faults:
        return None
    changes = [requirement.remedy for requirement in unmet if requirement.remedy]
    return Problem(
        key,
        path,
        f"its config.json has {'; '.join(faults)}",
        " or ".join([*changes, remedy]),
    )


def _class_faults(config: Mapping[str, object], row: Architecture) -> list[str]:
    """Return what names another class than the family's."""
    faults = []
    classes = config.get("architectures")
    # LLaMA 1 was converted to `LLaMAForCausalLM` at first.
    known = [str(name).lower() for name in classes] if isinstance(classes, list) else []
    if known and row.class_name.lower() not in known:
        faults.append(f"architectures = {classes}, which is not {row.class_name}")
    own = config.get("auto_map")
    if isinstance(own, dict) and own.keys() & {"AutoModel", "AutoModelForCausalLM"}:
        faults.append("auto_map with code of its own, which pacos never runs")
    return faults


def _rope_faults(config: Mapping[str, object]) -> list[str]:
    settings = rope_of(config)
    kind = settings.get("rope_type", settings.get("type", "default"))
    faults = [] if kind in ROPE_TYPES else [f"the rotary embedding {kind}, which is not computed"]
    # transformers 5 keeps the factor here.
    if settings.get("partial_rotary_factor", 1) not in (1, None):
        faults.append("partial_rotary_factor in its rotary embedding, which is not computed")
    return faults


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
