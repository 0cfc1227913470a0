"""The proofs that one process can make.

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
from sft.doctor.tokens import Tokens
from sft.engine.device import choose_device


def main(arguments: Sequence[str]) -> int:
    """Make the proofs for the config in `--config FILE`; findings lie beside it."""
    set_up_logging(is_main=False)
    path = Path(arguments[1])
    config = load_frozen(path, SFTConfig)
    findings = Findings(path.with_name(FINDINGS))
    tokens = Tokens(config)
    findings.prove("versions", versions)
    # "CUDA build" says what is wrong with a device that cannot be chosen.
    with contextlib.suppress(UserError, ImportError):
        choose_device(config.cluster)
    findings.prove("CUDA build", lambda: gpu_build(config))
    findings.prove("disks", lambda: disks(config))
    findings.prove("model class", lambda: model_class(config))
    findings.prove("tokenizer", tokens.tokenizer)
    findings.prove("mask", tokens.mask, needs=["tokenizer"])
    findings.prove("stop token", tokens.stop_token, needs=["mask"])
    findings.prove("attention", lambda: attention(config), needs=["versions"])
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
