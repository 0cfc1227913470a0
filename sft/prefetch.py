"""The program that downloads data sets and kernels for training, started by `pacos prefetch`.

python -m sft.prefetch --config FILE
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from pacos.configs.frozen import load_frozen
from pacos.data.location import locate
from pacos.errors import EXIT_DONE, UserError, exit_with
from pacos.text.counted import counted
from sft.config import SFTConfig
from sft.configs.compute import Attention


def main(arguments: Sequence[str]) -> int:
    """Download what the config of `--config FILE` names; return the exit code."""
    try:
        config = load_frozen(Path(arguments[1]), SFTConfig)
        fetch_data(config)
        if config.attention is Attention.kernels:
            fetch_kernels()
    except UserError as error:
        return exit_with(error)
    return EXIT_DONE


def fetch_data(config: SFTConfig) -> None:
    """Download every data set on the hub, which leaves its files in the cache of the hub.

    Raises:
        UserError: a data set cannot be loaded.
    """
    from pacos.data.sources import open_source

    keys = dict.fromkeys(config.data.weights(), "data.path, data.mix")
    if config.validation.path is not None:
        keys.setdefault(config.validation.path, "validation.path")
    for path, key in keys.items():
        try:
            on_hub = locate(path).on_hub
        except UserError:
            continue  # a file that does not exist yet
        if on_hub:
            print(f"{path}: {counted(open_source(path, key).count(), 'row')}", flush=True)


def fetch_kernels() -> None:
    """Download FlashAttention 2 and 3, built for the torch that is installed here.

    A login node often has no GPU, so which of the two the job will need is not known.

    Raises:
        UserError: the package kernels is not installed, or has no such build.
    """
    if importlib.util.find_spec("kernels") is None:
        raise UserError("attention = kernels: needs the package kernels; run: pip install kernels")
    from kernels.install import install_kernel
    from transformers.integrations.hub_kernels import get_attn_kernel_version
    from transformers.modeling_flash_attention_utils import FLASH_ATTN_KERNEL_FALLBACK

    for generation in ("flash_attention_2", "flash_attention_3"):
        name = FLASH_ATTN_KERNEL_FALLBACK[generation]
        try:
            folder = install_kernel(name, version=get_attn_kernel_version(name))
        except Exception as error:  # signatures, builds, network: it raises anything
            raise UserError(
                f"attention = kernels: {name} cannot be downloaded: {error}; check the network and "
                "the installed torch, or set attention=auto"
            ) from error
        print(f"{name}: {folder}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
