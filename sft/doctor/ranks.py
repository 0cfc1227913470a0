"""The checks that need several ranks: they communicate, agree, divide a step correctly, and resume.

accelerate launch --use_deepspeed --num_processes 2 -m sft.doctor.ranks --config config.yaml

`pacos doctor` starts it on this machine; under srun it checks a whole job.
"""

from __future__ import annotations

import dataclasses
import hashlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pacos.checks import FINDINGS, Finding, Findings, Outcome, Skipped, run_check
from pacos.configs.frozen import load_frozen
from pacos.console import set_up_logging
from pacos.distributed import World
from pacos.errors import EXIT_DONE, UserError
from pacos.rank import end_with_parent
from pacos.run.manifest import package_versions
from pacos.run.stop import SIGNALS
from sft.config import SFTConfig
from sft.data.tokenizer import build_tokenizer
from sft.doctor.gradients import gradients
from sft.doctor.resume import resume
from sft.doctor.tokens import read_first_rows
from sft.engine.device import choose_device

if TYPE_CHECKING:
    import torch

ELEMENTS = 1 << 16
"""Elements sent in the communication check: 256 KiB."""


def main(arguments: Sequence[str]) -> int:
    """Run the checks as one rank; rank 0 prints and keeps the findings."""
    world = World.from_env()
    end_with_parent()
    # The launcher blocks these signals, so that ranks can save first; a check has nothing to save.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    set_up_logging(is_main=False)
    path = Path(arguments[1])
    config = load_frozen(path, SFTConfig)
    choose_device(config.cluster)
    from sft.engine.deepspeed import start_ranks

    device = start_ranks(world)
    findings = Findings(path.with_name(FINDINGS))
    for name, check in {
        "communication": lambda: communication(world, device),
        "ranks agree": lambda: agreement(config, path, world),
        "gradients": lambda: gradients(config, world, device),
        "resume": lambda: resume(config, path.parent, world, device),
    }.items():
        finding = first_failure(run_check(name, check), world)
        if world.is_main:
            findings.add(finding)
    return EXIT_DONE


def first_failure(own: Finding, world: World) -> Finding:
    """Return the first rank's failure if any rank failed, else this rank's own finding.

    Every rank must call it.
    """
    for rank, finding in enumerate(world.gather(own)):
        if finding.outcome is Outcome.failed:
            return dataclasses.replace(finding, message=f"rank {rank}: {finding.message}")
    return own


def communication(world: World, device: torch.device) -> str | Skipped:
    """Check that all-reduce, all-gather and broadcast over all ranks give the right numbers."""
    if world.size == 1:
        return Skipped("a single rank does not communicate")
    import torch
    from torch import distributed

    backend = distributed.get_backend()
    # Values differ by position and by rank, so that a shifted or swapped part is noticed.
    own = torch.arange(ELEMENTS, device=device, dtype=torch.float32) % 97 + world.rank
    of_ranks = [own - world.rank + rank for rank in range(world.size)]
    reduced = own.clone()
    distributed.all_reduce(reduced)
    gathered = [torch.empty_like(own) for _ in of_ranks]
    distributed.all_gather(gathered, own)
    broadcast = own.clone()
    distributed.broadcast(broadcast, src=0)
    for name, computed, expected in (
        ("all_reduce", reduced, torch.stack(of_ranks).sum(0)),
        ("all_gather", torch.cat(gathered), torch.cat(of_ranks)),
        ("broadcast", broadcast, of_ranks[0]),
    ):
        if not torch.equal(computed, expected):
            raise UserError(
                f"{backend}: {name} gave wrong numbers over {world.size} ranks; set "
                "NCCL_P2P_DISABLE=1 or NCCL_IB_DISABLE=1 to find the faulty link, and "
                "NCCL_DEBUG=INFO to see which links are used"
            )
    return f"{backend} reduces, gathers and broadcasts correctly over {world.size} ranks"


def agreement(config: SFTConfig, path: Path, world: World) -> str | Skipped:
    """Check that all ranks have the same software, config, tokenizer and rows."""
    if world.size == 1:
        return Skipped("a single rank agrees with itself")
    of_ranks = world.gather(fingerprints(config, path))
    differences = [
        f"{name} of rank {rank}: {other[name]}, of rank 0: {value}"
        for name, value in of_ranks[0].items()
        for rank, other in enumerate(of_ranks)
        if other[name] != value
    ]
    if differences:
        raise UserError(f"{'; '.join(differences)}; give all ranks the same files and environment")
    return f"{', '.join(of_ranks[0])} are the same on {world.size} ranks"


def fingerprints(config: SFTConfig, path: Path) -> dict[str, str]:
    """Return what must be the same on every rank, by name; long contents as digests."""
    tokenizer = build_tokenizer(config.model)
    rows = [
        example.ids.tobytes()
        for first in read_first_rows(config, tokenizer)
        for example in first.examples
    ]
    versions = package_versions().items()
    return {
        "versions": ", ".join(f"{name} {version}" for name, version in versions),
        "config": _digest(path.read_bytes()),
        "tokenizer": _digest(tokenizer.backend_tokenizer.to_str().encode()),
        "first rows": _digest(b"".join(rows)),
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
