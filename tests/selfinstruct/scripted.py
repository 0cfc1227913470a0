"""A teacher that writes the same tasks for the same request, for whole runs without a model.

python -m tests.selfinstruct.scripted RUN/config.yaml PAUSE_SECONDS
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pacos.console import set_up_logging
from pacos.errors import UserError, exit_with
from pacos.files import append_jsonl
from pacos.frozen import load_frozen
from pacos.run_dir import RunDir
from selfinstruct.config import SelfInstructConfig
from selfinstruct.ledger import Reply, Request
from selfinstruct.prompts import BLOCKS, Layout
from selfinstruct.run import live

VERBS = ["Describe", "Sketch in words", "Invent", "Compare", "Praise", "Mock", "Sell", "Defend"]
THINGS = ["a blue harbour", "two old clocks", "the last tram", "some spilt tea", "one loud parrot"]
PLACES = ["in Oslo", "under heavy rain", "for my aunt", "at dawn", "on a slow train", "by heart"]
MANNERS = ["rhyming twice", "as a riddle", "without verbs", "for sailors", "like a judge would"]


class ScriptedTeacher:
    """Writes two good tasks and a bad one for every request, and notes what it was asked."""

    layout: Layout = BLOCKS

    def __init__(self, asked: Path, pause: float = 0.0) -> None:
        self._asked = asked
        self._pause = pause

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        append_jsonl(self._asked, [{"key": request.key} for request in requests])
        time.sleep(self._pause)
        return [self._reply(request) for request in requests]

    def _reply(self, request: Request) -> Reply:
        draw = random.Random(request.seed)
        tasks = [self._task(draw) for _ in range(2)]
        text = f" {tasks[0]}\n###\nInstruction: {tasks[1]}\n###\nInstruction: one without output"
        return Reply(text=text, cut=draw.random() < 0.5, tokens=len(text.split()))

    def _task(self, draw: random.Random) -> str:
        number = draw.randrange(1000)
        words = [draw.choice(part) for part in (VERBS, THINGS, PLACES, MANNERS)]
        return f"{' '.join(words)}\nInput: none\nOutput: Answer {number}, in full."


def main(arguments: Sequence[str]) -> int:
    set_up_logging(is_main=True)
    path = Path(arguments[0])
    run = RunDir(path.parent)
    teacher = ScriptedTeacher(run.path / "asked.jsonl", float(arguments[1]))
    try:
        return live(load_frozen(path, SelfInstructConfig), run, teacher)
    except UserError as error:
        return exit_with(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
