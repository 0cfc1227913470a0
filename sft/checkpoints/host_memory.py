"""A copy in host memory, from which a checkpoint is written while training goes on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from deepspeed.accelerator import get_accelerator

from sft.checkpoints.shards import Layout, layout_bytes

SHARE = 0.8
"""Of the memory that is available, the most that copies may take: the rest is for the page cache
that the files are written through, and for the ranks themselves."""

PORTABLE = 1
"""cudaHostRegisterPortable: page-locked for every device of the process."""

GROUPS = {
    "0::": ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ":memory:": (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
}
"""Control groups, version 2 and 1: how a line of /proc/self/cgroup that names the process's own
goes on after its number, where groups lie, and their files with the limit, with what is used, and
the line of memory.stat with the file pages that are given back when memory is wanted."""


class HostCopy:
    """Memory for one copy of a rank's tensors, the same for every save of a life."""

    def __init__(self, layout: Layout, ranks_here: int) -> None:
        """Take the memory, if there is enough of it.

        Args:
            layout: of the tensors.
            ranks_here: ranks that share this machine's memory.
        """
        self._layout = layout
        size = layout_bytes(layout)
        self.fits = size * ranks_here <= SHARE * available_bytes()
        """Whether there is memory for it."""
        self._memory = torch.empty(size if self.fits else 0, dtype=torch.uint8)
        if self.fits and get_accelerator().device_name() == "cuda":
            # GPUs write to page-locked memory at full speed and without waiting. torch's own would
            # be rounded up to a power of two.
            runtime, address = torch.cuda.cudart(), self._memory.data_ptr()
            torch.cuda.check_error(int(runtime.cudaHostRegister(address, size, PORTABLE)))

    def take(self, tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
        """Copy them; what was copied before is overwritten."""
        copies, end = [], 0
        for (_, dtype, count), tensor in zip(self._layout, tensors, strict=True):
            start, end = end, end + dtype.itemsize * count
            copies.append(self._memory[start:end].view(dtype))
            copies[-1].copy_(tensor, non_blocking=True)
        get_accelerator().synchronize()
        return copies


def available_bytes() -> int:
    """Memory that processes here can still take: of the machine, or of the job if it has less."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    facts = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return min([1024 * facts["MemAvailable"], *_left_to_job()])


def _left_to_job() -> list[int]:
    """What the limits of the process's control groups leave; Slurm and containers set them."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        for mark, (root, most, used, idle) in GROUPS.items():
            before, is_named, own = line.partition(mark)
            if not is_named or not (before.isdigit() or not before):
                continue
            group = Path(root, own.lstrip("/"))
            for folder in (group, *group.parents):
                limit = folder / most
                if limit.is_file() and (text := limit.read_text().strip()) != "max":
                    counts = (folder / "memory.stat").read_text().splitlines()
                    kept = int(dict(one.split() for one in counts)[idle])
                    found.append(int(text) - int((folder / used).read_text()) + kept)
    return found
