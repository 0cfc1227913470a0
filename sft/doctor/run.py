"""The checks that a single process can run.

python -m sft.doctor.run --config config.yaml
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from pacos.checks import FINDINGS, Findings
from pacos.configs.frozen import load_frozen
from pacos.console import set_up_logging
from pacos.errors import EXIT_DONE, UserError
from sft.config import SFTConfig
from sft.doctor.machine import disks, gpu_build, versions
from sft.doctor.model import attention, model_class
from sft.doctor.tokens import TokenChecks
from sft.engine.device import choose_device


def main(arguments: Sequence[str]) -> int:
    """Run the checks for the config of `--config FILE` and write the findings beside it."""
    set_up_logging(is_main=False)
    path = Path(arguments[1])
    config = load_frozen(path, SFTConfig)
    findings = Findings(path.with_name(FINDINGS))
    tokens = TokenChecks(config)
    findings.run("versions", versions)
    # DeepSpeed picks its device at import, so the choice comes before the checks that import it. If
    # it fails, the check "CUDA build" reports why.
    with contextlib.suppress(UserError, ImportError):
        choose_device(config.cluster)
    findings.run("CUDA build", lambda: gpu_build(config))
    findings.run("disks", lambda: disks(config))
    findings.run("model class", lambda: model_class(config))
    findings.run("tokenizer", tokens.tokenizer)
    findings.run("mask", tokens.mask, needs=["tokenizer"])
    findings.run("stop token", tokens.stop_token, needs=["mask"])
    findings.run("attention", lambda: attention(config), needs=["versions"])
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
