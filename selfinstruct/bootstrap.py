"""The loop: request → reply → candidates → verdicts → rows.

Replies arrive in any order and are used in the order of their requests. A prompt shows the pool as
it was `window` requests earlier, so that as many requests can be in flight. Both make the rows
independent of which reply was slow, and of what an earlier life of the run already had.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

from pacos.errors import UserError
from pacos.llm.request import Reply
from pacos.llm.service import Service
from pacos.run.stop import Stopped, StopRequest
from pacos.schemas import Row
from selfinstruct.candidates.candidate import Candidate
from selfinstruct.config import SelfInstructConfig
from selfinstruct.configs.generator import GeneratorConfig
from selfinstruct.methods.method import Completion, Method, TaskRequest
from selfinstruct.pool.pool import Pool, PoolTask
from selfinstruct.screening.llm_judge import LLMJudge
from selfinstruct.screening.screen import Screen
from selfinstruct.screening.verdict import Place, Rejection, Verdict

T = TypeVar("T")

POLL_SECONDS = 0.2
"""Interval between checks for a stop request."""
RECENT_REJECTIONS = 1000
"""Latest rejections from which the message about a fruitless run names the common reasons."""


@dataclass(frozen=True, slots=True)
class AcceptedTask:
    """A candidate that entered the pool, on its way through the method's remaining steps."""

    place: Place
    id: str
    source: TaskRequest
    verdict: Verdict
    completion: asyncio.Task[Completion]


class Bootstrap:
    """Grows a data set from the pool with a generator."""

    def __init__(
        self,
        config: SelfInstructConfig,
        pool: Pool,
        method: Method,
        screen: Screen,
        service: Service,
        judge: LLMJudge | None = None,
    ) -> None:
        self.rows: list[Row] = []
        self.requests = 0
        """Requests for tasks whose replies were used."""
        self._rejections: list[Rejection] = []
        self._config = config
        self._pool = pool
        self._method = method
        self._screen = screen
        self._service = service
        self._judge = judge
        self._unsent: deque[TaskRequest] = deque()
        self._sent: deque[tuple[TaskRequest, asyncio.Task[Reply]]] = deque()
        self._accepted: deque[AcceptedTask] = deque()
        self._last_place: Place | None = None
        """Place of the row that filled the data set; None: not full yet."""
        self._last_fruitful = -1
        """Number of the latest request that made a row."""

    @property
    def is_full(self) -> bool:
        """True once this life has all its rows."""
        return len(self.rows) >= self._config.rows_wanted()

    @property
    def rejections(self) -> list[Rejection]:
        """The rejections up to the last row, in the order of the replies.

        Later ones depend on how far the run was ahead, and the remaining steps of different tasks
        end in any order: without the cut and the sort the file would depend on the timing.
        """
        last = self._last_place
        rejections = [one for one in self._rejections if last is None or one.place <= last]
        return sorted(rejections, key=lambda rejection: rejection.place)

    async def fill(self, stop: StopRequest, report: Callable[[Bootstrap], None]) -> None:
        """Run until the data set is full or `max_requests` replies are used.

        Args:
            stop: checked several times a second.
            report: called after each reply that was used.

        Raises:
            Stopped: a stop was requested.
            UserError: the generator cannot be asked, or too many requests make no row.
        """
        window, limit = self._config.window, self._config.max_requests
        try:
            for number in range(min(window, limit)):
                self._write_request(number)
            for number in range(limit):
                self._send_requests()
                source, reply = self._sent.popleft()
                self._use_reply(source, await self._unless_stopped(reply, stop))
                # Rows lag by a window at most, so that is_full stops the requests soon enough.
                await self._collect_rows(stop, through=number - window)
                report(self)
                if self.is_full:
                    return
                self._check_yield(number)
                # Only now: this prompt shows the pool with the reply `number` in it.
                if number + window < limit:
                    self._write_request(number + window)
            await self._collect_rows(stop, through=limit)
        finally:
            for _, reply in self._sent:
                reply.cancel()
            for task in self._accepted:
                task.completion.cancel()

    def _write_request(self, number: int) -> None:
        langs = self._config.languages()
        lang = langs[number % len(langs)]
        examples = self._pool.examples(number, lang)
        self._unsent.append(self._method.task_request(number, lang, examples))

    def _send_requests(self) -> None:
        """Send requests, but no more than are still needed: every reply is paid for."""
        # Always one in flight, even if the estimate says that none is needed: `fill` waits for it.
        while self._unsent and (not self._sent or len(self._sent) < self._requests_left()):
            source = self._unsent.popleft()
            self._sent.append((source, asyncio.create_task(self._service.ask(source.request))))

    def _requests_left(self) -> float:
        """Estimate the requests that fill the data set, at the yield so far."""
        expected = len(self.rows) + len(self._accepted)
        left = self._config.rows_wanted() - expected
        if self.requests == 0:
            return left / self._config.method.tasks_per_request
        # No row yet says nothing about the yield: fill the window.
        return math.inf if expected == 0 else left * self.requests / expected

    def _use_reply(self, source: TaskRequest, reply: Reply) -> None:
        """Screen the candidates of a reply; accepted ones enter the pool and go on."""
        self.requests += 1
        for index, candidate in enumerate(self._method.candidates(source, reply)):
            place = Place(source.number, index)
            verdict = self._method.screen_new(candidate, source.lang, self._screen)
            if verdict.reason is not None:
                rejection = Rejection(place, source.request.key, candidate, verdict)
                self._rejections.append(rejection)
                continue
            # From the request, not from a counter: a resumed run gives the same ids. 48 bits: the
            # chance that any two of 52,000 requests collide is 5 in a million.
            task_id = f"{source.request.key[:12]}_{index}"
            self._pool.accept(PoolTask(task_id, *candidate.texts), source.lang)
            completion = asyncio.create_task(self._complete(candidate, source.lang))
            self._accepted.append(AcceptedTask(place, task_id, source, verdict, completion))

    async def _complete(self, candidate: Candidate, lang: str) -> Completion:
        """Run the method's remaining steps, then the LLM judge."""
        completion = await self._method.complete(candidate, lang, self._service.ask, self._screen)
        if self._judge is None:
            return completion
        verdicts = await self._judge.refine(completion.candidates, completion.verdicts, lang)
        return replace(completion, verdicts=verdicts)

    async def _collect_rows(self, stop: StopRequest, through: int) -> None:
        """Make rows of accepted tasks, in order.

        Waits for the tasks up to request `through`; later ones are taken only if they are ready.
        """
        # One turn of the event loop completes the tasks whose remaining steps ask nothing.
        await asyncio.sleep(0)
        while self._accepted and not self.is_full:
            task = self._accepted[0]
            if task.place.request > through and not task.completion.done():
                return
            completion = await self._unless_stopped(task.completion, stop)
            self._accepted.popleft()
            self._add_rows(task, completion)

    def _add_rows(self, task: AcceptedTask, completion: Completion) -> None:
        # A rejected instance names the request that wrote it, which is the last one made for its
        # task.
        last_request = (task.source.request.key, *completion.requests)[-1]
        instances = zip(completion.candidates, completion.verdicts, strict=True)
        for index, (candidate, verdict) in enumerate(instances):
            if verdict.reason is not None:
                rejection = Rejection(task.place, last_request, candidate, verdict)
                self._rejections.append(rejection)
            elif not self.is_full:
                self._last_fruitful = task.place.request
                row_id = f"{task.id}_{index}"
                generator = self._config.generator
                self.rows.append(
                    _generated_row(row_id, candidate, verdict, task, completion, generator)
                )
        if self.is_full:
            self._last_place = task.place
            # How many replies were used beyond it depends on timing.
            self.requests = task.place.request + 1

    def _check_yield(self, number: int) -> None:
        """Stop a run whose requests make nothing but rejections.

        Raises:
            UserError: no row from the last `max_fruitless` requests.
        """
        since = number - self._last_fruitful
        # Plus a window: rows may lag behind the replies by as much.
        if since <= self._config.max_fruitless + self._config.window:
            return
        recent = self._rejections[-RECENT_REJECTIONS:]
        reasons = Counter(str(rejection.verdict.reason) for rejection in recent)
        shown = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
        raise UserError(
            f"max_fruitless = {self._config.max_fruitless}: the last {since} requests for tasks "
            f"made no row. Most common rejections: {shown}. Read some replies in "
            "data/ledger.jsonl; then choose another generator or method, or raise max_fruitless"
        )

    async def _unless_stopped(self, work: asyncio.Task[T], stop: StopRequest) -> T:
        while not work.done():
            reason = stop.reason()
            if reason is not None:
                work.cancel()
                raise Stopped(reason)
            await asyncio.wait({work}, timeout=POLL_SECONDS)
        return work.result()


def _generated_row(
    row_id: str,
    candidate: Candidate,
    verdict: Verdict,
    task: AcceptedTask,
    completion: Completion,
    generator: GeneratorConfig,
) -> Row:
    source, nearest = task.source, task.verdict.nearest
    lineage: dict[str, object] = {
        "lang": source.lang,
        "seeds": list(source.examples.seeds),
        "parents": list(source.examples.parents),
        "requests": [source.request.key, *completion.requests],
        "teacher": generator.name,  # data sets, cards and reports read this key
        "terms": generator.terms,
        "is_classification": completion.is_classification,
        "nearest": None if nearest is None else asdict(nearest),
    }
    # Optional keys: absent, not null, where there is nothing to say.
    if verdict.quality is not None:
        lineage["quality"] = verdict.quality
    # The instruction shows the hazard in one step, its instances in the other.
    declined = task.verdict.declined or verdict.declined
    if declined is not None:
        lineage["declined"] = declined
    return Row(
        id=row_id,
        instruction=candidate.instruction,
        input=candidate.input,
        output=candidate.output,
        source="generated",
        lineage=lineage,
    )
