"""`pacos plan` as a user types it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence

import pytest

from launch.cli import parse
from pacos.errors import UserError
from tests.conftest import Pacos


def test_the_command_of_the_manual(pacos: Pacos) -> None:
    done = pacos("plan", "model=llama2_70b", "cluster.nodes=4", "cluster.ranks_per_node=8")
    assert done.returncode == 0, done.stderr
    for words in ("llama2_70b", "69 B parameters", "4 x 8 H100", "recommended", "fewest"):
        assert words in done.stdout
    assert "fix before running: data.path = ???" in done.stdout.replace("\n", " ")
    assert "Chinchilla" in done.stdout


def test_json_is_one_object(pacos: Pacos) -> None:
    done = pacos("plan", "model=llama2_7b", "hardware=gpus_16", "--json", "--rows", "1000")
    found = json.loads(done.stdout)
    assert found["ranks"] == 16
    assert found["data"]["rows"] == 1000
    assert found["data"]["optimal_tokens"] == pytest.approx(21.6 * 6_738_415_616)
    assert sum(found["asked"]["device"][part] for part in ("parameters", "gradients")) > 0


def run_plan(words: Sequence[str]) -> int:
    args = parse(["plan", *words])
    code: int = args.execute(args)
    return code


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["optimizer.rl=1"], "optimizer.rl = 1: no such key"),
        (["deepspeed.stage=7"], "deepspeed.stage = 7"),
        (["cluster.gpu=V100"], "cluster.gpu = V100: is not a GPU"),
        (["--rows", "many"], "--rows: many: must be an integer"),
        (["--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_wrong_words_are_told(words: list[str], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        run_plan(words)


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; from launch.cli import main; sys.argv[1:] = ['plan', 'model=llama2_7b',"
        "'hardware=gpus_8', '--json']; main();"
        "print([name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_cost_is_told_where_the_price_is(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("model=llama2_7b", "hardware=gpus_8", "cluster.gpu=H100")
    run_plan(words)
    assert "cost   set cluster.gpu_hour_usd" in capsys.readouterr().out
    run_plan([*words, "cluster.gpu_hour_usd=2.5"])
    assert "US dollars" in capsys.readouterr().out
