"""The program of `pacos review` for generated data: a person approves rows, or says why not.

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
from pacos.review.items import Choice, Drawn, Item, Question, Rating, Ratings, queue
from pacos.review.program import main
from pacos.review.server import ReviewServer, serve
from pacos.run_paths import DataPaths, RunPaths
from pacos.schemas import Row
from pacos.text.language import language
from selfinstruct.config import HIGHEST, SelfInstructConfig

MOST_ITEMS = 1000
"""Rows that the page holds; far more than anybody looks at."""
APPROVED, REJECTED = "approved", "rejected"

HEADINGS = {"en": ("Instruction", "Input", "Output"), "ko": ("지시", "입력", "출력")}
ASK = {
    "en": ("Would you teach this row to an assistant?", "approve", "reject"),
    "ko": ("어시스턴트에게 가르칠 만한 예시입니까?", "승인", "거절"),
}


def review(run: RunPaths, port: int | None) -> None:
    """Serve the page, and write what came of it to data/review.json.

    Raises:
        UserError: the run has no data set yet, or the port is taken.
    """
    config = load_frozen(run.config, SelfInstructConfig)
    files = DataPaths(run.data)
    path = files.rows
    rows = [Row.from_json(record, str(path)) for record in read_jsonl(path)]
    generated = [row for row in rows if row.source == "generated"]
    if not generated:
        raise UserError(f"{run.path}: no {path} with generated rows yet; let the run come that far")
    ratings = Ratings(files.ratings)
    serve(ReviewServer(run.path.name, row_items(generated, config.seed), ratings, port))
    found = findings(ratings.all())
    write_json(files.review, found)
    print(f"{found['rated']} rows rated; what they say is in {files.review}")


def row_items(rows: Sequence[Row], seed: int) -> list[Item]:
    """Rows as they are shown: the judge's worst first, every second one by chance."""
    drawn = queue(rows, name=lambda row: row.id, doubt=_doubt, seed=seed)
    return [_item(row, why) for row, why in drawn[:MOST_ITEMS]]


def _doubt(row: Row) -> float:
    """A judge's score says how doubtful a row is; without one, all are shown by chance."""
    quality = row.lineage.get("quality")
    return 0.0 if quality is None else HIGHEST - float(quality)


def _item(row: Row, drawn: Drawn) -> Item:
    lang = "ko" if language(row.instruction) == "ko" else "en"
    texts = zip(HEADINGS[lang], (row.instruction, row.input, row.output), strict=True)
    text, approve, reject = ASK[lang]
    choices = (
        Choice(APPROVED, approve, "a"),
        Choice(REJECTED, reject, "r", asks_reason=True),
    )
    return Item(
        id=row.id,
        drawn=drawn,
        lang=lang,
        sections=tuple((heading, text) for heading, text in texts if text),
        questions=(Question("row", text, choices),),
    )


def findings(ratings: Sequence[Rating]) -> dict[str, Any]:
    """The share of good rows, by those shown by chance; rejected rows with their reasons."""
    by_chance = [one for one in ratings if one.drawn is Drawn.random]
    good = sum(one.value == APPROVED for one in by_chance)
    return {
        "rated": len(ratings),
        "by_chance": len(by_chance),
        "approved_by_chance": proportion(good, len(by_chance)),
        "rejected": [
            {"id": one.item, "reason": one.reason} for one in ratings if one.value == REJECTED
        ],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], review))
