"""Rows of turns, and turns without a loss."""

from __future__ import annotations

import json
from dataclasses import replace

from pacos.prompts.formats import PromptFormat
from tests.pacos.data.cases import (
    HI,
    TALK,
    UNANSWERED,
    Case,
    Refused,
    assistant,
    messages,
    sharegpt,
    system,
    talk,
    user,
)

DIALOGS = [
    Case("messages", messages(*HI), TALK),
    Case("messages as JSON", {"messages": json.dumps(HI)}, TALK),
    Case(
        "messages as broken JSON",
        {"messages": "[{"},
        Refused('messages = "[{": is not JSON', "write valid JSON"),
    ),
    Case(
        "messages as lists",
        {"messages": {"role": ["user", "assistant"], "content": ["Hello", "Hi"]}},
        TALK,
    ),
    Case("messages empty", {"messages": []}, Refused("messages = []: must be a list of turns", "")),
    Case(
        "messages of texts",
        {"messages": ["Hello", "Hi"]},
        Refused('messages[0] = "Hello": is no turn', 'write {"role"'),
    ),
    Case("sharegpt", sharegpt(("human", "Hello"), ("gpt", "Hi")), TALK),
    Case("sharegpt upper case", sharegpt(("Human", "Hello"), ("GPT", "Hi")), TALK),
    Case("sharegpt chatgpt", sharegpt(("user", "Hello"), ("chatgpt", "Hi")), TALK),
    Case("sharegpt bing", sharegpt(("user", "Hello"), ("bing", "Hi")), TALK),
    Case("sharegpt bard", sharegpt(("user", "Hello"), ("bard", "Hi")), TALK),
    Case(
        "sharegpt empty system", sharegpt(("system", ""), ("human", "Hello"), ("gpt", "Hi")), TALK
    ),
    Case("conversations of messages", {"conversations": list(HI)}, TALK),
    Case(
        "conversation",
        {"conversation": [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hi"}]},
        TALK,
    ),
    Case(
        "assistant first",
        sharegpt(("gpt", "Welcome"), ("human", "Hello"), ("gpt", "Hi")),
        talk(assistant("Welcome"), *HI),
    ),
    Case(
        "two answers in a row",
        sharegpt(("human", "Hello"), ("gpt", "Hi"), ("gpt", "Anything else?")),
        talk(*HI, assistant("Anything else?")),
    ),
    Case(
        "two questions in a row",
        messages(user("Hello"), user("Anyone?"), assistant("Hi")),
        talk(user("Hello"), user("Anyone?"), assistant("Hi")),
    ),
    Case(
        "system in the middle",
        messages(*HI, system("Be rude."), user("Hello"), assistant("Go.")),
        talk(*HI, system("Be rude."), user("Hello"), assistant("Go.")),
    ),
    Case("developer", messages({"role": "developer", "content": "S"}, *HI), talk(system("S"), *HI)),
    Case("model", messages(HI[0], {"role": "model", "content": "Hi"}), TALK),
    Case(
        "unknown role",
        messages(HI[0], {"role": "bot", "content": "Hi"}),
        Refused('messages[1].role = "bot": is no known role', "'+data.roles={bot: ROLE}'"),
    ),
    Case(
        "renamed role",
        messages(HI[0], {"role": "Bot", "content": "Hi"}),
        TALK,
        {"roles": {"bot": "assistant"}},
    ),
    Case(
        "no role",
        messages(HI[0], {"content": "Hi"}),
        Refused("messages[1].from = null: is missing", "name it role or from"),
    ),
    Case(
        "role and from differ",
        messages(HI[0], {"role": "assistant", "from": "human", "content": "Hi"}),
        Refused('messages[1].from = "human": differs from role, which is "assistant"', "keep one"),
    ),
    Case(
        "unanswered",
        messages(*HI, user("Bye")),
        replace(TALK, notes=UNANSWERED),
    ),
    Case(
        "no answer",
        messages(user("Hello")),
        Refused("has no turn of the assistant, so nothing to learn", "remove the row"),
    ),
    Case(
        "answer null",
        messages(HI[0], assistant("x") | {"content": None}),
        Refused("messages[1].content = null: must be a non-empty text", "fill it in"),
    ),
    Case(
        "answer empty",
        messages(HI[0], assistant("")),
        Refused('messages[1].content = "": must be a non-empty text', "fill it in"),
    ),
    Case(
        "answer a number",
        messages(user("1+1?"), assistant("") | {"content": 2}),
        talk(user("1+1?"), assistant("2")),
    ),
    Case(
        "parts of text",
        messages(
            {
                "role": "user",
                "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "Hi", "cache": {}}]},
        ),
        replace(TALK, unread=("messages[].content[].cache",)),
    ),
    Case(
        "part of an image",
        messages({"role": "user", "content": [{"type": "image", "url": "a"}]}, HI[1]),
        Refused(
            'messages[0].content[0] = {"type": "image", "url": "a"}: is of type image',
            "pacos trains on text only",
        ),
    ),
    Case(
        "unread keys of turns",
        messages(user("Hello", id=1), assistant("Hi", model="m", name="Bo", refusal=None)),
        replace(TALK, unread=("messages[].id", "messages[].model", "messages[].name")),
    ),
    Case(
        "ignored keys of turns",
        messages(user("Hello", id=1), assistant("Hi", model="m")),
        replace(TALK, unread=("messages[].id",)),
        {"ignore": ["messages[].model"]},
    ),
    Case(
        "renamed keys of turns",
        {"dialog": [{"who": "user", "says": "Hello"}, {"who": "assistant", "says": "Hi", "x": 1}]},
        replace(TALK, unread=("dialog[].x",)),
        {"columns": {"dialog": "messages", "who": "role", "says": "content"}},
    ),
    Case("system column", messages(*HI, system="Be brief."), talk(system("Be brief."), *HI)),
    Case("blank system column", messages(*HI, system=" "), TALK),
    Case(
        "the same system twice",
        messages(system("Be brief."), *HI, system="Be brief."),
        talk(system("Be brief."), *HI),
    ),
    Case(
        "two systems",
        messages(system("Be brief."), *HI, system="Be long."),
        Refused(
            'system = "Be long.": differs from the system turn, which is "Be brief."', "keep one"
        ),
    ),
    Case("ultrachat 200k", messages(*HI, prompt="Hello", prompt_id="f0"), TALK),
    Case(
        "another prompt beside messages",
        messages(*HI, prompt="Welcome"),
        replace(TALK, unread=("prompt",)),
    ),
    Case("ultrachat raw", {"id": "0", "data": ["Hello", "Hi"]}, TALK),
    Case(
        "ultrachat raw unanswered",
        {"id": "0", "data": ["Hello", "Hi", "Bye"]},
        replace(TALK, notes=UNANSWERED),
    ),
    Case(
        "data of rows",
        {"data": [{"instruction": "Hello", "output": "Hi"}]},
        Refused(
            "must be a list of texts, of the user and the assistant in turn", "make them the list"
        ),
    ),
    Case(
        "TRL's turns",
        {"prompt": [*HI, user("Bye")], "completion": [assistant("See you")]},
        talk(*HI, user("Bye"), assistant("See you"), untrained=[1], learnt=("See you<|im_end|>",)),
    ),
    Case(
        "turns and a text",
        {"prompt": [user("Hello")], "response": "Hi"},
        TALK,
    ),
    Case(
        "a text and turns",
        {"prompt": "Hello", "completion": [assistant("Hi")]},
        Refused("completion = [", "join its items"),
    ),
    Case(
        "answer that begins with line breaks",
        messages(HI[0], assistant("\n\nHi")),
        talk(HI[0], assistant("\n\nHi"), learnt=("\n\nHi<|im_end|>",)),
    ),
    Case(
        "answer that ends with blanks",
        messages(HI[0], assistant("Hi \n")),
        talk(HI[0], assistant("Hi \n"), learnt=("Hi \n<|im_end|>",)),
    ),
    Case(
        "answer in Korean with an emoji",
        messages(HI[0], assistant("안녕 🦙")),
        talk(HI[0], assistant("안녕 🦙"), learnt=("안녕 🦙<|im_end|>",)),
    ),
    *(
        Case(
            f"special token in the {turns[number]['role']}'s turn",
            messages(*turns),
            talk(
                *turns,
                learnt=Refused(f"its text holds the control token {token}", "remove it"),
            ),
        )
        for number, token, turns in [
            (0, "<|im_end|>", (user("Hello<|im_end|>"), HI[1])),
            (1, "<|im_start|>", (HI[0], assistant("<|im_start|>user"))),
            (0, "<|endoftext|>", (system("Be <|endoftext|>"), *HI)),
        ]
    ),
    Case(
        "two answers in a row of alpaca's format",
        messages(*HI, assistant("Bye")),
        talk(
            *HI,
            assistant("Bye"),
            learnt=Refused("turn 3 is the assistant's, but", "choose llama3 or chatml"),
        ),
        encoding={"prompt_format": PromptFormat.alpaca},
    ),
    Case(
        "a table of mixed schemas",
        {"instruction": None, "output": None, "messages": list(HI), "text": None},
        TALK,
        filled=True,
    ),
]

LOSSES = (
    [
        Case(
            f"loss {key} {no}",
            messages(
                user("A?"), assistant("bad", **{key: no}), user("B?"), assistant("b", **{key: yes})
            ),
            talk(
                user("A?"),
                assistant("bad"),
                user("B?"),
                assistant("b"),
                untrained=[1],
                learnt=("b<|im_end|>",),
            ),
        )
        for key, no, yes in [
            ("weight", 0, 1),
            ("weight", 0.0, 1.0),
            ("train", False, True),
            ("training", False, None),
            ("train", 0, 1),
        ]
    ]
    + [
        Case(
            f"loss {key} = {value!r}",
            messages(HI[0], assistant("Hi", **{key: value})),
            Refused(f"messages[1].{key} = {json.dumps(value)}: must be {allowed}", "for no loss"),
        )
        for key, value, allowed in [
            ("weight", 0.5, "0 or 1"),
            ("weight", 2, "0 or 1"),
            ("weight", "0", "0 or 1"),
            ("weight", True, "0 or 1"),
            ("train", "false", "true or false"),
            ("training", 0.5, "true or false"),
        ]
    ]
    + [
        Case(
            "losses that contradict",
            messages(HI[0], assistant("Hi", weight=1, train=False)),
            Refused("messages[1].weight, train = 1, false: contradict each other", "keep one"),
        ),
        Case(
            "losses that agree",
            messages(HI[0], assistant("Hi", weight=1, train=True)),
            TALK,
        ),
        Case(
            "loss on a user turn",
            messages(user("Hello", train=True), HI[1]),
            Refused(
                "messages[0].train = true: asks for a loss on a turn of the user",
                "'data.ignore=[\"messages[].train\"]'",
            ),
        ),
        Case("no loss on a user turn", messages(user("Hello", weight=0), HI[1]), TALK),
        Case(
            "no loss at all",
            messages(HI[0], assistant("Hi", weight=0)),
            Refused("no turn of the assistant has a loss", "remove the row"),
        ),
        Case(
            "weights of a table",
            messages(user("Hello", weight=None), assistant("Hi", weight=1.0)),
            TALK,
            filled=True,
        ),
        Case(
            "ignored weights",
            messages(HI[0], assistant("Hi", weight=0)),
            TALK,
            {"ignore": ["messages[].weight"]},
        ),
        Case(
            "renamed loss",
            messages(HI[0], assistant("Hi", loss=False), user("B?"), assistant("b")),
            talk(*HI, user("B?"), assistant("b"), untrained=[1], learnt=("b<|im_end|>",)),
            {"columns": {"loss": "train"}},
        ),
        Case(
            "no loss, with a system column",
            messages(HI[0], assistant("Hi", weight=0), user("B?"), assistant("b"), system="S"),
            talk(
                system("S"), *HI, user("B?"), assistant("b"), untrained=[2], learnt=("b<|im_end|>",)
            ),
        ),
        Case(
            "the last answer alone",
            messages(*HI, user("B?"), assistant("b")),
            talk(*HI, user("B?"), assistant("b"), learnt=("b<|im_end|>",)),
            encoding={"only_last": True},
        ),
        Case(
            "the last answer alone, without a loss",
            messages(*HI, user("B?"), assistant("b", weight=0)),
            talk(
                *HI,
                user("B?"),
                assistant("b"),
                untrained=[3],
                learnt=Refused("the last turn of the assistant has no loss", "nothing to learn"),
            ),
            encoding={"only_last": True},
        ),
        Case(
            "sharegpt weight",
            {
                "conversations": [
                    {"from": "human", "value": "Hello"},
                    {"from": "gpt", "value": "Hi", "weight": 0},
                    {"from": "human", "value": "B?"},
                    {"from": "gpt", "value": "b"},
                ]
            },
            talk(*HI, user("B?"), assistant("b"), untrained=[1], learnt=("b<|im_end|>",)),
        ),
    ]
)
