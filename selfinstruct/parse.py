"""From a reply to candidates, item by item: what is wrong with one leaves the others whole."""

from __future__ import annotations

from dataclasses import dataclass

from selfinstruct.prompts import NO_INPUT, Layout

CUT = "cut by the token limit"
NO_OUTPUT = "no output part"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task that the teacher wrote."""

    instruction: str
    input: str = ""
    output: str = ""
    defect: str | None = None
    """Why it is no task; what was written is then in `instruction`, as it stands."""


def parse(reply: str, *, cut: bool, layout: Layout) -> list[Candidate]:
    """Take a reply apart.

    Args:
        reply: what the teacher wrote, after the words that the prompt gave it to begin with.
        cut: the token limit ended it, so that its last task may be incomplete.
        layout: how the tasks of the prompt were written out.
    """
    begin = layout.instruction.rstrip()
    items = f"{begin}{reply}".split(begin)[1:]
    candidates = [_candidate(item, layout) for item in items]
    if cut and layout.end.strip() not in _after_output(items[-1], layout):
        candidates[-1] = Candidate(items[-1].strip(), defect=CUT)
    return candidates


def _candidate(item: str, layout: Layout) -> Candidate:
    mark = layout.end.strip()
    question, _, answer = item.partition(layout.output.rstrip())
    if not answer or mark in question:
        return Candidate(item.strip(), defect=NO_OUTPUT)
    # A conversation has no label there: the instruction is the first line of what the user says.
    instruction, _, given = question.strip().partition(layout.input.rstrip() or "\n")
    task_input = given.strip()
    return Candidate(
        instruction=instruction.strip(),
        input="" if task_input.casefold() in NO_INPUT else task_input,
        output=answer.partition(mark)[0].strip(),
    )


def _after_output(item: str, layout: Layout) -> str:
    return item.partition(layout.output.rstrip())[2]
