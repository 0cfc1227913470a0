"""A run that starts the server of its generator, a stand-in for vLLM."""

from __future__ import annotations

import dataclasses
import socket
import sys
from pathlib import Path

from pacos.configs.cluster import ClusterConfig
from pacos.errors import EXIT_DONE
from pacos.llm.config import EndpointConfig
from pacos.rank import free_port
from pacos.run.open import open_run
from selfinstruct.config import SelfInstructConfig
from selfinstruct.configs.generator import GeneratorConfig
from selfinstruct.run import main
from tests.selfinstruct.runs import compose


def test_a_run_starts_its_server_and_ends_it(tmp_path: Path) -> None:
    port = free_port()
    config = compose(f"http://127.0.0.1:{port}/v1", tmp_path, "run", "target_rows=6")
    config.generator.serve = (
        f"{sys.executable} -m tests.selfinstruct.generator_server --port {port}"
    )
    run = open_run(config)
    assert main(["--config", str(run.config)]) == EXIT_DONE
    assert "127.0.0.1" in (run.path / "server.log").read_text()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_only_a_run_with_a_server_has_gpus_for_it() -> None:
    endpoint = EndpointConfig(url="http://127.0.0.1:8000/v1", model="m")
    generator = GeneratorConfig(name="m", terms="none", endpoint=endpoint, serve="vllm serve m")
    served = SelfInstructConfig(generator=generator, cluster=ClusterConfig(ranks_per_node=8))
    alone = dataclasses.replace(served, generator=dataclasses.replace(generator, serve=None))
    keys = [[problem.key for problem in one.problems()] for one in (served, alone)]
    assert "cluster.ranks_per_node" not in keys[0]
    assert "cluster.ranks_per_node" in keys[1]
