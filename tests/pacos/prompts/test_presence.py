"""Parts of a conversation that a foreign chat template would lose."""

from __future__ import annotations

import pytest

from pacos.data.example import Conversation, RowError
from pacos.prompts.encoder import Encoder
from tests.sft.byte_tokenizer import byte_tokenizer

TURNS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NAMES = "{% for t in tools or [] %}{{ t.function.name }} {% endfor %}"
DESCRIBED = (
    "{% for t in tools or [] %}{{ t.function.name }} {{ t.function.description }}{% endfor %}"
)
WHOLE = "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}"
FUNCTION = {
    "name": "weather",
    "description": 'Say how "warm" it is.',
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
TOOL = {"type": "function", "function": FUNCTION}


def refusal(template: str) -> str | None:
    turns = [{"role": role, "content": f"{role} text"} for role in ("system", "user", "assistant")]
    encoder = Encoder.of(byte_tokenizer(template), None)
    (row,) = encoder.encode([Conversation(turns, [TOOL])])
    return str(row) if isinstance(row, RowError) else None


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (TURNS, "does not write tools;"),
        (NAMES + TURNS, "leaves out the description of the tool weather;"),
        (DESCRIBED + TURNS, "leaves out the parameter city of the tool weather;"),
        (
            WHOLE + TURNS.replace("messages", "messages | rejectattr('role', 'equalto', 'system')"),
            "leaves out the content of turn 1 (system);",
        ),
        (
            WHOLE + TURNS.replace("m.content", "m.content | replace('user ', '')"),
            "leaves out the content of turn 2 (user);",
        ),
    ],
)
def test_a_row_with_a_part_that_a_template_leaves_out_is_refused(template: str, says: str) -> None:
    assert says in (refusal(template) or "")


def test_a_template_that_writes_everything_is_used() -> None:
    assert refusal(WHOLE + TURNS) is None
