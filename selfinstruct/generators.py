"""Teachers: what turns requests into replies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

from pacos.models import load_tokenizer, model_directory
from selfinstruct.config import GeneratorConfig
from selfinstruct.ledger import Reply, Request
from selfinstruct.prompts import BLOCKS, Layout, conversations


class Generator(Protocol):
    """A teacher."""

    @property
    def layout(self) -> Layout:
        """How tasks are written out for it."""
        ...

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply for each request, in their order."""
        ...


class LocalGenerator:
    """A model that transformers runs in this process, on a GPU if there is one."""

    def __init__(self, config: GeneratorConfig) -> None:
        self._config = config

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizer = load_tokenizer(self._config.model)
        tokenizer.padding_side = "left"
        return tokenizer

    @cached_property
    def _model(self) -> Any:
        """Loaded when the first reply is needed: a replayed run never needs it."""
        import torch
        from transformers import AutoModelForCausalLM

        on_gpu = torch.cuda.is_available()
        model: Any = AutoModelForCausalLM.from_pretrained(
            model_directory(self._config.model),
            # Without native bf16 a CPU computes it by conversion, slower than fp32.
            dtype=torch.bfloat16 if on_gpu else torch.float32,
        )
        return model.to("cuda" if on_gpu else "cpu").eval()

    @cached_property
    def layout(self) -> Layout:
        """Conversations if the model has a chat format, else blocks."""
        if self._config.prompt_format is None:
            return BLOCKS
        return conversations(self._tokenizer, self._config.prompt_format)

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """Complete the prompts side by side."""
        from selfinstruct.sampling import complete

        return complete(self._model, self._tokenizer, self.layout, requests)
