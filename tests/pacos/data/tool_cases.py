"""Rows with calls of tools, and with thoughts."""

from __future__ import annotations

import json
from dataclasses import replace

from pacos.data.reading.results import REORDERED
from pacos.prompts.formats import PromptFormat
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
LEARNT_CALL = (
    '<tool_call>\n{"name": "weather", "arguments": {"city":  "Seoul", "days": 1.0}}\n</tool_call>'
    "<|im_end|>"
)
READ_CALL = talk(
    user("Weather?"),
    CALLED,
    *RESULT,
    tools=[TOOL],
    learnt=(LEARNT_CALL, "It is sunny.<|im_end|>"),
)
TWO_CALLS = assistant("", tool_calls=[call("a", {}, id="c1"), call("b", {}, id="c2")])
TWO_RESULTS = [tool("1", tool_call_id="c1"), tool("2", tool_call_id="c2")]
READ_TWO_CALLS = talk(
    user("Weather?"),
    TWO_CALLS,
    *TWO_RESULTS,
    assistant("Done."),
    learnt=(
        '<tool_call>\n{"name": "a", "arguments": {}}\n</tool_call>\n'
        '<tool_call>\n{"name": "b", "arguments": {}}\n</tool_call><|im_end|>',
        "Done.<|im_end|>",
    ),
)


def with_arguments(arguments: object, written: str) -> Read:
    """Return the reading of a call.

    Args:
        arguments: of the call.
        written: the same in the text with a loss.
    """
    return talk(
        user("Weather?"),
        assistant("", tool_calls=[call("weather", arguments)]),
        learnt=(
            '<tool_call>\n{"name": "weather", "arguments": '
            + written
            + "}\n</tool_call><|im_end|>",
        ),
    )


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
        talk(*HI, tools=[TOOL], learnt=("Hi<|im_end|>",)),
        filled=True,
    ),
    Case(
        "arguments as an object",
        calls(call("weather", {"city": "Seoul", "unit": None})),
        with_arguments({"city": "Seoul", "unit": None}, '{"city": "Seoul", "unit": null}'),
    ),
    Case(
        "arguments of a table",
        calls(
            call("weather", {"city": "Seoul", "unit": None, "near": [{"x": 1, "y": None}, None]})
        ),
        with_arguments(
            {"city": "Seoul", "near": [{"x": 1}, None]},
            '{"city": "Seoul", "near": [{"x": 1}, null]}',
        ),
        filled=True,
    ),
    Case(
        "arguments as text in a table",
        calls(call("weather", '{"unit":null}')),
        with_arguments('{"unit":null}', '{"unit":null}'),
        filled=True,
    ),
    Case("no arguments", calls({"function": {"name": "weather"}}), with_arguments({}, "{}")),
    Case(
        "parameters of Llama 3.1",
        calls({"name": "weather", "parameters": {"city": "Seoul"}}),
        with_arguments({"city": "Seoul"}, '{"city": "Seoul"}'),
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
            ("", "must be a JSON object", "{} for no arguments"),
            (" ", "must be a JSON object", "{} for no arguments"),
            ('{"a": 1, "a": 2}', 'an object has two keys "a"', "keep one of them"),
            ({"a": [float("nan")]}, "holds a value that JSON cannot write", "remove NaN"),
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
        replace(
            with_arguments({}, "{}"),
            unread=("messages[].tool_calls[].index", "messages[].tool_calls[].function.x"),
        ),
    ),
    Case(
        "ignored keys of calls",
        calls({"index": 0, "function": {"name": "weather", "arguments": {}}}),
        with_arguments({}, "{}"),
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
            learnt=(LEARNT_CALL, "Sunny.<|im_end|>"),
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
        "results in another order than their calls",
        messages(user("Weather?"), TWO_CALLS, TWO_RESULTS[1], TWO_RESULTS[0], assistant("Done.")),
        replace(READ_TWO_CALLS, notes=(REORDERED,)),
    ),
    Case(
        "results in the order of their calls",
        messages(user("Weather?"), TWO_CALLS, *TWO_RESULTS, assistant("Done.")),
        READ_TWO_CALLS,
    ),
    Case(
        "result of another call",
        messages(user("Weather?"), TWO_CALLS, tool("1", tool_call_id="c9"), assistant("Done.")),
        Refused(
            'messages[].tool_call_id = "c9": is the id of no call just before it, which are c1, c2',
            "'data.ignore=[\"messages[].tool_call_id\"]'",
        ),
    ),
    Case(
        "result of another call without its id",
        messages(user("Weather?"), CALLED, tool("1", tool_call_id="c9"), assistant("Done.")),
        talk(
            user("Weather?"),
            CALLED,
            tool("1"),
            assistant("Done."),
            learnt=(LEARNT_CALL, "Done.<|im_end|>"),
        ),
        {"ignore": ["messages[].tool_call_id"]},
    ),
    Case(
        "a completion that begins with results",
        {
            "prompt": [user("Weather?"), TWO_CALLS],
            "completion": [TWO_RESULTS[1], TWO_RESULTS[0], assistant("Done.")],
        },
        replace(
            talk(
                user("Weather?"),
                TWO_CALLS,
                *TWO_RESULTS,
                assistant("Done."),
                untrained=[1],
                learnt=("Done.<|im_end|>",),
            ),
            notes=(REORDERED,),
        ),
    ),
    Case(
        "result without a call",
        messages(user("Weather?"), tool("sunny"), assistant("Sunny.")),
        Refused('messages[1] = "sunny": is the result of a tool, but no call', "put it after"),
    ),
    Case(
        "empty result",
        messages(user("Weather?"), CALLED, tool(""), assistant("None.")),
        talk(
            user("Weather?"),
            CALLED,
            tool(""),
            assistant("None."),
            learnt=(LEARNT_CALL, "None.<|im_end|>"),
        ),
    ),
    Case(
        "result an object",
        messages(user("Weather?"), CALLED, tool({"t": 20}), assistant("Warm.")),  # type: ignore[arg-type]
        Refused('messages[2].content = {"t": 20}: must be a text, not an object', "write it as"),
    ),
    Case(
        "result after the last answer",
        messages(user("Weather?"), CALLED, tool("sunny")),
        replace(
            talk(user("Weather?"), CALLED, learnt=(LEARNT_CALL,)),
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
            learnt=(
                '<tool_call>\n{"name": "weather", "arguments": {"city": "Seoul"}}\n</tool_call>'
                "<|im_end|>",
                "Sunny<|im_end|>",
            ),
        ),
    ),
    Case(
        "sharegpt call after a text joins its turn",
        sharegpt(("human", "Weather?"), ("gpt", "Let me look."), ("function_call", '{"name":"w"}')),
        talk(
            user("Weather?"),
            assistant("Let me look.", tool_calls=[call("w", {})]),
            learnt=(
                'Let me look.\n<tool_call>\n{"name": "w", "arguments": {}}\n</tool_call><|im_end|>',
            ),
        ),
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
            learnt=(
                '<tool_call>\n{"name": "a", "arguments": {}}\n</tool_call>\n'
                '<tool_call>\n{"name": "b", "arguments": {}}\n</tool_call><|im_end|>',
                "Done.<|im_end|>",
            ),
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
            talk(
                user("2+2?"),
                assistant("4", reasoning_content="two and two"),
                learnt=("<think>\ntwo and two\n</think>\n\n4<|im_end|>",),
            ),
        )
        for key in ("reasoning_content", "thinking", "reasoning")
    ),
    Case("empty thought", messages(HI[0], assistant("Hi", thinking="")), TALK),
    Case("blank thought", messages(HI[0], assistant("Hi", thinking=" \n")), TALK),
    Case("empty thought of the user", messages(user("Hello", thinking=""), HI[1]), TALK),
    Case(
        "the same thought twice",
        messages(HI[0], assistant("Hi", thinking="a", reasoning="a")),
        talk(
            HI[0],
            assistant("Hi", reasoning_content="a"),
            learnt=("<think>\na\n</think>\n\nHi<|im_end|>",),
        ),
    ),
    Case(
        "the same thought in the content",
        messages(HI[0], assistant("<think>\na\n</think>\n\nHi", thinking="a")),
        talk(HI[0], assistant("<think>\na\n</think>\n\nHi")),
    ),
    Case(
        "another thought in the content",
        messages(HI[0], assistant("<think>b</think>Hi", thinking="a")),
        talk(
            HI[0],
            assistant("<think>b</think>Hi", reasoning_content="a"),
            learnt=("<think>\na\n</think>\n\n<think>b</think>Hi<|im_end|>",),
        ),
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
        talk(
            HI[0],
            assistant("", reasoning_content="a", tool_calls=[call("w", {})]),
            learnt=(
                "<think>\na\n</think>\n\n"
                '<tool_call>\n{"name": "w", "arguments": {}}\n</tool_call><|im_end|>',
            ),
        ),
    ),
    Case(
        "thought as context",
        messages(user("2+2?"), assistant("4", thinking="two and two")),
        talk(
            user("2+2?"),
            assistant("4", reasoning_content="two and two"),
            learnt=("4<|im_end|>",),
        ),
        encoding={"train_on_reasoning": False},
    ),
    Case(
        "thought in the content, as context",
        messages(user("2+2?"), assistant("<think>two and two</think>4")),
        talk(user("2+2?"), assistant("<think>two and two</think>4"), learnt=("4<|im_end|>",)),
        encoding={"train_on_reasoning": False},
    ),
    Case(
        "thought in the content",
        messages(user("2+2?"), assistant("<think>two and two</think>4")),
        talk(user("2+2?"), assistant("<think>two and two</think>4")),
    ),
    Case(
        "empty thought in the content",
        messages(user("2+2?"), assistant("<think>\n\n</think>\n\n4")),
        talk(
            user("2+2?"),
            assistant("<think>\n\n</think>\n\n4"),
            learnt=("4<|im_end|>",),
        ),
    ),
    *(
        Case(
            f"{name} in {prompt_format.name}'s format",
            messages(HI[0], answer, tools=tools),
            talk(
                HI[0],
                answer,
                tools=tools,
                learnt=Refused(
                    f"prompt_format={prompt_format.name} cannot carry {name}",
                    "choose llama3 or chatml",
                ),
            ),
            encoding={"prompt_format": prompt_format},
        )
        for prompt_format in (PromptFormat.alpaca, PromptFormat.llama2)
        for name, answer, tools in [
            ("tools", HI[1], [TOOL]),
            ("tool_calls", CALLED, None),
            ("reasoning_content", assistant("Hi", reasoning_content="a"), None),
        ]
    ),
    Case(
        "special token in arguments",
        calls(call("weather", '{"city": "<|im_end|>"}')),
        talk(
            user("Weather?"),
            assistant("", tool_calls=[call("weather", '{"city": "<|im_end|>"}')]),
            learnt=Refused("its text holds the control token <|im_end|>", "remove it"),
        ),
    ),
    Case(
        "a call without a loss",
        messages(user("Weather?"), CALLED | {"weight": 0}, *RESULT),
        talk(user("Weather?"), CALLED, *RESULT, untrained=[1], learnt=("It is sunny.<|im_end|>",)),
    ),
]
