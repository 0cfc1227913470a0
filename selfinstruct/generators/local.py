"""A generator in this process: a queue of requests in front of a model that decodes in batches."""

from __future__ import annotations

import asyncio
import threading
from functools import cached_property
from typing import cast

from pacos.errors import UserError
from pacos.llm.request import Reply, Request
from pacos.model.loading import load_tokenizer, model_directory
from pacos.model.protocols import CausalLM, Tokenizer
from pacos.prompts.formats import FORMATS
from selfinstruct.configs.generator import GeneratorConfig

GATHER_SECONDS = 0.1
"""Wait for further requests before a batch starts; judging a reply, after which the next requests
come, takes milliseconds."""


class LocalGenerator:
    """A `LanguageModel` that transformers runs in this process, on a GPU if there is one.

    Waiting requests are decoded together, at most `batch_size` of them.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        self._config = config
        self._path = str(config.model)
        self._waiting: list[tuple[Request, asyncio.Future[Reply]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._stopping = threading.Event()

    async def ask(self, request: Request) -> Reply:
        """Return the model's reply.

        Raises:
            UserError: the generator was stopped before it could answer.
        """
        if self._stopping.is_set():
            raise UserError("the local model was stopped before it could answer")
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, reply))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await reply

    def stop(self) -> None:
        """Stop at the next token: a local reply costs nothing to write again."""
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
        """Wait until no more requests arrive: a batch of one takes as long as one of many."""
        before = 0
        while before < len(self._waiting) < self._config.batch_size:
            before = len(self._waiting)
            await asyncio.sleep(GATHER_SECONDS)

    async def _answer(self, batch: list[tuple[Request, asyncio.Future[Reply]]]) -> None:
        try:
            if self._stopping.is_set():
                raise UserError("the local model was stopped before it could answer")
            requests = [request for request, _ in batch]
            # In a thread: the event loop goes on judging, and sees a stop request.
            replies = await asyncio.to_thread(self._decode, requests)
        except Exception as error:  # noqa: BLE001 - raised where the reply is awaited
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), reply in zip(batch, replies, strict=True):
            if not future.done():
                future.set_result(reply)

    def _decode(self, requests: list[Request]) -> list[Reply]:
        from selfinstruct.generators.decoding import decode

        texts = [self._text(request) for request in requests]
        return decode(self._model, self.tokenizer, requests, texts, self._stopping)

    def _text(self, request: Request) -> str:
        """Return the prompt as the model reads it; messages are rendered in its chat format."""
        if isinstance(request.prompt, str):
            return request.prompt
        chosen = self._config.prompt_format
        template = FORMATS[chosen].exported() if chosen is not None else None
        text: str = self.tokenizer.apply_chat_template(
            list(request.prompt), chat_template=template, tokenize=False, add_generation_prompt=True
        )
        return text

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, padding on the left: decoding continues every row at its right end."""
        tokenizer = load_tokenizer(self._path, key="generator.model")
        tokenizer.padding_side = "left"
        return tokenizer

    @cached_property
    def _model(self) -> CausalLM:
        """The model, loaded for the first reply: a replayed run never needs it."""
        import torch
        from transformers import AutoModelForCausalLM

        on_gpu = torch.cuda.is_available()
        loaded = AutoModelForCausalLM.from_pretrained(
            model_directory(self._path, key="generator.model"),
            # A CPU without native bf16 converts every operand, which is slower than fp32.
            dtype=torch.bfloat16 if on_gpu else torch.float32,
            trust_remote_code=False,
        )
        model = cast(CausalLM, loaded)
        return model.to("cuda" if on_gpu else "cpu").eval()
