"""Turns of a conversation: roles, texts, thoughts, calls, and the turns without a loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pacos.data.example import RowError, Turn
from pacos.data.reading.fields import Fields, is_number, refusal, shown, take_same, text_of
from pacos.data.reading.thoughts import THOUGHTS, drop_repeated, take_thought
from pacos.data.reading.tools import read_call, read_call_texts, read_calls

CALL = "function_call"
"""Role of a ShareGPT turn whose text is the JSON of a call."""

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
    "ipython": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "function_call": CALL,
    "tool_call": CALL,
}
"""pacos's role for each known role, in lower case: those of OpenAI, ShareGPT, OpenAssistant, Gemma,
Llama 3.1 and ms-swift."""

OUR_ROLES = ("system", "user", "assistant", "tool")

LOSSES = ("weight", "train", "training")

TURN_KEYS = (
    "role",
    "from",
    "content",
    "value",
    *LOSSES,
    *THOUGHTS,
    "tool_calls",
    "function_call",
    "tool_call_id",
    "name",
)
"""All keys of a turn that have a meaning."""


@dataclass(slots=True)
class Turns:
    """Turns in the making."""

    turns: list[Turn]
    trained: list[bool | None]
    """For each turn: True or False if the row says so, else None."""
    by_id: bool = False
    """A result of a tool names the call that it answers."""

    def add(self, turn: Turn, trained: bool | None = None) -> None:
        self.turns.append(turn)
        self.trained.append(trained)


def read_turns(
    value: Any, place: str, fields: Fields, *, filled: bool, after: Turns | None = None
) -> Turns:
    """Read a list of turns.

    Args:
        value: a list of objects, or an object of lists of equal length.
        place: its column, for messages.
        fields: of the row; gets the keys that are not read.
        filled: nulls fill the structs of the value.
        after: the turns before, which get these.

    Raises:
        RowError: a turn cannot be read.
    """
    if isinstance(value, Mapping):
        value = _transposed(value, place)
    if not isinstance(value, list) or not value:
        raise refusal(place, value, "must be a list of turns", "write one object per turn")
    turns = Turns([], []) if after is None else after
    calls_open = False
    for index, raw in enumerate(value):
        keys = _keys_of(raw, place, index, fields)
        role = _role(keys, place, index, fields)
        if role == CALL:
            _add_call_turn(turns, keys, f"{place}[{index}]", fields, joins=calls_open)
            calls_open = True
        else:
            calls_open = _add_turn(turns, role, keys, f"{place}[{index}]", fields, filled=filled)
        if keys:
            for key in keys:
                fields.not_read(f"{place}[].{key}")
    return turns


def _transposed(value: Mapping[str, Any], place: str) -> list[Any]:
    """Return turns that `datasets` stored as one list per key."""
    lists = {key: items for key, items in value.items() if items is not None}
    if not all(isinstance(items, list) for items in lists.values()):
        raise refusal(place, value, "must be a list of turns", "put the turn into [ ]")
    if len({len(items) for items in lists.values()}) > 1:
        raise refusal(place, value, "has lists of different lengths", "give every turn every key")
    return [dict(zip(lists, items, strict=True)) for items in zip(*lists.values(), strict=True)]


def _keys_of(raw: Any, place: str, index: int, fields: Fields) -> dict[str, Any]:
    """Return the keys of a turn that are not null, by pacos's names."""
    if not isinstance(raw, Mapping):
        raise refusal(
            f"{place}[{index}]", raw, "is no turn", 'write {"role": "user", "content": "…"}'
        )
    keys = {key: value for key, value in raw.items() if value is not None}
    meanings = fields.meanings
    if meanings.ignored_keys:
        for key in meanings.ignored_keys.get(place, ()):
            keys.pop(key, None)
    if meanings.turn_keys:
        for theirs, ours in meanings.turn_keys.items():
            if theirs in keys and theirs not in meanings.turn_keys.values():
                if ours in keys and keys[ours] != keys[theirs]:
                    raise RowError(
                        f"{place}[{index}] = {shown(raw)}: has both {theirs} and {ours}, which "
                        f"data.columns takes {theirs} for; leave the key out with "
                        f"'data.ignore=[\"{place}[].{ours}\"]'"
                    )
                keys[ours] = keys.pop(theirs)
    return keys


def _role(keys: dict[str, Any], place: str, index: int, fields: Fields) -> str:
    """Take the role out of a turn's keys, and return pacos's."""
    # ShareGPT calls it `from`.
    key = "role" if "role" in keys else "from"
    theirs = keys.pop(key, None)
    roles = fields.meanings.roles
    role = roles.get(theirs.lower()) if isinstance(theirs, str) else None
    if role is None:
        place = f"{place}[{index}].{key}"
        if not isinstance(theirs, str):
            fault = "must name who speaks" if theirs is not None else "is missing"
            remedy = "name it role or from, or say with data.columns what its name is"
            raise refusal(place, theirs, fault, remedy)
        raise refusal(
            place,
            theirs,
            "is no known role",
            f"say what it is with '+data.roles={{{theirs}: ROLE}}', where ROLE is one of "
            f"{', '.join(OUR_ROLES)}",
        )
    if "from" in keys:
        other = keys.pop("from")
        if not isinstance(other, str) or roles.get(other.lower()) != role:
            fault = f"differs from role, which is {shown(theirs)}"
            raise refusal(f"{place}[{index}].from", other, fault, "keep one of them")
    return role


def _add_turn(
    turns: Turns, role: str, keys: dict[str, Any], place: str, fields: Fields, *, filled: bool
) -> bool:
    """Add a turn; return True if it is one of the assistant, which calls may follow."""
    is_assistant = role == "assistant"
    turn: Turn = {"role": role, "content": ""}
    name, content = take_same(keys, ("content", "value"), place)
    trained = None
    # Two keys are a role and a content, as in nearly all rows.
    if keys:
        trained = _trained(keys, role, place)
        turn.update(take_thought(keys, is_assistant, place))
        if calls := _calls(keys, place, fields, filled=filled):
            if not is_assistant:
                raise refusal(
                    place, role, "calls a tool, but is no assistant turn", "correct its role"
                )
            turn["tool_calls"] = calls
        if role == "tool":
            turn.update(_origin(keys, place))
            turns.by_id = turns.by_id or "tool_call_id" in turn
    empty = role in ("system", "tool") or "tool_calls" in turn
    if isinstance(content, list):
        content = _joined_parts(content, f"{place}.{name}", fields)
    if content is None and "tool_calls" in turn:
        content = ""
    turn["content"] = text = text_of(content, f"{place}.{name}", empty=empty)
    if "reasoning_content" in turn:
        drop_repeated(turn)
    if role == "tool":
        _check_tool_order(turns, text, place)
    # An empty system turn means none: tools write one for every conversation.
    if role != "system" or (text and not text.isspace()):
        turns.add(turn, trained)
    return is_assistant


def _check_tool_order(turns: Turns, text: str, place: str) -> None:
    before = turns.turns[-1]["role"] if turns.turns else "none"
    if before not in ("assistant", "tool"):
        fault = f"is the result of a tool, but no call comes before it (role: {before})"
        raise refusal(place, text, fault, "put it after the assistant turn that calls the tool")


def _joined_parts(parts: list[Any], place: str, fields: Fields) -> str:
    texts = []
    for index, part in enumerate(parts):
        keys = {} if not isinstance(part, Mapping) else {**part}
        kind = keys.pop("type", None)
        if kind != "text":
            fault = "is no part of type text" if kind is None else f"is of type {kind}"
            remedy = "pacos trains on text only: remove the part, or the row"
            raise refusal(f"{place}[{index}]", part, fault, remedy)
        texts.append(text_of(keys.pop("text", None), f"{place}[{index}].text", empty=True))
        for key, value in keys.items():
            if value is not None:
                column, _, rest = place.partition("[")
                fields.not_read(f"{column}[]{rest.partition(']')[2]}[].{key}")
    return "".join(texts)


def _trained(keys: dict[str, Any], role: str, place: str) -> bool | None:
    """Take the loss of a turn out of its keys: True, False, or None if the turn does not say."""
    values: dict[str, Any] = {}
    for key in LOSSES:
        if (value := keys.pop(key, None)) is not None:
            values[key] = value
    if not values:
        return None
    for key, value in values.items():
        is_valid = isinstance(value, bool) if key != "weight" else False
        if not is_valid and not (is_number(value) and value in (0, 1)):
            remedy = "write the number 0 for no loss, 1 for one; others are not supported"
            if key == "weight":
                raise refusal(f"{place}.{key}", value, "must be 0 or 1", remedy)
            raise refusal(
                f"{place}.{key}", value, "must be true or false", "write false for no loss"
            )
    if len({bool(value) for value in values.values()}) > 1:
        names = ", ".join(values)
        values_shown = ", ".join(map(shown, values.values()))
        raise RowError(f"{place}.{names} = {values_shown}: contradict each other; keep one of them")
    key, value = next(iter(values.items()))
    if role not in ("assistant", CALL) and value:
        column = place.partition("[")[0]
        raise refusal(
            f"{place}.{key}",
            value,
            f"asks for a loss on a turn of the {role}, but only assistant turns have one",
            f"write 0, or leave it out with 'data.ignore=[\"{column}[].{key}\"]'",
        )
    return bool(value)


def _calls(
    keys: dict[str, Any], place: str, fields: Fields, *, filled: bool
) -> list[dict[str, Any]]:
    """Take the calls of a turn out of its keys."""
    calls = read_calls(keys.pop("tool_calls", None), f"{place}.tool_calls", fields, filled=filled)
    legacy = keys.pop("function_call", None)
    if legacy is None or legacy == "":
        return calls
    column, _, rest = place.partition("[")
    path = f"{column}[]{rest.partition(']')[2]}.function_call"
    call = read_call(legacy, f"{place}.function_call", path, fields, filled=filled)
    if calls and [one["function"] for one in calls] != [call["function"]]:
        raise refusal(
            f"{place}.function_call", legacy, "differs from tool_calls", "keep one of them"
        )
    return calls or [call]


def _origin(keys: dict[str, Any], place: str) -> dict[str, str]:
    """Take the name and the id of the call that a tool turn answers out of its keys."""
    origin = {}
    for key in ("name", "tool_call_id"):
        if (value := keys.pop(key, "")) != "":
            if not isinstance(value, str):
                raise refusal(f"{place}.{key}", value, "must be a text", "quote it")
            origin[key] = value
    return origin


def _add_call_turn(
    turns: Turns, keys: dict[str, Any], place: str, fields: Fields, *, joins: bool
) -> None:
    """Add the calls of a ShareGPT turn `function_call`.

    They join an assistant turn just before: as a turn of their own they would teach the model to
    end its turn where it has to call.
    """
    name, text = take_same(keys, ("content", "value"), place)
    trained = _trained(keys, CALL, place)
    thought = take_thought(keys, is_assistant=True, place=place)
    calls = read_call_texts(text, f"{place}.{name}", fields)
    if joins and turns.trained[-1] == trained and not thought:
        turn = turns.turns[-1]
        turn["tool_calls"] = [*turn.get("tool_calls", ()), *calls]
        return
    turns.add({"role": "assistant", "content": "", **thought, "tool_calls": calls}, trained)
