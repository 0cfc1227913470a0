"""Fixtures and helpers of all tests. No test reaches a network."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pacos.console import LOGGERS
from pacos.run.stop import SIGNALS

ROOT = Path(__file__).parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

os.environ["HF_HUB_OFFLINE"] = "1"
# Tests have a cache of their own: what another torch or a run left in the user's stays there.
TEST_CACHE = ROOT / ".test-cache"
os.environ["XDG_CACHE_HOME"] = str(TEST_CACHE)
os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(TEST_CACHE / "inductor")
os.environ["TRITON_CACHE_DIR"] = str(TEST_CACHE / "triton")
for name in ("PACOS_CACHE", "HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "MPLCONFIGDIR"):
    os.environ.pop(name, None)
WAITING = ("tests/slurm", "tests/integration", "tests/faults", "tests/sft/test_train")
"""Folders and files whose tests wait for other processes rather than use a core."""

os.environ["WANDB_MODE"] = "offline"
os.environ.pop("WANDB_API_KEY", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files that mostly wait first, and skip what needs a GPU where there is none."""
    # xdist deals files out in this order. A file of jobs that wait for timers would otherwise be
    # the last one, and keep one worker busy for a minute after the others have finished.
    items.sort(key=lambda item: not item.nodeid.startswith(WAITING))
    if not any(item.get_closest_marker("gpu") for item in items):
        return
    import torch

    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no GPU on this machine"))


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """Take back the handlers that a program sets for its whole process."""
    before = {
        number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGPIPE, signal.SIGHUP)
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """A program that runs in the tests' process leaves none of its own."""
    with signals_kept():
        yield


@pytest.fixture(autouse=True)
def log_levels() -> Iterator[None]:
    """A command that ran in the tests' process changes the level of no later test's messages."""
    # Before the test too: a fixture of a whole module may have run a command.
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.NOTSET)
    yield
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Public test data that the project does not ship."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no {SHARED_DATA}")
    return SHARED_DATA


Pacos = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def pacos(tmp_path: Path) -> Pacos:
    """The command as a user types it, in an empty folder."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("pacos")), *arguments],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def pacos_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Pacos:
    """The command in the tests' own process, which spares it the imports, seconds of each."""
    from launch.cli import main

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["pacos", *arguments])
        capfd.readouterr()
        code = main()
        said = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def tokenizer() -> object:
    """SmolLM2's tokenizer, from the embedded model."""
    from pacos.model.loading import load_tokenizer

    return load_tokenizer("embedded:smollm2-135m-instruct", pad_token="<|endoftext|>")
