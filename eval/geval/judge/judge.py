"""The judge: asks a service for evaluation steps, scores and preferences, and reads its replies."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from eval.configs.geval import GEvalConfig, Scoring
from eval.geval.judge.judge_prompts import Prompt, Text, pair_prompt, score_prompt, steps_prompt
from eval.geval.judge.reply import Preference, parse_preference
from eval.geval.judge.weighting import Tally, Verdict, has_logprobs, weigh_logprobs, weigh_samples
from eval.rubrics.rubric import Criterion, Rubric
from pacos.errors import UserError
from pacos.llm.config import Api, EndpointConfig, Mode
from pacos.llm.request import Reply, Sampling
from pacos.llm.service import Service

TOP_LOGPROBS = 20
"""The most that services give; they may be asked for fewer (`pacos.llm.http.wire`)."""
STEPS_TOKENS = 512
"""Longest list of evaluation steps, besides what a model may need to think."""
PATIENCE = 20
"""Replies without any score after which nothing more is asked: the judge cannot do it."""


class UselessJudge(UserError):  # noqa: N818
    """The judge's replies hold no scores."""


@dataclass(slots=True)
class Judge:
    """Asks one service."""

    endpoint: EndpointConfig
    service: Service
    config: GEvalConfig
    _asks_logprobs: bool = field(init=False)
    """Until the first reply comes without them: the service gives none."""
    _weighed: int = field(init=False, default=0)
    """Replies that came with them."""
    _replies: int = field(init=False, default=0)
    _scored: int = field(init=False, default=0)
    _last: str = field(init=False, default="")
    """What the latest reply said."""
    _useless: str | None = field(init=False, default=None)
    _turn: asyncio.Semaphore = field(init=False)
    """Keeps what need not be asked from being sent; a batch takes all at once."""

    def __post_init__(self) -> None:
        is_live = self.endpoint.mode is Mode.live
        self._turn = asyncio.Semaphore(self.endpoint.concurrency if is_live else sys.maxsize)
        self._asks_logprobs = self.config.scoring is Scoring.auto

    async def with_steps(self, rubric: Rubric, count: Callable[[], None]) -> Rubric:
        """The rubric with evaluation steps, which the judge writes where the file has none.

        Args:
            rubric: as its file has it.
            count: told of each criterion whose steps are written.

        Raises:
            UserError: it wrote none.
        """
        missing = rubric.lacking_steps()
        written = await asyncio.gather(*(self._steps(rubric, one, count) for one in missing))
        return rubric.with_steps(
            {criterion.name: steps for criterion, steps in zip(missing, written, strict=True)}
        )

    async def _steps(self, rubric: Rubric, criterion: Criterion, count: Callable[[], None]) -> str:
        tokens = STEPS_TOKENS + self.config.reply_tokens
        reply = await self._ask(steps_prompt(rubric, criterion), self._sampling(tokens))
        steps = reply.text.strip()
        if reply.finish == "length" and "\n" in steps:
            # The last line is cut off in the middle.
            steps = steps.rpartition("\n")[0].rstrip()
        if not steps or reply.finish in ("error", "content_filter"):
            raise UserError(
                f"judge {self.endpoint.model}: wrote no evaluation steps for {rubric.name}, "
                f"{criterion.name} ({reply.error or reply.finish}); write steps into the rubric's "
                "file, or choose another judge"
            )
        count()
        return steps

    async def score(self, rubric: Rubric, criterion: Criterion, text: Text) -> Verdict:
        """What the judge thinks of a text by a criterion that has its steps.

        Raises:
            UselessJudge: none of its first replies held a score.
        """
        prompt = score_prompt(rubric, criterion, text)
        if self._asks_logprobs:
            sampling = self._sampling(self.config.reply_tokens, top_logprobs=TOP_LOGPROBS)
            reply = await self._ask(prompt, sampling)
            if has_logprobs(reply):
                self._weighed += 1
                return self._noted(weigh_logprobs(reply, criterion), reply)
            self._asks_logprobs = self._weighed > 0
        sampling = Sampling(max_tokens=self.config.reply_tokens, temperature=1.0)
        replies = await asyncio.gather(
            *(self._ask(prompt, sampling, sample) for sample in range(self.config.samples))
        )
        return self._noted(weigh_samples(replies, criterion), replies[0])

    async def prefer(
        self, rubric: Rubric, text: Text, second: str
    ) -> tuple[Preference | None, Tally]:
        """Which of two outputs is better: that of `text`, shown first, or the second."""
        sampling = self._sampling(self.config.reply_tokens)
        reply = await self._ask(pair_prompt(rubric, text, second), sampling)
        refused = reply.finish in ("error", "content_filter")
        preference = None if refused else parse_preference(reply.text)
        is_strict = reply.text.strip().casefold() in ("1", "2", "tie", "무승부")
        tally = Tally(
            replies=1,
            strict=int(is_strict),
            unparsed=int(preference is None and not refused),
            refused=int(refused),
            cut=int(reply.finish == "length"),
        )
        return preference, tally

    def _sampling(self, tokens: int, top_logprobs: int | None = None) -> Sampling:
        greedy = self.config.scoring is Scoring.auto
        temperature = 0.0 if greedy else 1.0
        return Sampling(max_tokens=tokens, temperature=temperature, top_logprobs=top_logprobs)

    async def _ask(self, prompt: Prompt, sampling: Sampling, sample: int = 0) -> Reply:
        continued = self.endpoint.api is Api.completions
        asked = str(prompt[0]["content"]) if continued else prompt
        async with self._turn:
            if self._useless is not None:
                raise UselessJudge(self._useless)
            return await self.service.ask(self.endpoint.request(asked, sampling, sample=sample))

    def _noted(self, verdict: Verdict, reply: Reply) -> Verdict:
        self._replies += verdict.tally.replies
        self._scored += verdict.tally.replies - verdict.tally.failures
        tokens = self.config.reply_tokens
        cut = f"; geval.reply_tokens = {tokens} cut it off" if verdict.tally.cut else ""
        self._last = f"{reply.error or reply.text[:80]!r}{cut}"
        if self._replies >= PATIENCE:
            self.see_that_it_scores()
        return verdict

    def see_that_it_scores(self) -> None:
        """See that some reply held a score, if there was any.

        Raises:
            UselessJudge: none did.
        """
        if self._replies and not self._scored:
            self._useless = (
                f"judge {self.endpoint.model}: its first {self._replies} replies hold no score, "
                f"such as {self._last}; choose another judge. Every reply is kept"
            )
            raise UselessJudge(self._useless)
