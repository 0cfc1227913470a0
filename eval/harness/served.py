"""A model behind a server that the run starts for it, with the run's own prompts."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eval.config import VLLM, EvalConfig, Precision
from eval.engine.loading import load_directory, set_format
from eval.harness.endpoint import SERVED, EndpointLM
from pacos.llm.config import Api, EndpointConfig
from pacos.model.loading import published_tokenizer
from pacos.rank import free_port
from pacos.run.own_server import OwnServer
from pacos.run.stop import StopCheck
from pacos.run_paths import RunPaths

VLLM_COMMAND = (
    "vllm serve {model} --host 127.0.0.1 --port {port} --tensor-parallel-size {gpus} "
    "--dtype {dtype} --max-num-batched-tokens {batch_tokens} --generation-config vllm"
)
"""The command of `serve=vllm`. `--generation-config vllm` keeps a model's own sampling settings,
such as a repetition penalty, out of the answers; it ends them at the model's end tokens still."""

DTYPES = {Precision.fp32: "float32", Precision.bf16: "bfloat16"}


@contextmanager
def serve_model(
    path: str, config: EvalConfig, run: RunPaths, stop: StopCheck
) -> Iterator[EndpointLM]:
    """Serve a model while the context is open.

    Conversations are rendered here, in the format that a model loaded here would get, so that one
    server scores choices and answers conversations.

    Args:
        path: a model directory, a run, a hub id or an embedded model.
        config: its `serve` is set.
        run: receives the server's log and the ledger of its replies.
        stop: checked while the server loads the model and answers.

    Raises:
        UserError: there is no such model, or the server does not start or ends early.
        Stopped: a stop was requested.
    """
    model = load_directory(path)
    tokenizer = published_tokenizer(Path(model))
    set_format(tokenizer, path, config)
    port = free_port()
    server = OwnServer("serve", serve_command(config, model, port), f"http://127.0.0.1:{port}/v1")
    endpoint = EndpointConfig(
        url=server.url,
        model=model,
        api=Api.completions,
        # As conf/endpoint/local.yaml: the server queues what it cannot compute at once.
        concurrency=256,
        timeout=600,
        prompt_price=0,
        completion_price=0,
    )
    with server.running(run.server_log, stop):
        yield EndpointLM(endpoint, config.seed, run.eval / SERVED, stop, tokenizer)


def serve_command(config: EvalConfig, model: str, port: int) -> str:
    """Return the command of `serve` for a model.

    Args:
        config: its `serve` is set.
        model: the model's directory.
        port: the port to answer at.
    """
    command = VLLM_COMMAND if config.serve == VLLM else str(config.serve)
    values = {
        "model": shlex.quote(model),
        "port": port,
        "gpus": config.cluster.ranks_per_node,
        "dtype": DTYPES[config.precision],
        "batch_tokens": config.batch_tokens,
    }
    for name, value in values.items():
        command = command.replace(f"{{{name}}}", str(value))
    return command
