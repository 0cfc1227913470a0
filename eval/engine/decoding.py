"""Answers to prompts, token by token: whenever one ends, the next prompt takes its place."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from eval.engine.attention import bias_of, causal, masked
from eval.engine.packed_pass import Runs
from eval.engine.scoring import IDLE, Scorer, inside
from pacos.model.sampling import draw

ROUND_STEPS = 64
"""Steps after which answers that are whole are handed on."""


@dataclass(frozen=True, slots=True)
class Draw:
    """How tokens are drawn; the order of restrictions is that of transformers."""

    temperature: float
    top_k: int = 0
    """Likeliest tokens that are drawn from; 0 is all."""
    top_p: float = 1.0
    """Probability that the likeliest tokens have to reach together; the others are not drawn."""


@dataclass(slots=True)
class Prompt:
    """What is to be answered."""

    number: int
    ids: list[int]
    max_tokens: int
    stops: list[str]
    """Texts that end the answer."""
    draw: Draw | None = None
    """None takes the likeliest token."""
    seed: int = 0
    """Of this answer's draws alone, so that it is the same whatever is answered beside it."""


@dataclass(slots=True)
class _Answer:
    """An answer that grows."""

    prompt: Prompt
    ids: list[int] = field(default_factory=list)
    random: random.Random = field(default_factory=random.Random)


class Decoder:
    """Answers the prompts of this rank.

    Args:
        model: a causal language model that attends by `eval.engine.attention`.
        device: that it computes on.
        tokenizer: its own.
        end_ids: tokens that end an answer.
        width: answers that grow at the same time.
        batch_tokens: tokens of prompts that are read in one pass.
        keep_step: told before each pass whether this rank has work; says whether there is a pass.
            Ranks that share parameters take each one together.
    """

    def __init__(
        self,
        model: Any,
        device: torch.device,
        tokenizer: Any,
        end_ids: Collection[int],
        width: int,
        batch_tokens: int,
        keep_step: Callable[[bool], bool] = lambda is_busy: is_busy,
    ) -> None:
        self._model, self._device, self._tokenizer = model, device, tokenizer
        self._end_ids = end_ids
        self._width, self._batch_tokens = width, batch_tokens
        self._keep_step = keep_step
        self._growing: list[_Answer] = []

    def answer(
        self, prompts: Sequence[Prompt]
    ) -> Generator[list[tuple[int, list[int]]], None, None]:
        """Give, every so many steps, the answers that are whole: number and tokens.

        The token that ended an answer is not part of it; a text that did is.
        """
        self._growing = []
        waiting = sorted(prompts, key=lambda prompt: len(prompt.ids) + prompt.max_tokens)
        capacity = max((len(one.ids) + one.max_tokens for one in waiting), default=1)
        width = min(self._width, max(1, len(waiting)))
        cache = _Cache(self._model, self._device, width, capacity)
        while True:
            done: list[tuple[int, list[int]]] = []
            for _ in range(ROUND_STEPS):
                is_busy = bool(waiting or self._growing)
                if not self._keep_step(is_busy):
                    yield done
                    return
                if is_busy:
                    done += self._step(waiting, cache)
                else:
                    self._idle()
            yield done

    @torch.no_grad()
    def _step(self, waiting: list[Prompt], cache: _Cache) -> list[tuple[int, list[int]]]:
        """One pass: the next token of each answer, and the first of new ones."""
        new: list[_Answer] = []
        used = 0
        while waiting and len(self._growing) + len(new) < cache.width:
            used += len(waiting[-1].ids)
            if new and used > self._batch_tokens:
                break
            prompt = waiting.pop()
            new.append(_Answer(prompt, [], random.Random(prompt.seed)))
        step = _Step(self._growing, new, cache, self._device)

        def work(model: Any) -> torch.Tensor:
            hidden = model.base_model(
                input_ids=step.ids, position_ids=step.positions, use_cache=False, layout=step
            ).last_hidden_state[0, step.places]
            return model.get_output_embeddings()(hidden).float()

        self._growing += new
        logits = inside(self._model, work)
        done = []
        for slot, token in reversed(list(enumerate(next_tokens(logits, self._growing)))):
            answer = self._growing[slot]
            if token not in self._end_ids:
                answer.ids.append(token)
            if token in self._end_ids or self._is_whole(answer):
                done.append((answer.prompt.number, answer.ids))
                last = self._growing.pop()
                if slot < len(self._growing):
                    self._growing[slot] = last
                    cache.move(len(self._growing), slot)
        return done

    def _idle(self) -> None:
        """Take part in a pass with nothing to do."""
        Scorer(self._model, self._device).score(IDLE)

    def _is_whole(self, answer: _Answer) -> bool:
        prompt = answer.prompt
        if len(answer.ids) >= prompt.max_tokens:
            return True
        if not prompt.stops:
            return False
        # A text of n bytes that ends in the last token began at most n tokens before it.
        reach = max(len(stop.encode()) for stop in prompt.stops) + 4
        tail = self._tokenizer.decode(answer.ids[-reach:], skip_special_tokens=False)
        return any(stop in tail for stop in prompt.stops)


class _Cache:
    """Keys and values of all that each growing answer has read, one slot an answer."""

    def __init__(self, model: Any, device: torch.device, width: int, capacity: int) -> None:
        config = model.config
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        shape = (config.num_hidden_layers, 2, width, config.num_key_value_heads, capacity, head)
        self.width = width
        self.kept = torch.zeros(shape, dtype=model.dtype, device=device)

    def move(self, source: int, slot: int) -> None:
        self.kept[:, :, slot] = self.kept[:, :, source]


class _Step:
    """New prompts end to end, then a token of each answer that grew before, as one flat row."""

    def __init__(
        self, old: Sequence[_Answer], new: Sequence[_Answer], cache: _Cache, device: torch.device
    ) -> None:
        self._cache, self._old, self._new = cache, len(old), len(new)
        prompts = [answer.prompt.ids for answer in new]
        lengths = [len(ids) for ids in prompts]
        # The last token of an answer has been chosen, and not read yet.
        read = [len(answer.prompt.ids) + len(answer.ids) - 1 for answer in old]
        ids = [token for prompt in prompts for token in prompt] + [one.ids[-1] for one in old]
        places = [place for length in lengths for place in range(length)] + read
        self.ids = torch.tensor([ids], device=device)
        self.positions = torch.tensor([places], device=device)
        ends = torch.tensor(lengths, dtype=torch.long).cumsum(0) - 1
        start = sum(lengths)
        growing = torch.arange(start, start + len(old))
        self.places = torch.cat([growing, ends]).to(device)
        """Old answers, then new ones: the order of slots."""
        self._prompts = Runs(lengths, 0, device) if new else None
        self._start = start
        if old:
            self._read = torch.tensor(read, device=device)
            self._slots = torch.arange(len(old), device=device)
            self._longest = max(read) + 1
            visible = torch.arange(self._longest, device=device) <= self._read[:, None]
            heads = cache.kept.shape[3]
            self._visible = visible[:, None], heads

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Prompts causally; each other token to all that its answer has read."""
        kept = self._cache.kept[layer]
        outputs = []
        if self._prompts is not None:
            q, k, v = (self._prompts.padded(tensor) for tensor in (query, key, value))
            outputs.append(self._prompts.flat(causal(q, k, v, scale)))
            slots = slice(self._old, self._old + self._new)
            for place, part in enumerate((k, v)):
                kept[place, slots, :, : part.shape[1]] = part.transpose(1, 2)
        if self._old:
            for place, part in enumerate((key, value)):
                kept[place, self._slots, :, self._read] = part[self._start :]
            visible, heads = self._visible
            bias = bias_of(visible, query.shape[1] // heads, query.dtype)
            seen = kept[:, : self._old, :, : self._longest]
            mine = query[self._start :, None]
            outputs.append(masked(mine, seen[0], seen[1], bias, scale)[:, 0])
        return torch.cat(outputs)


def next_tokens(logits: torch.Tensor, answers: Sequence[_Answer]) -> list[int]:
    """The next token of each answer, from its logits [answers, V]."""
    tokens = logits.argmax(-1)
    groups: defaultdict[Draw, list[int]] = defaultdict(list)
    for row, answer in enumerate(answers):
        if answer.prompt.draw is not None:
            groups[answer.prompt.draw].append(row)
    for way, rows in groups.items():
        chances = [answers[row].random.random() for row in rows]
        tokens[rows] = draw(logits[rows], way.temperature, way.top_p, chances, way.top_k)
    return tokens.tolist()
