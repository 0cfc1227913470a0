"""Config of the sandbox that generated code runs in."""

from __future__ import annotations

from dataclasses import dataclass

from pacos.errors import Problem


@dataclass(kw_only=True, slots=True)
class SandboxConfig:
    """What one generated program may use, and whether it is isolated."""

    timeout_seconds: float = 3.0
    """Wall time for one program with all its tests; what takes longer fails. HumanEval's is 3."""
    memory_mib: int = 1024
    """Address space of one program; what needs more gets a MemoryError."""
    disk_mib: int = 16
    """Size of the temporary folder, which lies in memory and goes with the program."""
    workers: int | None = None
    """Programs that run at a time; null is one a CPU. Too many make programs miss their time."""
    run_without_isolation: bool = False
    """Run generated code as an ordinary process that can do all that you can. Results say so."""

    def problems(self, key: str) -> list[Problem]:
        """What is wrong, under keys that begin with `key`."""
        positive = {
            "timeout_seconds": self.timeout_seconds,
            "memory_mib": self.memory_mib,
            "disk_mib": self.disk_mib,
            "workers": self.workers,
        }
        found = [
            Problem(f"{key}.{name}", value, "must be more than 0", "raise it")
            for name, value in positive.items()
            if value is not None and value <= 0
        ]
        if 0 < self.memory_mib < LEAST_MEMORY_MIB:
            what = f"Python itself needs about {LEAST_MEMORY_MIB}"
            found.append(Problem(f"{key}.memory_mib", self.memory_mib, what, "raise it"))
        return found


LEAST_MEMORY_MIB = 128
"""Below this the interpreter with its preloaded modules does not start."""
