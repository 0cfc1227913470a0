"""The judge: requests evaluation steps, scores and preferences from an LLM service."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from eval.configs.geval import GEvalConfig, Scoring
from eval.geval.judge.judge_prompts import (
    JudgedText,
    JudgePrompt,
    pair_prompt,
    score_prompt,
    steps_prompt,
)
from eval.geval.judge.reply import Preference, parse_preference
from eval.geval.judge.score import (
    ReplyCounts,
    ScoreDistribution,
    has_logprobs,
    is_refused,
    score_from_logprobs,
    score_from_samples,
)
from eval.rubrics.rubric import Criterion, Rubric
from pacos.errors import UserError
from pacos.llm.config import EndpointConfig, Mode
from pacos.llm.request import Reply, Sampling
from pacos.llm.service import Service

TOP_LOGPROBS = 20
"""Alternatives requested per token: OpenAI's maximum. `pacos.llm.http.wire` asks for fewer where a
service allows fewer."""
STEPS_TOKENS = 512
"""Token limit of evaluation steps, on top of `reply_tokens` for a model's reasoning."""
PATIENCE = 20
"""Replies without a single score after which judging ends: this model cannot judge."""


class UnusableJudgeError(UserError):
    """The judge's replies contain no scores."""


@dataclass(slots=True)
class Judge:
    """Scores texts through one service."""

    endpoint: EndpointConfig
    service: Service
    config: GEvalConfig
    _asks_logprobs: bool = field(init=False)
    """True until a first reply arrives without them, which means the service has none."""
    _with_logprobs: int = field(init=False, default=0)
    """Replies that had log-probabilities."""
    _replies: int = field(init=False, default=0)
    _scored: int = field(init=False, default=0)
    _latest: str = field(init=False, default="")
    """Excerpt of the latest reply, for the error message."""
    _unusable: str | None = field(init=False, default=None)
    _slots: asyncio.Semaphore = field(init=False)
    """Holds requests back until the service takes them, so that none is sent after the judge has
    proved unusable. Batch and replay take all requests at once."""

    def __post_init__(self) -> None:
        is_live = self.endpoint.mode is Mode.live
        self._slots = asyncio.Semaphore(self.endpoint.concurrency if is_live else sys.maxsize)
        self._asks_logprobs = self.config.scoring is Scoring.auto

    async def with_steps(self, rubric: Rubric, count: Callable[[], None]) -> Rubric:
        """Return the rubric with evaluation steps; the judge writes those that are missing.

        Args:
            rubric: as read from its file.
            count: called for each criterion whose steps have been written.

        Raises:
            UserError: the judge wrote no steps.
        """
        missing = rubric.criteria_without_steps()
        written = await asyncio.gather(*(self._steps(rubric, one, count) for one in missing))
        return rubric.with_steps(
            {criterion.name: steps for criterion, steps in zip(missing, written, strict=True)}
        )

    async def _steps(self, rubric: Rubric, criterion: Criterion, count: Callable[[], None]) -> str:
        tokens = STEPS_TOKENS + self.config.reply_tokens
        reply = await self._ask(steps_prompt(rubric, criterion), self._sampling(tokens))
        steps = reply.text.strip()
        if reply.finish == "length" and "\n" in steps:
            # The token limit cut the last line off; an unfinished step would mislead the judge.
            steps = steps.rpartition("\n")[0].rstrip()
        if not steps or is_refused(reply):
            raise UserError(
                f"judge {self.endpoint.model}: wrote no evaluation steps for {rubric.name}, "
                f"{criterion.name} ({reply.error or reply.finish}); add steps to the rubric's "
                "file, or choose another judge"
            )
        count()
        return steps

    async def score(
        self, rubric: Rubric, criterion: Criterion, text: JudgedText
    ) -> ScoreDistribution:
        """Return the judge's score of a text on a criterion, whose steps are known.

        Raises:
            UnusableJudgeError: none of the first replies contained a score.
        """
        prompt = score_prompt(rubric, criterion, text)
        if self._asks_logprobs:
            sampling = self._sampling(self.config.reply_tokens, top_logprobs=TOP_LOGPROBS)
            reply = await self._ask(prompt, sampling)
            if has_logprobs(reply):
                self._with_logprobs += 1
                return self._recorded(score_from_logprobs(reply, criterion), reply)
            # Concurrent requests are in flight: one reply without log-probabilities after others
            # had them is an exception, and only this score is sampled.
            self._asks_logprobs = self._with_logprobs > 0
        sampling = Sampling(max_tokens=self.config.reply_tokens, temperature=1.0)
        # The number of the sample is part of the request's key. Without it, the ledger would take
        # all samples for one request and return the same reply for each.
        replies = await asyncio.gather(
            *(self._ask(prompt, sampling, sample) for sample in range(self.config.samples))
        )
        return self._recorded(score_from_samples(replies, criterion), replies[0])

    async def prefer(
        self, rubric: Rubric, text: JudgedText, second: str
    ) -> tuple[Preference | None, ReplyCounts]:
        """Return the better of two outputs: that of `text`, shown first, or `second`."""
        sampling = self._sampling(self.config.reply_tokens)
        reply = await self._ask(pair_prompt(rubric, text, second), sampling)
        refused = is_refused(reply)
        preference = None if refused else parse_preference(reply.text)
        is_strict = reply.text.strip().casefold() in ("1", "2", "tie", "무승부")
        counts = ReplyCounts(
            replies=1,
            strict=int(is_strict),
            unparsed=int(preference is None and not refused),
            refused=int(refused),
            cut=int(reply.finish == "length"),
        )
        return preference, counts

    def _sampling(self, tokens: int, top_logprobs: int | None = None) -> Sampling:
        # `scoring=samples` is for reasoning models, some of which reject any temperature but 1.
        greedy = self.config.scoring is Scoring.auto
        temperature = 0.0 if greedy else 1.0
        return Sampling(max_tokens=tokens, temperature=temperature, top_logprobs=top_logprobs)

    async def _ask(self, prompt: JudgePrompt, sampling: Sampling, sample: int = 0) -> Reply:
        content = prompt if self.endpoint.api.takes_messages else str(prompt[0]["content"])
        async with self._slots:
            if self._unusable is not None:
                raise UnusableJudgeError(self._unusable)
            return await self.service.ask(self.endpoint.request(content, sampling, sample=sample))

    def _recorded(self, distribution: ScoreDistribution, reply: Reply) -> ScoreDistribution:
        """Count the replies of a score, and give up on the judge once its patience is used up."""
        counts = distribution.counts
        self._replies += counts.replies
        self._scored += counts.replies - counts.failures
        tokens = self.config.reply_tokens
        cut = f"; geval.reply_tokens = {tokens} cut it off" if counts.cut else ""
        self._latest = f"{reply.error or reply.text[:80]!r}{cut}"
        if self._replies >= PATIENCE:
            self.check_usable()
        return distribution

    def check_usable(self) -> None:
        """Check that at least one reply contained a score, if there were any replies.

        Raises:
            UnusableJudgeError: none did.
        """
        if self._replies and not self._scored:
            self._unusable = (
                f"judge {self.endpoint.model}: its first {self._replies} replies contain no score "
                f"(the latest: {self._latest}); choose another judge. All replies are kept"
            )
            raise UnusableJudgeError(self._unusable)
