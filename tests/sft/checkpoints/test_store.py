"""The folder of checkpoints: what is kept, removed, found damaged, refused."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pacos.distributed import World
from pacos.errors import UserError
from sft.checkpoints import host_memory, save, store
from sft.checkpoints.host_memory import HostCopy
from sft.checkpoints.manifest import MANIFEST, CheckpointManifest, _digest
from sft.checkpoints.save import Save
from sft.checkpoints.shards import (
    WEIGHT,
    FileFacts,
    ShardLayout,
    Shards,
    Span,
    shard_name,
    write_shard,
)
from sft.checkpoints.store import Store, damage
from sft.configs.checkpoint import CheckpointConfig
from sft.configs.optimizer import OptimizerConfig
from tests.sft.checkpoints.lives import elements

GIB = 2**30
KINDS = (WEIGHT, *OptimizerConfig().STATES)
LAYOUT: ShardLayout = [("weight/a/0", torch.float32, 3), ("weight/a/3", torch.float32, 2)]


def tensors() -> list[torch.Tensor]:
    return [torch.arange(3.0), torch.arange(3.0, 5.0)]


def manifest(
    step: int, files: dict[str, FileFacts], loss: float | None = None
) -> CheckpointManifest:
    return CheckpointManifest(
        step=step,
        updates=step,
        identity="this run",
        data="these rows",
        world_size=1,
        stage=2,
        wandb_id=None,
        validation_loss=loss,
        files=files,
    )


def publish(kept: Store, step: int, loss: float | None = None) -> Path:
    partial = kept.begin(step)
    facts = write_shard(partial / shard_name(0), LAYOUT, tensors())
    kept.publish(partial, manifest(step, {shard_name(0): facts}, loss))
    return kept.folder / f"step-{step:06d}"


def names(kept: Store) -> list[str]:
    return sorted(path.name for path in kept.folder.iterdir())


@pytest.fixture
def kept(tmp_path: Path) -> Store:
    return Store(tmp_path / "checkpoints", CheckpointConfig(keep=2))


def test_a_shard_is_what_safetensors_reads(tmp_path: Path) -> None:
    path = tmp_path / shard_name(0)
    layout: ShardLayout = [
        *LAYOUT,
        ("random/host/0", torch.uint8, 7),
        ("weight/b/0", torch.bfloat16, 1),
    ]
    whole = [*tensors(), torch.arange(7, dtype=torch.uint8), torch.ones(1, dtype=torch.bfloat16)]
    facts = write_shard(path, layout, whole)
    assert facts.bytes == path.stat().st_size
    assert damage(tmp_path, {path.name: facts}) == []
    found = load_file(path)
    for (name, _, _), tensor in zip(layout, whole, strict=True):
        assert torch.equal(found[name], tensor)


def test_a_span_is_read_across_tensors_and_files(tmp_path: Path) -> None:
    files = []
    for number in range(4):
        files.append(tmp_path / shard_name(number))
        layout: ShardLayout = [(f"weight/a/{5 * number}", torch.float32, 5)]
        write_shard(files[-1], layout, [torch.arange(5.0) + 5 * number])
    shards = Shards(files)
    for start, end in ((0, 20), (3, 5), (4, 6), (7, 16), (19, 20)):
        found = elements(shards, Span(WEIGHT, "a", start, end - start))
        assert found.tolist() == list(range(start, end))
    said = "; ".join(shards.differences(KINDS, {"a": 20, "b": 3}, torch.bfloat16))
    assert "F32 numbers there, BF16 here" in said
    assert "exp_avg of a: 0 elements there, 20 here" in said
    assert "weight of b: 0 elements there, 3 here" in said
    assert "weight of a" not in said


def test_the_newest_and_the_best_are_kept(kept: Store) -> None:
    for step, loss in ((9, 2.0), (10, 1.5), (11, None), (999_999, 1.9), (1_000_000, float("nan"))):
        publish(kept, step, loss)
    assert names(kept) == ["latest", "step-000010", "step-1000000", "step-999999"]
    assert (kept.folder / "latest").read_text() == "step-1000000\n"


def test_without_losses_only_the_newest_are_kept(kept: Store) -> None:
    for step in (2, 4, 6):
        publish(kept, step)
    assert names(kept) == ["latest", "step-000004", "step-000006"]


def test_what_a_crash_left_is_removed_and_nothing_else(kept: Store) -> None:
    whole = publish(kept, 2)
    (kept.begin(4) / shard_name(0)).write_bytes(b"half")
    whole.with_name("step-000001.tmp").mkdir()
    whole.with_name(".latest.123.tmp").touch()
    kept.clean()
    assert names(kept) == ["latest", "step-000002"]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_damage_is_told(kept: Store) -> None:
    path = publish(kept, 2)
    facts = CheckpointManifest.read(path).files
    shard = path / shard_name(0)
    flip(shard)
    assert damage(path, facts) == [
        f"{shard.name} has changed since it was written: its SHA-256 differs"
    ]
    size = facts[shard.name].bytes
    shard.write_bytes(shard.read_bytes()[:-3])
    assert damage(path, facts) == [f"{shard.name} has {size - 3} bytes instead of {size}"]
    shard.unlink()
    with pytest.raises(UserError, match=r"rank 0 sees it, .* does not; run.root must be"):
        damage(path, facts)


def test_the_newest_with_all_its_files_is_found(
    kept: Store, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2):
        publish(kept, step)
    kept.quarantine(publish(kept, 3), ["something"])
    (publish(kept, 4) / shard_name(0)).unlink()
    with caplog.at_level(logging.ERROR):
        found = kept.newest()
    assert found is not None
    assert found[0].name == "step-000002"
    assert f"{kept.folder}/step-000004 is broken (rank-00000.safetensors is missing)" in caplog.text
    assert "it is kept as step-000004.broken" in caplog.text
    kept.quarantine(publish(kept, 3), ["again"])
    assert len(list(kept.folder.glob("step-000003*.broken"))) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"step": 3}, "its digest differs"),
        ({"files": {"../../elsewhere": {"bytes": 1, "sha256": "0"}}}, "its digest differs"),
    ],
)
def test_a_manifest_that_was_changed_is_not_believed(
    kept: Store, change: dict[str, object], said: str
) -> None:
    path = publish(kept, 2)
    content = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps({**content, **change}))
    with pytest.raises(ValueError, match=said):
        CheckpointManifest.read(path)


def test_a_checkpoint_of_another_version_is_refused_and_not_called_broken(kept: Store) -> None:
    path = publish(kept, 2)
    content = json.loads((path / MANIFEST).read_text())
    content = {**content, "sharding": "new"}
    content.pop("sha256")
    (path / MANIFEST).write_text(json.dumps({**content, "sha256": _digest(content)}))
    with pytest.raises(UserError, match="was written by another version of pacos"):
        kept.newest()
    assert path.is_dir()


def test_a_manifest_that_names_files_elsewhere_is_refused(tmp_path: Path) -> None:
    manifest(2, {"../../elsewhere": FileFacts(1, "0")}).write(tmp_path)
    with pytest.raises(ValueError, match="names files outside its folder"):
        CheckpointManifest.read(tmp_path)


def test_room_is_asked_for_what_is_to_come(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: usage._replace(free=2 * GIB))
    kept.require_room(GIB, saves=2, measured=True)
    with pytest.raises(UserError) as caught:
        kept.require_room(GIB, saves=9, measured=False)
    assert str(caught.value) == (
        f"checkpoint.keep = 2: {kept.folder} must hold 3 checkpoints of 1.00 GiB at a time and "
        "has 0; 3.00 GiB are needed and 2.00 GiB are free: free space, lower checkpoint.keep, or "
        "move the run to a larger disk"
    )
    publish(kept, 1)
    kept.require_room(GIB, saves=9, measured=False)
    for step in (2, 3):
        publish(kept, step)
    kept._config.keep = 1
    with pytest.raises(UserError, match=r"5.00 GiB are needed"):
        kept.require_room(5 * GIB, saves=1, measured=False)


def test_a_folder_that_machines_do_not_share_is_found_out(
    kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(save, "PATIENCE_SECONDS", 0.2)
    begun = Save(
        kept.begin(2),
        manifest(2, {}),
        LAYOUT,
        tensors(),
        kept,
        ThreadPoolExecutor(1),
        World(rank=0, size=2, local_rank=0),
    )
    begun.wait_until_written()
    assert begun._publication is not None
    with pytest.raises(UserError, match=r"rank-00001 did not appear in .*000002.* file system"):
        begun._publication.result()
    assert begun.failed


def test_rank_0_may_publish_as_soon_as_a_part_is_reported(
    kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = kept.begin(2)
    plain = Path.replace

    def replace(self: Path, target: Path) -> Path:
        """Publish in the instant in which the last note appears."""
        found = plain(self, target)
        folder.rename(folder.with_name("step-000002"))
        return found

    monkeypatch.setattr(Path, "replace", replace)
    rank = World(rank=1, size=2, local_rank=1)
    begun = Save(folder, manifest(2, {}), LAYOUT, tensors(), kept, ThreadPoolExecutor(1), rank)
    begun._part.result()
    assert (kept.folder / "step-000002" / shard_name(1)).is_file()


def test_a_save_goes_on_while_the_loop_does(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = save.write_shard

    def slow(path: Path, layout: ShardLayout, written: list[torch.Tensor]) -> FileFacts:
        time.sleep(0.3)
        return plain(path, layout, written)

    monkeypatch.setattr(save, "write_shard", slow)
    host = HostCopy(LAYOUT, ranks_here=1)
    assert host.fits
    live = tensors()
    alone = World(rank=0, size=1, local_rank=0)
    copies = host.take(live)
    begun = Save(kept.begin(2), manifest(2, {}), LAYOUT, copies, kept, ThreadPoolExecutor(1), alone)
    for tensor in live:
        tensor.zero_()
    assert not kept.all()
    begun.end()
    found = elements(Shards([kept.all()[0] / shard_name(0)]), Span(WEIGHT, "a", 0, 5))
    assert found.tolist() == [0, 1, 2, 3, 4]


def test_a_copy_is_taken_only_where_there_is_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_memory, "available_bytes", lambda: 40)
    assert HostCopy(LAYOUT, ranks_here=1).fits
    assert not HostCopy(LAYOUT, ranks_here=2).fits


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("0::/job", {"memory.max": "1000", "memory.current": "700"}),
        ("4:memory:/job", {"memory.limit_in_bytes": "1000", "memory.usage_in_bytes": "700"}),
    ],
)
def test_a_job_may_have_less_memory_than_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, files: dict[str, str]
) -> None:
    group = tmp_path / "job"
    group.mkdir()
    for name, text in files.items():
        (group / name).write_text(text)
    (group / "memory.stat").write_text("inactive_file 100\ntotal_inactive_file 100\n")
    versions = [dataclasses.replace(v, root=str(tmp_path)) for v in host_memory.CONTROL_GROUPS]
    monkeypatch.setattr(host_memory, "CONTROL_GROUPS", versions)
    plain = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, *a: line if path.name == "cgroup" else plain(path, *a)
    )
    assert host_memory.available_bytes() == 400
