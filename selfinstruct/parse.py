"""From a reply to candidates, item by item: what is wrong with one leaves the others whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from selfinstruct.requests.prompts import Conversation
from selfinstruct.requests.wording import WORDINGS

CUT = "cut by the token limit"
NO_OUTPUT = "no output part"
WRONG_NUMBER = "numbered wrongly"
NOT_JSON = "not the JSON asked for"

NO_INPUT = frozenset({"none", "noinput", "n/a", "없음", "입력없음"})
"""What a teacher writes, in lower case and without blanks, brackets and full stop, where a task has
no input. Weak ones repeat the dots that stand for it in the form that they are shown."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task that the teacher wrote."""

    instruction: str
    input: str = ""
    output: str = ""
    defect: str | None = None
    """Why it is no task; what was written is then in `instruction`, as it stands."""


def without_input(text: str) -> str:
    """The text of an input; empty where it says that there is none."""
    text = text.strip()
    bare = text.casefold().strip(" .<>()").replace(" ", "")
    return "" if bare in NO_INPUT or not text.strip(" .…") else text


def _any_of(field: str) -> str:
    return "|".join(re.escape(getattr(words, field)) for words in WORDINGS.values())


_LABEL = re.compile(
    r"^[ \t]*(?:[#*]+[ \t]*)?(?:(?P<number>\d+)[ \t]*[.)][ \t]*)?\**"
    rf"(?:(?P<instruction>{_any_of('instruction')})|(?P<input>{_any_of('input')})"
    rf"|(?P<output>{_any_of('output')}))\**[ \t]*:\**",
    re.MULTILINE | re.IGNORECASE,
)
"""A label at the beginning of a line, numbered or not, plain or in Markdown, in any language."""

_SEPARATOR = re.compile(r"\s*^[ \t]*#{3,}[ \t]*(?:\d+[ \t]*[.)]?[ \t]*)?$\s*\Z", re.MULTILINE)
"""A line of number signs at the end of a task."""


def blocks(text: str, *, cut: bool, first: int | None = None) -> list[Candidate]:
    """Tasks as labelled parts.

    Args:
        text: the reply, after the words that the prompt gave it to begin with.
        cut: the token limit ended it, so that its last task may be incomplete.
        first: number of the first task; given, a task whose parts bear another number than its
            place is defective, and so are all after one that is missing. None: numbers are ignored.
    """
    marks = list(_LABEL.finditer(text))
    starts = [at for at, mark in enumerate(marks) if mark["instruction"]]
    if not starts:
        return [Candidate(text.strip(), defect=CUT if cut else NO_OUTPUT)]
    found = []
    for place, (at, after) in enumerate(zip(starts, [*starts[1:], len(marks)], strict=True)):
        end = marks[after].start() if after < len(marks) else len(text)
        number = None if first is None else first + place
        found.append(_block(text, marks[at:after], end, number))
    if cut and not _SEPARATOR.search(text):
        found[-1] = Candidate(text[marks[starts[-1]].end() :].strip(), defect=CUT)
    return found


def _block(text: str, marks: list[re.Match[str]], end: int, number: int | None) -> Candidate:
    whole = text[marks[0].end() : end].strip()
    ends = [*(mark.start() for mark in marks[1:]), end]
    if number is not None and any(mark["number"] != str(number) for mark in marks):
        return Candidate(whole, defect=WRONG_NUMBER)
    parts: dict[str, str] = {}
    for mark, stop in zip(marks, ends, strict=True):
        name = str(mark.lastgroup)
        # A label that comes again belongs to the text of the part it is in.
        if name in parts:
            last = list(parts)[-1]
            parts[last] += text[mark.start() : stop]
        else:
            parts[name] = text[mark.end() : stop]
    if "output" not in parts:
        return Candidate(whole, defect=NO_OUTPUT)
    return Candidate(
        instruction=parts["instruction"].strip(),
        input=without_input(parts.get("input", "")),
        output=_SEPARATOR.sub("", parts["output"]).strip(),
    )


def _parts(marks: list[re.Match[str]], text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Each mark, with the text from its end to the next."""
    for at, mark in enumerate(marks):
        end = marks[at + 1].start() if at + 1 < len(marks) else len(text)
        yield mark, text[mark.end() : end]


_ITEM = re.compile(r"^[ \t]*\d+[ \t]*[.)][ \t]+", re.MULTILINE)


def numbered(text: str, *, cut: bool) -> list[Candidate]:
    """Instructions as the items of a numbered list; line breaks inside one become blanks."""
    items = [part for _, part in _parts(list(_ITEM.finditer(text)), text)]
    found = [Candidate(" ".join(item.split())) for item in items]
    if cut and found:
        found[-1] = Candidate(found[-1].instruction, defect=CUT)
    return found or [Candidate(text.strip(), defect=CUT if cut else "no numbered item")]


def json_tasks(text: str, *, cut: bool) -> list[Candidate]:
    """The tasks of a reply in JSON."""
    found = []
    for item in _json_items(text, "tasks"):
        parts = _texts(item, "instruction", "output")
        if parts is None:
            found.append(Candidate(json.dumps(item, ensure_ascii=False), defect=NOT_JSON))
        else:
            found.append(
                Candidate(parts[0], without_input(_whole(str(item.get("input") or ""))), parts[1])
            )
    return found or [Candidate(text.strip(), defect=CUT if cut else NOT_JSON)]


def json_instructions(text: str, *, cut: bool) -> list[Candidate]:
    """The instructions of a reply in JSON."""
    items = _json_items(text, "instructions")
    found = [Candidate(_whole(item)) for item in items if isinstance(item, str)]
    return found or [Candidate(text.strip(), defect=CUT if cut else NOT_JSON)]


def _texts(item: Any, *keys: str) -> list[str] | None:
    if not isinstance(item, dict) or not all(isinstance(item.get(key), str) for key in keys):
        return None
    return [_whole(item[key]) for key in keys]


def _whole(text: str) -> str:
    """The text without halves of surrogate pairs, which JSON can escape and no file can hold."""
    return text.encode(errors="replace").decode().strip()


def _json_items(text: str, key: str) -> list[Any]:
    """The items of the list in an object, those before the place where the text was cut too."""
    try:
        value = json.loads(text[text.find("{") : text.rfind("}") + 1])
    except ValueError:
        return list(_items_before_the_cut(text))
    items = value.get(key) if isinstance(value, dict) else None
    return items if isinstance(items, list) else []


def _items_before_the_cut(text: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(), text.find("[") + 1
    while at:
        try:
            item, end = decoder.raw_decode(text, re.compile(r"[\s,]*").match(text, at).end())  # type: ignore[union-attr]
        except ValueError:
            return
        yield item
        at = end


_YES = ("네", "그렇", *(words.yes.casefold() for words in WORDINGS.values()))
_NO = ("아니", *(words.no.casefold() for words in WORDINGS.values()))


def says_yes(text: str) -> bool:
    """Whether a reply begins with yes."""
    word = text.strip().strip("*\"'").casefold()
    return word.startswith(_YES) and not word.startswith(_NO)


_CLASS = re.compile(rf"^[ \t]*(?:{_any_of('label')})[ \t]*:", re.MULTILINE | re.IGNORECASE)
_EXAMPLE = re.compile(
    rf"^[ \t]*(?:{_any_of('example')})[ \t]*\d*[ \t]*[.:]?[ \t]*$", re.MULTILINE | re.IGNORECASE
)


def labelled_instances(instruction: str, text: str, *, cut: bool) -> list[Candidate]:
    """Instances of classification: after each class label its input."""
    found = []
    for _, part in _parts(list(_CLASS.finditer(text)), text):
        label, _, given = part.strip().partition("\n")
        given = re.sub(rf"\A(?:{_any_of('input')})[ \t]*:", "", given.strip(), flags=re.IGNORECASE)
        found.append(Candidate(instruction, without_input(given), label.strip()))
    return _without_cut(found, text, cut)


def instances(instruction: str, text: str, *, cut: bool) -> list[Candidate]:
    """Instances of any other task: an input, where there is one, and its output."""
    found = []
    for part in _EXAMPLE.split(text):
        inputs: list[str] = []
        outputs: list[str] = []
        marks = [mark for mark in _LABEL.finditer(part) if not mark["instruction"]]
        for mark, content in _parts(marks, part):
            (inputs if mark["input"] else outputs).append(content.strip())
            if mark["output"]:
                given = inputs.pop() if inputs else ""
                found.append(Candidate(instruction, without_input(given), outputs[-1]))
    return _without_cut(found, text, cut)


def _without_cut(found: list[Candidate], text: str, cut: bool) -> list[Candidate]:
    if not found:
        return [Candidate(text.strip(), defect=CUT if cut else NO_OUTPUT)]
    if cut:
        last = found[-1]
        found[-1] = Candidate(last.instruction, last.input, last.output, defect=CUT)
    return found


def json_instances(instruction: str, text: str, *, cut: bool, output: str) -> list[Candidate]:
    """Instances of a reply in JSON; `output` names the part that is the answer."""
    found = []
    for item in _json_items(text, "instances"):
        parts = _texts(item, output)
        if parts is None:
            found.append(Candidate(json.dumps(item, ensure_ascii=False), defect=NOT_JSON))
        else:
            given = without_input(_whole(str(item.get("input") or "")))
            found.append(Candidate(instruction, given, parts[0]))
    return found or [Candidate(text.strip(), defect=CUT if cut else NOT_JSON)]


def conversation(text: str, marks: Conversation, *, cut: bool) -> list[Candidate]:
    """A task that was written as a conversation of its own: the one that the reply begins with."""
    question, between, answer = text.partition(marks.between.rstrip())
    end = marks.end.strip()
    if end in question or not answer.strip():
        return [Candidate(text.strip(), defect=CUT if cut and not between else NO_OUTPUT)]
    output, closed, _ = answer.partition(end)
    if cut and not closed:
        return [Candidate(text.strip(), defect=CUT)]
    # There is no label: the instruction is the first line of what the user says.
    instruction, _, given = question.strip().partition("\n")
    return [Candidate(instruction.strip(), without_input(given), output.strip())]
