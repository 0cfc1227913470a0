"""What the processes of a stage find in their environment, here and in a job."""

from __future__ import annotations

import os

from eval.config import EvalConfig
from pacos.configs.shared import Device, StageConfig
from sft.config import SFTConfig

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**34)}
"""Of glibc. It would give every large tensor back to the kernel and fetch it again, page by page: a
sixth of a training step on CPUs. Blocks of 32 MB and more go back all the same: they are logits, of
another size in each pass, between which the heap of SmolLM2 grew from 3 to 8 GB in 35 steps."""


def stage_environment(config: StageConfig) -> dict[str, str]:
    """The variables that pacos sets; of some, a value that is there already wins."""
    defaults = {
        **ALLOCATOR,
        # Deprecations inside torch and DeepSpeed are nothing that a user of pacos can act on.
        "PYTHONWARNINGS": "ignore::FutureWarning",
    }
    variables = {name: os.environ.get(name, value) for name, value in defaults.items()}
    # Without it `-m sft.train` would take a folder called sft in the working directory.
    variables["PYTHONSAFEPATH"] = "1"
    variables["TOKENIZERS_PARALLELISM"] = "true"
    if isinstance(config, SFTConfig | EvalConfig):
        variables["OMP_NUM_THREADS"] = str(config.cluster.threads())
        if config.cluster.device is Device.cpu:
            variables["DS_ACCELERATOR"] = "cpu"
    return variables
