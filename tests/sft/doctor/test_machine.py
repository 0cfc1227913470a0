"""Versions, torch's build and disks: checks pass, and fail on the fault that they are for."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pacos.checks import Skipped
from pacos.configs.cluster import ClusterConfig, Device
from sft.config import SFTConfig
from sft.doctor import machine
from tests.conftest import ROOT
from tests.sft.doctor.failing import failure
from tests.sft.small_runs import SHAPE

GIB = 2**30


def version_of(monkeypatch: pytest.MonkeyPatch, package: str, version: str | None) -> None:
    plain = importlib.metadata.version

    def planted(name: str) -> str:
        if name != package:
            return plain(name)
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", planted)


def test_the_tested_versions_are_those_of_the_constraints() -> None:
    pinned = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    )
    assert {name: pinned[name] for name in machine.TESTED} == machine.TESTED
    assert "deepspeed" in machine.versions()


@pytest.mark.parametrize(
    ("package", "version", "said"),
    [
        ("deepspeed", "0.18.8", "drops the last micro-batch"),
        ("accelerate", None, "accelerate is not installed; run: make setup"),
    ],
)
def test_a_package_that_is_missing_or_wrong(
    monkeypatch: pytest.MonkeyPatch, package: str, version: str | None, said: str
) -> None:
    version_of(monkeypatch, package, version)
    assert said in failure(machine.versions)


def test_another_version_is_said_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    version_of(monkeypatch, "transformers", "6.0.0")
    assert "tested with transformers 5.23.0" in machine.versions()


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine with this driver, and a torch that was built so."""

    def plant(supports: tuple[int, int] | None, built: str | None, gpus: int = 0) -> None:
        monkeypatch.setattr(machine, "driver_cuda", lambda: supports)
        monkeypatch.setattr(torch.version, "cuda", built)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)

    return plant


@pytest.mark.parametrize(
    ("supports", "built", "gpus", "said"),
    [
        ((12, 4), None, 0, "build without CUDA"),
        ((12, 4), "13.0", 0, "built for CUDA 13.0, but the driver supports at most 12.4"),
        ((12, 8), "12.6", 0, "sees no GPU"),
        ((12, 8), "12.6", 1, "cluster.ranks_per_node = 4: this machine has 1 GPUs"),
    ],
)
def test_a_torch_that_does_not_fit_the_driver(
    config: SFTConfig,
    driver: Callable[..., None],
    supports: tuple[int, int],
    built: str | None,
    gpus: int,
    said: str,
) -> None:
    driver(supports, built, gpus)
    config.cluster = ClusterConfig(ranks_per_node=4)
    assert said in failure(lambda: machine.gpu_build(config))


def test_a_gpu_without_units_for_bf16(
    config: SFTConfig, driver: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver((12, 8), "12.6", 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    config.cluster = ClusterConfig()
    assert "Tesla V100 has no bf16 units" in failure(lambda: machine.gpu_build(config))


def test_cuda_that_is_asked_for_and_not_there(
    config: SFTConfig, driver: Callable[..., None]
) -> None:
    driver(None, None)
    assert isinstance(machine.gpu_build(config), Skipped), "this config asks for the CPU"
    config.cluster = ClusterConfig(device=Device.auto)
    assert isinstance(machine.gpu_build(config), Skipped)
    config.cluster = ClusterConfig(device=Device.cuda)
    assert "this machine has no NVIDIA driver" in failure(lambda: machine.gpu_build(config))


def test_a_disk_that_is_too_small(config: SFTConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "free in" in machine.disks(config)
    config.model.shape = dataclasses.replace(SHAPE, num_hidden_layers=200_000)
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=20 * GIB))
    said = failure(lambda: machine.disks(config))
    assert "20.0 GiB are free, but 3 checkpoints" in said
    assert "checkpoint.keep = 2" in said


def test_a_folder_that_cannot_be_written(
    config: SFTConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refuse)
    config.run.root = str(tmp_path / "not" / "there" / "yet")
    said = failure(lambda: machine.disks(config))
    assert "run.root" in said
    assert "cannot be written (Permission denied)" in said
    assert not (tmp_path / "not").exists()
