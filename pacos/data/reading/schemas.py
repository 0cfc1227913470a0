"""Schemas of rows: the columns of each, and their reading into something to train on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pacos.data.example import Content, RawText, RowError, TokenIds, Turn
from pacos.data.reading.conversation import conversation
from pacos.data.reading.fields import Fields, refusal, shown, text_of
from pacos.data.reading.turns import Turns, read_turns

QUESTIONS = ("instruction", "prompt", "question", "query")
"""Columns that hold a prompt. Any of them goes with any of ANSWERS."""

ANSWERS = ("output", "completion", "response", "answer")

CONTEXTS = ("input", "context")
"""Columns that hold a text that belongs to a prompt: Alpaca's and Dolly's."""

DIALOGS = ("messages", "conversations", "conversation")
"""Columns that hold turns."""

METADATA = ("id", "prompt_id", "lineage")
"""Columns that describe a row. They never count as unread."""

GENERATED = "source"
"""Column beside `lineage` in the rows of pacos selfinstruct: written by a person or a model. In
other rows it may be anything, such as the text to translate."""

TREE = "(tree)"
"""Column of the conversations that `pacos.data.reading.trees` takes from a tree. No file has it."""

UNSUPERVISED = -100
"""Label of a token without a loss in a pre-tokenized row (torch's default ignore_index)."""

_COMMON = ("system", "system_prompt", "tools", "functions")
_MASKS = ("labels", "attention_mask", "completion_mask", "assistant_masks")


@dataclass(frozen=True, slots=True)
class Schema:
    """One way to lay out a row."""

    needed: tuple[str, ...]
    """Columns that a row must have."""
    optional: tuple[str, ...]
    """More columns that are read."""
    read: Callable[[Fields], Content]


def _read_dialog(column: str, fields: Fields) -> Content:
    value, filled = fields.parsed(column)
    place = fields.place(column)
    turns = read_turns(value, place, fields, filled=filled)
    prompt = fields.get("prompt")
    # UltraChat-200k repeats the first user turn.
    if prompt is not None and prompt != next(
        (turn["content"] for turn in turns.turns if turn["role"] == "user"), None
    ):
        fields.not_read(fields.place("prompt"))
    return conversation(turns, place, fields)


def _read_tree(fields: Fields) -> Content:
    path = fields.get(TREE)
    for column in path["unread"]:
        fields.not_read(column)
    fields.notes += path["notes"]
    turns = read_turns(path["turns"], "text", fields, filled=False)
    return conversation(turns, "text", fields)


def _read_pair(question: str, answer: str, fields: Fields) -> Content:
    if not fields.is_plain:
        _refuse_rivals(question, QUESTIONS, fields)
        _refuse_rivals(answer, ANSWERS, fields)
    prompt = fields.get(question)
    # TRL's conversational form.
    if isinstance(prompt, list) and question == "prompt":
        return _read_turn_pair(prompt, answer, fields)
    turns = Turns([], [])
    if not fields.is_plain:
        _add_history(turns, fields)
    user: Turn = {"role": "user", "content": fields.text(question)}
    if context := _context(question, fields):
        user["input"] = context
    turns.add(user)
    turns.add({"role": "assistant", "content": fields.text(answer)})
    return conversation(turns, fields.place(answer), fields)


def _refuse_rivals(chosen: str, names: Sequence[str], fields: Fields) -> None:
    """Refuse a row with two different prompts, or two different answers."""
    for name in names:
        value = fields.columns.get(name)
        if value is None or name == chosen or value in ("", fields.columns[chosen]):
            continue
        used, other = fields.place(chosen), fields.place(name)
        fault = f"is another text beside {used}, and a row has one of each"
        remedy = f"leave one of them out with data.ignore=[{other}] or data.ignore=[{used}]"
        raise refusal(other, value, fault, remedy)


def _read_turn_pair(prompt: list[Any], answer: str, fields: Fields) -> Content:
    turns = read_turns(prompt, fields.place("prompt"), fields, filled=fields.filled)
    # The loss is on the completion, unless a turn of the prompt asks for one.
    turns.trained = [trained or False for trained in turns.trained]
    completion = fields.get(answer)
    if isinstance(completion, list):
        place = fields.place(answer)
        turns = read_turns(completion, place, fields, filled=fields.filled, after=turns)
    else:
        turns.add({"role": "assistant", "content": fields.text(answer)})
    return conversation(turns, f"{fields.place('prompt')}, {fields.place(answer)}", fields)


def _context(question: str, fields: Fields) -> str:
    """Return the text that belongs to a prompt."""
    if question not in ("instruction", "question", "input"):
        return ""
    text = "" if question == "input" else fields.optional_text("input")
    context = fields.optional_text("context")
    if text and context and text != context:
        fault = f"differs from {fields.place('input')}, which is {shown(text)}"
        raise refusal(fields.place("context"), context, fault, "keep one of them")
    return text or context


def _add_history(turns: Turns, fields: Fields) -> None:
    """Put the earlier exchanges of a row first."""
    history, _ = fields.parsed("history")
    if not history:
        return
    place = fields.place("history")
    remedy = 'write [["earlier question", "its answer"], …]'
    if not isinstance(history, list):
        raise refusal(place, history, "must be a list of pairs", remedy)
    for index, pair in enumerate(history):
        if not isinstance(pair, list) or len(pair) != 2:
            raise refusal(f"{place}[{index}]", pair, "must be a pair of texts", remedy)
        for role, side in (("user", 0), ("assistant", 1)):
            text = text_of(pair[side], f"{place}[{index}][{side}]")
            turns.add({"role": role, "content": text})


def _read_alternating(fields: Fields) -> Content:
    texts, _ = fields.parsed("data")
    place = fields.place("data")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise refusal(
            place,
            texts,
            "must be a list of texts, of the user and the assistant in turn",
            "if these are the rows themselves, make them the list that the file holds",
        )
    turns = Turns([], [])
    for index, text in enumerate(texts):
        role = ("user", "assistant")[index % 2]
        turns.add({"role": role, "content": text_of(text, f"{place}[{index}]")})
    return conversation(turns, place, fields)


def _read_text(fields: Fields) -> Content:
    return RawText(prompt="", text=fields.text("text"))


def _read_raw_pair(fields: Fields) -> Content:
    prompt = text_of(fields.get("prompt"), fields.place("prompt"), empty=True)
    return RawText(prompt=prompt, text=fields.text("completion"))


def _read_ids(fields: Fields) -> Content:
    ids = _integers(fields, "input_ids")
    if not ids or min(ids) < 0:
        raise refusal(
            fields.place("input_ids"), ids, "must be token ids from 0 on", "tokenize the row again"
        )
    masks = {name: _integers(fields, name) for name in _MASKS if fields.get(name) is not None}
    for name, values in masks.items():
        place = fields.place(name)
        if len(values) != len(ids):
            fault = f"has {len(values)} items, but there are {len(ids)} tokens"
            raise refusal(place, values, fault, "tokenize the row again")
        if name != "labels" and not set(values) <= {0, 1}:
            raise refusal(place, values, "must hold 0 and 1 only", "tokenize the row again")
    if 0 in (mask := masks.pop("attention_mask", ())):
        raise refusal(
            fields.place("attention_mask"),
            mask,
            "hides tokens, but every token of a row is seen",
            "remove the padding from input_ids and labels",
        )
    labels = masks.pop("labels", ids)
    pairs = enumerate(zip(labels, ids, strict=True))
    wrong = [index for index, (label, token) in pairs if label not in (token, UNSUPERVISED)]
    if wrong:
        raise refusal(
            f"{fields.place('labels')}[{wrong[0]}]",
            labels[wrong[0]],
            f"must be {ids[wrong[0]]}, the id of its token, or {UNSUPERVISED}",
            "do not shift labels: the loss does that",
        )
    for mask in masks.values():
        labels = [label if kept else UNSUPERVISED for label, kept in zip(labels, mask, strict=True)]
    if all(label == UNSUPERVISED for label in labels[1:]):
        raise RowError(
            f"labels = {shown(labels)}: no token after the first has a loss, so nothing to learn; "
            "remove the row"
        )
    return TokenIds(ids=ids, labels=labels)


def _integers(fields: Fields, column: str) -> list[int]:
    values, _ = fields.parsed(column)
    # bool is a subclass of int, and masks of booleans are common.
    if isinstance(values, list) and set(map(type, values)) == {bool}:
        values = list(map(int, values))
    if not isinstance(values, list) or not set(map(type, values)) <= {int}:
        remedy = "tokenize the row again"
        raise refusal(fields.place(column), values, "must be a list of whole numbers", remedy)
    return values


def _pair(question: str, answer: str) -> Schema:
    context = CONTEXTS if question in ("instruction", "question") else ()
    optional = (*QUESTIONS, *ANSWERS, *context, "history", *_COMMON)
    return Schema((question, answer), optional, partial(_read_pair, question, answer))


SCHEMAS = (
    Schema((TREE,), (), _read_tree),
    *(Schema((column,), ("prompt", *_COMMON), partial(_read_dialog, column)) for column in DIALOGS),
    *(_pair(question, answer) for question in QUESTIONS for answer in ANSWERS),
    Schema(
        ("input", "output"),
        (*ANSWERS, "context", "history", *_COMMON),
        partial(_read_pair, "input", "output"),
    ),
    Schema(("data",), _COMMON, _read_alternating),
    Schema(("input_ids",), _MASKS, _read_ids),
    Schema(("text",), (), _read_text),
)
"""All schemas. The first whose columns a row has is used."""

RAW_SCHEMAS = (
    Schema(("prompt", "completion"), (), _read_raw_pair),
    Schema(("text",), (), _read_text),
)
"""The schemas under `data.raw`."""

KNOWN = (
    "messages; conversations; conversation; one of instruction, prompt, question and query with "
    "one of output, completion, response and answer; input with output; data; input_ids; text"
)
"""The schemas in words, for messages."""

RAW_KNOWN = "prompt with completion; text"


def columns_of(schemas: Sequence[Schema]) -> list[str]:
    """Return the names of all columns that these schemas read."""
    columns = [name for schema in schemas for name in (*schema.needed, *schema.optional)]
    return [name for name in dict.fromkeys((*columns, *METADATA)) if name != TREE]
