"""Rows of plain text and of tokens, renamed columns, and columns without a schema."""

from __future__ import annotations

from pacos.data.example import RawText, TokenIds
from tests.pacos.data.cases import (
    HI,
    TALK,
    Case,
    Read,
    Refused,
)

OTHERS = [
    Case(
        "text",
        {"text": "Once upon a time."},
        Read(content=RawText("", "Once upon a time."), learnt=(" upon a time.<|im_end|>",)),
    ),
    Case(
        "text and label",
        {"text": "Once.", "label": 1},
        Read(content=RawText("", "Once."), learnt=(".<|im_end|>",), unread=("label",)),
    ),
    Case(
        "raw pair",
        {"prompt": "Once ", "completion": "upon a time."},
        Read(content=RawText("Once ", "upon a time."), learnt=("upon a time.<|im_end|>",)),
        {"raw": True},
    ),
    Case(
        "raw pair without a prompt",
        {"prompt": "", "completion": "Once."},
        Read(content=RawText("", "Once."), learnt=(".<|im_end|>",)),
        {"raw": True},
    ),
    Case(
        "raw pair with a system column",
        {"prompt": "Once ", "completion": "upon a time.", "system": "S"},
        Read(
            content=RawText("Once ", "upon a time."),
            learnt=("upon a time.<|im_end|>",),
            unread=("system",),
        ),
        {"raw": True},
    ),
    Case(
        "raw pair split inside a word",
        {"prompt": "un", "completion": "happy"},
        Read(content=RawText("un", "happy"), learnt=("happy<|im_end|>",)),
        {"raw": True},
    ),
    Case(
        "special token in plain text",
        {"text": "Once.<|im_end|>"},
        Read(
            content=RawText("", "Once.<|im_end|>"),
            learnt=Refused("its text holds the control token <|im_end|>", "remove it"),
        ),
    ),
    Case(
        "raw text",
        {"text": "Once."},
        Read(content=RawText("", "Once."), learnt=(".<|im_end|>",)),
        {"raw": True},
    ),
    Case(
        "raw turns",
        {"prompt": [HI[0]], "completion": [HI[1]]},
        Refused("prompt = [", "join its items"),
        {"raw": True},
    ),
    Case(
        "raw alpaca",
        {"instruction": "Hello", "output": "Hi"},
        Refused("columns = instruction, output: match no known schema for data.raw=true", "prompt"),
        {"raw": True},
    ),
    Case(
        "ids",
        {"input_ids": [1, 2, 3]},
        Read(content=TokenIds([1, 2, 3], [1, 2, 3]), learnt=("<|im_end|><repo_name>",)),
    ),
    Case(
        "ids and labels",
        {"input_ids": [1, 2, 3], "labels": [-100, -100, 3], "attention_mask": [1, 1, 1]},
        Read(content=TokenIds([1, 2, 3], [-100, -100, 3]), learnt=("<repo_name>",)),
    ),
    Case(
        "ids and a mask of TRL",
        {"input_ids": [1, 2, 3], "completion_mask": [0, 1, 1]},
        Read(content=TokenIds([1, 2, 3], [-100, 2, 3]), learnt=("<|im_end|><repo_name>",)),
    ),
    Case(
        "ids beside text",
        {"text": "Once.", "input_ids": [1, 2], "token_type_ids": [0, 0]},
        Read(
            content=TokenIds([1, 2], [1, 2]),
            learnt=("<|im_end|>",),
            unread=("text", "token_type_ids"),
        ),
    ),
    Case(
        "ids beyond the vocabulary",
        {"input_ids": [1, 99999]},
        Read(
            content=TokenIds([1, 99999], [1, 99999]),
            learnt=Refused("input_ids[1] = 99999 is not in the tokenizer's vocabulary", "49152"),
        ),
    ),
    Case(
        "labels in two parts",
        {"input_ids": [1, 2, 3, 17, 18], "labels": [-100, 2, -100, 17, 18]},
        Read(
            content=TokenIds([1, 2, 3, 17, 18], [-100, 2, -100, 17, 18]),
            learnt=("<|im_end|>", '!"'),
        ),
    ),
    Case(
        "padded ids",
        {"input_ids": [1, 2, 0], "attention_mask": [1, 1, 0]},
        Refused("attention_mask = [1, 1, 0]: hides tokens", "remove the padding"),
    ),
    Case(
        "shifted labels",
        {"input_ids": [1, 2, 3], "labels": [2, 3, -100]},
        Refused("labels[0] = 2: must be 1, the id of its token, or -100", "do not shift"),
    ),
    Case(
        "labels too short",
        {"input_ids": [1, 2, 3], "labels": [2]},
        Refused("labels = [2]: has 1 items, but there are 3 tokens", "tokenize"),
    ),
    Case(
        "no label",
        {"input_ids": [1, 2], "labels": [-100, -100]},
        Refused("labels = [-100, -100]: no token after the first has a loss", "remove the row"),
    ),
    Case(
        "negative ids",
        {"input_ids": [1, -1]},
        Refused("input_ids = [1, -1]: must be token ids from 0 on", "tokenize"),
    ),
    Case(
        "ids of texts",
        {"input_ids": ["a"]},
        Refused('input_ids = ["a"]: must be a list of whole numbers', "tokenize"),
    ),
    Case(
        "renamed",
        {"frage": "Hello", "antwort": "Hi"},
        TALK,
        {"columns": {"frage": "question", "antwort": "answer"}},
    ),
    Case(
        "text beside a prompt",
        {"prompt": "Hello", "text": "Hi"},
        Refused("columns = prompt, text: have no answer", "data.ignore=[prompt]"),
    ),
    Case(
        "text beside an ignored prompt",
        {"prompt": "Hello", "text": "Hi"},
        Read(content=RawText("", "Hi"), learnt=("<|im_end|>",)),
        {"ignore": ["prompt"]},
    ),
    Case(
        "swapped",
        {"output": "Hello", "input": "Hi"},
        TALK,
        {"columns": {"output": "input", "input": "output"}},
    ),
    Case(
        "a renamed column's fault",
        {"instruction": "Hello", "output": "Hi", "persona": True},
        Refused("persona = true: must be a text", "write the word"),
        {"columns": {"persona": "system"}},
    ),
    Case(
        "renamed onto another",
        {"instruction": "Hello", "text": "Hi", "output": "x"},
        Refused("columns = text, output: both mean output", "data.ignore=[output]"),
        {"columns": {"text": "output"}},
    ),
    Case(
        "renamed onto an ignored one",
        {"instruction": "Hello", "text": "Hi", "output": "x"},
        TALK,
        {"columns": {"text": "output"}, "ignore": ["output"]},
    ),
    Case(
        "renamed the wrong way round",
        {"prompt": "Hello", "text": "Hi"},
        Refused(
            "columns = prompt, text: do not have output, which", "'+data.columns={text: output}'"
        ),
        {"columns": {"output": "text"}},
    ),
    Case(
        "unknown columns",
        {"frage": "Hello", "antwort": "Hi"},
        Refused("columns = frage, antwort: match no known schema", "'+data.columns={frage: NAME"),
    ),
    Case("no columns", {}, Refused("columns = none: match no known schema", "docs/data.md")),
    Case(
        "preferences",
        {"prompt": "Hello", "chosen": "Hi", "rejected": "Go"},
        Refused("columns = prompt, chosen, rejected: are preference data", "{chosen: completion}"),
    ),
    Case(
        "preferences in turns",
        {"chosen": list(HI), "rejected": []},
        Refused("columns = chosen, rejected: are preference data", "{chosen: messages}"),
    ),
    Case(
        "the better of two",
        {"chosen": list(HI), "rejected": []},
        TALK,
        {"columns": {"chosen": "messages"}, "ignore": ["rejected"]},
    ),
    Case(
        "a message of a tree alone",
        {"message_id": "1", "parent_id": None, "text": "Hello", "role": "prompter"},
        Refused("columns = message_id, text, role: are those of a message in a tree", "files"),
    ),
]
