"""Ranks that share rows: parts add up to the whole, forward and backward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import distributed

from pacos.distributed import World
from pacos.errors import UserError
from sft.configs.compute import Attention
from sft.engine.deepspeed import start_ranks
from sft.model.attention import PackedAttention, sdpa_kernel
from sft.model.attention_check import TOLERANCE, choose_attention, pack_difference
from sft.model.loss import install_loss, nll_sum
from sft.model.sequence_parallel import SequenceGroup
from sft.steps.batch import Batch
from tests.sft.engines import SHAPE, a_model, some_rows
from tests.sft.ranks import run_ranks

CPU = torch.device("cpu")
RANKS = 2


def whole_and_parts() -> dict[str, Any]:
    """What one rank finds of a row that it shares with the others."""
    world = World.from_env()
    start_ranks(world)
    sequence = SequenceGroup.of(world, RANKS)
    assert sequence is not None
    found: dict[str, Any] = {}

    draw = torch.Generator().manual_seed(0)
    tensor = torch.randn(12, 4, 8, generator=draw)
    part = tensor[world.rank * 6 : (world.rank + 1) * 6]
    heads = tensor[:, world.rank * 2 : (world.rank + 1) * 2]
    found["tokens"] = torch.equal(sequence.gather_tokens(part), heads)
    found["back"] = torch.equal(sequence.gather_heads(heads), part)

    for count in (5, 6):
        rows = some_rows(count)
        alone = a_model()
        PackedAttention(Attention.sdpa, sdpa_kernel).install(alone)
        install_loss(alone)
        expected = nll_sum(alone, Batch.of(rows, CPU))
        expected.backward()
        model = a_model()
        PackedAttention(Attention.sdpa, sdpa_kernel, sequence).install(model)
        install_loss(model, sequence)
        nll = nll_sum(model, Batch.of(rows, CPU))
        nll.backward()
        total = world.sum(nll.detach().clone())
        gradients = [gradient(each) for each in (model, alone)]
        distributed.all_reduce(gradients[0])
        found[f"loss {count}"] = float((total - expected).abs() / expected)
        found[f"gradient {count}"] = float(
            (gradients[0] - gradients[1]).norm() / gradients[1].norm()
        )
        tokens = Batch.of(rows, CPU).input_ids.shape[1]
        found[f"part {count}"] = sequence.share(Batch.of(rows, CPU)).input_ids.shape[1] * RANKS
        found[f"tokens {count}"] = tokens
    return found


def gradient(model: Any) -> torch.Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def test_ranks_that_share_a_row_have_its_loss_and_gradient() -> None:
    for found in run_ranks(RANKS, whole_and_parts):
        assert found["tokens"]
        assert found["back"]
        odd = {found[f"tokens {count}"] % RANKS for count in (5, 6)}
        assert odd == {0, 1}, "one row can be divided evenly, one cannot"
        for count in (5, 6):
            assert found[f"part {count}"] - found[f"tokens {count}"] in (0, 1)
            assert found[f"loss {count}"] < 1e-6
            assert found[f"gradient {count}"] < 1e-6


def documents_mixed(query: Any, key: Any, value: Any, ends: Any, longest: int, scale: float) -> Any:
    whole = torch.tensor([0, len(query)], dtype=torch.int32)
    return sdpa_kernel(query, key, value, whole, len(query), scale)


def proofs() -> dict[str, Any]:
    world = World.from_env()
    start_ranks(world)
    sequence = SequenceGroup.of(world, RANKS)
    right = choose_attention(Attention.auto, SHAPE, CPU, torch.float32, sequence)
    wrong = PackedAttention(Attention.sdpa, documents_mixed, sequence)
    return {
        "shares": right.sequence is not None,
        "wrong": pack_difference(wrong, SHAPE, CPU, torch.float32),
    }


def test_the_proof_at_start_covers_the_exchange_among_ranks() -> None:
    for found in run_ranks(RANKS, proofs):
        assert found["shares"]
        assert found["wrong"] > 3 * TOLERANCE[torch.float32]


def test_one_rank_shares_with_nobody() -> None:
    assert SequenceGroup.of(World(rank=0, size=1, local_rank=0), 1) is None
    with pytest.raises(UserError):
        choose_attention(Attention.kernels, SHAPE, CPU, torch.float32, None)
