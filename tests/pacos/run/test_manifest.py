from pathlib import Path

from pacos.files import read_json, write_json
from pacos.run.manifest import add_inputs, new_manifest
from pacos.run_paths import RunPaths
from sft.config import SFTConfig


def test_inputs_are_hashed_into_the_manifest(tmp_path: Path) -> None:
    run = RunPaths(tmp_path)
    write_json(run.manifest, new_manifest(SFTConfig()))
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    add_inputs(run, {"data": rows}, lineage={"weights": "MIT"})
    manifest = read_json(run.manifest)
    assert len(manifest["inputs"]["data"]["sha256"]) == 64
    assert manifest["lineage"] == {"weights": "MIT"}
    assert manifest["versions"]["torch"]
