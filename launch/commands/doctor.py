"""`pacos doctor`: run the checks, first in one process and then in ranks, and sum them up."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from launch.commands.parser import CommandParser
from launch.config import SCHEMAS
from launch.local import child_environment, rank_command
from pacos.checks import FINDINGS, Finding, Findings, Outcome
from pacos.configs.cluster import Device
from pacos.configs.compose import compose_checked
from pacos.configs.frozen import freeze
from pacos.errors import EXIT_DONE, EXIT_USER_ERROR, ConfigError
from pacos.files import write_jsonl
from pacos.run_paths import RunPaths
from sft.config import SFTConfig

TIMEOUT_SECONDS = 240
"""Seconds that a program of checks may take. It needs 10 to 30, and two minutes more the first time
that DeepSpeed compiles its CPU collectives; ranks that cannot reach each other never end."""
GRACE_SECONDS = 45
"""Seconds for a launcher to end its ranks; it kills them after 30."""

TIMED_OUT = (
    f"did not end within {TIMEOUT_SECONDS} s: ranks may be waiting for each other; set "
    "NCCL_DEBUG=INFO, and NCCL_SOCKET_IFNAME to the network that they should use"
)

POLL_SECONDS = 0.1

CPU_RANKS = 2
"""Ranks on a machine without GPUs: the fewest that communicate."""

ROWS = [
    {
        "messages": [
            {"role": "user", "content": "How many legs has an alpaca?"},
            {"role": "assistant", "content": "Four."},
            {"role": "user", "content": "거위는?"},
            {"role": "assistant", "content": "둘이에요."},
        ]
    },
    {
        "messages": [
            {"role": "user", "content": "Sort these: 3, 1, 2"},
            {"role": "assistant", "content": "1, 2, 3"},
        ]
    },
]
"""Rows to check if no data is given: several turns, and text outside ASCII."""


DETAILS = """\
Check on this machine, in under a minute, that such a training run would be correct: packages, GPUs,
disks, model, tokenizer, mask, stop token, attention, ranks, gradients, resume.

Takes the overrides of a pacos sft command. Without data.path it checks rows of its own."""


def declare(parser: CommandParser) -> None:
    """Declare the arguments of the command."""
    parser.description = DETAILS
    parser.accept_overrides("KEY=VALUE…")


def run(args: argparse.Namespace) -> int:
    """Run the checks and return the exit code."""
    return run_doctor(args.overrides)


def run_doctor(overrides: Sequence[str]) -> int:
    """Check that a training run with these overrides would be right on this machine.

    Returns:
        0, or 2 if a check failed.

    Raises:
        ConfigError: the overrides make no valid config.
    """
    with tempfile.TemporaryDirectory(prefix="pacos-doctor-") as name:
        folder = Path(name)
        config = _compose(overrides, folder / "rows.jsonl")
        run = RunPaths(folder)
        freeze(config, run.config)
        findings = Findings(folder / FINDINGS)
        in_process = [sys.executable, "-m", "sft.doctor.run", "--config", str(run.config)]
        _run("checks", in_process, config, findings)
        outcomes = {finding.check: finding.outcome for finding in findings.all()}
        if outcomes.get("CUDA build") is Outcome.failed:
            findings.add(Finding("ranks", Outcome.skipped, "needs: CUDA build"))
        else:
            if outcomes.get("CUDA build") is not Outcome.ok:
                config.cluster.device, config.cluster.ranks_per_node = Device.cpu, CPU_RANKS
            # However many nodes the run will have, this machine is the only one here.
            config.cluster.nodes = 1
            in_ranks = rank_command(config.cluster, "sft.doctor.ranks", run)
            _run("ranks", in_ranks, config, findings)
        return _sum_up(findings.all())


def _compose(overrides: Sequence[str], own_rows: Path) -> SFTConfig:
    """Compose the config; if it names no data, use the doctor's own rows."""
    try:
        return compose_checked(SFTConfig, SCHEMAS, overrides)
    except ConfigError as error:
        if [problem.key for problem in error.problems if problem.value == "???"] != ["data.path"]:
            raise
    write_jsonl(own_rows, ROWS)
    return compose_checked(SFTConfig, SCHEMAS, [*overrides, f"data.path={own_rows}"])


def _run(name: str, command: Sequence[str], config: SFTConfig, findings: Findings) -> None:
    """Run a program of checks and print its findings; a crash or a timeout becomes a finding."""
    printed, folder = len(findings.all()), findings.file.parent
    with (folder / "stderr").open("w+", encoding="utf-8") as stderr:
        child = subprocess.Popen(
            command,
            env=child_environment(config),
            # The program prints its findings among what libraries print; only the file is read.
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
        deadline = time.monotonic() + TIMEOUT_SECONDS
        try:
            while child.poll() is None and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                printed = _print_new(findings, printed)
        finally:
            timed_out = child.poll() is None
            _end(child)
        _print_new(findings, printed)
        if child.returncode != 0:
            stderr.seek(0)
            message = TIMED_OUT if timed_out else _error_line(stderr.read())
            findings.add(Finding(name, Outcome.failed, message))


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a program that still runs.

    A launcher has to end its ranks itself: they have sessions of their own.
    """
    child.terminate()
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _print_new(findings: Findings, printed: int) -> int:
    """Print the findings after the first `printed`; return their number now."""
    known = findings.all()
    for finding in known[printed:]:
        print(finding, flush=True)
    return len(known)


def _error_line(stderr: str) -> str:
    """Return the exception's own line, without the traceback and the launcher's text around it."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [
        line for line in lines if re.match(r"(\[rank\d+\]: )?[\w.]*(Error|Exception)\b", line)
    ]
    # The first rank's first exception: later ones follow from it.
    return (errors or lines or ["exited without a message"])[0]


def _sum_up(findings: Sequence[Finding]) -> int:
    count = Counter(finding.outcome for finding in findings)
    parts = [f"{count[outcome]} {outcome.value}" for outcome in Outcome if count[outcome]]
    print(f"{len(findings)} checks: {', '.join(parts)}")
    return EXIT_USER_ERROR if count[Outcome.failed] else EXIT_DONE
