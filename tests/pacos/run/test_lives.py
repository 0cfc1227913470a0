import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pacos.errors import EXIT_CRASH, EXIT_DONE, UserError
from pacos.files import read_jsonl
from pacos.run.lives import Lives, State
from pacos.run_paths import RunPaths


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    run = RunPaths(tmp_path)
    run.config.touch()
    return run


def test_lives_and_states(run: RunPaths) -> None:
    lives = Lives(run)
    assert lives.state() is State.created
    assert lives.begin() == 1
    assert lives.state() is State.running
    assert lives.end_of(1) is None
    lives.note(last_step=5)
    lives.end(State.done, "all steps done", EXIT_DONE)
    assert lives.end_of(1) == (EXIT_DONE, "all steps done")
    assert lives.end_of(2) is None, "a stale status is never read as success"
    (life,) = read_jsonl(run.attempts)
    assert (life["life"], life["state"], life["last_step"]) == (1, "done", 5)
    assert life["start"] <= life["end"]
    lives.end(State.failed, "a second reason", EXIT_CRASH)
    assert list(read_jsonl(run.attempts)) == [life], "one line a life"
    assert lives.state() is State.done


def child(code: str, run: RunPaths) -> subprocess.CompletedProcess[str]:
    """Run code in another process, with `lives` of the same run."""
    head = (
        f"from pathlib import Path\nfrom pacos.run.lives import Lives\n"
        f"from pacos.run_paths import RunPaths\nlives = Lives(RunPaths(Path({str(run.path)!r})))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", head + code], capture_output=True, text=True, check=False
    )


def test_two_processes_never_share_a_run(run: RunPaths) -> None:
    lives = Lives(run)
    lives.begin()
    refused = child("lives.begin()", run)
    assert "another process is at work" in refused.stderr
    assert lives.count() == 1
    with pytest.raises(UserError, match="another process is at work"):
        Lives(run).begin()


def test_others_see_whether_a_process_works_on_the_run(run: RunPaths) -> None:
    see = "print(lives.is_locked())"
    lives = Lives(run)
    assert not lives.is_locked()
    assert not run.lock.exists(), "looking creates nothing"
    lives.begin()
    assert lives.is_locked()
    assert Lives(run).is_locked()
    assert child(see, run).stdout == "True\n"
    lives.end(State.done, "done", EXIT_DONE)
    assert not Lives(run).is_locked()
    assert child(see, run).stdout == "False\n"


def test_closing_the_lock_file_elsewhere_does_not_drop_the_lock(run: RunPaths) -> None:
    lives = Lives(run)
    lives.begin()
    run.lock.read_bytes()
    assert child("print(lives.is_locked())", run).stdout == "True\n"


def test_a_forked_child_neither_drops_nor_keeps_the_lock(run: RunPaths) -> None:
    lives = Lives(run)
    lives.begin()
    ready, leave = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(leave[1])
        os.write(ready[1], b"x")
        os.read(leave[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    lives.end(State.done, "done", EXIT_DONE)
    assert not Lives(run).is_locked(), "a child that lives on does not keep the lock"
    lives.begin()
    os.write(leave[1], b"x")
    os.waitpid(pid, 0)
    assert Lives(run).is_locked(), "nor does its end drop it"


def test_a_reader_never_keeps_a_life_from_beginning(run: RunPaths) -> None:
    """`pacos status` looks at a run while another process takes it up."""
    lives, over = Lives(run), threading.Event()

    def look() -> None:
        while not over.is_set():
            Lives(run).is_locked()

    readers = [threading.Thread(target=look) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for number in range(1, 101):
            assert lives.begin() == number
            lives.end(State.saved, "again", EXIT_DONE)
    finally:
        over.set()
        for reader in readers:
            reader.join()
