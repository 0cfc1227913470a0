"""The config files for running `accelerate launch` by hand."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT

FILES = {"cpu": (1, 2), "gpu_1": (1, 1), "gpus_8": (1, 8), "nodes_4": (4, 32)}
"""Number of machines and of ranks in each file."""


@pytest.mark.parametrize("name", FILES)
def test_accelerate_takes_the_file(name: str) -> None:
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    file = ROOT / "launch" / "accelerate" / f"{name}.yaml"
    words = ["--config_file", str(file), "--machine_rank", "0", "--main_process_ip", "host"]
    args = launch_command_parser().parse_args([*words, "-m", "sft.train", "epochs=1"])
    args, _, _ = _validate_launch_command(args)
    assert (args.num_machines, args.num_processes) == FILES[name]
    assert args.use_deepspeed
    assert args.mixed_precision == "no"
    assert args.training_script_args == ["epochs=1"]
    if args.num_machines > 1:
        assert args.deepspeed_multinode_launcher == "standard"


def test_there_are_no_others() -> None:
    shipped = {path.stem for path in (ROOT / "launch" / "accelerate").glob("*.yaml")}
    assert shipped == set(FILES)
