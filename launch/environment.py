"""What the processes of a stage find in their environment, here and in a job."""

from __future__ import annotations

import os

from eval.config import EvalConfig
from pacos.config import Device, StageConfig
from sft.config import SFTConfig


def stage_environment(config: StageConfig) -> dict[str, str]:
    """The variables that pacos sets; of some, a value that is there already wins."""
    defaults = {
        # glibc would give every large tensor back to the kernel and fetch it again, page by page: a
        # sixth of a training step on CPUs.
        "MALLOC_MMAP_THRESHOLD_": str(2**32),
        "MALLOC_TRIM_THRESHOLD_": str(2**34),
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
