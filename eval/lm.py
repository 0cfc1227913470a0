"""The model under judgement as the harness sees it: its HFLM, with a shorter way to score choices.

The harness runs the context once for every choice. Here a context and all its choices are one row
of tokens: each choice attends to the context and to itself, at the positions it would have alone.
The output head runs only where a token is scored. In fp32 the scores are the harness's own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM

from eval.config import EvalConfig, Precision, is_training_run
from eval.trees import LaidOut, Request, Tree, make_trees
from pacos.config import Device, PromptFormat
from pacos.console import Counter, progress
from pacos.errors import UserError
from pacos.frozen import first_line
from pacos.models import model_directory
from pacos.prompts import FORMATS, stop_token_id

DTYPES = {Precision.fp32: torch.float32, Precision.bf16: torch.bfloat16}

HEAD_POSITIONS = 1024
"""Positions that go through the output head at once: bounds the memory for their logits."""


def load_directory(path: str) -> str:
    """What transformers can load of a target: of a run, its exported model."""
    if is_training_run(path):
        return str(Path(path).expanduser() / "model")
    return model_directory(path)


def build_lm(path: str, config: EvalConfig) -> SharedContextLM:
    """Load a model and its tokenizer.

    Raises:
        UserError: there is no such model or GPU, or its tokenizer lacks a template or stop token.
    """
    import transformers

    transformers.utils.logging.disable_progress_bar()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    device = _device(config.device)
    try:
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            load_directory(path), dtype=DTYPES[config.precision], attn_implementation="sdpa"
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(load_directory(path))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be loaded: {first_line(error)}") from error
    _set_format(model, tokenizer, path, config)
    # HFLM warns that it leaves launching and sharding to us, which is what is wanted.
    logging.getLogger("lm_eval.models.huggingface").setLevel(logging.ERROR)
    return SharedContextLM(
        pretrained=model.to(device),
        tokenizer=tokenizer,
        batch_size=config.batch_size,
        softmax_dtype=torch.float32,
    )


def _device(wanted: Device) -> torch.device:
    if wanted is Device.cuda and not torch.cuda.is_available():
        raise UserError("device = cuda: torch sees no GPU here; use device=cpu")
    use_cuda = wanted is not Device.cpu and torch.cuda.is_available()
    return torch.device("cuda" if use_cuda else "cpu")


def _set_format(model: Any, tokenizer: Any, path: str, config: EvalConfig) -> None:
    """Write prompts out in the format that is asked for, and end generation at its stop token."""
    if config.prompt_format is None:
        if config.suite.chat_template and tokenizer.chat_template is None:
            formats = ", ".join(PromptFormat.__members__)
            raise UserError(
                f"prompt_format = null: {path} has no chat template of its own, which suite "
                f"{config.suite.name} needs; choose one of: {formats}"
            )
        return
    tokenizer.chat_template = FORMATS[config.prompt_format].exported()
    # A base model's own config does not name the format's stop token.
    known = model.generation_config.eos_token_id
    known = known if isinstance(known, list) else [known]
    stop = stop_token_id(tokenizer, config.prompt_format)
    model.generation_config.eos_token_id = sorted({stop, *known} - {None})


class SharedContextLM(HFLM):  # type: ignore[misc]
    """HFLM that computes each context once for all its continuations, and shows pacos' progress."""

    _counter: Counter | None = None
    """Told how many requests each forward pass answers."""

    @property
    def shares_contexts(self) -> bool:
        """Other architectures may scale their logits or attend through a window."""
        return bool(self.config.model_type == "llama")

    def loglikelihood(
        self, requests: list[Any], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Score each continuation after its context."""
        if not self.shares_contexts:
            return super().loglikelihood(requests, disable_tqdm)
        with self._counting("scoring choices", len(requests), "choices", not disable_tqdm):
            return super().loglikelihood(requests, disable_tqdm=True)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Answer each prompt, up to a stop string or token."""
        with self._counting("generating answers", len(requests), "answers", not disable_tqdm):
            return super().generate_until(requests, disable_tqdm=True)

    @contextmanager
    def _counting(self, label: str, total: int, unit: str, visible: bool) -> Iterator[None]:
        with progress(label, total, unit, visible=visible) as self._counter:
            yield
        self._counter = None

    def _count(self, requests: int) -> None:
        if self._counter is not None:
            self._counter.advance(requests)

    def _model_generate(self, context: torch.Tensor, *given: Any, **options: Any) -> torch.Tensor:
        tokens = super()._model_generate(context, *given, **options)
        self._count(len(context))
        return tokens

    def _loglikelihood_tokens(
        self,
        requests: list[Request],
        disable_tqdm: bool = False,
        override_bs: int | None = None,
    ) -> list[tuple[float, bool]]:
        """Log-likelihood and whether greedy decoding gives it, for each request."""
        if not self.shares_contexts:
            return super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)
        trees = sorted(make_trees(requests, self.max_length), key=len, reverse=True)
        size = override_bs or int(self.batch_size)
        answers: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        for start in range(0, len(trees), size):
            batch = trees[start : start + size]
            numbers = [number for tree in batch for number in tree.numbers]
            for number, answer in zip(numbers, self._score(batch), strict=True):
                answers[number] = answer
            self._count(len(numbers))
        return answers

    @torch.inference_mode()
    def _score(self, trees: Sequence[Tree]) -> list[tuple[float, bool]]:
        """One forward pass over several trees."""
        laid = LaidOut.of(trees, self.device)
        hidden = self.model.get_decoder()(
            input_ids=laid.ids,
            attention_mask=laid.visible,
            position_ids=laid.positions,
            use_cache=False,
        ).last_hidden_state[laid.rows, laid.columns]
        head = self.model.get_output_embeddings()
        scores, greedy = [], []
        for at in range(0, len(hidden), HEAD_POSITIONS):
            logits = head(hidden[at : at + HEAD_POSITIONS]).float()
            targets = laid.targets[at : at + HEAD_POSITIONS]
            scores.append(-torch.nn.functional.cross_entropy(logits, targets, reduction="none"))
            greedy.append(logits.argmax(-1) == targets)
        split = [len(tokens) for tree in trees for tokens in tree.continuations]
        sums = [part.sum().item() for part in torch.cat(scores).cpu().split(split)]
        exact = [bool(part.all()) for part in torch.cat(greedy).cpu().split(split)]
        return list(zip(sums, exact, strict=True))
