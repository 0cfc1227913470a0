"""Quotes: the cost of a whole run, estimated before it starts or extrapolated from a pilot."""

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
from selfinstruct.methods.method import Method
from selfinstruct.pool.pool import Pool

SAMPLE = 32
"""Requests that are written out to measure the length of their prompts."""
ACCEPTANCE = 0.6
"""Assumed share of candidates that pass the screen; a pilot measures it."""
NO_PRICE = "at an unknown price (set generator.endpoint.prompt_price and completion_price)"


@dataclass(frozen=True, slots=True)
class Quote:
    """The expected cost of a whole run."""

    rows: int
    requests: int
    tokens: int
    """Tokens of prompts and replies together."""
    usd: float | None
    """US dollars; None if the price is unknown."""
    hours: float | None = None
    """Wall time; None if the generator's speed has not been measured."""
    rounds: int | None = None
    """Batches of the Batch API that run one after another; None if requests are sent singly."""

    def __str__(self) -> str:
        price = NO_PRICE if self.usd is None else f"${self.usd:,.2f}"
        time = "" if self.hours is None else f", {self.hours:.1f} h"
        tokens = f"{self.tokens / 1e6:,.1f} M" if self.tokens >= 1e6 else f"{self.tokens:,}"
        requests = f"{self.requests:,} requests, {tokens} tokens"
        quote = f"{self.rows:,} rows: about {requests}, {price}{time}"
        if self.rounds is None:
            return quote
        # 24 h is the completion window of OpenAI's Batch API.
        return (
            f"{quote}; {self.rounds:,} batches one after another, up to 24 h each; "
            "raise window to get fewer"
        )


def estimate(config: SelfInstructConfig, pool: Pool, method: Method, price: Price | None) -> Quote:
    """Return a quote before the first request.

    Prompts are measured. Tasks are assumed to be as long as the seeds, `ACCEPTANCE` of them to
    pass, and Self-Instruct's later steps to make one row per instruction.
    """
    langs = config.languages()
    sources = [
        method.task_request(number, lang, pool.examples(number, lang))
        for number in range(SAMPLE)
        for lang in (langs[number % len(langs)],)
    ]
    prompt = fmean(source.request.estimated_prompt_tokens() for source in sources)
    tasks = config.method.tasks_per_request
    one_step = config.method.has_one_step
    reply = tasks * _mean_tokens(pool.seeds, whole=one_step)
    requests = math.ceil(config.target_rows / (tasks * ACCEPTANCE))
    prompts, replies = requests * prompt, requests * reply
    # A step's requests depend on the replies of the step before: each step is a batch of its own.
    steps = 1 if one_step else 3
    endpoint = config.generator.endpoint
    is_batch = endpoint is not None and endpoint.mode is Mode.batch
    rounds = steps * math.ceil(requests / config.window) if is_batch else None
    if not one_step:
        later = method.further_prompt_tokens(pool.seeds[0].instruction, langs[0])
        prompts += config.target_rows * later
        replies += config.target_rows * _mean_tokens(pool.seeds, whole=True)
        # One question about classification and one for instances, for each row.
        requests += 2 * config.target_rows
    return Quote(
        rows=config.target_rows,
        requests=requests,
        tokens=round(prompts + replies),
        usd=None if price is None else price.usd(round(prompts), round(replies)),
        rounds=rounds,
    )


def _mean_tokens(seeds: Sequence[SeedTask], *, whole: bool) -> float:
    """Return the mean length of the seeds in tokens, whole or of their instructions only."""
    return fmean(
        estimated_tokens(
            f"{task.instruction}{task.input}{task.output}" if whole else task.instruction
        )
        for task in seeds
    )


def extrapolate(
    config: SelfInstructConfig, rows: int, requests: int, spent: Spent, seconds: float | None
) -> Quote:
    """Return the quote of the whole run, in proportion to the rows of a part of it.

    Args:
        config: the run; sets the rows of the whole.
        rows: rows of the part.
        requests: requests of the part.
        spent: tokens and cost of the part.
        seconds: wall time of the part; None if it took several lives.
    """
    # In proportion: too low for a long run, whose later candidates find a fuller pool.
    times = config.target_rows / max(rows, 1)
    tokens = spent.prompt_tokens + spent.completion_tokens
    return Quote(
        rows=config.target_rows,
        requests=round(times * requests),
        tokens=round(times * tokens),
        usd=None if spent.usd is None else times * spent.usd,
        hours=None if seconds is None else times * seconds / 3600,
    )
