"""The data set on disk: rows, held-out rows, rejected candidates with reasons, and the card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pacos.files import atomic_write, write_jsonl
from pacos.schemas import Row, SeedTask
from selfinstruct.config import SelfInstructConfig
from selfinstruct.generate import Rejection
from selfinstruct.pool import Pool

SHIPPED_TERMS = "Apache-2.0 (pacos)"
UNSTATED_TERMS = "unstated (seeds of the user)"


def seed_terms(config: SelfInstructConfig) -> str:
    """Licence of the seeds; of a user's own file pacos knows none."""
    return SHIPPED_TERMS if config.seeds.is_shipped() else UNSTATED_TERMS


def export(
    folder: Path,
    config: SelfInstructConfig,
    pool: Pool,
    rejections: Sequence[Rejection],
    requests: int,
) -> None:
    """Write the data set; each file appears whole, data.jsonl last."""
    terms = seed_terms(config)
    heldout = [_seed_row(seed, terms) for seed in pool.heldout]
    rows = [*(_seed_row(seed, terms) for seed in pool.seeds), *pool.rows]
    write_jsonl(folder / "heldout.jsonl", (row.to_json() for row in heldout))
    write_jsonl(folder / "rejected.jsonl", map(_rejected, rejections))
    atomic_write(folder / "README.md", _card(config, pool, rejections, requests))
    write_jsonl(folder / "data.jsonl", (row.to_json() for row in rows))


def _seed_row(seed: SeedTask, terms: str) -> Row:
    return Row(
        id=seed.id,
        instruction=seed.instruction,
        input=seed.input,
        output=seed.output,
        source="seed",
        lineage={"seeds": [seed.id], "terms": terms},
    )


def _rejected(rejection: Rejection) -> Mapping[str, Any]:
    """The candidate, why it was rejected, and what it was too close to, if that is why."""
    candidate, nearest = rejection.candidate, rejection.verdict.nearest
    return {
        "reason": rejection.verdict.reason,
        "instruction": candidate.instruction,
        "input": candidate.input,
        "output": candidate.output,
        "request": rejection.request,
        "nearest": None if nearest is None else asdict(nearest),
    }


def _card(
    config: SelfInstructConfig, pool: Pool, rejections: Sequence[Rejection], requests: int
) -> str:
    """The dataset card."""
    method, generator, terms = config.method, config.generator, seed_terms(config)
    reasons = Counter(str(rejection.verdict.reason) for rejection in rejections).most_common()
    lines = [f"| {reason} | {count} |" for reason, count in reasons] or ["| none | 0 |"]
    candidates = len(pool.rows) + len(rejections)
    return f"""# Instruction data by {generator.name}

{len(pool.seeds)} rows were written by people (`source: seed`), {len(pool.rows)} by a language model
(`source: generated`). {len(pool.heldout)} more seeds are in `heldout.jsonl`: no prompt showed them,
and no generated instruction comes close to one.

**Nobody has checked the generated rows.** They passed the filters below, which look at form and at
novelty, not at truth. Expect wrong answers, and the bias and the gaps of the teacher.

## How it was made

{requests} requests to {generator.name} (`{generator.model}`), method `{method.name}`: each showed
{method.num_seed_examples} seed tasks and asked for more (temperature {method.temperature}, top_p
{method.top_p}, at most {method.max_tokens} tokens; seed {config.seed}). Of {candidates} candidates
{len(pool.rows)} were accepted. An instruction was too similar where its ROUGE-L F with one in the
pool was above {config.filters.max_similarity}.

| rejected because | candidates |
|---|---|
{chr(10).join(lines)}

Every row's `lineage` names the seeds it was shown, its request in `ledger.jsonl`, teacher and
terms. `rejected.jsonl` holds what was left out.

## Terms

- seeds: {terms}
- generated rows: {generator.terms}, the terms of {generator.name}
"""
