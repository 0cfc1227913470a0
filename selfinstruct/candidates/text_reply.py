"""Parse replies in plain text: a malformed item costs only itself, never the rest of the reply."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selfinstruct.candidates.candidate import (
    CUT,
    NO_OUTPUT,
    WRONG_NUMBER,
    Candidate,
    normalize_input,
)
from selfinstruct.requests.prompts import ChatMarks
from selfinstruct.requests.wording import WORDINGS


def _any_language(field: str) -> str:
    """Return a pattern of what every language calls a field of `Wording`."""
    return "|".join(re.escape(getattr(wording, field)) for wording in WORDINGS.values())


_LABEL = re.compile(
    r"^[ \t]*(?:[#*]+[ \t]*)?(?:(?P<number>\d+)[ \t]*[.)][ \t]*)?\**"
    rf"(?:(?P<instruction>{_any_language('instruction')})|(?P<input>{_any_language('input')})"
    rf"|(?P<output>{_any_language('output')}))\**[ \t]*:\**",
    re.MULTILINE | re.IGNORECASE,
)
"""A label at the start of a line, numbered or not, plain or in Markdown, in any language.

Models drift from the form they were shown, and answer an English prompt in Korean labels.
"""

_SEPARATOR = re.compile(r"\s*^[ \t]*#{3,}[ \t]*(?:\d+[ \t]*[.)]?[ \t]*)?$\s*\Z", re.MULTILINE)
"""A line of `###`, numbered or not, at the end of a text."""


def tasks(text: str, *, cut: bool, first: int | None = None) -> list[Candidate]:
    """Parse whole tasks as labelled parts (instruction, input, output).

    Args:
        text: the reply, preceded by the end of the prompt that it continues.
        cut: the token limit ended the reply, so its last task may be incomplete.
        first: expected number of the first task. A task whose labels carry another number than its
            place is defective; a missing one thus makes all later ones defective, as in Alpaca's
            release. None: numbers are ignored.
    """
    labels = list(_LABEL.finditer(text))
    starts = [at for at, label in enumerate(labels) if label["instruction"]]
    if not starts:
        return [_nothing(text, cut)]
    candidates = []
    for place, (at, after) in enumerate(zip(starts, [*starts[1:], len(labels)], strict=True)):
        end = labels[after].start() if after < len(labels) else len(text)
        number = None if first is None else first + place
        candidates.append(_task(text, labels[at:after], end, number))
    # A separator after the last task proves that the limit hit after it.
    if cut and not _SEPARATOR.search(text):
        candidates[-1] = Candidate(text[labels[starts[-1]].end() :].strip(), defect=CUT)
    return candidates


def _task(text: str, labels: list[re.Match[str]], end: int, number: int | None) -> Candidate:
    """Parse the task from its first label to `end`."""
    raw = text[labels[0].end() : end].strip()
    if number is not None and any(label["number"] != str(number) for label in labels):
        return Candidate(raw, defect=WRONG_NUMBER)
    ends = [*(label.start() for label in labels[1:]), end]
    parts: dict[str, str] = {}
    for label, stop in zip(labels, ends, strict=True):
        name = str(label.lastgroup)
        # A repeated label belongs to the text of the part it stands in.
        if name in parts:
            last = list(parts)[-1]
            parts[last] += text[label.start() : stop]
        else:
            parts[name] = text[label.end() : stop]
    if "output" not in parts:
        return Candidate(raw, defect=NO_OUTPUT)
    return Candidate(
        instruction=parts["instruction"].strip(),
        input=normalize_input(parts.get("input", "")),
        output=_SEPARATOR.sub("", parts["output"]).strip(),
    )


_ITEM = re.compile(r"^[ \t]*\d+[ \t]*[.)][ \t]+", re.MULTILINE)


def instructions(text: str, *, cut: bool) -> list[Candidate]:
    """Parse the items of a numbered list; line breaks inside an item become spaces."""
    items = [item for _, item in _texts_after(list(_ITEM.finditer(text)), text)]
    candidates = [Candidate(" ".join(item.split())) for item in items]
    if cut and candidates:
        candidates[-1] = Candidate(candidates[-1].instruction, defect=CUT)
    return candidates or [Candidate(text.strip(), defect=CUT if cut else "no numbered item")]


_YES = ("네", "그렇", *(wording.yes.casefold() for wording in WORDINGS.values()))
_NO = ("아니", *(wording.no.casefold() for wording in WORDINGS.values()))


def says_yes(text: str) -> bool:
    """Return True if the reply starts with yes; anything else counts as no."""
    # An unclear answer counts as no: prompts for other tasks also work for a classification, while
    # labels first makes no sense for an open task.
    word = text.strip().strip("*\"'").casefold()
    return word.startswith(_YES) and not word.startswith(_NO)


_CLASS = re.compile(rf"^[ \t]*(?:{_any_language('label')})[ \t]*:", re.MULTILINE | re.IGNORECASE)
_EXAMPLE = re.compile(
    rf"^[ \t]*(?:{_any_language('example')})[ \t]*\d*[ \t]*[.:]?[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)


def labelled_instances(instruction: str, text: str, *, cut: bool) -> list[Candidate]:
    """Parse the instances of a classification task: each class label, then its input."""
    candidates = []
    for _, part in _texts_after(list(_CLASS.finditer(text)), text):
        label, _, rest = part.strip().partition("\n")
        input_label = rf"\A(?:{_any_language('input')})[ \t]*:"
        rest = re.sub(input_label, "", rest.strip(), flags=re.IGNORECASE)
        candidates.append(Candidate(instruction, normalize_input(rest), label.strip()))
    return _mark_cut(candidates, text, cut)


def instances(instruction: str, text: str, *, cut: bool) -> list[Candidate]:
    """Parse the instances of any other task: an output, and the input before it if there is one."""
    candidates = []
    for example in _EXAMPLE.split(text):
        inputs: list[str] = []
        labels = [label for label in _LABEL.finditer(example) if not label["instruction"]]
        for label, content in _texts_after(labels, example):
            if label["input"]:
                inputs.append(content.strip())
            else:
                given = inputs.pop() if inputs else ""
                candidates.append(Candidate(instruction, normalize_input(given), content.strip()))
    return _mark_cut(candidates, text, cut)


def conversation(text: str, marks: ChatMarks, *, cut: bool) -> list[Candidate]:
    """Parse the one task that the reply opens with: a user turn and the answer to it."""
    question, between, answer = text.partition(marks.between.rstrip())
    end = marks.end.strip()
    if end in question or not answer.strip():
        return [Candidate(text.strip(), defect=CUT if cut and not between else NO_OUTPUT)]
    output, closed, _ = answer.partition(end)
    if cut and not closed:
        return [Candidate(text.strip(), defect=CUT)]
    # No label tells instruction and input apart: the first line of the turn is the instruction.
    instruction, _, rest = question.strip().partition("\n")
    return [Candidate(instruction.strip(), normalize_input(rest), output.strip())]


def _texts_after(labels: list[re.Match[str]], text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Yield each label with the text up to the next one."""
    for at, label in enumerate(labels):
        end = labels[at + 1].start() if at + 1 < len(labels) else len(text)
        yield label, text[label.end() : end]


def _mark_cut(candidates: list[Candidate], text: str, cut: bool) -> list[Candidate]:
    """Mark the last instance as defective if the token limit ended the reply."""
    if not candidates:
        return [_nothing(text, cut)]
    if cut:
        last = candidates[-1]
        candidates[-1] = Candidate(last.instruction, last.input, last.output, defect=CUT)
    return candidates


def _nothing(text: str, cut: bool) -> Candidate:
    return Candidate(text.strip(), defect=CUT if cut else NO_OUTPUT)
