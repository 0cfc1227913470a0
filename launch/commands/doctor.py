"""`pacos doctor`: starts the proofs, in one process and then in ranks, and sums them up."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from launch.config import SCHEMAS
from launch.local import child_environment, rank_command
from pacos.checks import FINDINGS, Finding, Findings, Outcome
from pacos.configs.compose import compose_checked
from pacos.configs.frozen import freeze
from pacos.configs.shared import Device
from pacos.errors import EXIT_DONE, EXIT_USER_ERROR, ConfigError
from pacos.files import write_jsonl
from pacos.run_paths import RunPaths
from sft.config import SFTConfig

PATIENCE_SECONDS = 240
"""Time for a program. It needs 10 to 30 s, two minutes more where DeepSpeed has to compile its CPU
collectives first; ranks that cannot reach each other never end."""
GRACE_SECONDS = 45
"""Time for a launcher to end its ranks; it kills them after 30."""

LATE = (
    f"no end after {PATIENCE_SECONDS} s: ranks may wait for each other; set NCCL_DEBUG=INFO, and "
    "NCCL_SOCKET_IFNAME to the network that they are to use"
)

POLL_SECONDS = 0.1

CPU_RANKS = 2
"""Ranks that prove what they can on a machine without GPUs."""

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
"""What is looked at where no data is given."""


def run_doctor(overrides: Sequence[str]) -> int:
    """Prove that a training run with these overrides would be right on this machine.

    Returns:
        0, or 2 if a proof failed.

    Raises:
        ConfigError: it is none.
    """
    with tempfile.TemporaryDirectory(prefix="pacos-doctor-") as name:
        folder = Path(name)
        config = _compose(overrides, folder / "rows.jsonl")
        run = RunPaths(folder)
        freeze(config, run.config)
        findings = Findings(folder / FINDINGS)
        _run("proofs", [sys.executable, "-m", "sft.doctor.run"], config, findings)
        ended = {finding.proof: finding.outcome for finding in findings.all()}
        if ended.get("CUDA build") is Outcome.failed:
            findings.add(Finding("ranks", Outcome.skipped, "needs: CUDA build"))
        else:
            if ended.get("CUDA build") is not Outcome.ok:
                config.cluster.device, config.cluster.ranks_per_node = Device.cpu, CPU_RANKS
            config.cluster.nodes = 1
            words = rank_command(config.cluster, "sft.train", run)
            program = [*words[: words.index("sft.train")], "sft.doctor.ranks"]
            _run("ranks", program, config, findings)
        return _sum_up(findings.all())


def _compose(overrides: Sequence[str], own_rows: Path) -> SFTConfig:
    """The config; where it names no data, with rows of the doctor's own."""
    try:
        return compose_checked(SFTConfig, SCHEMAS, overrides)
    except ConfigError as error:
        if [problem.key for problem in error.problems if problem.value == "???"] != ["data.path"]:
            raise
    write_jsonl(own_rows, ROWS)
    return compose_checked(SFTConfig, SCHEMAS, [*overrides, f"data.path={own_rows}"])


def _run(what: str, words: Sequence[str], config: SFTConfig, findings: Findings) -> None:
    """Run a program of proofs and show what it finds; an end before its time is a finding too."""
    shown, folder = len(findings.all()), findings.file.parent
    with (folder / "said").open("w+", encoding="utf-8") as said:
        child = subprocess.Popen(
            [*words, "--config", str(folder / "config.yaml")],
            env=child_environment(config),
            # It shows its findings itself, among what libraries have to say.
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        ends_by = time.monotonic() + PATIENCE_SECONDS
        try:
            while child.poll() is None and time.monotonic() < ends_by:
                time.sleep(POLL_SECONDS)
                shown = _show(findings, shown)
        finally:
            late = child.poll() is None
            _end(child)
        _show(findings, shown)
        if child.returncode != 0:
            said.seek(0)
            findings.add(Finding(what, Outcome.failed, LATE if late else _last_words(said.read())))


def _end(child: subprocess.Popen[bytes]) -> None:
    """End what still runs. A launcher ends its ranks itself: they have sessions of their own."""
    child.terminate()
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _show(findings: Findings, shown: int) -> int:
    """Print what is new; returns how many are known now."""
    known = findings.all()
    for finding in known[shown:]:
        print(finding, flush=True)
    return len(known)


def _last_words(said: str) -> str:
    """What an exception said, out of a traceback and what launchers write around it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [
        line for line in lines if re.match(r"(\[rank\d+\]: )?[\w.]*(Error|Exception)\b", line)
    ]
    return (errors or lines or ["it ended without a word"])[0]


def _sum_up(findings: Sequence[Finding]) -> int:
    count = Counter(finding.outcome for finding in findings)
    parts = [f"{count[outcome]} {outcome.value}" for outcome in Outcome if count[outcome]]
    print(f"{len(findings)} proofs: {', '.join(parts)}")
    return EXIT_USER_ERROR if count[Outcome.failed] else EXIT_DONE
