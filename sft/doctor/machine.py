"""Checks on the machine: packages, GPUs with their driver, disks."""

from __future__ import annotations

import ctypes
import importlib.metadata
import platform
import shutil
import tempfile
from pathlib import Path

from packaging.version import Version

from pacos.cache import cache_directory
from pacos.checks import Skipped
from pacos.configs.cluster import Device
from pacos.errors import UserError
from pacos.versions import TESTED
from sft.config import SFTConfig
from sft.configs.compute import Precision
from sft.estimate.disk import DiskEstimate

LOSES_GRADIENTS = (Version("0.18.6"), Version("0.18.10"))
"""First and last DeepSpeed release whose ZeRO-1 drops the last micro-batch (DeepSpeed #7985)."""

BF16_CAPABILITY = (8, 0)
"""CUDA compute capability of the first GPUs with bf16 units (Ampere)."""


def versions() -> str:
    """Check that the packages are installed, and that none is known to compute wrong gradients."""
    installed, untested = [f"Python {platform.python_version()}"], []
    for name, tested in TESTED.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError as error:
            raise UserError(f"{name} is not installed; run: make setup") from error
        installed.append(f"{name} {version}")
        # Builds of torch have a local part, such as +cu128.
        if Version(version).public != tested:
            untested.append(f"{name} {tested}")
    deepspeed = Version(importlib.metadata.version("deepspeed"))
    first, last = LOSES_GRADIENTS
    if first <= deepspeed <= last:
        raise UserError(
            f"deepspeed {deepspeed} drops the last micro-batch of a step under ZeRO-1 (DeepSpeed "
            f"issue 7985); install {TESTED['deepspeed']}: run make setup"
        )
    return ", ".join(installed) + (f"; tested with {', '.join(untested)}" if untested else "")


def driver_cuda() -> tuple[int, int] | None:
    """Return the newest CUDA version that this machine's driver supports; None without a driver."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    number = ctypes.c_int()
    if library.cuDriverGetVersion(ctypes.byref(number)) != 0:
        return None
    # 12040 is CUDA 12.4.
    return number.value // 1000, number.value % 1000 // 10


def gpu_build(config: SFTConfig) -> str | Skipped:
    """Check that torch's CUDA build fits the driver, and that every rank's GPU computes."""
    import torch

    device = config.cluster.device
    if device is Device.cpu:
        return Skipped("cluster.device = cpu")
    driver = driver_cuda()
    if driver is None:
        if device is Device.cuda:
            raise UserError(
                "cluster.device = cuda: this machine has no NVIDIA driver (libcuda.so.1); install "
                "it, give the container its GPUs, or use cluster.device=cpu"
            )
        return Skipped("no NVIDIA driver on this machine: ranks compute on the CPU")
    supported = ".".join(map(str, driver))
    remedy = f"run make setup TORCH_INDEX=… with a build for CUDA {driver[0]}"
    if torch.version.cuda is None:
        raise UserError(
            f"torch {torch.__version__} is a build without CUDA, on a machine whose driver "
            f"supports CUDA {supported}; {remedy}, or set cluster.device=cpu to use the CPU"
        )
    # Within a major version, an older driver runs what a newer toolkit built.
    if int(torch.version.cuda.split(".")[0]) > driver[0]:
        raise UserError(
            f"torch {torch.__version__} is built for CUDA {torch.version.cuda}, but the driver "
            f"supports at most {supported}; {remedy}, or update the driver"
        )
    if not torch.cuda.is_available():
        raise UserError(
            f"torch {torch.__version__} sees no GPU although the driver supports CUDA {supported}; "
            "check CUDA_VISIBLE_DEVICES and nvidia-smi"
        )
    return _check_gpus(config)


def _check_gpus(config: SFTConfig) -> str:
    import torch

    count, ranks = torch.cuda.device_count(), config.cluster.ranks_per_node
    if ranks > count:
        raise UserError(
            f"cluster.ranks_per_node = {ranks}: this machine has {count} GPUs; lower it"
        )
    for device in range(ranks):
        name = torch.cuda.get_device_name(device)
        capability = torch.cuda.get_device_capability(device)
        if config.precision is not Precision.fp32 and capability < BF16_CAPABILITY:
            raise UserError(
                f"precision = {config.precision.name}: {name} has no bf16 units; use precision=fp32"
            )
        ones = torch.ones(256, 256, dtype=torch.bfloat16, device=f"cuda:{device}")
        # 256 is exact in bf16, so that any other result is a hardware fault.
        if not bool(torch.all(ones @ ones == 256)):
            raise UserError(
                f"GPU {device} ({name}) computes wrong products; take it out of service"
            )
    memory = torch.cuda.get_device_properties(0).total_memory
    name = torch.cuda.get_device_name(0)
    return f"{count} x {name}, {memory / 2**30:.0f} GiB; CUDA {torch.version.cuda} fits the driver"


def disks(config: SFTConfig) -> str:
    """Check that run, cache and offload folders can be written, and that the run fits its disk."""
    root = Path(config.run.root).expanduser().absolute()
    free = _writable_bytes("run.root", root)
    _writable_bytes("PACOS_CACHE", cache_directory())
    if config.deepspeed.nvme_path is not None:
        _writable_bytes("deepspeed.nvme_path", Path(config.deepspeed.nvme_path).expanduser())
    need = DiskEstimate.of(config, config.max_steps)
    if free < need.total():
        raise UserError(
            f"run.root = {config.run.root}: {_gib(free)} are free, but {need.checkpoints} "
            f"checkpoints of {_gib(need.checkpoint)} and the model need {_gib(need.total())}; "
            f"name a larger disk, or lower checkpoint.keep = {config.checkpoint.keep}"
        )
    return f"{_gib(free)} free in {root}, {_gib(need.total())} needed"


def _writable_bytes(key: str, folder: Path) -> int:
    """Return the free bytes of a folder that can be written or created; create nothing.

    Raises:
        UserError: it cannot be written.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        # Permission bits do not tell of read-only mounts and quotas; writing does.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UserError(
            f"{key} = {folder}: cannot be written ({error.strerror}); name another folder"
        ) from error
    return shutil.disk_usage(existing).free


def _gib(size: float) -> str:
    return f"{size / 2**30:,.1f} GiB"
