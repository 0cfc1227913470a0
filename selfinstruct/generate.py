"""The loop: requests → replies → candidates → verdicts → rows.

Replies come in any order and are used in the order of their requests, so that a run comes to the
same rows whatever was slow, and whatever an earlier life of it already had. A prompt shows the pool
as it was `window` requests before; so that many can be under way.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from pacos.errors import UserError
from pacos.llm.request import Reply
from pacos.llm.service import Service
from pacos.run.stop import Stopped, StopRequest
from pacos.schemas import Row, SeedTask
from selfinstruct.config import SelfInstructConfig
from selfinstruct.methods import Completed, Draw, Method
from selfinstruct.parse import Candidate
from selfinstruct.pool.pool import Pool
from selfinstruct.screening.llm_judge import Opinion
from selfinstruct.screening.rules import Verdict
from selfinstruct.screening.screen import Judge

T = TypeVar("T")

POLL_SECONDS = 0.2
"""How often a wait looks for a request to stop."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A candidate that did not become a row."""

    place: tuple[int, int]
    """Number of its request, and its place in the reply."""
    request: str
    candidate: Candidate
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Pending:
    """An instruction that is new, on its way through the steps that are left."""

    place: tuple[int, int]
    task_id: str
    draw: Draw
    verdict: Verdict
    work: asyncio.Task[tuple[Completed, list[Verdict]]]


class Bootstrap:
    """Grows a data set with a teacher."""

    def __init__(
        self,
        config: SelfInstructConfig,
        pool: Pool,
        method: Method,
        judge: Judge,
        service: Service,
        opinion: Opinion | None = None,
    ) -> None:
        self.rows: list[Row] = []
        self.requests = 0
        """Requests for tasks whose replies were used."""
        self.is_classification: Counter[bool] = Counter()
        """Verdicts of Self-Instruct's second step."""
        self._rejections: list[Rejection] = []
        self._config = config
        self._pool = pool
        self._method = method
        self._judge = judge
        self._service = service
        self._opinion = opinion
        self._drawn: deque[Draw] = deque()
        self._asked: deque[tuple[Draw, asyncio.Task[Reply]]] = deque()
        self._pending: deque[Pending] = deque()
        self._last: tuple[int, int] | None = None
        self._last_fruitful = -1

    @property
    def is_full(self) -> bool:
        """Whether there are the rows that were wanted."""
        return len(self.rows) >= self._config.rows_wanted()

    @property
    def rejections(self) -> list[Rejection]:
        """What was rejected, up to the last row that was wanted, in the order of the replies."""
        last = self._last
        kept = [one for one in self._rejections if last is None or one.place <= last]
        # What later steps reject is found out sooner or later, as the service is quick or slow.
        return sorted(kept, key=lambda one: one.place)

    async def fill(self, stop: StopRequest, report: Callable[[Bootstrap], None]) -> None:
        """Go on until there are the rows that were wanted, or `max_requests` are made.

        Args:
            stop: looked at several times a second.
            report: called after each reply that was used.

        Raises:
            Stopped: asked to.
            UserError: the teacher cannot be asked.
        """
        window, limit = self._config.window, self._config.max_requests
        try:
            for number in range(min(window, limit)):
                self._draw(number)
            for number in range(limit):
                self._ask()
                draw, work = self._asked.popleft()
                self._use(draw, await self._unless_stopped(work, stop))
                # A window behind at most: what further steps cost is not spent on too many.
                await self._complete(stop, through=number - window)
                report(self)
                if self.is_full:
                    return
                self._check_yield(number)
                if number + window < limit:
                    self._draw(number + window)
            await self._complete(stop, through=limit)
        finally:
            for _, asked in self._asked:
                asked.cancel()
            for pending in self._pending:
                pending.work.cancel()

    def _draw(self, number: int) -> None:
        langs = self._config.languages()
        lang = langs[number % len(langs)]
        self._drawn.append(self._method.draw(number, lang, self._pool.examples(number, lang)))

    def _ask(self) -> None:
        """Ask what was drawn, but no more than is wanted: each reply is paid for, used or not."""
        while self._drawn and (not self._asked or len(self._asked) < self._requests_left()):
            draw = self._drawn.popleft()
            self._asked.append((draw, asyncio.create_task(self._service.ask(draw.request))))

    def _requests_left(self) -> float:
        """Requests that will fill the data set, if they yield what those before did."""
        underway = len(self.rows) + len(self._pending)
        left = self._config.rows_wanted() - underway
        if self.requests == 0:
            return left / self._config.method.tasks_per_request
        return math.inf if underway == 0 else left * self.requests / underway

    def _check_yield(self, number: int) -> None:
        """Stop where nothing comes of the requests.

        Raises:
            UserError: too many in a row made no row.
        """
        since = number - self._last_fruitful
        if since <= self._config.max_fruitless + self._config.window:
            return
        reasons = Counter(str(one.verdict.reason) for one in self._rejections[-1000:])
        shown = "; ".join(f"{why} ({count})" for why, count in reasons.most_common(3))
        raise UserError(
            f"max_fruitless = {self._config.max_fruitless}: the last {since} requests for tasks "
            f"made no row. Most were rejected because: {shown}. Look at a reply in "
            "data/ledger.jsonl; then choose another teacher or method, or raise max_fruitless"
        )

    def _use(self, draw: Draw, reply: Reply) -> None:
        """Judge the candidates of a reply; what is new goes on to the steps that are left."""
        self.requests += 1
        for number, candidate in enumerate(self._method.candidates(draw, reply)):
            place = (draw.number, number)
            verdict = self._judge.new(candidate, draw.lang)
            if verdict.reason is not None:
                self._reject(place, draw.request.key, candidate, verdict)
                continue
            task_id = f"{draw.request.key[:12]}_{number}"
            task = SeedTask(
                task_id, "", candidate.instruction, candidate.input, candidate.output, False
            )
            self._pool.accept(task, draw.lang)
            work = asyncio.create_task(self._finish(candidate, draw.lang))
            self._pending.append(Pending(place, task_id, draw, verdict, work))

    async def _finish(self, candidate: Candidate, lang: str) -> tuple[Completed, list[Verdict]]:
        """Take an instruction through the steps that are left, and judge what comes of it."""
        completed = await self._method.complete(candidate, lang, self._service.ask)
        verdicts = self._judge.instances(completed.candidates, lang)
        if self._opinion is not None:
            verdicts = await self._opinion.refine(completed.candidates, verdicts, lang)
        return completed, verdicts

    async def _complete(self, stop: StopRequest, through: int) -> None:
        """Make rows of instructions, in order: all up to a request, and what is ready beyond it."""
        # Steps that ask nothing are ready after one turn of the loop.
        await asyncio.sleep(0)
        while self._pending and not self.is_full:
            first = self._pending[0]
            if first.place[0] > through and not first.work.done():
                return
            completed, verdicts = await self._unless_stopped(first.work, stop)
            self._pending.popleft()
            self._make_rows(first, completed, verdicts)

    def _make_rows(
        self, pending: Pending, completed: Completed, verdicts: Sequence[Verdict]
    ) -> None:
        if completed.is_classification is not None:
            self.is_classification[completed.is_classification] += 1
        requests = (pending.draw.request.key, *completed.requests)
        for number, (candidate, verdict) in enumerate(
            zip(completed.candidates, verdicts, strict=True)
        ):
            if verdict.reason is not None:
                self._reject(pending.place, requests[-1], candidate, verdict)
            elif not self.is_full:
                self._last_fruitful = pending.place[0]
                self.rows.append(
                    self._row(f"{pending.task_id}_{number}", candidate, verdict, pending, completed)
                )
        if self.is_full:
            self._last = pending.place
            self.requests = pending.place[0] + 1

    def _row(
        self,
        row_id: str,
        candidate: Candidate,
        verdict: Verdict,
        pending: Pending,
        completed: Completed,
    ) -> Row:
        generator, draw = self._config.generator, pending.draw
        nearest = pending.verdict.nearest
        declined = pending.verdict.declined or verdict.declined
        return Row(
            id=row_id,
            instruction=candidate.instruction,
            input=candidate.input,
            output=candidate.output,
            source="generated",
            lineage={
                "lang": draw.lang,
                "seeds": list(draw.examples.seeds),
                "parents": list(draw.examples.parents),
                "requests": [draw.request.key, *completed.requests],
                "teacher": generator.name,
                "terms": generator.terms,
                "is_classification": completed.is_classification,
                "nearest": None if nearest is None else asdict(nearest),
                **_notes(quality=verdict.quality, declined=declined),
            },
        )

    def _reject(
        self, place: tuple[int, int], request: str, candidate: Candidate, verdict: Verdict
    ) -> None:
        self._rejections.append(Rejection(place, request, candidate, verdict))

    async def _unless_stopped(self, work: asyncio.Task[T], stop: StopRequest) -> T:
        while not work.done():
            reason = stop.reason()
            if reason is not None:
                work.cancel()
                raise Stopped(reason)
            await asyncio.wait({work}, timeout=POLL_SECONDS)
        return work.result()


def _notes(**notes: object) -> dict[str, object]:
    """Those that there are."""
    return {name: note for name, note in notes.items() if note is not None}
