"""Uploads of a model to a hub on the loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.hub import Hub, Repository, serve

PUSH = (
    "import sys; from pathlib import Path; from pacos.errors import UserError;"
    "from sft.export.push import prepare_push, push\n"
    "try: print(push(Path(sys.argv[1]), sys.argv[2], prepare_push(sys.argv[2]),"
    " public='--public' in sys.argv))\n"
    "except UserError as error: sys.exit(str(error))"
)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve({"owner/open": Repository({})}) as served:
        yield served


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "README.md").write_text("---\nlibrary_name: transformers\n---\n# run\n")
    (folder / "config.json").write_text("{}")
    for number in (1, 2, 3):
        (folder / f"model-{number}.safetensors").write_bytes(bytes([number]) * 5000)
    return folder


def pushed(hub: Hub, model: Path, *words: str, **environment: str) -> tuple[int, str]:
    own = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(model.parent / "hf"),
        "HF_HUB_OFFLINE": "1",
        # Its own servers store the hub's large files; the loopback has the protocol before it.
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": hub.granted,
    }
    done = subprocess.run(
        [sys.executable, "-c", PUSH, str(model), *words],
        env={**os.environ, **own, **environment},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_push_arrives_whole_and_private(hub: Hub, model: Path) -> None:
    code, said = pushed(hub, model, "owner/new")
    assert code == 0, said
    found = hub.models["owner/new"]
    assert found.files == {path.name: path.read_bytes() for path in model.iterdir()}
    assert found.private
    assert f"{hub.url}/owner/new/commit/" in said
    assert pushed(hub, model, "owner/shown", "--public")[0] == 0
    assert not hub.models["owner/shown"].private


def test_a_push_that_broke_off_sends_only_what_is_missing(hub: Hub, model: Path) -> None:
    hub.refuses_after = 2
    code, said = pushed(hub, model, "owner/new")
    assert code == 1
    assert "the same command sends what is missing" in said
    assert hub.models["owner/new"].files == {}, "nothing half is ever visible"
    hub.refuses_after = None
    hub.asked.clear()
    assert pushed(hub, model, "owner/new")[0] == 0
    assert len([path for method, path, _ in hub.asked if method == "PUT"]) == 1
    assert len(hub.models["owner/new"].files) == 5


def test_a_public_repository_is_not_pushed_to_by_accident(hub: Hub, model: Path) -> None:
    code, said = pushed(hub, model, "owner/open")
    assert code == 1
    assert "owner/open: exists and is public; add --public" in said
    assert hub.models["owner/open"].files == {}
    assert pushed(hub, model, "owner/open", "--public")[0] == 0


@pytest.mark.parametrize(
    ("name", "token", "says"),
    [
        ("owner/new", "", "HF_TOKEN is not set"),
        ("owner/new", "hf_other", "--push owner/new: "),
        ("new", "hf_granted", "names no owner"),
        ("owner/ne w", "hf_granted", "give owner/name"),
    ],
)
def test_what_cannot_be_pushed_is_told(
    hub: Hub, model: Path, name: str, token: str, says: str
) -> None:
    # A login of somebody else on this machine must not be used.
    (model.parent / "hf").mkdir()
    (model.parent / "hf" / "token").write_text(hub.granted)
    code, said = pushed(hub, model, name, HF_TOKEN=token)
    assert code == 1
    assert says in said
    assert "owner/new" not in hub.models
