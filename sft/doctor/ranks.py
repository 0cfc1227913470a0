"""Proofs that several ranks make together: they talk, they agree, and they divide a step rightly.

accelerate launch --use_deepspeed --num_processes 2 -m sft.doctor.ranks --config config.yaml

`pacos doctor` starts it on this machine; under srun it does the same for a whole job.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pacos.config import Init
from pacos.console import set_up_logging
from pacos.distributed import World
from pacos.errors import EXIT_DONE, UserError
from pacos.frozen import load_frozen
from pacos.llama import LlamaShape
from pacos.models import load_tokenizer
from pacos.prompts import IGNORE, TokenizedRow
from pacos.proofs import FINDINGS, Finding, Findings, Outcome, Skipped, prove
from pacos.run_dir import package_versions
from sft.batch_config import BatchConfig
from sft.config import SFTConfig
from sft.device import choose_device
from sft.doctor.tokens import read_first_rows
from sft.engine_config import Offload
from sft.model_config import Attention, Checkpointing, Precision

TOLERANCE = 1e-4
"""Relative difference of fp32 gradients. Rounding makes 1e-6; a mean of means, or a micro-batch
that is lost, 0.1 and more."""

PACK = 64
"""Tokens of a pack of the gradient proof."""
VOCABULARY = 100
"""Ids from which its rows are drawn: every tokenizer has so many."""
LENGTHS = (5, 40, 23, 64, 9, 31, 17, 50, 3, 61, 28, 12)
"""Tokens of its rows: they make more packs than two ranks take in one pass, and unlike sums."""


def main(arguments: Sequence[str]) -> int:
    """Make all proofs as one rank; rank 0 shows and keeps them."""
    world = World.from_env()
    set_up_logging(is_main=False)
    path = Path(arguments[1])
    config = load_frozen(path, SFTConfig)
    choose_device(config.cluster)
    import torch

    from sft.engine import start_ranks

    device = start_ranks(world)
    if device.type == "cuda":
        # Findings are gathered by way of the current device, which would be GPU 0 on every rank.
        torch.cuda.set_device(device)
    findings = Findings(path.with_name(FINDINGS))
    for name, proof in {
        "communication": lambda: communication(world, device),
        "ranks agree": lambda: agreement(config, path, world),
        "gradients": lambda: gradients(config, world, device),
    }.items():
        finding = together(prove(name, proof), world)
        if world.is_main:
            findings.add(finding)
    return EXIT_DONE


def together(own: Finding, world: World) -> Finding:
    """What all ranks found: their first failure, if any failed."""
    for rank, finding in enumerate(_gathered(own, world)):
        if finding.outcome is Outcome.failed:
            return dataclasses.replace(finding, what=f"rank {rank}: {finding.what}")
    return own


def _gathered(value: Any, world: World) -> list[Any]:
    if world.size == 1:
        return [value]
    from torch import distributed

    values = [None] * world.size
    distributed.all_gather_object(values, value)
    return values


def communication(world: World, device: Any) -> str | Skipped:
    """Sums, gathering and broadcast over all ranks give what they must."""
    if world.size == 1:
        return Skipped("one rank has nobody to talk to")
    import torch
    from torch import distributed

    backend = distributed.get_backend()
    length = 1 << 16
    own = torch.arange(length, device=device, dtype=torch.float32) % 97 + world.rank
    expected = [own - world.rank + rank for rank in range(world.size)]
    total = own.clone()
    distributed.all_reduce(total)
    gathered = [torch.empty_like(own) for _ in expected]
    distributed.all_gather(gathered, own)
    sent = own.clone()
    distributed.broadcast(sent, src=0)
    for name, found, right in (
        ("all_reduce", total, torch.stack(expected).sum(0)),
        ("all_gather", torch.cat(gathered), torch.cat(expected)),
        ("broadcast", sent, expected[0]),
    ):
        if not torch.equal(found, right):
            raise UserError(
                f"{backend}: {name} gave wrong numbers over {world.size} ranks; set "
                "NCCL_P2P_DISABLE=1 or NCCL_IB_DISABLE=1 to find the link, and see NCCL_DEBUG=INFO"
            )
    return f"{backend} sums, gathers and sends rightly over {world.size} ranks"


def agreement(config: SFTConfig, path: Path, world: World) -> str | Skipped:
    """All ranks have the same software, config, tokenizer and rows."""
    if world.size == 1:
        return Skipped("one rank agrees with itself")
    told = _gathered(facts(config, path), world)
    wrong = [
        f"{name} of rank {rank}: {other[name]}, of rank 0: {value}"
        for name, value in told[0].items()
        for rank, other in enumerate(told)
        if other[name] != value
    ]
    if wrong:
        raise UserError(f"{'; '.join(wrong)}; give all ranks the same files and environment")
    return f"{', '.join(told[0])} are the same on {world.size} ranks"


def facts(config: SFTConfig, path: Path) -> dict[str, str]:
    """What must be the same everywhere, by name; long ones as digests."""
    model = config.model
    tokenizer = load_tokenizer(model.path, model.revision, model.pad_token)
    rows = [written.row.ids.tobytes() for written in read_first_rows(config, tokenizer)]
    return {
        "versions": ", ".join(f"{name} {at}" for name, at in package_versions().items()),
        "config": _digest(path.read_bytes()),
        "tokenizer": _digest(tokenizer.backend_tokenizer.to_str().encode()),
        "first rows": _digest(b"".join(rows)),
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def gradients(config: SFTConfig, world: World, device: Any) -> str:
    """The engine's gradient of a step is that of its rows, each alone, however it is divided."""
    rows = _rows()
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
        activation_checkpointing=Checkpointing.none,
        compile=False,
    )


def _rows() -> list[TokenizedRow]:
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

    from sft.batch import Batch
    from sft.engine import backward, build_engine
    from sft.loss import nll_sum
    from sft.model import build_model
    from sft.step_plan import StepPlan

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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
