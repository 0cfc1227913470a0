"""Proofs about the machine: packages, GPUs and their driver, disks."""

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
from pacos.configs.shared import Device
from pacos.errors import UserError
from sft.config import SFTConfig
from sft.configs.compute import Precision
from sft.estimate.disk import DiskEstimate

TESTED = {
    "torch": "2.13.0",
    "transformers": "5.23.0",
    "accelerate": "1.15.0",
    "deepspeed": "0.19.8",
}
"""Versions that the tests ran with: those of constraints.txt."""

LOSES_GRADIENTS = (Version("0.18.6"), Version("0.18.10"))
"""First and last DeepSpeed whose ZeRO-1 drops the last micro-batch (DeepSpeed #7985)."""


def versions() -> str:
    """The packages are there, and none is known to compute wrong gradients."""
    found, others = [f"Python {platform.python_version()}"], []
    for name, tested in TESTED.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError as error:
            raise UserError(f"{name} is not installed; run: make setup") from error
        found.append(f"{name} {version}")
        if Version(version).public != tested:
            others.append(f"{name} {tested}")
    deepspeed = Version(importlib.metadata.version("deepspeed"))
    first, last = LOSES_GRADIENTS
    if first <= deepspeed <= last:
        raise UserError(
            f"deepspeed {deepspeed} drops the last micro-batch of a step under ZeRO-1 (its issue "
            f"7985); install {TESTED['deepspeed']}: run: make setup"
        )
    return ", ".join(found) + (f"; tested with {', '.join(others)}" if others else "")


def driver_cuda() -> tuple[int, int] | None:
    """The newest CUDA that this machine's driver supports; None without a driver."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    number = ctypes.c_int()
    if library.cuDriverGetVersion(ctypes.byref(number)) != 0:
        return None
    return number.value // 1000, number.value % 1000 // 10


def gpu_build(config: SFTConfig) -> str | Skipped:
    """The CUDA build of torch fits the driver, and every GPU that a rank gets computes."""
    import torch

    wanted = config.cluster.device
    if wanted is Device.cpu:
        return Skipped("cluster.device = cpu")
    driver = driver_cuda()
    if driver is None:
        if wanted is Device.cuda:
            raise UserError(
                "cluster.device = cuda: there is no NVIDIA driver here (libcuda.so.1); install "
                "it, give the container its GPUs, or use cluster.device=cpu"
            )
        return Skipped("there is no NVIDIA driver here: ranks compute on the CPU")
    supports = ".".join(map(str, driver))
    remedy = f"run make setup TORCH_INDEX=… with a build for CUDA {driver[0]}"
    if torch.version.cuda is None:
        raise UserError(
            f"torch {torch.__version__} is a build without CUDA, on a machine whose driver "
            f"supports CUDA {supports}; {remedy}, or say cluster.device=cpu if that is meant"
        )
    # Within a major version an older driver runs what a newer toolkit built.
    if int(torch.version.cuda.split(".")[0]) > driver[0]:
        raise UserError(
            f"torch {torch.__version__} is built for CUDA {torch.version.cuda}, the driver "
            f"supports {supports} at most; {remedy}, or update the driver"
        )
    if not torch.cuda.is_available():
        raise UserError(
            f"torch {torch.__version__} sees no GPU though the driver supports CUDA {supports}; "
            "look at CUDA_VISIBLE_DEVICES and nvidia-smi"
        )
    return _gpus(config)


def _gpus(config: SFTConfig) -> str:
    import torch

    count, ranks = torch.cuda.device_count(), config.cluster.ranks_per_node
    if ranks > count:
        raise UserError(f"cluster.ranks_per_node = {ranks}: there are {count} GPUs here; lower it")
    for device in range(ranks):
        name, capability = (
            torch.cuda.get_device_name(device),
            torch.cuda.get_device_capability(device),
        )
        if config.precision is not Precision.fp32 and capability < (8, 0):
            raise UserError(
                f"precision = {config.precision.name}: {name} has no units for bf16; use "
                "precision=fp32"
            )
        ones = torch.ones(256, 256, dtype=torch.bfloat16, device=f"cuda:{device}")
        if not bool(torch.all(ones @ ones == 256)):
            raise UserError(
                f"GPU {device} ({name}) computes wrong products; take it out of service"
            )
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    name = torch.cuda.get_device_name(0)
    return f"{count} x {name}, {memory:.0f} GiB; CUDA {torch.version.cuda} fits the driver"


def disks(config: SFTConfig) -> str:
    """The run, the cache and what is offloaded have a place to be written, and room."""
    root = Path(config.run.root).expanduser().absolute()
    free = _free("run.root", root)
    _free("PACOS_CACHE", cache_directory())
    if config.deepspeed.nvme_path is not None:
        _free("deepspeed.nvme_path", Path(config.deepspeed.nvme_path).expanduser())
    need = DiskEstimate.of(config, config.max_steps)
    if free < need.total():
        raise UserError(
            f"run.root = {config.run.root}: {_gib(free)} are free, and {need.checkpoints} "
            f"checkpoints of {_gib(need.checkpoint)} with the model need {_gib(need.total())}; "
            f"name a larger disk, or lower checkpoint.keep = {config.checkpoint.keep}"
        )
    return f"{_gib(free)} free in {root}, {_gib(need.total())} needed"


def _free(key: str, folder: Path) -> int:
    """Free bytes of a folder that can be written, or made; it is left as it was."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(
            f"{key} = {folder}: cannot be written ({error.strerror}); name another folder"
        ) from error
    return shutil.disk_usage(there).free


def _gib(count: float) -> str:
    return f"{count / 2**30:,.1f} GiB"
