"""Rows of a prompt and an answer in columns of their own."""

from __future__ import annotations

from dataclasses import replace

from tests.pacos.data.cases import (
    HI,
    TALK,
    TOOL,
    Case,
    Refused,
    assistant,
    system,
    talk,
    user,
)

PAIRS = [
    Case("alpaca", {"instruction": "Hello", "input": "", "output": "Hi"}, TALK),
    Case(
        "alpaca input",
        {"instruction": "Name a colour.", "input": "Korea", "output": "Red."},
        talk(user("Name a colour.", input="Korea"), assistant("Red.")),
    ),
    Case("alpaca null input", {"instruction": "Hello", "input": None, "output": "Hi"}, TALK),
    Case("alpaca without input", {"instruction": "Hello", "output": "Hi"}, TALK),
    Case(
        "alpaca input zero",
        {"instruction": "Double", "input": 0, "output": "0"},
        talk(user("Double", input="0"), assistant("0")),
    ),
    Case(
        "alpaca numbers",
        {"instruction": "Add", "input": 1.5, "output": 2},
        talk(user("Add", input="1.5"), assistant("2")),
    ),
    Case(
        "alpaca input list",
        {"instruction": "Sort", "input": [2, 1], "output": "1 2"},
        Refused("input = [2, 1]: must be a text, not a list", "join its items"),
    ),
    Case(
        "alpaca input bool",
        {"instruction": "Negate", "input": True, "output": "no"},
        Refused("input = true: must be a text", "write the word"),
    ),
    Case(
        "alpaca output object",
        {"instruction": "JSON", "output": {"a": 1}},
        Refused('output = {"a": 1}: must be a text, not an object', "write it as the text"),
    ),
    Case(
        "alpaca output null",
        {"instruction": "Sing.", "output": None},
        Refused("output = null: must be a non-empty text", "fill it in, or remove the row"),
    ),
    Case(
        "alpaca output blank",
        {"instruction": "Sing.", "output": " \n"},
        Refused('output = " \\n": must be a non-empty text', "fill it in"),
    ),
    Case(
        "alpaca output not a number",
        {"instruction": "0/0", "output": float("nan")},
        Refused("output = NaN: is no number that can be written as text", "leave it empty"),
    ),
    Case(
        "half a character",
        {"instruction": "Sing.", "output": "La \ud83d"},
        Refused("holds \\ud83d, half of a character", "remove it"),
    ),
    Case(
        "alpaca history and system",
        {
            "instruction": "And then?",
            "input": "",
            "output": "The end.",
            "system": "You tell tales.",
            "history": [["Once?", "Upon a time."], ["More?", "A king."]],
        },
        talk(
            system("You tell tales."),
            user("Once?"),
            assistant("Upon a time."),
            user("More?"),
            assistant("A king."),
            user("And then?"),
            assistant("The end."),
        ),
    ),
    Case(
        "history as JSON in a CSV",
        {"instruction": "More?", "output": "B", "history": '[["Some?", "A"]]', "input": ""},
        talk(user("Some?"), assistant("A"), user("More?"), assistant("B")),
    ),
    Case("empty history", {"instruction": "Hello", "output": "Hi", "history": []}, TALK),
    Case(
        "history of single texts",
        {"instruction": "More?", "output": "B", "history": ["Some?", "A"]},
        Refused('history[0] = "Some?": must be a pair of texts', "write [["),
    ),
    Case(
        "history with a gap",
        {"instruction": "More?", "output": "B", "history": [["Some?", None]]},
        Refused("history[0][1] = null: must be a non-empty text", "fill it in"),
    ),
    Case(
        "dolly",
        {"instruction": "Who?", "context": "It was Bob.", "response": "Bob", "category": "qa"},
        replace(talk(user("Who?", input="It was Bob."), assistant("Bob")), unread=("category",)),
    ),
    Case(
        "dolly ignored category",
        {"instruction": "Who?", "context": "It was Bob.", "response": "Bob", "category": "qa"},
        talk(user("Who?", input="It was Bob."), assistant("Bob")),
        {"ignore": ["category"]},
    ),
    Case(
        "context beside alpaca's columns",
        {"instruction": "Who?", "context": "It was Bob.", "output": "Bob"},
        talk(user("Who?", input="It was Bob."), assistant("Bob")),
    ),
    Case(
        "context and input",
        {"instruction": "Who?", "context": "It was Bob.", "input": "Now.", "output": "Bob"},
        Refused('context = "It was Bob.": differs from input, which is "Now."', "keep one"),
    ),
    Case("instruction response", {"instruction": "Hello", "response": "Hi"}, TALK),
    Case("prompt completion", {"prompt": "Hello", "completion": "Hi"}, TALK),
    Case("prompt response", {"prompt": "Hello", "response": "Hi"}, TALK),
    Case("question answer", {"question": "Hello", "answer": "Hi"}, TALK),
    Case("query response", {"query": "Hello", "response": "Hi"}, TALK),
    Case("input output", {"input": "Hello", "output": "Hi"}, TALK),
    Case("prompt answer", {"prompt": "Hello", "answer": "Hi"}, TALK),
    Case(
        "query response history system",
        {"query": "B?", "response": "b", "history": [["A?", "a"]], "system": "Brief."},
        talk(system("Brief."), user("A?"), assistant("a"), user("B?"), assistant("b")),
    ),
    Case(
        "openorca",
        {"id": "niv.1", "system_prompt": "Be good", "question": "Hello", "response": "Hi"},
        talk(system("Be good"), *HI),
    ),
    Case(
        "openorca without system",
        {"id": "niv.1", "system_prompt": "", "question": "Hello", "response": "Hi"},
        TALK,
    ),
    Case(
        "two answers",
        {"question": "Hello", "answer": "Hi", "response": "Hey"},
        Refused('answer = "Hi": is another text beside response', "data.ignore=[answer]"),
    ),
    Case(
        "two answers, one ignored",
        {"question": "Hello", "answer": "Hi", "response": "Hey"},
        TALK,
        {"ignore": ["response"]},
    ),
    Case(
        "two prompts",
        {"instruction": "Translate", "question": "Hello", "answer": "Hi"},
        Refused('question = "Hello": is another text beside instruction', "data.ignore=[question]"),
    ),
    Case(
        "prompt alone",
        {"prompt": "Hello", "id": 3},
        Refused("columns = prompt, id: have no answer (output, completion", "data.columns="),
    ),
    Case(
        "answer alone",
        {"frage": "Hello", "answer": "Hi"},
        Refused("columns = frage, answer: have no prompt", "'+data.columns={YOURS: instruction}'"),
    ),
    Case(
        "tools of a pair",
        {"prompt": "Hello", "response": "Hi", "tools": [TOOL]},
        talk(*HI, tools=[TOOL], learnt=("Hi<|im_end|>",)),
    ),
    Case(
        "metadata and other columns",
        {"instruction": "Hello", "output": "Hi", "id": 1, "lang": "en", "n": None},
        replace(TALK, unread=("lang",)),
    ),
    Case(
        "a source that may be the text to translate",
        {"instruction": "Translate.", "source": "Hello", "output": "Hi"},
        replace(talk(user("Translate."), assistant("Hi")), unread=("source",)),
    ),
    Case(
        "source of a row that pacos made",
        {"instruction": "Hello", "output": "Hi", "source": "seed", "lineage": {"lang": "en"}},
        TALK,
    ),
    Case(
        "an alpaca row's rendered text",
        {"instruction": "Hello", "input": "", "output": "Hi", "text": "Below is…"},
        replace(TALK, unread=("text",)),
    ),
]
