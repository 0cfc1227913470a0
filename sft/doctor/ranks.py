"""Proofs that several ranks make together: they talk, agree, divide a step rightly, and resume.

accelerate launch --use_deepspeed --num_processes 2 -m sft.doctor.ranks --config config.yaml

`pacos doctor` starts it on this machine; under srun it does the same for a whole job.
"""

from __future__ import annotations

import dataclasses
import hashlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pacos.checks import FINDINGS, Finding, Findings, Outcome, Skipped, prove
from pacos.configs.frozen import load_frozen
from pacos.console import set_up_logging
from pacos.distributed import World
from pacos.errors import EXIT_DONE, UserError
from pacos.model.loading import load_tokenizer
from pacos.rank import end_with_parent
from pacos.run.manifest import package_versions
from pacos.run.stop import SIGNALS
from sft.config import SFTConfig
from sft.doctor.gradients import gradients
from sft.doctor.resume import resume
from sft.doctor.tokens import read_first_rows
from sft.engine.device import choose_device


def main(arguments: Sequence[str]) -> int:
    """Make all proofs as one rank; rank 0 shows and keeps them."""
    world = World.from_env()
    end_with_parent()
    # Its launcher holds them back for ranks that save; there is nothing to save here.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    set_up_logging(is_main=False)
    path = Path(arguments[1])
    config = load_frozen(path, SFTConfig)
    choose_device(config.cluster)
    from sft.engine.deepspeed import start_ranks

    device = start_ranks(world)
    findings = Findings(path.with_name(FINDINGS))
    for name, proof in {
        "communication": lambda: communication(world, device),
        "ranks agree": lambda: agreement(config, path, world),
        "gradients": lambda: gradients(config, world, device),
        "resume": lambda: resume(config, path.parent, world, device),
    }.items():
        finding = together(prove(name, proof), world)
        if world.is_main:
            findings.add(finding)
    return EXIT_DONE


def together(own: Finding, world: World) -> Finding:
    """What all ranks found: their first failure, if any failed."""
    for rank, finding in enumerate(world.gather(own)):
        if finding.outcome is Outcome.failed:
            return dataclasses.replace(finding, what=f"rank {rank}: {finding.what}")
    return own


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
    told = world.gather(facts(config, path))
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
