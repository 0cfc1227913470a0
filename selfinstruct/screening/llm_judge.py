"""The LLM judge: scores the rows that passed the screen, and checks their safety."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from pacos.llm.config import EndpointConfig
from pacos.llm.request import Sampling
from pacos.llm.service import Service
from selfinstruct.candidates.candidate import Candidate
from selfinstruct.config import FilterConfig
from selfinstruct.screening.judge_prompts import (
    QUALITY_SCHEMA,
    SAFETY_SCHEMA,
    parse_quality,
    parse_safety,
    quality_prompt,
    safety_prompt,
)
from selfinstruct.screening.verdict import Verdict

# Reasons of rejection, stored in rejected.jsonl.
LOW_QUALITY = "judged too low in quality"
DANGER = "judged unsafe"
NO_VERDICT = "the judge gave no verdict"

SAMPLING = Sampling(max_tokens=512, temperature=0.0)
"""Greedy, so that a score is repeatable; 512 tokens hold one sentence of reason and the answers."""


class LLMJudge:
    """Asks a language model about rows; its requests have a ledger and a budget of their own."""

    def __init__(self, endpoint: EndpointConfig, service: Service, filters: FilterConfig) -> None:
        self._endpoint = endpoint
        self._service = service
        self._filters = filters

    async def refine(
        self, candidates: Sequence[Candidate], verdicts: Sequence[Verdict], lang: str
    ) -> list[Verdict]:
        """Return the verdicts, with accepted candidates judged; rejected ones cost no request."""
        judged = (
            self._judge(candidate, verdict, lang)
            for candidate, verdict in zip(candidates, verdicts, strict=True)
        )
        return list(await asyncio.gather(*judged))

    async def _judge(self, candidate: Candidate, verdict: Verdict, lang: str) -> Verdict:
        if verdict.reason is not None:
            return verdict
        quality = self._endpoint.request(quality_prompt(candidate, lang), SAMPLING, QUALITY_SCHEMA)
        score = parse_quality((await self._service.ask(quality)).text)
        if score is None:
            return replace(verdict, reason=NO_VERDICT)
        verdict = replace(verdict, quality=score)
        if score < self._filters.min_quality:
            return replace(verdict, reason=LOW_QUALITY)
        if not self._filters.judged_safety:
            return verdict
        # A second request: a row of low quality is not worth a question about its safety.
        safety = self._endpoint.request(safety_prompt(candidate, lang), SAMPLING, SAFETY_SCHEMA)
        dangers = parse_safety((await self._service.ask(safety)).text)
        if dangers is None:
            return replace(verdict, reason=NO_VERDICT)
        if not dangers:
            return verdict
        return replace(verdict, reason=f"{DANGER}: {', '.join(sorted(dangers))}")
