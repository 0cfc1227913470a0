"""The model under judgement as the harness sees it: its HFLM, with a shorter way to score choices.

The harness runs the context once for every choice. Here a context and all its choices are one row
of tokens: each choice attends to the context and to itself, at the positions it would have alone.
The output head runs only where a token is scored. In fp32 the scores are the harness's own.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.model import CacheHook
from lm_eval.models.huggingface import HFLM

from eval.config import EvalConfig, Precision, is_training_run
from pacos.config import Device
from pacos.console import Counter, progress
from pacos.errors import UserError
from pacos.models import model_directory
from pacos.prompts import FORMATS, stop_token_id

DTYPES = {Precision.fp32: torch.float32, Precision.bf16: torch.bfloat16}

HEAD_POSITIONS = 1024
"""Positions that go through the output head at once: bounds the memory for their logits."""

Request = tuple[tuple[str, str] | None, list[int], list[int]]
"""The harness's tokenised request: its texts, the context's tokens, the continuation's tokens."""


def load_directory(path: str) -> str:
    """What transformers can load of a target: of a run, its exported model."""
    if is_training_run(path):
        return str(Path(path).expanduser() / "model")
    return model_directory(path)


def build_lm(path: str, config: EvalConfig) -> SharedContextLM:
    """Load a model and its tokenizer.

    Raises:
        UserError: there is no such model, GPU or stop token.
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
    except OSError as error:
        raise UserError(f"{path}: cannot be loaded: {error}") from error
    if config.prompt_format is not None:
        tokenizer.chat_template = FORMATS[config.prompt_format].exported()
        _stop_at(model, stop_token_id(tokenizer, config.prompt_format))
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


def _stop_at(model: Any, stop: int) -> None:
    """End generation at the format's stop token too; a base model's config does not name it."""
    known = model.generation_config.eos_token_id
    known = known if isinstance(known, list) else [known]
    model.generation_config.eos_token_id = sorted({stop, *known} - {None})


@dataclass(slots=True)
class Tree:
    """A context and its continuations as one row of tokens."""

    context: list[int]
    continuations: list[list[int]]
    numbers: list[int]
    """Place of each continuation among the requests."""

    def __len__(self) -> int:
        # The last token of a continuation is predicted, never read.
        return len(self.context) + sum(len(tokens) - 1 for tokens in self.continuations)


class SharedContextLM(HFLM):  # type: ignore[misc]
    """HFLM that computes each context once for all its continuations."""

    def _loglikelihood_tokens(
        self,
        requests: list[Request],
        disable_tqdm: bool = False,
        override_bs: int | None = None,
    ) -> list[tuple[float, bool]]:
        """Log-likelihood and whether greedy decoding gives it, for each request."""
        if self.config.model_type != "llama":
            # Other architectures may scale their logits or attend through a window.
            return super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)
        trees = sorted(make_trees(requests, self.max_length), key=len, reverse=True)
        size = override_bs or int(self.batch_size)
        answers: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        label = "scoring choices"
        with progress(label, len(requests), "choices", visible=not disable_tqdm) as counter:
            for start in range(0, len(trees), size):
                batch = trees[start : start + size]
                numbers = [number for tree in batch for number in tree.numbers]
                for number, answer in zip(numbers, self._score(batch), strict=True):
                    answers[number] = answer
                counter.advance(len(numbers))
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

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """The harness's generation, with pacos' own progress."""
        with progress("generating answers", len(requests), "answers") as counter:
            self.set_cache_hook(AnswerCount(counter))
            return super().generate_until(requests, disable_tqdm=True)


class AnswerCount(CacheHook):  # type: ignore[misc]
    """The harness hands each answer to its cache; counting them there is all that is wanted."""

    def __init__(self, counter: Counter) -> None:
        super().__init__(None)
        self._counter = counter

    def add_partial(self, attr: str, req: Any, res: Any) -> None:
        """Count one answer."""
        self._counter.advance()


def make_trees(requests: Sequence[Request], max_length: int) -> list[Tree]:
    """Group requests by context, cut from the left as the harness cuts what is too long.

    Raises:
        UserError: a continuation has no token of its own, or leaves no room for a context.
    """
    trees: dict[tuple[int, ...], Tree] = {}
    for number, (texts, context, continuation) in enumerate(requests):
        if not 0 < len(continuation) <= max_length:
            raise UserError(
                f"{texts}: the continuation has {len(continuation)} tokens of its own, which must "
                f"be 1 to {max_length}; change the task's doc_to_choice or target_delimiter"
            )
        kept = context[-(max_length + 1 - len(continuation)) :]
        tree = trees.setdefault(tuple(kept), Tree(kept, [], []))
        tree.continuations.append(continuation)
        tree.numbers.append(number)
    return list(trees.values())


@dataclass(slots=True)
class LaidOut:
    """Several trees as the tensors of one forward pass."""

    ids: torch.Tensor
    positions: torch.Tensor
    visible: torch.Tensor
    """Which earlier token a token attends to: of the context, or of its own continuation."""
    rows: torch.Tensor
    columns: torch.Tensor
    """Where, row and column, each scored token is predicted."""
    targets: torch.Tensor
    """The scored tokens."""

    @classmethod
    def of(cls, trees: Sequence[Tree], device: torch.device) -> LaidOut:
        """Lay trees out, padded on the right; no real token attends to padding, which is later."""
        shape = (len(trees), max(len(tree) for tree in trees))
        ids, positions, branch = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
        rows, columns, targets = [], [], []
        for row, tree in enumerate(trees):
            depth = end = len(tree.context)
            ids[row, :end] = torch.tensor(tree.context)
            positions[row, :end] = torch.arange(end)
            for number, tokens in enumerate(tree.continuations, start=1):
                start, end = end, end + len(tokens) - 1
                ids[row, start:end] = torch.tensor(tokens[:-1])
                positions[row, start:end] = torch.arange(depth, depth + end - start)
                branch[row, start:end] = number
                rows += [row] * len(tokens)
                columns += [depth - 1, *range(start, end)]
                targets += tokens
        earlier = torch.ones(shape[1], shape[1], dtype=torch.bool).tril()
        visible = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
        tensors = (ids, positions, (visible & earlier)[:, None])
        places = (torch.tensor(rows), torch.tensor(columns), torch.tensor(targets))
        return cls(*(tensor.to(device) for tensor in (*tensors, *places)))
