"""What a run will cost: guessed before it starts, and from a pilot with what that has cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pacos.llm.config import Mode
from pacos.llm.ledger import Spent
from pacos.llm.prices import Price
from pacos.llm.request import estimated_tokens
from pacos.schemas import SeedTask
from selfinstruct.config import SelfInstructConfig
from selfinstruct.methods import Method
from selfinstruct.pool.pool import Pool

SAMPLE = 32
"""Requests that are written out to know how long their prompts are."""
ACCEPTANCE = 0.6
"""Share of the tasks that is guessed to pass the filters; a pilot measures it."""
NO_PRICE = "at an unknown price (set generator.endpoint.prompt_price and completion_price)"


@dataclass(frozen=True, slots=True)
class Quote:
    """Cost of a whole run."""

    rows: int
    requests: int
    tokens: int
    """Of prompts and replies."""
    usd: float | None
    """US dollars; None if the price is not known."""
    hours: float | None = None
    """None where nothing has shown how fast the teacher is."""
    rounds: int | None = None
    """Batches that wait for each other; None where requests are sent one by one."""

    def __str__(self) -> str:
        price = NO_PRICE if self.usd is None else f"${self.usd:,.2f}"
        time = "" if self.hours is None else f", {self.hours:.1f} h"
        tokens = f"{self.tokens / 1e6:,.1f} M" if self.tokens >= 1e6 else f"{self.tokens:,}"
        requests = f"{self.requests:,} requests, {tokens} tokens"
        quote = f"{self.rows:,} rows: about {requests}, {price}{time}"
        if self.rounds is None:
            return quote
        many = f"{self.rounds:,} batches one after another, each up to 24 h"
        return f"{quote}; {many}: raise window for fewer"


def guess(config: SelfInstructConfig, pool: Pool, method: Method, price: Price | None) -> Quote:
    """The quote before anything was asked.

    Prompts are measured; tasks are taken to be as long as the seeds, `ACCEPTANCE` of them to pass,
    and Self-Instruct's later steps to give one row an instruction.
    """
    langs = config.languages()
    draws = [
        method.draw(number, lang, pool.examples(number, lang))
        for number in range(SAMPLE)
        for lang in (langs[number % len(langs)],)
    ]
    prompt = fmean(draw.request.estimated_prompt_tokens() for draw in draws)
    tasks = config.method.tasks_per_request
    one_step = config.method.has_one_step
    reply = tasks * _tokens(pool.seeds, whole=one_step)
    requests = math.ceil(config.target_rows / (tasks * ACCEPTANCE))
    prompts, replies = requests * prompt, requests * reply
    steps = 1 if one_step else 3
    endpoint = config.generator.endpoint
    is_batch = endpoint is not None and endpoint.mode is Mode.batch
    rounds = steps * math.ceil(requests / config.window) if is_batch else None
    if not one_step:
        later = method.further_prompt_tokens(pool.seeds[0].instruction, langs[0])
        prompts += config.target_rows * later
        replies += config.target_rows * _tokens(pool.seeds, whole=True)
        requests += 2 * config.target_rows
    return Quote(
        rows=config.target_rows,
        requests=requests,
        tokens=round(prompts + replies),
        usd=None if price is None else price.usd(round(prompts), round(replies)),
        rounds=rounds,
    )


def _tokens(seeds: Sequence[SeedTask], *, whole: bool) -> float:
    return fmean(
        estimated_tokens(
            f"{task.instruction}{task.input}{task.output}" if whole else task.instruction
        )
        for task in seeds
    )


def extrapolate(
    config: SelfInstructConfig, rows: int, requests: int, spent: Spent, seconds: float | None
) -> Quote:
    """The quote of the whole run from a part of it.

    Args:
        config: says how many rows are wanted.
        rows: of the part.
        requests: of the part.
        spent: for the part.
        seconds: that the part took; None if it was not made in one life.
    """
    times = config.target_rows / max(rows, 1)
    tokens = spent.prompt_tokens + spent.completion_tokens
    return Quote(
        rows=config.target_rows,
        requests=round(times * requests),
        tokens=round(times * tokens),
        usd=None if spent.usd is None else times * spent.usd,
        hours=None if seconds is None else times * seconds / 3600,
    )
