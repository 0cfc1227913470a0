"""The program of `pacos review` for generated data: a person approves or rejects rows.

python -m selfinstruct.review RUN [--port N]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from pacos.configs.frozen import load_frozen
from pacos.errors import UserError
from pacos.files import read_jsonl, write_json
from pacos.proportion import proportion
from pacos.review.items import Choice, Drawn, Question, Rating, Ratings, ReviewItem, queue
from pacos.review.program import main, serve
from pacos.review.server import ReviewServer
from pacos.run_paths import DataPaths, RunPaths
from pacos.schemas import Row
from pacos.text.counted import counted
from pacos.text.language import language
from selfinstruct.config import HIGHEST, SelfInstructConfig

MOST_ITEMS = 1000
"""Rows on the page; far more than anybody rates."""
APPROVED, REJECTED = "approved", "rejected"

# A person reads the row, so that the page speaks the language of the row.
HEADINGS = {"en": ("Instruction", "Input", "Output"), "ko": ("지시", "입력", "출력")}
ASK = {
    "en": ("Would you teach this row to an assistant?", "approve", "reject"),
    "ko": ("어시스턴트에게 가르칠 만한 예시입니까?", "승인", "거절"),
}


def review(run: RunPaths, port: int | None) -> None:
    """Serve the page until it is interrupted, then write the findings to data/review.json.

    Raises:
        UserError: the run has no data set yet, or the port is taken.
    """
    config = load_frozen(run.config, SelfInstructConfig)
    files = DataPaths(run.data)
    path = files.rows
    rows = [Row.from_json(record, str(path)) for record in read_jsonl(path)]
    generated = [row for row in rows if row.source == "generated"]
    if not generated:
        raise UserError(
            f"{run.path}: {path} has no generated rows yet; wait until the run writes it"
        )
    ratings = Ratings(files.ratings)
    serve(ReviewServer(run.path.name, row_items(generated, config.seed), ratings, port))
    result = findings(ratings.all())
    write_json(files.review, result)
    print(f"{counted(result['rated'], 'row')} rated; findings are in {files.review}")


def row_items(rows: Sequence[Row], seed: int) -> list[ReviewItem]:
    """Return the items of the page: rows with the lowest score first, every second one at random.

    The random half gives an unbiased estimate; the other half finds bad rows fast.
    """
    order = queue(rows, name=lambda row: row.id, doubt=_doubt, seed=seed)
    return [_item(row, drawn) for row, drawn in order[:MOST_ITEMS]]


def _doubt(row: Row) -> float:
    """Return how far the LLM judge's score is from the best; 0 without a score: random order."""
    quality = row.lineage.get("quality")
    return 0.0 if quality is None else HIGHEST - float(quality)


def _item(row: Row, drawn: Drawn) -> ReviewItem:
    lang = "ko" if language(row.instruction) == "ko" else "en"
    sections = zip(HEADINGS[lang], (row.instruction, row.input, row.output), strict=True)
    question, approve, reject = ASK[lang]
    choices = (
        Choice(APPROVED, approve, "a"),
        Choice(REJECTED, reject, "r", asks_reason=True),
    )
    return ReviewItem(
        id=row.id,
        drawn=drawn,
        lang=lang,
        sections=tuple((heading, text) for heading, text in sections if text),
        questions=(Question("row", question, choices),),
    )


def findings(ratings: Sequence[Rating]) -> dict[str, Any]:
    """Return the share of approved rows among the random ones, and the rejected rows."""
    by_chance = [rating for rating in ratings if rating.drawn is Drawn.random]
    good = sum(rating.value == APPROVED for rating in by_chance)
    return {
        "rated": len(ratings),
        "by_chance": len(by_chance),
        "approved_by_chance": proportion(good, len(by_chance)),
        "rejected": [
            {"id": rating.item, "reason": rating.reason}
            for rating in ratings
            if rating.value == REJECTED
        ],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], review))
