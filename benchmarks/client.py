"""Requests per second of pacos's client and of the openai SDK, against one server on one machine.

python -m benchmarks.client [--requests N] [--rounds N]   needs: pip install openai

The server answers at once and runs on the same cores, so the client's own work is measured. Rounds
alternate between the clients. Prints one JSON object, then a table.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from benchmarks.provenance import provenance
from pacos.errors import UserError, exit_with
from pacos.files import write_json
from pacos.llm.config import EndpointConfig
from pacos.llm.http.client import HttpClient
from pacos.llm.request import Request, Sampling
from pacos.llm.service import open_service

CONCURRENCY = (16, 128)
ROOT = Path(__file__).parent.parent
SDK_SHARE = 4
"""The SDK gets a quarter of the requests, because each takes it at least four times as long."""

Contestant = Callable[[EndpointConfig, list[Request]], Coroutine[Any, Any, float]]


async def through_client(config: EndpointConfig, requests: list[Request]) -> float:
    """Return requests per second of the client alone."""
    async with HttpClient(config) as client:
        began = time.perf_counter()
        await asyncio.gather(*[client.ask(request) for request in requests])
        return len(requests) / (time.perf_counter() - began)


async def through_service(config: EndpointConfig, requests: list[Request]) -> float:
    """Return requests per second with every reply fsynced into the ledger."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_service(config, Path(folder)) as service:
            began = time.perf_counter()
            await asyncio.gather(*[service.ask(request) for request in requests])
            return len(requests) / (time.perf_counter() - began)


async def through_sdk(config: EndpointConfig, requests: list[Request]) -> float:
    """Return requests per second of openai.AsyncOpenAI, used as its documentation shows."""
    import openai

    slots = asyncio.Semaphore(config.concurrency)

    async with openai.AsyncOpenAI(base_url=config.url, api_key="none", max_retries=0) as client:

        async def ask(request: Request) -> None:
            async with slots:
                await client.chat.completions.create(
                    model=request.model,
                    messages=list(request.prompt),  # type: ignore[arg-type]
                    max_tokens=request.sampling.max_tokens,
                    temperature=request.sampling.temperature,
                )

        began = time.perf_counter()
        await asyncio.gather(*[ask(request) for request in requests])
        return len(requests) / (time.perf_counter() - began)


CONTESTANTS: dict[str, Contestant] = {
    "client": through_client,
    "service with ledger": through_service,
    "openai SDK": through_sdk,
}


def measure(url: str, count: int, rounds: int) -> list[dict[str, object]]:
    """Return one record per concurrency: medians in requests per second, all rounds, the ratio."""
    records: list[dict[str, object]] = []
    for concurrency in CONCURRENCY:
        rates: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
        # One round more than asked for: the first is discarded.
        for _ in range(rounds + 1):
            for name, contestant in CONTESTANTS.items():
                config = EndpointConfig(url=url, model="m", concurrency=concurrency)
                number = count // SDK_SHARE if contestant is through_sdk else count
                sampling = Sampling(max_tokens=100, temperature=0.7)
                requests = [
                    config.request(({"role": "user", "content": f"question {n}"},), sampling)
                    for n in range(number)
                ]
                rates[name].append(asyncio.run(contestant(config, requests)))
        # The first round only warms up.
        medians = {name: round(statistics.median(own[1:])) for name, own in rates.items()}
        records.append(
            {
                "concurrency": concurrency,
                "median_requests_per_second": medians,
                "rounds": {name: [round(rate) for rate in own] for name, own in rates.items()},
                "client_to_sdk": round(medians["client"] / medians["openai SDK"], 1),
            }
        )
    return records


def main() -> int:
    """Measure and print, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=4000, help="per round, of pacos's client")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args()
    try:
        facts = provenance("aiohttp", "openai")
    except importlib.metadata.PackageNotFoundError as error:
        return exit_with(
            UserError(f"{error.name} is not installed; run: pip install 'pacos[bench]'")
        )
    command = [sys.executable, "-m", "tests.pacos.llm.scripted_server"]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        records = measure(url, options.requests, options.rounds)
    finally:
        server.kill()
        server.wait()
    report = {**facts, "results": records}
    print(json.dumps(report))
    if options.out:
        write_json(options.out, report)
    names = list(CONTESTANTS)
    print("\nconcurrency  " + "  ".join(f"{name:>20}" for name in names) + "   client / SDK")
    for record in records:
        medians = record["median_requests_per_second"]
        assert isinstance(medians, dict)
        cells = "  ".join(f"{medians[name]:>18}/s" for name in names)
        print(f"{record['concurrency']:>11}  {cells}   {record['client_to_sdk']:>10}×")
    return 0


if __name__ == "__main__":
    sys.exit(main())
