"""Calls of tools in a row, and the descriptions of the tools."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pacos.data.example import RowError
from pacos.data.reading.fields import Fields, check_characters, parsed_json, refusal, shown

CALL_REMEDY = 'write {"name": …, "arguments": {…}}'


def read_tools(fields: Fields) -> list[Any] | None:
    """Return the descriptions in the columns `tools` or `functions`, each in OpenAI's form.

    Raises:
        RowError: they are not descriptions of functions, or the two columns differ.
    """
    lists = {name: tools for name in ("tools", "functions") if (tools := _tools_of(fields, name))}
    if len(lists) == 2 and lists["tools"] != lists["functions"]:
        raise RowError(
            f"{fields.place('tools')}, {fields.place('functions')} = {shown(lists['tools'])}, "
            f"{shown(lists['functions'])}: describe different functions; keep one of the columns"
        )
    return next(iter(lists.values()), None)


def _tools_of(fields: Fields, column: str) -> list[Any]:
    if fields.get(column) is None:
        return []
    value, filled = fields.parsed(column)
    place = fields.place(column)
    if value is None:
        return []
    if not isinstance(value, list):
        raise refusal(place, value, "must be a list of functions", "put it into [ ]")
    tools = []
    for index, tool in enumerate(value):
        tool = without_nulls(tool) if filled else tool
        function = tool.get("function", tool) if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise refusal(
                f"{place}[{index}]",
                tool,
                "does not describe a function with a name",
                'write {"type": "function", "function": {"name": …, "parameters": {…}}}',
            )
        if tool.get("type", "function") != "function" and function is not tool:
            raise refusal(f"{place}[{index}].type", tool["type"], *_OTHER_TYPE)
        # Chat templates print the description as it is, and engines pass it in this form.
        tools.append({"type": "function", "function": tool} if function is tool else tool)
    if tools:
        check_characters(_json(tools, place), place)
    return tools


_OTHER_TYPE = ("is no function", "describe and call functions only")


def read_calls(value: Any, place: str, fields: Fields, *, filled: bool) -> list[dict[str, Any]]:
    """Return the calls in a turn's `tool_calls`, each in OpenAI's form.

    Args:
        value: a list, or JSON of a list; each call nested (`function`) or flat.
        place: its place in the row, such as `messages[1].tool_calls`.
        fields: of the row; gets the keys that are not read.
        filled: nulls fill the structs of the value.

    Raises:
        RowError: a call is not one of a function, or its arguments are no object.
    """
    if isinstance(value, str):
        value, filled = (parsed_json(value, place) if value.strip() else None), False
    if value is None:
        return []
    if not isinstance(value, list):
        raise refusal(place, value, "must be a list of calls", "put it into [ ]")
    return [
        read_call(call, f"{place}[{index}]", f"{_any_index(place)}[]", fields, filled=filled)
        for index, call in enumerate(value)
    ]


def _any_index(place: str) -> str:
    """Return the path of all turns' keys: `messages[].tool_calls` for `messages[1].tool_calls`."""
    column, bracket, rest = place.partition("[")
    return f"{column}[]{rest.partition(']')[2]}" if bracket else place


def read_call_texts(value: Any, place: str, fields: Fields) -> list[dict[str, Any]]:
    """Return the calls in the text of a turn of ShareGPT's `function_call`.

    Raises:
        RowError: the text is not JSON of a call, or of a list of calls.
    """
    if not isinstance(value, str) or not value.strip():
        raise refusal(place, value, "must be the JSON text of a call", CALL_REMEDY)
    calls = parsed_json(value, place)
    if isinstance(calls, list) and calls:
        return read_calls(calls, place, fields, filled=False)
    return [read_call(calls, place, _any_index(place), fields, filled=False)]


def read_call(value: Any, place: str, path: str, fields: Fields, *, filled: bool) -> dict[str, Any]:
    """Return one call in OpenAI's form; its arguments are the row's own text or object.

    Args:
        value: the call, nested or flat, or JSON of it.
        place: its place in the row.
        path: prefix of the keys that are not read.
        fields: of the row; gets the keys that are not read.
        filled: nulls fill the structs of the value.

    Raises:
        RowError: it is no call of a function, or its arguments are no object.
    """
    if isinstance(value, str):
        value, filled = parsed_json(value, place), False
    if not isinstance(value, Mapping):
        raise refusal(place, value, "must be a call", CALL_REMEDY)
    outer = {key: item for key, item in value.items() if item is not None}
    kind = outer.pop("type", "function")
    if kind != "function":
        raise refusal(f"{place}.type", kind, *_OTHER_TYPE)
    call: dict[str, Any] = {"type": kind}
    if (identifier := outer.pop("id", "")) != "":
        if not isinstance(identifier, str):
            raise refusal(f"{place}.id", identifier, "must be a text", "quote it")
        call["id"] = identifier
    body, prefix = outer, path
    if isinstance(nested := outer.get("function"), Mapping):
        del outer["function"]
        _not_read(outer, path, fields)
        body = {key: item for key, item in nested.items() if item is not None}
        place, prefix = f"{place}.function", f"{path}.function"
    name = body.pop("name", None)
    if not isinstance(name, str) or not name.strip():
        raise refusal(f"{place}.name", name, "must name the called function", CALL_REMEDY)
    check_characters(name, f"{place}.name")
    # Llama 3.1 writes `parameters`.
    key = "parameters" if "arguments" not in body and "parameters" in body else "arguments"
    arguments = _arguments(body.pop(key, {}), f"{place}.{key}", filled=filled)
    _not_read(body, prefix, fields)
    call["function"] = {"name": name, "arguments": arguments}
    return call


def _not_read(keys: Mapping[str, Any], prefix: str, fields: Fields) -> None:
    for key in keys:
        fields.not_read(f"{prefix}.{key}")


def _arguments(value: Any, place: str, *, filled: bool) -> Any:
    """Return arguments unchanged, apart from the nulls that a table has added."""
    remedy = 'write an object, such as {"city": "Seoul"}, or {} for no arguments'
    if isinstance(value, str) and not value.strip():
        raise refusal(place, value, "must be a JSON object", remedy)
    parsed = parsed_json(value, place) if isinstance(value, str) else value
    if not isinstance(parsed, Mapping):
        raise refusal(place, value, "must be a JSON object", remedy)
    arguments = without_nulls(value) if filled and parsed is value else value
    text = arguments if isinstance(arguments, str) else _json(arguments, place)
    check_characters(text, place)
    if "\\ud" in text.lower():
        # An escaped half of a character becomes a real one where a template parses the text.
        check_characters(json.dumps(parsed, ensure_ascii=False), place)
    return arguments


def _json(value: Any, place: str) -> str:
    """Return a value as JSON.

    Raises:
        RowError: it holds something that JSON has no form for.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        # NaN and Infinity; dates and bytes of a table.
        fault = "holds a value that JSON cannot write"
        remedy = "write dates and bytes as text, and remove NaN and Infinity"
        raise refusal(place, value, fault, remedy) from error


def without_nulls(value: Any) -> Any:
    """Return a value without the keys that are null, at any depth.

    A table has one type per column: Arrow gives every struct the keys of all rows, null where the
    row has none. Items of lists are never added, so their nulls stay.
    """
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value
