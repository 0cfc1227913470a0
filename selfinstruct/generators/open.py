"""The teacher of a run: a model in this process, or a service."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from pacos.errors import UserError
from pacos.llm.ledger import Ledger
from pacos.llm.prices import Price
from pacos.llm.request import Reply, Request
from pacos.llm.service import Service, open_service
from pacos.model.loading import load_tokenizer, model_directory
from pacos.model.prompts import FORMATS
from selfinstruct.configs.generator import GeneratorConfig

GATHER_SECONDS = 0.1
"""Without a further request, after which a batch begins; judging a reply takes milliseconds."""


class LocalTeacher:
    """A model that transformers runs in this process, on a GPU if there is one.

    Requests that wait are answered side by side, at most `batch_size` of them.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        self._config = config
        self._path = str(config.model)
        self._waiting: list[tuple[Request, asyncio.Future[Reply]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._stopping = threading.Event()

    async def ask(self, request: Request) -> Reply:
        """The model's reply.

        Raises:
            UserError: the teacher was stopped before it could answer.
        """
        if self._stopping.is_set():
            raise UserError("the local model was stopped before it could answer")
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, reply))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await reply

    def stop(self) -> None:
        """Break off at the next token: a local reply costs nothing to write again."""
        self._stopping.set()

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                size = self._config.batch_size
                batch, self._waiting = self._waiting[:size], self._waiting[size:]
                await self._answer(batch)
        finally:
            self._worker = None

    async def _gather(self) -> None:
        """Wait for what will be asked right now: a batch of one takes as long as one of many."""
        before = 0
        while before < len(self._waiting) < self._config.batch_size:
            before = len(self._waiting)
            await asyncio.sleep(GATHER_SECONDS)

    async def _answer(self, batch: list[tuple[Request, asyncio.Future[Reply]]]) -> None:
        try:
            if self._stopping.is_set():
                raise UserError("the local model was stopped before it could answer")
            requests = [request for request, _ in batch]
            replies = await asyncio.to_thread(self._complete, requests)
        except Exception as error:  # noqa: BLE001 - it is raised where the reply is awaited
            for _, reply in batch:
                if not reply.done():
                    reply.set_exception(error)
            return
        for (_, reply), answer in zip(batch, replies, strict=True):
            if not reply.done():
                reply.set_result(answer)

    def _complete(self, requests: list[Request]) -> list[Reply]:
        from selfinstruct.generators.local import complete

        texts = [self._text(request) for request in requests]
        return complete(self._model, self.tokenizer, requests, texts, self._stopping)

    def _text(self, request: Request) -> str:
        """The prompt as the model reads it: a conversation in the model's chat format."""
        if isinstance(request.prompt, str):
            return request.prompt
        chosen = self._config.prompt_format
        template = FORMATS[chosen].exported() if chosen is not None else None
        text: str = self.tokenizer.apply_chat_template(
            list(request.prompt), chat_template=template, tokenize=False, add_generation_prompt=True
        )
        return text

    @cached_property
    def tokenizer(self) -> Any:
        """Padding on the left, as completing needs it."""
        tokenizer = load_tokenizer(self._path)
        tokenizer.padding_side = "left"
        return tokenizer

    @cached_property
    def _model(self) -> Any:
        """Loaded when the first reply is needed: a replayed run never needs it."""
        import torch
        from transformers import AutoModelForCausalLM

        on_gpu = torch.cuda.is_available()
        model: Any = AutoModelForCausalLM.from_pretrained(
            model_directory(self._path, key="generator.model"),
            # Without native bf16 a CPU computes it by conversion, slower than fp32.
            dtype=torch.bfloat16 if on_gpu else torch.float32,
            trust_remote_code=False,
        )
        return model.to("cuda" if on_gpu else "cpu").eval()


@asynccontextmanager
async def open_teacher(config: GeneratorConfig, folder: Path) -> AsyncIterator[Service]:
    """The service that answers the requests of a run, its ledger in `folder`.

    Raises:
        UserError: another process has the ledger, or the environment lacks the API key.
    """
    if config.endpoint is not None:
        async with open_service(config.endpoint, folder) as service:
            yield service
        return
    async with Ledger(folder / "ledger.jsonl") as ledger:
        service = Service(LocalTeacher(config), ledger, price=Price(0.0, 0.0))
        try:
            yield service
        finally:
            await service.close()
