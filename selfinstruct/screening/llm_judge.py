"""What an LLM judge thinks of rows that passed the filters."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from pacos.llm.config import EndpointConfig
from pacos.llm.request import Sampling
from pacos.llm.service import Service
from selfinstruct.config import FilterConfig
from selfinstruct.parse import Candidate
from selfinstruct.screening.judge_prompts import (
    QUALITY_SCHEMA,
    SAFETY_SCHEMA,
    parse_quality,
    parse_safety,
    quality_prompt,
    safety_prompt,
)
from selfinstruct.screening.rules import Verdict

LOW_QUALITY = "judged too low in quality"
DANGER = "judged unsafe"
NO_OPINION = "the judge gave no verdict"
SAMPLING = Sampling(max_tokens=512, temperature=0.0)


class Opinion:
    """Asks a judge about rows."""

    def __init__(self, endpoint: EndpointConfig, service: Service, filters: FilterConfig) -> None:
        self._endpoint = endpoint
        self._service = service
        self._filters = filters

    async def refine(
        self, candidates: Sequence[Candidate], verdicts: Sequence[Verdict], lang: str
    ) -> list[Verdict]:
        """The verdicts, with those of the judge on rows that nothing objected to."""
        return list(
            await asyncio.gather(
                *(
                    self._one(candidate, verdict, lang)
                    for candidate, verdict in zip(candidates, verdicts, strict=True)
                )
            )
        )

    async def _one(self, candidate: Candidate, verdict: Verdict, lang: str) -> Verdict:
        if verdict.reason is not None:
            return verdict
        quality = self._endpoint.request(quality_prompt(candidate, lang), SAMPLING, QUALITY_SCHEMA)
        score = parse_quality((await self._service.ask(quality)).text)
        if score is None:
            return replace(verdict, reason=NO_OPINION)
        verdict = replace(verdict, quality=score)
        if score < self._filters.min_quality:
            return replace(verdict, reason=LOW_QUALITY)
        if not self._filters.judged_safety:
            return verdict
        safety = self._endpoint.request(safety_prompt(candidate, lang), SAMPLING, SAFETY_SCHEMA)
        dangers = parse_safety((await self._service.ask(safety)).text)
        if dangers is None:
            return replace(verdict, reason=NO_OPINION)
        if not dangers:
            return verdict
        return replace(verdict, reason=f"{DANGER}: {', '.join(sorted(dangers))}")
