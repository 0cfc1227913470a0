import os
import subprocess
import sys

from pacos.cache import cache_directory
from sft.engine.ops import MARK

LOAD = 'from sft.engine.ops import load_op; load_op("ShareMemCommBuilder")'


def load_in_a_process() -> None:
    environment = os.environ | {"DS_ACCELERATOR": "cpu"}
    subprocess.run([sys.executable, "-c", LOAD], env=environment, check=True, timeout=300)


def test_an_op_loads_though_a_killed_process_had_left_its_mark() -> None:
    load_in_a_process()
    built = list(cache_directory().glob("ops/*/deepspeed_shm_comm"))
    assert built
    for folder in built:
        (folder / MARK).touch()
    load_in_a_process()
    assert not any((folder / MARK).exists() for folder in built)
