"""The proof that a step's gradient does not depend on how ranks and passes divide its rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pacos.configs.shared import Init
from pacos.distributed import World
from pacos.errors import UserError
from pacos.model.loading import load_tokenizer
from pacos.model.prompts import IGNORE, TokenizedRow
from pacos.model.shape import LlamaShape
from sft.config import SFTConfig
from sft.configs.batch import BatchConfig
from sft.configs.compute import ActivationCheckpointing, Attention, Precision
from sft.configs.deepspeed import Offload

TOLERANCE = 1e-4
"""Relative difference of fp32 gradients. Rounding makes 1e-6; a mean of means, or a micro-batch
that is lost, 0.1 and more."""

PACK = 64
"""Tokens of a pack of the gradient proof."""
VOCABULARY = 100
"""Ids from which its rows are drawn: every tokenizer has so many."""
LENGTHS = (5, 40, 23, 64, 9, 31, 17, 50, 3, 61, 28, 12)
"""Tokens of its rows: they make more packs than two ranks take in one pass, and unlike sums."""


def gradients(config: SFTConfig, world: World, device: Any) -> str:
    """The engine's gradient of a step is that of its rows, each alone, however it is divided."""
    rows = proof_rows()
    ways = []
    for micro_packs in (1, 2):
        small = small_config(config, world, micro_packs)
        difference, passes = _difference(small, rows, world, device)
        if not difference <= TOLERANCE:
            raise UserError(
                f"deepspeed.stage = {small.deepspeed.stage}: over {world.size} ranks and {passes} "
                f"passes of {micro_packs} packs the gradient differs by {difference:.1%} from that "
                "of the same rows, each alone; choose another stage or no offload, or install the "
                "tested DeepSpeed"
            )
        ways.append(f"{passes} x {micro_packs}")
    divided = f"{world.size} ranks, {' or '.join(ways)} packs a rank"
    return f"ZeRO-{config.deepspeed.stage} over {divided} = row by row"


def small_config(config: SFTConfig, world: World, micro_packs: int) -> SFTConfig:
    """The same way to train, in fp32 and with a model of two narrow layers."""
    shared = math.gcd(config.deepspeed.sequence_ranks, world.size)
    shape = config.model.shape
    heads = shared * (shape.num_attention_heads // shape.num_key_value_heads)
    small = LlamaShape(
        vocab_size=shape.vocab_size,
        hidden_size=8 * heads,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=shared,
        max_position_embeddings=PACK,
        tie_word_embeddings=shape.tie_word_embeddings,
    )

    # A disk would add minutes, and nothing to the sums.
    def kept(where: Offload) -> Offload:
        return Offload.cpu if where is Offload.nvme else where

    zero = config.deepspeed
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, init=Init.random, shape=small),
        batch=BatchConfig(tokens=PACK * len(LENGTHS), micro_packs=micro_packs),
        optimizer=dataclasses.replace(config.optimizer, max_grad_norm=0.0),
        deepspeed=dataclasses.replace(
            zero,
            offload_optimizer=kept(zero.offload_optimizer),
            offload_parameters=kept(zero.offload_parameters),
            sequence_ranks=shared,
            parameters_per_node=False,
        ),
        cluster=dataclasses.replace(config.cluster, nodes=1, ranks_per_node=world.size),
        precision=Precision.fp32,
        attention=Attention.sdpa,
        activation_checkpointing=ActivationCheckpointing.none,
        compile=False,
    )


def proof_rows() -> list[TokenizedRow]:
    """Rows of few tokens, the same on every machine."""
    draw = np.random.default_rng(0)
    rows = []
    for length in LENGTHS:
        ids = draw.integers(VOCABULARY, size=length, dtype=np.int32)
        labels = np.where(np.arange(length) <= length // 3, np.int32(IGNORE), ids)
        rows.append(TokenizedRow(ids=ids, labels=labels))
    return rows


def _difference(
    config: SFTConfig, rows: Sequence[TokenizedRow], world: World, device: Any
) -> tuple[float, int]:
    """Of the engine's gradient from the plain one, relative; and the passes of a rank."""
    import torch
    from deepspeed.utils import safe_get_full_grad

    from sft.engine.deepspeed import backward, build_engine
    from sft.model.build import build_model
    from sft.model.loss import nll_sum
    from sft.steps.batch import Batch
    from sft.steps.plan import StepPlan

    model = config.model
    tokenizer = load_tokenizer(model.path, model.revision, model.pad_token)
    lengths = np.array([len(row.ids) for row in rows])
    plan = StepPlan.of(lengths, PACK, config.batch, model.shape)
    passes = plan.passes(config.deepspeed.data_ranks(world.size))
    built = build_model(config, tokenizer, device)
    supervised = sum(row.num_supervised for row in rows)
    expected = _plain_gradient(built, rows, device) / supervised
    engine = build_engine(built, config, passes)
    shares = plan.divide(plan.step(0, 0, 0), config.deepspeed.data_ranks(world.size))
    for number, packs in enumerate(shares[world.rank * len(shares) // world.size], start=1):
        documents = [rows[row] for row in plan.rows(packs)]
        batch = Batch.of(documents, device) if documents else Batch.empty(device)
        backward(engine, nll_sum(engine, batch), supervised, world)
        if number < passes:
            engine.step()
    parts = [safe_get_full_grad(parameter) for parameter in engine.module.parameters()]
    found = torch.cat([part.float().flatten().to(device) for part in parts])
    difference = float((found - expected).norm() / expected.norm())
    engine.destroy()
    return difference, passes


def _plain_gradient(model: Any, rows: Sequence[TokenizedRow], device: Any) -> Any:
    """Of Σ NLL, by transformers' own model, loss and attention, one row after another."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    # An embedding that is told its pad token leaves that one's gradient out.
    architecture: Any = LlamaConfig(**{**model.config.to_dict(), "pad_token_id": None})
    architecture._attn_implementation = "sdpa"
    plain: Any = LlamaForCausalLM(architecture).to(device)
    plain.load_state_dict(model.state_dict())
    for row in rows:
        ids, labels = (
            torch.from_numpy(part).long()[None].to(device) for part in (row.ids, row.labels)
        )
        logits = plain(input_ids=ids, use_cache=False).logits[0, :-1]
        torch.nn.functional.cross_entropy(
            logits, labels[0, 1:], ignore_index=IGNORE, reduction="sum"
        ).backward()
    return torch.cat([parameter.grad.flatten() for parameter in plain.parameters()])
