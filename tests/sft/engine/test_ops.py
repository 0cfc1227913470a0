import os
import subprocess
import sys

import pytest

from sft.engine.ops import BUILD_MARK, ops_directory

LOAD = 'from sft.engine.ops import load_op; load_op("ShareMemCommBuilder")'


def load_in_a_process() -> None:
    environment = os.environ | {"DS_ACCELERATOR": "cpu"}
    subprocess.run([sys.executable, "-c", LOAD], env=environment, check=True, timeout=300)


@pytest.mark.slow
def test_an_op_loads_though_a_killed_process_had_left_its_mark() -> None:
    load_in_a_process()
    mark = ops_directory() / "deepspeed_shm_comm" / BUILD_MARK
    mark.touch()
    load_in_a_process()
    assert not mark.exists()
