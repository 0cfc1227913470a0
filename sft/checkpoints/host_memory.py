"""The copy in host memory from which a checkpoint is written while training goes on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from deepspeed.accelerator import get_accelerator

from sft.checkpoints.shards import ShardLayout, layout_bytes

SHARE = 0.8
"""Largest share of the available memory that copies may take. The rest is for the page cache that
the files are written through, and for the ranks themselves."""

PORTABLE = 1
"""cudaHostRegisterPortable: page-locked for every device of the process."""


@dataclass(frozen=True, slots=True)
class ControlGroups:
    """The interface of one version of Linux control groups."""

    marker: str
    """Text in a line of /proc/self/cgroup that names the process's own memory group."""
    root: str
    """Folder of all groups."""
    limit: str
    """File with the limit in bytes."""
    usage: str
    """File with the bytes in use."""
    reclaimable: str
    """Line of memory.stat with the file pages that the kernel gives back when memory is short."""


CONTROL_GROUPS = (
    ControlGroups("0::", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ControlGroups(
        ":memory:",
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)
"""Versions 2 and 1; Slurm and containers limit memory by them."""


class HostCopy:
    """Memory for one copy of a rank's tensors, reused by every save of a life."""

    def __init__(self, layout: ShardLayout, ranks_here: int) -> None:
        """Allocate the memory if there is enough.

        Args:
            layout: layout of the tensors.
            ranks_here: ranks that share this machine's memory.
        """
        self._layout = layout
        size = layout_bytes(layout)
        self.fits = size * ranks_here <= SHARE * available_bytes()
        """True if the copies of all ranks fit into this machine's memory."""
        self._memory = torch.empty(size if self.fits else 0, dtype=torch.uint8)
        if self.fits and get_accelerator().device_name() == "cuda":
            # GPUs copy to page-locked memory at full speed and asynchronously. Registered by hand,
            # because torch's own pinned allocator rounds sizes up to a power of two.
            runtime, address = torch.cuda.cudart(), self._memory.data_ptr()
            torch.cuda.check_error(int(runtime.cudaHostRegister(address, size, PORTABLE)))

    def take(self, tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
        """Copy the tensors; this overwrites the previous copy."""
        copies, end = [], 0
        for (_, dtype, count), tensor in zip(self._layout, tensors, strict=True):
            start, end = end, end + dtype.itemsize * count
            copies.append(self._memory[start:end].view(dtype))
            copies[-1].copy_(tensor, non_blocking=True)
        # Asynchronous copies must have ended before the next step changes the tensors.
        get_accelerator().synchronize()
        return copies


def available_bytes() -> int:
    """Return the memory that this process can still take, of the machine or of its job's limit."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kibibytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return min([1024 * kibibytes["MemAvailable"], *_left_in_control_groups()])


def _left_in_control_groups() -> list[int]:
    """Return what the limits of the process's control groups leave."""
    left = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        for version in CONTROL_GROUPS:
            # A line is NUMBER:CONTROLLERS:PATH.
            before, is_match, own = line.partition(version.marker)
            if not is_match or not (before.isdigit() or not before):
                continue
            group = Path(version.root, own.lstrip("/"))
            # A group is also bound by the limits of all groups around it.
            for folder in (group, *group.parents):
                limit = folder / version.limit
                if limit.is_file() and (text := limit.read_text().strip()) != "max":
                    statistics = (folder / "memory.stat").read_text().splitlines()
                    counts = dict(line.split() for line in statistics)
                    used = int((folder / version.usage).read_text())
                    left.append(int(text) - used + int(counts[version.reclaimable]))
    return left
