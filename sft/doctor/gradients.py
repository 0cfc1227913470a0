"""The check that a step's gradient does not depend on how ranks and passes divide its rows."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pacos.configs.model import Init
from pacos.distributed import World
from pacos.errors import UserError
from pacos.model.loading import load_tokenizer
from pacos.model.protocols import CausalLM
from pacos.prompts.tokens import IGNORE, TokenizedRow
from sft.config import SFTConfig
from sft.configs.batch import BatchConfig
from sft.configs.compute import ActivationCheckpointing, Attention, Precision
from sft.configs.deepspeed import Offload

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-4
"""Largest relative difference of fp32 gradients. Rounding makes 1e-6; a mean of per-pass means or a
lost micro-batch makes 0.1 and more."""

PACK_TOKENS = 64
VOCABULARY = 100
"""Token ids are drawn below this: every tokenizer has that many."""
ROW_LENGTHS = (5, 40, 23, 64, 9, 31, 17, 50, 3, 61, 28, 12)
"""Tokens of each synthetic row. They make more packs than two ranks take in one pass, and unequal
numbers of supervised tokens per pass: a mean of means would go unnoticed with equal ones."""


def gradients(config: SFTConfig, world: World, device: torch.device) -> str:
    """Check that the engine's gradient equals that of the rows one by one, however divided."""
    rows = synthetic_rows()
    divisions = []
    for micro_packs in (1, 2):
        small = small_config(config, world, micro_packs)
        difference, passes = _difference(small, rows, world, device)
        # Written so that a NaN fails too.
        if not difference <= TOLERANCE:
            raise UserError(
                f"deepspeed.stage = {small.deepspeed.stage}: over {world.size} ranks and {passes} "
                f"passes of {micro_packs} packs the gradient differs by {difference:.1%} from that "
                "of the same rows one by one; choose another stage or no offload, or install the "
                "tested DeepSpeed"
            )
        divisions.append(f"{passes} x {micro_packs}")
    divided = f"{world.size} ranks, {' or '.join(divisions)} packs per rank"
    return f"ZeRO-{config.deepspeed.stage} over {divided} = row by row"


def small_config(config: SFTConfig, world: World, micro_packs: int) -> SFTConfig:
    """Return the same training setup in fp32, for a model of two narrow layers."""
    sequence_ranks = math.gcd(config.deepspeed.sequence_ranks, world.size)
    shape = config.model.shape
    # The head grouping is kept. Each sequence rank needs a key head of its own.
    heads = sequence_ranks * (shape.num_attention_heads // shape.num_key_value_heads)
    small = dataclasses.replace(
        shape,
        hidden_size=8 * heads,
        head_dim=8,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=sequence_ranks,
        max_position_embeddings=PACK_TOKENS,
    )

    # A disk would add minutes, and changes no sum.
    def without_disk(offload: Offload) -> Offload:
        return Offload.cpu if offload is Offload.nvme else offload

    zero = config.deepspeed
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, init=Init.random, shape=small),
        batch=BatchConfig(tokens=PACK_TOKENS * len(ROW_LENGTHS), micro_packs=micro_packs),
        # The reference gradient is not clipped.
        optimizer=dataclasses.replace(config.optimizer, max_grad_norm=0.0),
        deepspeed=dataclasses.replace(
            zero,
            offload_optimizer=without_disk(zero.offload_optimizer),
            offload_parameters=without_disk(zero.offload_parameters),
            sequence_ranks=sequence_ranks,
            parameters_per_node=False,
        ),
        cluster=dataclasses.replace(config.cluster, nodes=1, ranks_per_node=world.size),
        precision=Precision.fp32,
        attention=Attention.sdpa,
        activation_checkpointing=ActivationCheckpointing.none,
        compile=False,
    )


def synthetic_rows() -> list[TokenizedRow]:
    """Return short rows of random tokens, the same on every machine."""
    rng = np.random.default_rng(0)
    rows = []
    for length in ROW_LENGTHS:
        ids = rng.integers(VOCABULARY, size=length, dtype=np.int32)
        labels = np.where(np.arange(length) <= length // 3, np.int32(IGNORE), ids)
        rows.append(TokenizedRow(ids=ids, labels=labels))
    return rows


def _difference(
    config: SFTConfig, rows: Sequence[TokenizedRow], world: World, device: torch.device
) -> tuple[float, int]:
    """Return the relative difference of engine and reference gradients, and passes per rank.

    Every rank must call it: the engine's passes and gradients are collectives.
    """
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
    plan = StepPlan.of(lengths, PACK_TOKENS, config.batch, model.shape)
    passes = plan.passes(config.deepspeed.data_ranks(world.size))
    built = build_model(config, tokenizer, device)
    supervised = sum(row.num_supervised for row in rows)
    # Before build_engine, which divides the weights among the ranks.
    expected = _reference_gradient(built, rows, device) / supervised
    engine = build_engine(built, config, passes)
    shares = plan.divide(plan.step(0, 0, 0), config.deepspeed.data_ranks(world.size))
    for number, packs in enumerate(shares[world.rank * len(shares) // world.size], start=1):
        documents = [rows[row] for row in plan.rows(packs)]
        batch = Batch.of(documents, device) if documents else Batch.empty(device)
        backward(engine, nll_sum(engine, batch), supervised, world)
        # The last step() would update the weights and clear the gradients that are read below.
        if number < passes:
            engine.step()
    parts = [safe_get_full_grad(parameter) for parameter in engine.module.parameters()]
    computed = torch.cat([part.float().flatten().to(device) for part in parts])
    difference = float((computed - expected).norm() / expected.norm())
    engine.destroy()
    return difference, passes


def _reference_gradient(
    model: CausalLM, rows: Sequence[TokenizedRow], device: torch.device
) -> torch.Tensor:
    """Return the gradient of Σ NLL by transformers' own model, loss and attention, row by row."""
    import torch
    from transformers import AutoModelForCausalLM

    architecture = copy.deepcopy(model.config)
    # Given a pad token, nn.Embedding leaves that token's gradient out.
    architecture.pad_token_id = None
    reference: Any = AutoModelForCausalLM.from_config(
        architecture, dtype=torch.float32, attn_implementation="sdpa"
    )
    reference.to(device)
    reference.load_state_dict(model.state_dict())
    for row in rows:
        ids, labels = (
            torch.from_numpy(part).long()[None].to(device) for part in (row.ids, row.labels)
        )
        logits = reference(input_ids=ids, use_cache=False).logits[0, :-1]
        torch.nn.functional.cross_entropy(
            logits, labels[0, 1:], ignore_index=IGNORE, reduction="sum"
        ).backward()
    return torch.cat([parameter.grad.flatten() for parameter in reference.parameters()])
