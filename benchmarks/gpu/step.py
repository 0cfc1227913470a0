"""Speed and memory of one config's training step, with random weights and random tokens.

python -m benchmarks.gpu.step LENGTH TOKENS OVERRIDE…

One rank puts TOKENS tokens through the model per pass, in documents of LENGTH supervised tokens,
and makes one update per pass. Prints one JSON object. FLOPs are those of
`ModelShape.training_flops`.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pacos.configs.compose import compose_checked
from pacos.distributed import World
from pacos.gpus import peak_flops
from pacos.prompts.tokens import IGNORE, TokenizedRow
from sft.config import SCHEMAS, SFTConfig
from sft.engine.device import choose_device
from sft.steps.batch import Batch

WARM_UP = 3
"""Steps before the measured ones: allocator, kernel selection and compilation settle."""
STEPS = 6


class Vocabulary:
    """Stands in for a tokenizer: the tokens are random, and there is no text."""

    pad_token_id = 0

    def __len__(self) -> int:
        return 1


def documents(length: int, count: int, vocabulary: int) -> list[TokenizedRow]:
    draw = np.random.default_rng(0)
    rows = []
    for _ in range(count):
        ids = draw.integers(vocabulary, size=length, dtype=np.int32)
        rows.append(TokenizedRow(ids, np.concatenate([[IGNORE], ids[1:]])))
    return rows


def start(config: SFTConfig, accumulation: int) -> tuple[Any, World]:
    """Build the engine of a config, with random weights, in one rank; return both."""
    variables = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    os.environ.update(variables, MASTER_PORT=str(_free_port()))
    world = World.from_env()
    choose_device(config.cluster)
    from sft.engine.deepspeed import build_engine, start_ranks
    from sft.model.build import build_model

    device = start_ranks(world)
    return build_engine(build_model(config, Vocabulary(), device), config, accumulation), world


def timed_step(engine: Any, world: World, passes: Sequence[Batch]) -> tuple[float, float]:
    """Return the seconds of one update, and its loss."""
    from sft.engine.deepspeed import backward
    from sft.model.loss import nll_sum

    supervised = sum(len(batch.targets) for batch in passes)
    total = 0.0
    started = time.perf_counter()
    for batch in passes:
        nll = nll_sum(engine, batch)
        backward(engine, nll, supervised, world)
        engine.step()
        total += nll.detach()
    if engine.device.type == "cuda":
        # Kernels run asynchronously: without this, only their launches would be timed.
        torch.cuda.synchronize()
    return time.perf_counter() - started, float(total) / supervised


def measure(config: SFTConfig, length: int, tokens: int) -> dict[str, Any]:
    """Return the seconds of a step, and the rates that follow from them."""
    engine, world = start(config, accumulation=1)
    on_gpu = engine.device.type == "cuda"
    shape, count = config.model.shape, tokens // length
    batch = Batch.of(documents(length, count, shape.vocab_size), engine.device)
    steps = [timed_step(engine, world, [batch]) for _ in range(WARM_UP + STEPS)]
    typical = statistics.median(seconds for seconds, _ in steps[WARM_UP:])
    flops = shape.training_flops(length * count, length**2 * count)
    peak = peak_flops(torch.cuda.get_device_name()) if on_gpu else None
    return {
        "parameters": shape.num_parameters(),
        "length": length,
        "tokens_per_pass": length * count,
        "step_seconds": round(typical, 4),
        "tokens_per_second": round(length * count / typical, 1),
        "tflops": round(flops / typical / 1e12, 3),
        "mfu": round(flops / typical / peak, 4) if peak else None,
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if on_gpu else None,
        "attention": engine.module.config._attn_implementation,
        "first_loss": round(steps[0][1], 4),
        "last_loss": round(steps[-1][1], 4),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    """Measure one config and print, and return the exit code."""
    length, tokens, *overrides = sys.argv[1:]
    config = compose_checked(SFTConfig, SCHEMAS, ["model.init=random", *overrides])
    print(json.dumps(measure(config, int(length), int(tokens))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
