"""Continuous batching: generate answers token by token; when one ends, the next takes its slot."""

from __future__ import annotations

import functools
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field

import torch

from eval.engine.attention import attention_bias, causal_attention, masked_attention
from eval.engine.packed_pass import Segments
from eval.engine.scoring import IDLE_PASS, Scorer, as_one_call, hidden_states
from pacos.model.protocols import CausalLM, Tokenizer
from pacos.model.sampling import draw

ROUND_PASSES = 64
"""Forward passes between two hand-overs of finished answers."""


@dataclass(frozen=True, slots=True)
class TokenSampling:
    """Settings of the draw of a token, applied in transformers' order."""

    temperature: float
    top_k: int = 0
    """Number of likeliest tokens to draw from; 0 for all."""
    top_p: float = 1.0
    """Smallest total probability of the likeliest tokens to draw from."""


@dataclass(slots=True)
class GenerationRequest:
    """A prompt to answer."""

    index: int
    ids: list[int]
    max_tokens: int
    stops: list[str]
    """Texts that end the answer."""
    sampling: TokenSampling | None = None
    """None for greedy decoding."""
    seed: int = 0
    """Seed of this answer alone, so that it does not depend on what is generated beside it."""


@dataclass(slots=True)
class _Generation:
    """An answer in progress."""

    request: GenerationRequest
    ids: list[int] = field(default_factory=list)
    random: random.Random = field(default_factory=random.Random)


class Decoder:
    """Generates the answers of one rank.

    Args:
        model: a causal language model under `eval.engine.attention.pass_attention`.
        device: the device of the model's inputs.
        tokenizer: the model's tokenizer.
        end_ids: tokens that end an answer.
        batch_size: answers generated at the same time.
        batch_tokens: prompt tokens read in one pass.
        agree_on_pass: called before each pass with True if this rank has work; returns True if
            there is a pass. Ranks that share parameters must make every pass together.
    """

    def __init__(
        self,
        model: CausalLM,
        device: torch.device,
        tokenizer: Tokenizer,
        end_ids: Collection[int],
        batch_size: int,
        batch_tokens: int,
        agree_on_pass: Callable[[bool], bool] = lambda has_work: has_work,
    ) -> None:
        self._model, self._device, self._tokenizer = model, device, tokenizer
        self._end_ids = end_ids
        self._batch_size, self._batch_tokens = batch_size, batch_tokens
        self._agree_on_pass = agree_on_pass
        self._running: list[_Generation] = []

    def generate(
        self, requests: Sequence[GenerationRequest]
    ) -> Generator[list[tuple[int, list[int]]], None, None]:
        """Yield finished answers every `ROUND_PASSES` passes: request index and tokens.

        An end token is not part of the answer; a stop text is.
        """
        self._running = []
        # Longest first (popped from the end), so that no long answer runs alone at the end.
        waiting = sorted(requests, key=lambda one: len(one.ids) + one.max_tokens)
        # Answers of all lengths take turns in a slot, so each slot has room for the longest.
        capacity = max((len(one.ids) + one.max_tokens for one in waiting), default=1)
        slots = min(self._batch_size, max(1, len(waiting)))
        cache = _KVCache(self._model, slots, capacity)
        while True:
            finished: list[tuple[int, list[int]]] = []
            for _ in range(ROUND_PASSES):
                has_work = bool(waiting or self._running)
                if not self._agree_on_pass(has_work):
                    yield finished
                    return
                if has_work:
                    finished += self._pass(waiting, cache)
                else:
                    Scorer(self._model, self._device).score(IDLE_PASS)
            yield finished

    @torch.no_grad()
    def _pass(
        self, waiting: list[GenerationRequest], cache: _KVCache
    ) -> list[tuple[int, list[int]]]:
        """Compute the next token of each running answer and the first one of new answers."""
        new: list[_Generation] = []
        used = 0
        while waiting and len(self._running) + len(new) < cache.slots:
            used += len(waiting[-1].ids)
            # The first prompt is always taken, or one longer than batch_tokens would never be.
            if new and used > self._batch_tokens:
                break
            request = waiting.pop()
            new.append(_Generation(request, [], random.Random(request.seed)))
        packed = _DecodingPass(self._running, new, cache, self._device)

        def compute(model: CausalLM) -> torch.Tensor:
            hidden = hidden_states(model, packed)
            logits: torch.Tensor = model.get_output_embeddings()(hidden).float()
            return logits

        self._running += new
        logits = as_one_call(self._model, compute)
        finished = []
        # From the last slot down: a finished answer's slot is filled by the last one, which has
        # its token of this pass already.
        for slot, token in reversed(list(enumerate(next_tokens(logits, self._running)))):
            answer = self._running[slot]
            if token not in self._end_ids:
                answer.ids.append(token)
            if token in self._end_ids or self._is_finished(answer):
                finished.append((answer.request.index, answer.ids))
                last = self._running.pop()
                if slot < len(self._running):
                    self._running[slot] = last
                    cache.move(len(self._running), slot)
        return finished

    def _is_finished(self, answer: _Generation) -> bool:
        request = answer.request
        if len(answer.ids) >= request.max_tokens:
            return True
        if not request.stops:
            return False
        # Every token has at least one byte, so a stop text of n bytes that ends in the last token
        # began at most n tokens before; 4 more, because a character may span tokens.
        reach = max(len(stop.encode()) for stop in request.stops) + 4
        tail = self._tokenizer.decode(answer.ids[-reach:], skip_special_tokens=False)
        return any(stop in tail for stop in request.stops)


class _KVCache:
    """Keys and values of all that each running answer has read, one slot per answer."""

    def __init__(self, model: CausalLM, slots: int, capacity: int) -> None:
        config = model.config
        width = (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        )
        self.slots, self.key_heads = slots, config.num_key_value_heads
        self._shape = (2, slots, self.key_heads, capacity, width)
        self._dtype = model.dtype
        self._layers: dict[int, torch.Tensor] = {}

    def layer(self, index: int, device: torch.device) -> torch.Tensor:
        """Return keys and values of one layer, [2, slots, key heads, capacity, width]."""
        if index not in self._layers:
            # Zeros, not `empty`: a masked position has weight 0, and 0 times a stray NaN is NaN.
            self._layers[index] = torch.zeros(self._shape, dtype=self._dtype, device=device)
        return self._layers[index]

    def move(self, source: int, target: int) -> None:
        for tensor in self._layers.values():
            tensor[:, target] = tensor[:, source]


@dataclass(frozen=True, slots=True)
class _Layout:
    """The tensors with which a pass attends, on one device; R answers are running."""

    prompts: Segments | None
    """None if no answer is new."""
    slots: torch.Tensor
    """[R], the slot of each running answer."""
    read: torch.Tensor
    """[R], tokens that each running answer has read."""
    visible: torch.Tensor
    """[R, 1, longest], True where a running answer sees a cached token."""


class _DecodingPass:
    """New prompts end to end, then one token of each running answer, as one flat sequence."""

    def __init__(
        self,
        running: Sequence[_Generation],
        new: Sequence[_Generation],
        cache: _KVCache,
        device: torch.device,
    ) -> None:
        self._cache, self._num_running, self._num_new = cache, len(running), len(new)
        prompts = [answer.request.ids for answer in new]
        lengths = [len(ids) for ids in prompts]
        # The last token of an answer has been chosen but not read yet.
        read = [len(answer.request.ids) + len(answer.ids) - 1 for answer in running]
        ids = [token for prompt in prompts for token in prompt] + [one.ids[-1] for one in running]
        positions = [place for length in lengths for place in range(length)] + read
        self.ids = torch.tensor([ids], device=device)
        self.positions = torch.tensor([positions], device=device)
        ends = torch.tensor(lengths, dtype=torch.long).cumsum(0) - 1
        start = sum(lengths)
        answers = torch.arange(start, start + len(running))
        self.places = torch.cat([answers, ends]).to(device)
        """Positions of the next tokens, running answers before new ones: the order of slots."""
        self._start = start
        longest = self._longest = max(read, default=-1) + 1
        # Not the list itself, which grows by the new answers before the layers attend.
        slots = range(len(running))

        @functools.cache
        def layout(device: torch.device) -> _Layout:
            """Return the layout on the GPU of a layer: a model may be spread over several."""
            places = torch.tensor(read, dtype=torch.long, device=device)
            return _Layout(
                Segments(lengths, 0, device) if new else None,
                torch.tensor(slots, dtype=torch.long, device=device),
                places,
                (torch.arange(longest, device=device) <= places[:, None])[:, None],
            )

        self._layout_on = layout

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Attend causally within prompts, and from each other token to all its answer has read."""
        cached, layout = self._cache.layer(layer, query.device), self._layout_on(query.device)
        outputs = []
        if layout.prompts is not None:
            q, k, v = (layout.prompts.pad(tensor) for tensor in (query, key, value))
            outputs.append(layout.prompts.unpad(causal_attention(q, k, v, scale)))
            slots = slice(self._num_running, self._num_running + self._num_new)
            for place, part in enumerate((k, v)):
                cached[place, slots, :, : part.shape[1]] = part.transpose(1, 2)
        if self._num_running:
            for place, part in enumerate((key, value)):
                cached[place, layout.slots, :, layout.read] = part[self._start :]
            group = query.shape[1] // self._cache.key_heads
            bias = attention_bias(layout.visible, group, query.dtype)
            keys, values = cached[:, : self._num_running, :, : self._longest]
            attended = masked_attention(query[self._start :, None], keys, values, bias, scale)
            outputs.append(attended[:, 0])
        return torch.cat(outputs)


def next_tokens(logits: torch.Tensor, answers: Sequence[_Generation]) -> list[int]:
    """Choose the next token of each answer from its logits [answers, V]."""
    tokens = logits.argmax(-1)
    by_sampling: defaultdict[TokenSampling, list[int]] = defaultdict(list)
    for row, answer in enumerate(answers):
        if answer.request.sampling is not None:
            by_sampling[answer.request.sampling].append(row)
    for sampling, rows in by_sampling.items():
        chances = [answers[row].random.random() for row in rows]
        tokens[rows] = draw(
            logits[rows], sampling.temperature, sampling.top_p, chances, sampling.top_k
        )
    return tokens.tolist()
