"""Runs of both methods against a real server, recorded once and replayed by test_golden.py.

python -m tests.selfinstruct.golden http://127.0.0.1:8124/v1     records both
python -m tests.selfinstruct.golden                             replays them, and keeps what comes

Record anew when what is sent changes: a prompt, a shot, a shipped seed, a draw, a value below; the
replay then says that the ledger has no reply. Replay where the replies are the same, and a parser
or a filter makes something else of them. Read the rows that changed before they are committed. The
server is llama.cpp's with SmolLM2-135M-Instruct, which answers in JSON and continues texts: each
method is recorded in one of the two ways.

python -m llama_cpp.server --model SmolLM2-135M-Instruct.Q4_1.gguf --chat_format chatml \
    --n_ctx 4096 --port 8124
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from pacos.configs.compose import compose_checked
from pacos.errors import EXIT_DONE
from pacos.files import atomic_write, read_jsonl
from pacos.llm.config import Mode
from pacos.run.open import open_run
from pacos.run_paths import RunPaths
from selfinstruct.config import SCHEMAS, SelfInstructConfig
from selfinstruct.run import main as selfinstruct

ASSETS = Path(__file__).parent / "assets" / "golden"

SETTINGS = [
    "generator=server",
    "generator.terms=Apache-2.0",
    "generator.endpoint.model=smollm2",
    "generator.endpoint.concurrency=2",
    "seeds.heldout=25",
]
METHODS = {
    "alpaca": [
        "method=alpaca",
        "method.num_seed_examples=2",
        "method.tasks_per_request=3",
        "method.tasks.max_tokens=400",
        "method.tasks.temperature=0.8",
        "method.tasks.top_p=0.95",
        "window=8",
        "max_requests=24",
    ],
    "self_instruct": [
        "method=self_instruct",
        "method.tasks_per_request=4",
        "method.tasks.max_tokens=200",
        "method.output_first.max_tokens=150",
        "method.input_first.max_tokens=150",
        "generator.endpoint.api=completions",
        "window=2",
        "max_requests=4",
    ],
}
"""How each method is asked. Requests are counted, not rows: a filter that changes leaves them, so
that only what was expected has to be looked at again."""


def recorded(method: str, url: str, root: Path) -> RunPaths:
    """A run of a method in `root`, against a server."""
    run = _prepared(method, url, root, Mode.live)
    _live(run)
    return run


def replayed(method: str, root: Path) -> RunPaths:
    """The same run, answered from the ledger that was kept."""
    ledger = ASSETS / method / "ledger.jsonl"
    run = _prepared(method, next(read_jsonl(ledger))["sent"]["endpoint"], root, Mode.replay)
    run.data.mkdir()
    shutil.copyfile(ledger, run.data / ledger.name)
    _live(run)
    return run


def _prepared(method: str, url: str, root: Path, mode: Mode) -> RunPaths:
    endpoint = [f"generator.endpoint.url={url}", f"generator.endpoint.mode={mode.value}"]
    where = [f"run.root={root}", f"run.name={method}"]
    settings = [*SETTINGS, *METHODS[method], *endpoint, *where]
    return open_run(compose_checked(SelfInstructConfig, SCHEMAS, settings))


def _live(run: RunPaths) -> None:
    assert selfinstruct(["--config", str(run.config)]) == EXIT_DONE


def generated(run: RunPaths) -> bytes:
    """The lines of data.jsonl that are not seeds, as they stand."""
    lines = (run.data / "data.jsonl").read_bytes().splitlines(keepends=True)
    return b"".join(line for line in lines if json.loads(line)["source"] == "generated")


def main(url: str | None = None) -> None:
    """Keep ledger, generated rows and rejected candidates of both methods."""
    for method in METHODS:
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            run = replayed(method, root) if url is None else recorded(method, url, root)
            folder = ASSETS / method
            folder.mkdir(parents=True, exist_ok=True)
            for kept in ("ledger.jsonl", "rejected.jsonl"):
                shutil.copyfile(run.data / kept, folder / kept)
            atomic_write(folder / "generated.jsonl", generated(run))


if __name__ == "__main__":
    main(*sys.argv[1:])
