"""What a person is shown and asked, and the answers: a rating a line, on the disk at once."""

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
    """Why an item is shown."""

    chosen = "chosen"
    """It is worth a look."""
    random = "random"
    """By chance alone, so that conclusions about all items can be drawn."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer that can be given."""

    value: Value
    label: str
    key: str
    """Key on the keyboard that gives it."""
    asks_reason: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about an item."""

    name: str
    text: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to look at."""

    id: str
    drawn: Drawn
    lang: str
    """`en` or `ko`."""
    sections: tuple[tuple[str, str], ...]
    """Headings with their texts."""
    questions: tuple[Question, ...]

    def shown(self) -> dict[str, Any]:
        """What the page is told of it: not why it is shown, which would sway the person."""
        shown = asdict(self)
        del shown["drawn"]
        return shown


@dataclass(frozen=True, slots=True)
class Rating:
    """What a person said."""

    item: str
    question: str
    value: Value
    reason: str
    drawn: Drawn


class Ratings:
    """An append-only file; of several ratings of one question the last counts."""

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
        """Keep a rating; on return it is on the disk."""
        record = {**asdict(rating), "drawn": rating.drawn.value, "time": time.time()}
        append_jsonl(self._path, [record])
        self._keep(rating)

    def all(self) -> list[Rating]:
        """The ratings that count."""
        return list(self._latest.values())

    def _keep(self, rating: Rating) -> None:
        self._latest[rating.item, rating.question] = rating


def queue(
    units: Sequence[T], name: Callable[[T], str], doubt: Callable[[T], float], seed: int
) -> list[tuple[T, Drawn]]:
    """The order in which units are shown: the most doubtful, one by chance, and so on.

    Every second one is the next of a random order of all units, so that those before any point are
    a fair sample of what is not among the doubtful ones.

    Args:
        units: all that could be shown.
        name: tells them apart.
        doubt: how much a unit is worth a look; 0 is not at all.
        seed: of the random order.
    """

    def chance(unit: T) -> str:
        return hashlib.sha256(f"{seed}/{name(unit)}".encode()).hexdigest()

    by_chance = sorted(units, key=chance)
    doubtful = sorted((unit for unit in by_chance if doubt(unit) > 0), key=lambda one: -doubt(one))
    orders = {Drawn.chosen: iter(doubtful), Drawn.random: iter(by_chance)}
    found: list[tuple[T, Drawn]] = []
    seen: set[str] = set()
    while len(found) < len(units):
        for drawn, order in orders.items():
            unit = next((one for one in order if name(one) not in seen), None)
            if unit is not None:
                seen.add(name(unit))
                found.append((unit, drawn))
    return found


def woven(queues: Iterable[Sequence[T]]) -> list[T]:
    """Several queues as one, an element of each in turn."""
    waiting = [list(one) for one in queues]
    found = []
    for place in range(max(map(len, waiting), default=0)):
        found += [one[place] for one in waiting if place < len(one)]
    return found
