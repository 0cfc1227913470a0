"""Asks a scripted server, in a test or as a process of its own that can be killed.

python -m tests.pacos.llm.asking MODE URL FOLDER COUNT
prints `begun`, and the number of each reply when it is stored
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pacos.llm.batch.client import BatchClient
from pacos.llm.config import EndpointConfig
from pacos.llm.http.client import HttpClient
from pacos.llm.ledger import Ledger
from pacos.llm.prices import Price
from pacos.llm.request import Reply, Request, Sampling
from pacos.llm.service import Service, open_service


def endpoint(url: str, **options: Any) -> EndpointConfig:
    """A config for a scripted server."""
    return EndpointConfig(url=url, model="scripted", **{"timeout": 20.0, "retries": 2, **options})


def chat(config: EndpointConfig, text: str, max_tokens: int = 100, **options: Any) -> Request:
    """A request whose prompt is one message."""
    sampling = Sampling(max_tokens=max_tokens, **options)
    return config.request(({"role": "user", "content": text},), sampling)


async def ask_all(
    config: EndpointConfig, requests: Sequence[Request]
) -> list[Reply | BaseException]:
    """Replies of one client, in order; what is raised is among them."""
    async with HttpClient(config) as client:
        asked = [client.ask(request) for request in requests]
        return await asyncio.gather(*asked, return_exceptions=True)


def replies(config: EndpointConfig, *texts: str) -> list[Reply | BaseException]:
    """Replies to some texts, asked at once."""
    return asyncio.run(ask_all(config, [chat(config, text) for text in texts]))


async def _print_each(service: Service, config: EndpointConfig, count: int) -> None:
    print("begun", flush=True)

    async def ask(number: int) -> None:
        await service.ask(chat(config, f"question {number}"))
        print(number, flush=True)

    await asyncio.gather(*[ask(number) for number in range(count)])


async def _main(mode: str, url: str, folder: Path, count: int) -> None:
    config = endpoint(url, concurrency=8)
    if mode == "live":
        async with open_service(config, folder) as service:
            await _print_each(service, config, count)
        return
    async with (
        Ledger(folder / "ledger.jsonl") as ledger,
        BatchClient(config, folder / "batches.jsonl", ledger, quiet_s=0.05, poll_s=0.05) as batch,
    ):
        await _print_each(Service(batch, ledger, price=Price(1.0, 1.0)), config, count)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])))
