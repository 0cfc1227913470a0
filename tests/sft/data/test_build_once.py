import os
import threading
import time
from pathlib import Path

import pytest

from pacos.distributed import World
from pacos.errors import UserError
from sft.data.build_once import build_once

FIRST, SECOND = World(rank=0, size=2, local_rank=0), World(rank=1, size=2, local_rank=1)


def never(folder: Path) -> None:
    raise AssertionError("made twice")


def fill(folder: Path) -> None:
    (folder / "tokens").write_text("1 2 3")


def test_it_is_made_whole_and_not_again(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "key"

    def make(partial: Path) -> None:
        fill(partial)
        assert not folder.exists()

    build_once(folder, make, FIRST)
    assert (folder / "tokens").read_text() == "1 2 3"
    build_once(folder, never, FIRST)
    build_once(folder, never, SECOND)


def test_other_ranks_wait_until_it_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "key"
    waiting = threading.Thread(target=build_once, args=(folder, never, SECOND))
    waiting.start()
    time.sleep(0.3)
    assert waiting.is_alive()
    build_once(folder, fill, FIRST)
    waiting.join(timeout=30)
    assert not waiting.is_alive()


def test_runs_that_start_together_make_it_once(tmp_path: Path) -> None:
    folder, made = tmp_path / "key", []

    def make(partial: Path) -> None:
        made.append(os.getpid())
        time.sleep(0.2)
        fill(partial)

    runs = [threading.Thread(target=build_once, args=(folder, make, FIRST)) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(timeout=30)
    assert len(made) == 1


def test_what_was_left_by_a_killed_process_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "key"

    def die(partial: Path) -> None:
        (partial / "torn").touch()
        os._exit(9)

    child = os.fork()
    if child == 0:
        build_once(folder, die, FIRST)
    os.waitpid(child, 0)
    assert not folder.exists()
    build_once(folder, fill, FIRST)
    assert [file.name for file in folder.iterdir()] == ["tokens"]
    assert not list(tmp_path.glob("*.tmp"))


def test_a_failure_reaches_the_other_ranks_and_is_no_verdict_on_the_next_try(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "key"

    def fail(partial: Path) -> None:
        raise UserError("rows.jsonl:3: bad")

    with pytest.raises(UserError, match=r"rows.jsonl:3"):
        build_once(folder, fail, FIRST)
    with pytest.raises(UserError, match=r"rows.jsonl:3"):
        build_once(folder, never, SECOND)
    build_once(folder, fill, FIRST)
    build_once(folder, never, SECOND)
