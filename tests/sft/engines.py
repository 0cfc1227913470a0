"""What ranks do in tests of the engine: gradients of one step, in every way of dividing it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from deepspeed.utils import safe_get_full_grad
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM

from pacos.configs.cluster import ClusterConfig
from pacos.configs.model import ModelConfig
from pacos.distributed import World
from pacos.model.shape import ModelShape
from pacos.prompts.tokens import IGNORE, TokenizedRow
from sft.config import SFTConfig
from sft.configs.compute import ActivationCheckpointing, Attention, Precision
from sft.configs.deepspeed import DeepSpeedConfig
from sft.configs.optimizer import OptimizerConfig
from sft.engine.deepspeed import backward, build_engine, start_ranks
from sft.model.activation_checkpointing import set_checkpointing
from sft.model.attention import PackedAttention, sdpa_kernel
from sft.model.loss import install_loss, nll_sum
from sft.model.sequence_parallel import SequenceGroup
from sft.steps.batch import Batch

SHAPE = ModelShape(
    vocab_size=97,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=4,
    max_position_embeddings=128,
)


LONGEST = 37
"""Tokens of the longest of `some_rows`: a window that it just fits into."""
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama, all options": {
        "attention_bias": True,
        "mlp_bias": True,
        "head_dim": 12,
        "tie_word_embeddings": True,
    },
    "mistral": {"sliding_window": LONGEST},
    "qwen2": {"use_sliding_window": True, "sliding_window": LONGEST, "max_window_layers": 1},
    "qwen3": {"head_dim": 12, "attention_bias": True, "tie_word_embeddings": True},
}
"""What config.json says besides its sizes. A name begins with its `model_type`."""


@dataclass(frozen=True)
class Case:
    """One way to compute the gradient of the same step."""

    stage: int
    micro_packs: int = 1
    """Packs of a pass; passes follow."""
    packed: bool = True
    zero: dict[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    """Further fields of DeepSpeedConfig."""
    precision: Precision = Precision.fp32
    checkpointing: ActivationCheckpointing = ActivationCheckpointing.none
    compile: bool = False
    family: str = "llama"
    """A key of FAMILIES."""
    max_grad_norm: float = 0.0


def a_model(dtype: torch.dtype = torch.float32, family: str = "llama") -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        family.partition(",")[0],
        vocab_size=SHAPE.vocab_size,
        hidden_size=SHAPE.hidden_size,
        intermediate_size=SHAPE.intermediate_size,
        num_hidden_layers=SHAPE.num_hidden_layers,
        num_attention_heads=SHAPE.num_attention_heads,
        num_key_value_heads=SHAPE.num_key_value_heads,
        initializer_range=0.1,
        **FAMILIES[family],
    )
    model: Any = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            # Biases begin as 0 and norms as 1, which would hide that one is left out.
            parameter.data += 0.2 * torch.randn_like(parameter)
    return model.to(dtype)


def some_rows(count: int = 12) -> list[TokenizedRow]:
    draw = np.random.default_rng(1)
    rows = []
    for index in range(count):
        ids = draw.integers(SHAPE.vocab_size, size=4 + 3 * index, dtype=np.int32)
        labels = np.where(np.arange(len(ids)) < 1 + index % 4, IGNORE, ids).astype(np.int32)
        rows.append(TokenizedRow(ids=ids, labels=labels))
    return rows


def padded_gradient(rows: Sequence[TokenizedRow], family: str) -> torch.Tensor:
    """fp64: of the plain model over one padded batch of all rows, mean over supervised tokens."""
    model = a_model(torch.float64, family)
    longest = max(len(row.ids) for row in rows)

    def pad(values: list[Any], filling: int) -> torch.Tensor:
        return torch.tensor([[*value, *[filling] * (longest - len(value))] for value in values])

    ids = pad([row.ids for row in rows], 0)
    mask = pad([[1] * len(row.ids) for row in rows], 0)
    labels = pad([row.labels for row in rows], IGNORE)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
    functional.cross_entropy(
        logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORE
    ).backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def packs_of(rows: Sequence[TokenizedRow], packed: bool) -> list[list[TokenizedRow]]:
    size = 3 if packed else 1
    return [list(rows[first : first + size]) for first in range(0, len(rows), size)]


def config_of(case: Case, world: World) -> SFTConfig:
    nodes = 2 if case.zero.get("parameters_per_node") else 1
    return SFTConfig(
        model=ModelConfig(shape=SHAPE),
        deepspeed=DeepSpeedConfig(stage=case.stage, **case.zero),
        optimizer=OptimizerConfig(max_grad_norm=case.max_grad_norm, lr=1e-3),
        cluster=ClusterConfig(nodes=nodes, ranks_per_node=world.size // nodes),
        precision=case.precision,
        compile=case.compile,
    )


def an_engine(case: Case, world: World, accumulation: int) -> Any:
    config = config_of(case, world)
    model = a_model(family=case.family)
    if config.precision is not Precision.fp32:
        for parameter in model.parameters():
            parameter.data = parameter.data.to(torch.bfloat16)
    sequence = SequenceGroup.of(world, config.deepspeed.sequence_ranks)
    PackedAttention(Attention.sdpa, sdpa_kernel, sequence).install(model)
    set_checkpointing(model, case.checkpointing)
    if case.compile:
        for layer in model.base_model.layers:
            for part in layer.children():
                part.compile()
    install_loss(model, sequence)
    return build_engine(model.train(), config, accumulation)


def step_gradient(case: Case, world: World) -> tuple[float, torch.Tensor]:
    """Loss of the step and its gradient, through the engine."""
    rows = some_rows()
    packs = packs_of(rows, case.packed)
    shared = case.zero.get("sequence_ranks", 1)
    data_rank, data_ranks = world.rank // shared, world.size // shared
    passes = -(-len(packs) // (data_ranks * case.micro_packs))
    mine = packs[data_rank::data_ranks]
    engine = an_engine(case, world, passes)
    supervised = sum(row.num_supervised for row in rows)
    nll = torch.zeros(())
    for index in range(passes):
        taken = mine[index * case.micro_packs : (index + 1) * case.micro_packs]
        documents = [row for pack in taken for row in pack]
        batch = (
            Batch.of(documents, engine.device, padded=not case.packed)
            if documents
            else Batch.empty(engine.device)
        )
        local = nll_sum(engine, batch)
        backward(engine, local, supervised, world)
        nll += local.detach()
        if index == passes - 1:
            gradient = torch.cat(
                [
                    safe_get_full_grad(p).float().flatten().clone()
                    for p in engine.module.parameters()
                ]
            )
        engine.step()
    loss = float(world.sum(nll)) / supervised
    engine.destroy()
    return loss, gradient


def differences(cases: Sequence[Case]) -> list[tuple[float, float]]:
    """For each case its loss, and the relative difference of its gradient from the padded one."""
    world = World.from_env()
    start_ranks(world)
    families = {case.family for case in cases}
    expected_of = {family: padded_gradient(some_rows(), family) for family in families}
    found = []
    for case in cases:
        loss, gradient = step_gradient(case, world)
        expected = expected_of[case.family]
        found.append((loss, float((gradient.double() - expected).norm() / expected.norm())))
    return found
