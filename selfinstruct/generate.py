"""The loop: requests → replies → candidates → verdicts → rows in the pool."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from pacos import metrics
from pacos.console import progress
from pacos.run_dir import derived_seed
from pacos.schemas import Row
from pacos.stop import StopRequest
from pacos.tracking import Tracker
from selfinstruct.config import SelfInstructConfig
from selfinstruct.filters import Verdict, judge
from selfinstruct.generators import Generator
from selfinstruct.ledger import Ledger, Request
from selfinstruct.parse import Candidate, parse
from selfinstruct.pool import Pool


@dataclass(frozen=True, slots=True)
class Draw:
    """A request, and what it was made of."""

    seeds: tuple[str, ...]
    """Ids of the seeds that it shows."""
    opener: str
    """Words that its first task begins with."""
    request: Request


@dataclass(frozen=True, slots=True)
class Rejection:
    """A candidate that did not become a row."""

    request: str
    candidate: Candidate
    verdict: Verdict


class Bootstrap:
    """Grows a pool with a teacher, batch by batch.

    A life that takes up the run of another walks the same way: what the ledger holds is used again
    instead of asked again, so that it comes to the same pool.
    """

    def __init__(
        self, config: SelfInstructConfig, pool: Pool, generator: Generator, ledger: Ledger
    ) -> None:
        self.rejections: list[Rejection] = []
        self.requests = 0
        """Requests whose replies were used."""
        self._config = config
        self._pool = pool
        self._generator = generator
        self._ledger = ledger

    @property
    def is_full(self) -> bool:
        """Whether the pool has the rows that were wanted."""
        return len(self._pool.rows) >= self._config.target_rows

    def fill(self, tracker: Tracker, stop: StopRequest, steps_logged: int) -> str | None:
        """Go on until the pool is full or `max_requests` are made.

        Args:
            tracker: takes a record a batch.
            stop: looked at before each batch.
            steps_logged: batches that an earlier life has given to the tracker.

        Returns:
            Why it stopped before that, if it did.
        """
        size = self._config.generator.batch_size
        with progress("generating", self._config.target_rows, "rows") as counter:
            for step, first in enumerate(range(0, self._config.max_requests, size), start=1):
                if self.is_full:
                    break
                draws = self._draw(range(first, min(first + size, self._config.max_requests)))
                missing = [draw.request for draw in draws if not self._ledger.get(draw.request)]
                reason = stop.reason() if missing else None
                if reason is not None:
                    return reason
                before = len(self._pool.rows)
                speed = self._ask(missing)
                self._use(draws)
                if missing:
                    counter.advance(len(self._pool.rows) - before, note=self._note())
                else:
                    counter.skip(len(self._pool.rows))
                if step > steps_logged:
                    tracker.log(self._record(step) | speed)
        return None

    def _draw(self, numbers: range) -> list[Draw]:
        method, layout = self._config.method, self._generator.layout
        draws = []
        for number in numbers:
            examples = self._pool.examples(number)
            opener = method.openers[number % len(method.openers)] if method.openers else ""
            request = Request(
                model=self._config.generator.model,
                prompt=layout.prompt(examples, opener),
                tasks=method.tasks_per_request,
                max_tokens=method.max_tokens,
                temperature=method.temperature,
                top_p=method.top_p,
                seed=derived_seed(self._config.seed, "selfinstruct", "request", number),
            )
            draws.append(Draw(tuple(seed.id for seed in examples), opener, request))
        return draws

    def _ask(self, requests: Sequence[Request]) -> dict[str, float]:
        """Have requests answered and the replies stored; returns how fast it went."""
        if not requests:
            return {}
        began = time.monotonic()
        replies = self._generator.answer(requests)
        self._ledger.add(zip(requests, replies, strict=True))
        tokens = sum(reply.tokens for reply in replies)
        return {metrics.GENERATED_TOKENS_PER_SECOND: tokens / (time.monotonic() - began)}

    def _use(self, draws: Sequence[Draw]) -> None:
        """Judge the candidates of the replies, in order, until the pool is full."""
        for draw in draws:
            if self.is_full:
                return
            self.requests += 1
            reply = self._ledger.get(draw.request)
            assert reply is not None, "asked before"
            text = f"{draw.opener}{reply.text}"
            candidates = parse(text, cut=reply.cut, layout=self._generator.layout)
            for number, candidate in enumerate(candidates):
                if not self.is_full:
                    self._judge(candidate, draw, number)

    def _judge(self, candidate: Candidate, draw: Draw, number: int) -> None:
        verdict = judge(candidate, self._config.filters, self._pool.novelty)
        if verdict.reason is None:
            self._pool.accept(self._row(candidate, verdict, draw, number))
        else:
            self.rejections.append(Rejection(draw.request.key, candidate, verdict))

    def _row(self, candidate: Candidate, verdict: Verdict, draw: Draw, number: int) -> Row:
        generator, nearest = self._config.generator, verdict.nearest
        return Row(
            id=f"generated_{draw.request.key[:12]}_{number}",
            instruction=candidate.instruction,
            input=candidate.input,
            output=candidate.output,
            source="generated",
            lineage={
                "seeds": list(draw.seeds),
                "request": draw.request.key,
                "teacher": generator.name,
                "terms": generator.terms,
                "nearest": None if nearest is None else [nearest.id, round(nearest.score, 4)],
            },
        )

    def _record(self, step: int) -> dict[str, float]:
        return {
            metrics.STEP: step,
            metrics.ACCEPTED: len(self._pool.rows),
            metrics.REJECTED: len(self.rejections),
            metrics.REQUESTS: self.requests,
        }

    def _note(self) -> str:
        accepted, rejected = len(self._pool.rows), len(self.rejections)
        share = accepted / max(accepted + rejected, 1)
        return f"{accepted} accepted, {rejected} rejected ({share:.0%} accepted)"
