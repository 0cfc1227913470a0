"""Config of the sandbox for generated code."""

from __future__ import annotations

from dataclasses import dataclass, field

from pacos.errors import Problem
from pacos.identity import FREE


@dataclass(kw_only=True, slots=True)
class SandboxConfig:
    """Limits of one generated program, and whether it is isolated."""

    timeout_seconds: float = 3.0
    """Wall time in seconds of a program with all its tests; a longer one fails. 3 is HumanEval's
    own limit."""
    memory_mib: int = 1024
    """Address space of a program in MiB; allocating more raises MemoryError in the program."""
    disk_mib: int = 16
    """Size in MiB of a program's temporary folder. It is held in memory and removed with the
    program."""
    workers: int | None = field(default=None, metadata=FREE)
    """Programs that run concurrently; null for one per CPU. More make programs miss their time
    limit."""
    run_without_isolation: bool = False
    """Run generated code as an ordinary process with all your rights. Results are marked
    `isolation: none`."""

    def problems(self, key: str) -> list[Problem]:
        """Return what is wrong with the values, under keys that start with `key`."""
        positive = {
            "timeout_seconds": self.timeout_seconds,
            "memory_mib": self.memory_mib,
            "disk_mib": self.disk_mib,
            "workers": self.workers,
        }
        problems = [
            Problem(f"{key}.{name}", value, "must be positive", "raise it")
            for name, value in positive.items()
            if value is not None and value <= 0
        ]
        if 0 < self.memory_mib < LEAST_MEMORY_MIB:
            wrong = f"the Python interpreter alone needs about {LEAST_MEMORY_MIB} MiB"
            problems.append(Problem(f"{key}.memory_mib", self.memory_mib, wrong, "raise it"))
        return problems


LEAST_MEMORY_MIB = 128
"""Address space with which the interpreter and its preloaded modules just start."""
