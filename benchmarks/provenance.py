"""The provenance of a measurement; part of every result."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from pacos.run.manifest import git_commit, package_versions


def provenance(*packages: str) -> dict[str, Any]:
    """Return date, command, commit, hardware, load and versions.

    Call it before anything is measured: the load average would include the benchmark itself.

    Args:
        packages: distributions whose versions matter besides those that every run records.

    Raises:
        PackageNotFoundError: one of them is not installed.
    """
    module = Path(sys.argv[0]).stem
    return {
        "date": time.strftime("%Y-%m-%d"),
        "command": " ".join([f"python -m benchmarks.{module}", *sys.argv[1:]]),
        "commit": git_commit(),
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 1),
        "versions": package_versions()
        | {name: importlib.metadata.version(name) for name in packages},
    }


def _cpu() -> str:
    """Return the CPU model and its best matrix unit, which decides most CPU timings."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    facts = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)
    }
    flags = facts.get("flags", "").split()
    units = [unit for unit in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if unit in flags]
    return f"{facts.get('model name', platform.machine())} ({', '.join(units[:1])})"
