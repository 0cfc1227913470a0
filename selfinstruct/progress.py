"""Progress of a generation run: the terminal's bar, metrics.jsonl and the tracking service."""

from __future__ import annotations

import time
from collections import Counter

from pacos.console import ProgressMeter
from pacos.llm.service import Service
from pacos.tracking import metrics
from pacos.tracking.protocol import Tracker
from selfinstruct.bootstrap import Bootstrap

REQUESTS_PER_RECORD = 16
"""Requests for tasks per step of metrics.jsonl."""
REASONS_SHOWN = 3
"""Most common rejection reasons shown beside the bar."""


class Progress:
    """Reports a bootstrap after each reply."""

    def __init__(
        self, bar: ProgressMeter, tracker: Tracker, steps_logged: int, service: Service
    ) -> None:
        """Start the clock.

        Args:
            bar: the bar of rows.
            tracker: gets a record every `REQUESTS_PER_RECORD` requests.
            steps_logged: last step that earlier lives logged.
            service: the source of token counts and cost.
        """
        self._bar = bar
        self._tracker = tracker
        self._steps_logged = steps_logged
        self._service = service
        self._began = time.monotonic()
        self._is_replaying = True

    def update(self, bootstrap: Bootstrap) -> None:
        """Report one more reply that was used."""
        rows, asked = len(bootstrap.rows), self._service.counts.asked
        # A resumed life first replays its ledger, in seconds: that is no measure of the speed.
        if self._is_replaying and asked == 0:
            self._bar.skip(rows)
        else:
            self._is_replaying = False
            self._bar.advance(rows - self._bar.done, note=self._note(bootstrap))
        step, rest = divmod(bootstrap.requests, REQUESTS_PER_RECORD)
        # The replay passes the steps of earlier lives again.
        if rest == 0 and step > self._steps_logged:
            self._tracker.log(self._record(step, bootstrap))
            self._steps_logged = step

    def _record(self, step: int, bootstrap: Bootstrap) -> dict[str, object]:
        counts = self._service.counts
        seconds = time.monotonic() - self._began
        record: dict[str, object] = {
            metrics.STEP: step,
            metrics.ACCEPTED: len(bootstrap.rows),
            metrics.REJECTED: len(bootstrap.rejections),
            metrics.REQUESTS: bootstrap.requests,
            metrics.GENERATED_TOKENS_PER_SECOND: counts.completion_tokens / seconds,
        }
        if counts.usd is not None:
            record[metrics.USD] = counts.usd
        return record

    def _note(self, bootstrap: Bootstrap) -> str:
        accepted = len(bootstrap.rows)
        reasons = Counter(str(rejection.verdict.reason) for rejection in bootstrap.rejections)
        share = accepted / max(accepted + reasons.total(), 1)
        shown = ", ".join(f"{count} {name}" for name, count in reasons.most_common(REASONS_SHOWN))
        usd = self._service.spent.usd
        cost = f"${usd:.2f}  " if usd else ""
        return f"{cost}{share:.0%} accepted; rejected: {shown or 'none'}"
