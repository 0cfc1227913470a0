"""Most bytes of tensors in a training step, against the step itself through DeepSpeed's engine.

The engine works on the CPU as it does on a GPU: no product is widened, and in place of
FlashAttention stands what keeps the same tensors. A real GPU is asked in test_real_runs.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from pacos.distributed import World
from pacos.model.shape import ModelShape, shape_of
from pacos.prompts.tokens import IGNORE, TokenizedRow
from sft.configs.compute import ActivationCheckpointing, Attention, Precision
from sft.engine import deepspeed as engine
from sft.estimate import memory
from sft.estimate.memory import rank_memory
from sft.model import cpu_bf16
from sft.model.activation_checkpointing import set_checkpointing
from sft.model.attention import PackedAttention, sdpa_kernel
from sft.model.loss import install_loss, nll_sum
from sft.steps.batch import Batch
from tests.sft import engines
from tests.sft.engines import Case, a_model, config_of
from tests.sft.estimate.ledger import Ledger
from tests.sft.ranks import run_ranks

SHAPE = ModelShape(
    vocab_size=512,
    hidden_size=128,
    intermediate_size=344,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
)
TOKENS, LENGTH = 2048, 128
BUCKET = 100_000
"""Elements; the real one would be most of what so small a model needs."""

BF16, FP32 = Precision.bf16, Precision.fp32
CASES = [
    (Case(2, precision=BF16), Attention.flash),
    (Case(2, precision=BF16, checkpointing=ActivationCheckpointing.full), Attention.flash),
    (Case(3, precision=BF16, checkpointing=ActivationCheckpointing.selective), Attention.flash),
    (Case(2, precision=FP32), Attention.sdpa),
]
FAMILY_CASES = [
    (Case(2, precision=precision, checkpointing=kept, family=family), attention)
    for family in ("llama, all options", "qwen3")
    for precision, attention in ((BF16, Attention.flash), (FP32, Attention.sdpa))
    for kept in (ActivationCheckpointing.none, ActivationCheckpointing.selective)
]
MORE = [
    (Case(stage, precision=precision, checkpointing=kept), Attention.flash)
    for stage in (0, 1, 2, 3)
    for precision in (BF16, Precision.bf16_states)
    for kept in (ActivationCheckpointing.none, ActivationCheckpointing.full)
    if (stage, precision) != (0, Precision.bf16_states)
]


class Flash(torch.autograd.Function):
    """Keeps what FlashAttention keeps; its gradients are not right, but as large."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, *rest: Any) -> torch.Tensor:
        key, value, ends, _, scale = rest
        groups = query.shape[1] // key.shape[1]
        whole = (query, key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1))
        parts = [tensor.transpose(0, 1)[None].split(ends.diff().tolist(), 2) for tensor in whole]
        outputs = [
            functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
            for q, k, v in zip(*parts, strict=True)
        ]
        output = torch.cat(outputs, dim=2)[0].transpose(0, 1).contiguous()
        logsumexp = torch.empty(query.shape[1], query.shape[0])
        ctx.save_for_backward(query, key, value, output, logsumexp)
        return output

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, *_ = ctx.saved_tensors
        gradients = (torch.zeros_like(tensor) for tensor in (query, key, value))
        return (*gradients, None, None, None)


def rows() -> list[TokenizedRow]:
    draw = np.random.default_rng(0)
    found = []
    for _ in range(TOKENS // LENGTH):
        ids = draw.integers(SHAPE.vocab_size, size=LENGTH, dtype=np.int32)
        found.append(TokenizedRow(ids, np.concatenate([[IGNORE], ids[1:]]).astype(np.int32)))
    return found


def most_bytes(cases: Sequence[tuple[Case, Attention]]) -> list[int]:
    """Of the second step of each case, in two passes, with its states there."""
    engines.SHAPE, engine.BUCKET = SHAPE, BUCKET
    cpu_bf16.is_needed = lambda device, dtype: False
    world = World.from_env()
    engine.start_ranks(world)
    return [_most_bytes(case, attention, world) for case, attention in cases]


def _most_bytes(case: Case, attention: Attention, world: World) -> int:
    kernel = Flash.apply if attention is Attention.flash else sdpa_kernel
    ledger = Ledger()
    with ledger:
        model = a_model(family=case.family)
        if case.precision is not FP32:
            for parameter in model.parameters():
                parameter.data = parameter.data.to(torch.bfloat16)
        PackedAttention(Attention.sdpa, kernel).install(model)
        set_checkpointing(model, case.checkpointing)
        install_loss(model)
        made = engine.build_engine(model.train(), config_of(case, world), accumulation=2)
        batch = Batch.of(rows(), made.device)
        for number in range(4):
            if number == 2:
                ledger.most = ledger.now
            nll = nll_sum(made, batch)
            engine.backward(made, nll, len(batch.targets), world)
            made.step()
            del nll
    made.destroy()
    return ledger.most


def predicted_bytes(case: Case, attention: Attention, ranks: int) -> float:
    config = config_of(case, World(rank=0, local_rank=0, size=ranks))
    config.model.shape, config.attention = shape_of_family(case.family), attention
    config.activation_checkpointing = case.checkpointing
    work: Any = SimpleNamespace(pass_tokens=TOKENS)
    return rank_memory(config, work, gpu=True).tensor_bytes()


def shape_of_family(family: str) -> ModelShape:
    settings = SHAPE.settings() | {"head_dim": None} | engines.FAMILIES[family]
    return shape_of(settings | {"model_type": family.partition(",")[0]})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cases", "ranks"),
    [(CASES, 1), (FAMILY_CASES, 1), (MORE, 2)],
    ids=["some", "families", "more"],
)
def test_most_bytes_of_tensors_are_those_of_a_step(
    cases: list[tuple[Case, Attention]], ranks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "BUCKET", BUCKET)
    measured, *_ = run_ranks(ranks, most_bytes, cases)
    found = {
        f"{case.family} {case.stage} {case.precision.name} {case.checkpointing.name}": (
            most,
            predicted_bytes(case, attention, ranks),
        )
        for (case, attention), most in zip(cases, measured, strict=True)
    }
    assert {key: pair for key, pair in found.items() if not 0.9 <= pair[1] / pair[0] <= 1.1} == {}
