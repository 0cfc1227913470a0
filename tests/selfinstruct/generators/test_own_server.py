"""A server that a run starts for itself, with a stand-in for vLLM."""

from __future__ import annotations

import asyncio
import dataclasses
import shlex
import socket
import sys
from pathlib import Path

import pytest

from pacos.configs.cluster import ClusterConfig
from pacos.errors import EXIT_DONE, UserError
from pacos.llm.config import EndpointConfig
from pacos.run.open import open_run
from pacos.run.stop import Stopped, StopRequest
from selfinstruct.config import SelfInstructConfig
from selfinstruct.configs.generator import GeneratorConfig
from selfinstruct.generators.own_server import serving
from selfinstruct.run import main
from tests.selfinstruct.runs import compose


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def config() -> GeneratorConfig:
    """A generator whose server takes a second to come up."""
    port = free_port()
    command = f"sleep 1; exec {sys.executable} -m tests.selfinstruct.generator_server --port {port}"
    endpoint = EndpointConfig(url=f"http://127.0.0.1:{port}/v1", model="m")
    serve = f"sh -c {shlex.quote(command)}"
    return GeneratorConfig(name="m", terms="none", endpoint=endpoint, serve=serve)


def serve(config: GeneratorConfig, folder: Path, stop_asked: bool = False) -> bool:
    """Have it serve; returns whether it answered inside."""
    stop = StopRequest(folder / "STOP")
    if stop_asked:
        (folder / "STOP").touch()

    async def inside() -> bool:
        async with serving(config, folder / "said", stop):
            return answers(config)

    return asyncio.run(inside())


def answers(config: GeneratorConfig) -> bool:
    assert config.endpoint is not None
    port = int(config.endpoint.url.split(":")[2].split("/")[0])
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_answers_inside_and_is_gone_afterwards(config: GeneratorConfig, tmp_path: Path) -> None:
    assert serve(config, tmp_path)
    assert not answers(config)
    assert config.endpoint is not None
    assert config.endpoint.url in (tmp_path / "said").read_text()


def test_one_that_dies_is_told_with_its_last_words(config: GeneratorConfig, tmp_path: Path) -> None:
    broken = dataclasses.replace(config, serve="sh -c 'echo CUDA out of memory >&2; exit 3'")
    with pytest.raises(UserError, match=r"(?s)ended with exit code 3.*CUDA out of memory"):
        serve(broken, tmp_path)


def test_one_that_is_not_installed(config: GeneratorConfig, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make setup-vllm"):
        serve(dataclasses.replace(config, serve="vllm-of-nobody serve m"), tmp_path)


def test_a_stop_while_it_loads(config: GeneratorConfig, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        serve(config, tmp_path, stop_asked=True)
    assert not answers(config)


def test_a_port_that_is_taken(config: GeneratorConfig, tmp_path: Path) -> None:
    async def twice() -> None:
        stop = StopRequest(tmp_path / "STOP")
        async with serving(config, tmp_path / "said", stop), serving(config, tmp_path / "x", stop):
            raise AssertionError

    with pytest.raises(UserError, match=r"answers at .* already"):
        asyncio.run(twice())


def test_a_run_starts_its_server_and_ends_it(config: GeneratorConfig, tmp_path: Path) -> None:
    assert config.endpoint is not None
    whole = compose(config.endpoint.url, tmp_path, "run", "target_rows=6")
    whole.generator.serve = config.serve
    opened = open_run(whole)
    assert main(["--config", str(opened.config)]) == EXIT_DONE
    assert "127.0.0.1" in (opened.path / "server.log").read_text()
    assert not answers(config)


def test_only_a_run_with_a_server_has_gpus_for_it(config: GeneratorConfig) -> None:
    cluster = ClusterConfig(ranks_per_node=8)
    served = SelfInstructConfig(generator=config, cluster=cluster)
    alone = dataclasses.replace(served, generator=dataclasses.replace(config, serve=None))
    keys = [[problem.key for problem in one.problems()] for one in (served, alone)]
    assert "cluster.ranks_per_node" not in keys[0]
    assert "cluster.ranks_per_node" in keys[1]
