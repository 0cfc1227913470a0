"""Review items, the questions about them, and the ratings that a person gives."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from pacos.files import append_jsonl, read_jsonl

T = TypeVar("T")

Value = float | str


class Drawn(Enum):
    """The reason an item is shown."""

    chosen = "chosen"
    """The item is doubtful."""
    random = "random"
    """Chance alone, so that these items represent all of them."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One possible answer to a question."""

    value: Value
    label: str
    key: str
    """Key on the keyboard that gives this answer."""
    asks_reason: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """A question about an item."""

    name: str
    text: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """One item to rate."""

    id: str
    drawn: Drawn
    lang: str
    """`en` or `ko`."""
    sections: tuple[tuple[str, str], ...]
    """Pairs of a heading and a text."""
    questions: tuple[Question, ...]

    def for_page(self) -> dict[str, Any]:
        """Return the item for the page, without `drawn`, which would bias the person."""
        item = asdict(self)
        del item["drawn"]
        return item


@dataclass(frozen=True, slots=True)
class Rating:
    """A person's answer to one question about one item."""

    item: str
    question: str
    value: Value
    reason: str
    drawn: Drawn


class Ratings:
    """An append-only file of ratings. If a question is rated several times, the last one counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._latest: dict[tuple[str, str], Rating] = {}
        for record in read_jsonl(path):
            self._keep(
                Rating(
                    record["item"],
                    record["question"],
                    record["value"],
                    record["reason"],
                    Drawn(record["drawn"]),
                )
            )

    def add(self, rating: Rating) -> None:
        """Store a rating. It is on disk on return."""
        record = {**asdict(rating), "drawn": rating.drawn.value, "time": time.time()}
        append_jsonl(self._path, [record])
        self._keep(rating)

    def all(self) -> list[Rating]:
        """Return the ratings that count."""
        return list(self._latest.values())

    def _keep(self, rating: Rating) -> None:
        self._latest[rating.item, rating.question] = rating


def queue(
    units: Sequence[T], name: Callable[[T], str], doubt: Callable[[T], float], seed: int
) -> list[tuple[T, Drawn]]:
    """Return the order of review: the most doubtful unit, a random one, the next doubtful one.

    The random units follow one random order of all units, so however many are rated, they are a
    fair sample of those that are not shown as doubtful.

    Args:
        units: all units.
        name: returns a unit's unique name.
        doubt: returns the benefit of reviewing a unit; 0 for none.
        seed: of the random order.
    """

    def random_key(unit: T) -> str:
        # A hash per unit, not a shuffle: adding units keeps the order of the others.
        return hashlib.sha256(f"{seed}/{name(unit)}".encode()).hexdigest()

    shuffled = sorted(units, key=random_key)
    doubtful = sorted((unit for unit in shuffled if doubt(unit) > 0), key=lambda unit: -doubt(unit))
    orders = {Drawn.chosen: iter(doubtful), Drawn.random: iter(shuffled)}
    queued: list[tuple[T, Drawn]] = []
    names: set[str] = set()
    while len(queued) < len(units):
        for drawn, order in orders.items():
            unit = next((unit for unit in order if name(unit) not in names), None)
            if unit is not None:
                names.add(name(unit))
                queued.append((unit, drawn))
    return queued


def interleaved(queues: Iterable[Sequence[T]]) -> list[T]:
    """Merge several queues into one, taking an element of each in turn."""
    remaining = [list(elements) for elements in queues]
    merged = []
    for place in range(max(map(len, remaining), default=0)):
        merged += [elements[place] for elements in remaining if place < len(elements)]
    return merged
