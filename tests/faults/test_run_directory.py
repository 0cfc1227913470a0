"""A run directory that is full or cannot be written: one message, nothing half-written."""

from __future__ import annotations

import contextlib
import errno
import shutil
from pathlib import Path

import pytest

from pacos.distributed import World
from pacos.errors import EXIT_DONE, EXIT_USER_ERROR, UserError, disk_problem
from pacos.files import append_jsonl, read_jsonl
from pacos.run.lives import Lives, State
from pacos.run.open import open_run
from pacos.run.program import live
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from tests.conftest import Pacos
from tests.faults.test_damage import small_disk
from tests.pacos.run.test_open import a_config

ALONE = World(rank=0, size=1, local_rank=0)
KIB = 1024


def fill(folder: Path) -> Path:
    """Leave no byte."""
    file = folder / "filling"
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as filling:
        while True:
            filling.write(b"x" * KIB)
    assert shutil.disk_usage(folder).free == 0
    return file


def log_steps(run: RunPaths, first: int, last: int) -> None:
    for step in range(first, last + 1):
        append_jsonl(run.metrics, [{metrics.STEP: step, "note": "x" * 500}])


def test_a_run_that_cannot_be_written_is_refused_at_once(pacos: Pacos, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"instruction": "Sing.", "output": "La."}\n')
    done = pacos("sft", "model=tiny", "data.path=rows.jsonl", "run.root=/proc/nowhere")
    assert done.returncode == EXIT_USER_ERROR
    (message,) = done.stderr.splitlines()
    assert message.startswith("pacos: run.root = /proc/nowhere: ")
    assert "cannot be written" in message


def test_a_disk_that_is_full_at_the_beginning(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64 * KIB):
        filling = fill(tmp_path / "disk")
        with pytest.raises(UserError, match="cannot be written: No space left on device"):
            open_run(a_config(tmp_path / "disk"))
        filling.unlink()
        assert Lives(open_run(a_config(tmp_path / "disk"))).state() is State.created


def test_a_disk_that_runs_full_ends_the_life_and_the_next_one_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path / "disk", 128 * KIB):
        run = open_run(a_config(tmp_path / "disk"))

        def work() -> None:
            log_steps(run, 1, 3)
            fill(tmp_path / "disk")
            log_steps(run, 4, 4000)

        assert live(run, ALONE, work) == EXIT_USER_ERROR
        said = capsys.readouterr().err
        assert said.count("No space left on device; free space on that disk") == 1
        assert "the next life will record it" in said
        assert "Traceback" not in said
        kept = [record[metrics.STEP] for record in read_jsonl(run.metrics)]
        assert run.metrics.read_bytes().endswith(b"}\n"), "no half of a line"

        (tmp_path / "disk" / "filling").unlink()
        again = RunPaths(run.path)
        assert live(again, ALONE, lambda: log_steps(again, kept[-1] + 1, kept[-1] + 2)) == EXIT_DONE
        first, second = read_jsonl(run.attempts)
        assert (first["state"], second["state"]) == ("failed", "done")
        assert [record[metrics.STEP] for record in read_jsonl(run.metrics)] == list(
            range(1, kept[-1] + 3)
        )


def test_a_library_that_hides_the_error_in_its_own_is_understood(tmp_path: Path) -> None:
    hidden = RuntimeError(
        "Error while serializing: I/O error: No space left on device (os error 28)"
    )
    told = disk_problem(hidden, tmp_path)
    assert str(told).startswith(f"{tmp_path}: No space left on device; free space")
    read_only = OSError(errno.EROFS, "Read-only file system", "metrics.jsonl")
    assert str(disk_problem(read_only, tmp_path)).startswith("metrics.jsonl: Read-only file system")
    assert disk_problem(RuntimeError("CUDA error: operation not permitted"), tmp_path) is None
    assert disk_problem(FileNotFoundError(2, "No such file or directory"), tmp_path) is None
