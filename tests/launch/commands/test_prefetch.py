"""`pacos prefetch` and jobs without a network, against a hub on the loopback interface."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pacos.files import read_json
from tests.conftest import Pacos
from tests.doubles.hub import Hub, Repository, serve
from tests.sft.small_runs import SHAPE, model_folder, write_rows

MB = 2**20


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a model: a tokenizer, a config, and weights that are never read."""
    folder = model_folder(tmp_path_factory.mktemp("model"))
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {**found, "model.safetensors": os.urandom(24 * MB), "original/big.pth": b"left out"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = write_rows(tmp_path_factory.mktemp("data") / "train.jsonl")
    return {"train.jsonl": path.read_bytes(), "README.md": b"# rows\n"}


@pytest.fixture
def hub(files: dict[str, bytes], rows: dict[str, bytes]) -> Iterator[Hub]:
    models = {
        "owner/model": Repository(dict(files)),
        "owner/gated": Repository(dict(files), gated=True),
    }
    content = rows["train.jsonl"]
    held = {"other.jsonl": content, "test.jsonl.gz": gzip.compress(content)}
    datasets = {"owner/rows": Repository(dict(rows)), "owner/held": Repository(held)}
    with serve(models, datasets) as served:
        yield served


Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def command(pacos: Pacos, hub: Hub, tmp_path: Path) -> Command:
    """The pacos command on a machine with offline jobs and an empty cache."""

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
        return pacos(*words, **{**own, **environment})

    return run


def training(*more: str) -> list[str]:
    values = {key: getattr(SHAPE, key) for key in SHAPE.__slots__}
    shape = [
        f"model.shape.{key}={'null' if value is None else value}" for key, value in values.items()
    ]
    return [
        *("model=tiny", "model.path=owner/model", *shape),
        *("data.path=owner/rows", "data.max_length=128", "batch.tokens=512", "max_steps=1"),
        *("cluster.device=cpu", "run.name=run", *more),
    ]


@pytest.mark.slow
def test_what_is_downloaded_once_is_there_for_a_job_without_network(
    command: Command, hub: Hub, tmp_path: Path
) -> None:
    words = training()
    missing = command("sft", *words)
    assert missing.returncode == 2
    assert "pacos prefetch model.path=owner/model" in missing.stderr
    first = command("prefetch", *words)
    assert first.returncode == 0, first.stderr
    assert "owner/model (model.path):" in first.stdout
    assert "to download" in first.stdout
    assert "owner/rows: 40 rows" in first.stdout
    sent = hub.files_sent()
    assert "original/big.pth" not in sent
    assert "model.safetensors" not in sent, "weights are drawn, not read"
    hub.asked.clear()
    again = command("prefetch", str(tmp_path / "runs" / "run"))
    assert again.returncode == 0, again.stderr
    assert "all of them in the cache" in again.stdout
    assert hub.files_sent() == []
    hub.asked.clear()
    done = command("sft", *words)
    assert done.returncode == 0, done.stderr
    assert hub.asked == []
    assert read_json(tmp_path / "runs" / "run" / "status.json")["state"] == "done"


def test_every_source_is_downloaded_by_subset_split_and_slice(command: Command, hub: Hub) -> None:
    done = command(
        "prefetch",
        'data.path="owner/rows:train[:10]"',
        r"+data.mix={owner/rows\:train\[10\:\]: {weight: 0.5}}",
        "validation.path=owner/held:test",
    )
    assert done.returncode == 0, done.stderr
    assert "owner/held (validation.path): 2 files" in done.stdout
    assert "owner/rows:train[:10]: 10 rows" in done.stdout
    assert "owner/rows:train[10:]: 30 rows" in done.stdout
    assert "owner/held:test: 40 rows" in done.stdout
    assert "other.jsonl" not in hub.files_sent()


def test_a_broken_connection_goes_on_where_it_broke(command: Command, hub: Hub) -> None:
    hub.models["owner/model"].cuts["model.safetensors"] = 15 * MB
    done = command("prefetch", "model.path=owner/model", "data.path=later.jsonl")
    assert done.returncode == 0, done.stderr
    assert "data.path = later.jsonl: not on this machine and not on the hub" in done.stdout
    ranges = [asked for method, path, asked in hub.asked if "safetensors" in path and asked]
    assert ranges == [f"bytes={10 * MB}-"], "the library keeps whole pieces of 10 MB"


def test_a_killed_download_takes_up_the_files_that_are_whole(
    command: Command, hub: Hub, tmp_path: Path
) -> None:
    hub.models["owner/model"].stalls.add("model.safetensors")
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}
    child = subprocess.Popen(
        [sys.executable, "-m", "launch.cli", "prefetch", "model.path=owner/model"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    assert hub.stalled.wait(60)
    cache = tmp_path / "hf" / "hub" / "models--owner--model"
    small = len(hub.models["owner/model"].files) - 2
    while len(list(cache.glob("snapshots/*/*"))) < small:
        assert child.poll() is None
    child.send_signal(signal.SIGKILL)
    child.wait()
    hub.models["owner/model"].stalls.clear()
    hub.asked.clear()
    done = command("prefetch", "model.path=owner/model")
    assert done.returncode == 0, done.stderr
    assert hub.files_sent() == ["model.safetensors"]
    assert "1 to download, 0.03 GB" in done.stdout


def test_a_gated_model_is_explained_and_the_rest_downloaded(command: Command) -> None:
    done = command("prefetch", "model.path=owner/gated", "data.path=owner/rows", HF_TOKEN="")
    assert done.returncode == 2
    assert "model.path = owner/gated: is gated" in done.stderr
    assert "(HF_TOKEN is not set)" in done.stderr
    assert "/owner/gated; some owners take hours" in done.stderr
    assert "3. export HF_TOKEN=…, then run: pacos prefetch model.path=owner/gated" in done.stderr
    assert "Traceback" not in done.stderr
    assert "owner/rows: 40 rows" in done.stdout


def test_a_token_that_was_not_let_in_is_told_from_none(command: Command) -> None:
    done = command("prefetch", "model.path=owner/gated", HF_TOKEN="hf_other")
    assert done.returncode == 2
    assert "(HF_TOKEN is set)" in done.stderr


def test_who_was_let_in_gets_a_gated_model(command: Command) -> None:
    done = command("prefetch", "model.path=owner/gated", HF_TOKEN="hf_granted")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["model.path=owner/none"], "model.path = owner/none: no such model"),
        (["model.path=owner/model", "model.revision=v9"], "has no revision v9"),
        (["data.path=owner/none"], "data.path = owner/none: no such dataset"),
        (["validation.path=owner/none"], "validation.path = owner/none: no such dataset"),
        (["validation.path=owner/held:dev"], "validation.path = owner/held:dev: has no split"),
        (["selfinstruct", "generator.model=owner/none"], "generator.model = owner/none: no such"),
        (["model.path=./none"], "model.path = ./none: no such model directory"),
        (["rows.jsonl"], "neither a run nor KEY=VALUE"),
    ],
)
def test_what_is_not_there_is_told(command: Command, words: list[str], says: str) -> None:
    done = command("prefetch", *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_hub_that_does_not_answer_is_told_with_the_command(command: Command) -> None:
    done = command("prefetch", "model.path=owner/model", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 2
    assert "http://127.0.0.1:9 cannot be reached" in done.stderr


def test_a_disk_that_is_too_small_is_refused(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import shutil, sys; from types import SimpleNamespace;"
        "shutil.disk_usage = lambda path: SimpleNamespace(free=1e6);"
        "from launch.cli import main; sys.argv[1:] = ['prefetch', 'model.path=owner/model'];"
        "sys.exit(main())"
    )
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **own}, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "HF_HOME: the download needs 0.03 GB" in done.stderr
    assert hub.files_sent() == []


LOADS = """
from pacos.errors import UserError
from pacos.model.loading import load_tokenizer, model_directory
from pacos.data.sources import open_source
for load in (
    lambda: len(load_tokenizer("owner/model", pad_token="<|endoftext|>")),
    lambda: open_source("owner/rows").count(),
    lambda: model_directory("owner/gated", key="target"),
):
    try:
        print("there", load())
    except UserError as error:
        print("missing", error)
"""


@pytest.mark.slow
def test_without_a_network_all_is_there_or_named_with_its_command(
    command: Command, hub: Hub, tmp_path: Path
) -> None:
    def offline() -> list[str]:
        own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", LOADS],
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            check=True,
        )
        return [line for line in done.stdout.splitlines() if line.startswith(("there", "missing"))]

    model, data, target = offline()
    assert model.startswith(
        "missing model.path = owner/model: not complete in this machine's cache"
    )
    assert model.endswith("pacos prefetch model.path=owner/model")
    assert data.endswith("pacos prefetch data.path=owner/rows")
    assert target.endswith("pacos prefetch eval target=owner/gated")
    done = command("prefetch", "model.path=owner/model", "data.path=owner/rows")
    assert done.returncode == 0, done.stderr
    hub.asked.clear()
    model, data, target = offline()
    assert (model, data) == ("there 259", "there 40")
    assert target.startswith("missing")
    assert hub.asked == []
