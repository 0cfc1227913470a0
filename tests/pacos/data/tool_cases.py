"""Rows with calls of tools, and with thoughts."""

from __future__ import annotations

import json

from tests.pacos.data.cases import (
    ARGUMENTS,
    HI,
    TALK,
    TOOL,
    WEATHER,
    Case,
    Read,
    Refused,
    assistant,
    call,
    messages,
    sharegpt,
    talk,
    tool,
    user,
)

RESULT = (tool("sunny", tool_call_id="c1", name="weather"), assistant("It is sunny."))
CALLED = assistant("", tool_calls=[call("weather", ARGUMENTS, id="c1")])
READ_CALL = talk(user("Weather?"), CALLED, *RESULT, tools=[TOOL])


def with_arguments(arguments: object) -> Read:
    return talk(user("Weather?"), assistant("", tool_calls=[call("weather", arguments)]))


def calls(*turn_calls: object, content: str | None = "", **columns: object) -> dict[str, object]:
    turn = {"role": "assistant", "content": content, "tool_calls": list(turn_calls)}
    return messages(user("Weather?"), turn, **columns)


TOOLS = [
    Case("tools", messages(user("Weather?"), CALLED, *RESULT, tools=[TOOL]), READ_CALL),
    Case(
        "tools null content",
        messages(user("Weather?"), CALLED | {"content": None}, *RESULT, tools=[TOOL]),
        READ_CALL,
    ),
    Case(
        "tools as JSON",
        messages(
            user("Weather?"),
            CALLED | {"tool_calls": json.dumps(CALLED["tool_calls"])},
            *RESULT,
            tools=json.dumps([TOOL]),
        ),
        READ_CALL,
    ),
    Case(
        "bare functions",
        messages(user("Weather?"), CALLED, *RESULT, functions=[WEATHER]),
        READ_CALL,
    ),
    Case(
        "flat call",
        messages(
            user("Weather?"),
            assistant("", tool_calls=[{"name": "weather", "arguments": ARGUMENTS, "id": "c1"}]),
            *RESULT,
            tools=[TOOL],
        ),
        READ_CALL,
    ),
    Case("no tools", messages(*HI, tools=[]), TALK),
    Case("no tools as JSON", messages(*HI, tools="[]"), TALK),
    Case("no tools as text", messages(*HI, tools=""), TALK),
    Case(
        "tools an object",
        messages(*HI, tools=TOOL),
        Refused("tools = {", "put it into [ ]"),
    ),
    Case(
        "tool without a name",
        messages(*HI, tools=[{"type": "function", "function": {"parameters": {}}}]),
        Refused("tools[0] = {", 'write {"type": "function"'),
    ),
    Case(
        "tool of another type",
        messages(*HI, tools=[{"type": "retrieval", "function": WEATHER}]),
        Refused('tools[0].type = "retrieval": is no function', "functions only"),
    ),
    Case(
        "tools and functions differ",
        messages(*HI, tools=[TOOL], functions=[{"name": "other"}]),
        Refused("tools, functions = [", "keep one of the columns"),
    ),
    Case(
        "tools of a table",
        messages(
            *HI,
            tools=[{"type": "function", "function": {**WEATHER, "strict": None}}],
        ),
        talk(*HI, tools=[TOOL]),
        filled=True,
    ),
    Case(
        "arguments as an object",
        calls(call("weather", {"city": "Seoul", "unit": None})),
        with_arguments({"city": "Seoul", "unit": None}),
    ),
    Case(
        "arguments of a table",
        calls(
            call("weather", {"city": "Seoul", "unit": None, "near": [{"x": 1, "y": None}, None]})
        ),
        with_arguments({"city": "Seoul", "near": [{"x": 1}, None]}),
        filled=True,
    ),
    Case(
        "arguments as text in a table",
        calls(call("weather", '{"unit":null}')),
        with_arguments('{"unit":null}'),
        filled=True,
    ),
    Case("no arguments", calls({"function": {"name": "weather"}}), with_arguments({})),
    Case(
        "parameters of Llama 3.1",
        calls({"name": "weather", "parameters": {"city": "Seoul"}}),
        with_arguments({"city": "Seoul"}),
    ),
    *(
        Case(
            f"arguments {arguments!r}",
            calls(call("weather", arguments)),
            Refused(
                f"messages[1].tool_calls[0].function.arguments = {json.dumps(arguments)}: {fault}",
                remedy,
            ),
        )
        for arguments, fault, remedy in [
            ("", "is not JSON", "write valid JSON"),
            ("{'a': 1}", "is not JSON", "write valid JSON"),
            ('{"a": NaN}', "is not JSON: NaN", "write valid JSON"),
            ("[1]", "must be a JSON object", "{} for no arguments"),
            ([1], "must be a JSON object", "{} for no arguments"),
            (7, "must be a JSON object", "{} for no arguments"),
        ]
    ),
    Case(
        "half a character in arguments",
        calls(call("weather", '{"city": "\\ud83d"}')),
        Refused("messages[1].tool_calls[0].function.arguments = ", "remove it"),
    ),
    Case(
        "call without a name",
        calls({"function": {"arguments": "{}"}}),
        Refused("messages[1].tool_calls[0].function.name = null: must name", 'write {"name"'),
    ),
    Case(
        "call of another type",
        calls({"type": "code", "function": {"name": "x"}}),
        Refused('messages[1].tool_calls[0].type = "code": is no function', "functions only"),
    ),
    Case(
        "unread keys of calls",
        calls({"index": 0, "function": {"name": "weather", "arguments": {}, "x": 1}}),
        Read(
            with_arguments({}).content,
            ("messages[].tool_calls[].index", "messages[].tool_calls[].function.x"),
        ),
    ),
    Case(
        "ignored keys of calls",
        calls({"index": 0, "function": {"name": "weather", "arguments": {}}}),
        with_arguments({}),
        {"ignore": ["messages[].tool_calls[].index"]},
    ),
    Case(
        "legacy call",
        messages(
            user("Weather?"),
            assistant("", function_call={"name": "weather", "arguments": ARGUMENTS}),
            {"role": "function", "name": "weather", "content": "sunny"},
            assistant("Sunny."),
        ),
        talk(
            user("Weather?"),
            assistant("", tool_calls=[call("weather", ARGUMENTS)]),
            tool("sunny", name="weather"),
            assistant("Sunny."),
        ),
    ),
    Case(
        "legacy call beside another",
        messages(user("Weather?"), CALLED | {"function_call": {"name": "x", "arguments": "{}"}}),
        Refused("messages[1].function_call = {", "keep one of them"),
    ),
    Case(
        "call of the user",
        messages(user("Weather?", tool_calls=[call("weather", {})]), HI[1]),
        Refused('messages[0] = "user": calls a tool, but is no assistant turn', "correct its role"),
    ),
    Case("empty calls of the user", messages(user("Hello", tool_calls=[]), HI[1]), TALK),
    Case(
        "result without a call",
        messages(user("Weather?"), tool("sunny"), assistant("Sunny.")),
        Refused('messages[1] = "sunny": is the result of a tool, but no call', "put it after"),
    ),
    Case(
        "empty result",
        messages(user("Weather?"), CALLED, tool(""), assistant("None.")),
        talk(user("Weather?"), CALLED, tool(""), assistant("None.")),
    ),
    Case(
        "result an object",
        messages(user("Weather?"), CALLED, tool({"t": 20}), assistant("Warm.")),  # type: ignore[arg-type]
        Refused('messages[2].content = {"t": 20}: must be a text, not an object', "write it as"),
    ),
    Case(
        "result after the last answer",
        messages(user("Weather?"), CALLED, tool("sunny")),
        Read(
            talk(user("Weather?"), CALLED).content,
            notes=("ends with an unanswered turn, which is left out",),
        ),
    ),
    Case(
        "sharegpt call",
        sharegpt(
            ("human", "Weather?"),
            ("function_call", '{"name": "weather", "arguments": {"city": "Seoul"}}'),
            ("observation", "sunny"),
            ("gpt", "Sunny"),
            tools=json.dumps([WEATHER]),
        ),
        talk(
            user("Weather?"),
            assistant("", tool_calls=[call("weather", {"city": "Seoul"})]),
            tool("sunny"),
            assistant("Sunny"),
            tools=[TOOL],
        ),
    ),
    Case(
        "sharegpt call after a text joins its turn",
        sharegpt(("human", "Weather?"), ("gpt", "Let me look."), ("function_call", '{"name":"w"}')),
        talk(user("Weather?"), assistant("Let me look.", tool_calls=[call("w", {})])),
    ),
    Case(
        "parallel calls of ms-swift",
        messages(
            user("Weather?"),
            {"role": "tool_call", "content": '{"name": "a", "arguments": {}}'},
            {"role": "tool_call", "content": '{"name": "b", "arguments": {}}'},
            {"role": "tool_response", "content": "1"},
            {"role": "tool_response", "content": "2"},
            assistant("Done."),
        ),
        talk(
            user("Weather?"),
            assistant("", tool_calls=[call("a", {}), call("b", {})]),
            tool("1"),
            tool("2"),
            assistant("Done."),
        ),
    ),
    Case(
        "sharegpt call that is no JSON",
        sharegpt(("human", "Weather?"), ("function_call", "weather()")),
        Refused('conversations[1].value = "weather()": is not JSON', "write valid JSON"),
    ),
    Case(
        "call in a text",
        sharegpt(
            ("human", "W?"), ("gpt", "<tool_call>{}</tool_call>"), ("tool", "x"), ("gpt", "X")
        ),
        talk(user("W?"), assistant("<tool_call>{}</tool_call>"), tool("x"), assistant("X")),
    ),
]

THOUGHTS = [
    *(
        Case(
            key,
            messages(user("2+2?"), assistant("4", **{key: "two and two"})),
            talk(user("2+2?"), assistant("4", reasoning_content="two and two")),
        )
        for key in ("reasoning_content", "thinking", "reasoning")
    ),
    Case("empty thought", messages(HI[0], assistant("Hi", thinking="")), TALK),
    Case("blank thought", messages(HI[0], assistant("Hi", thinking=" \n")), TALK),
    Case("empty thought of the user", messages(user("Hello", thinking=""), HI[1]), TALK),
    Case(
        "the same thought twice",
        messages(HI[0], assistant("Hi", thinking="a", reasoning="a")),
        talk(HI[0], assistant("Hi", reasoning_content="a")),
    ),
    Case(
        "two thoughts",
        messages(HI[0], assistant("Hi", thinking="a", reasoning="b")),
        Refused('messages[1].reasoning = "b": differs from thinking, which is "a"', "keep one"),
    ),
    Case(
        "thought of the user",
        messages(user("Hello", thinking="a"), HI[1]),
        Refused('messages[0].thinking = "a": is a thought, but no assistant\'s', "move it"),
    ),
    Case(
        "thought without an answer",
        messages(HI[0], assistant("", thinking="a")),
        Refused('messages[1].content = "": must be a non-empty text', "fill it in"),
    ),
    Case(
        "thought and call",
        messages(HI[0], assistant("", thinking="a", tool_calls=[call("w", {})])),
        talk(HI[0], assistant("", reasoning_content="a", tool_calls=[call("w", {})])),
    ),
]
