from typing import Any

import pytest

from pacos.config import PromptFormat
from pacos.errors import UserError
from pacos.prompts import FORMATS, IGNORE, encode, prompt_text, stop_token_id
from pacos.schemas import Row

ROW = Row(id="r", instruction="Name a colour of the flag.", input="Korea", output="Red.")
IN_SMOLLM2 = [PromptFormat.chatml, PromptFormat.alpaca]


@pytest.mark.parametrize("prompt_format", IN_SMOLLM2)
def test_loss_is_on_the_answer_and_its_stop_token_alone(
    tokenizer: Any, prompt_format: PromptFormat
) -> None:
    (row,) = encode(tokenizer, prompt_format, [ROW.messages()])
    learnt = [label for label in row.labels if label != IGNORE]
    assert tokenizer.decode(learnt) == "Red." + tokenizer.decode(
        [stop_token_id(tokenizer, prompt_format)]
    )
    assert row.labels[0] == IGNORE
    assert row.num_supervised == len(learnt)


def test_every_answer_of_a_conversation_is_learnt(tokenizer: Any) -> None:
    turns = [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "First."},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "Second."},
    ]
    (row,) = encode(tokenizer, PromptFormat.chatml, [turns])
    learnt = tokenizer.decode([label for label in row.labels if label != IGNORE])
    assert learnt == "First.<|im_end|>Second.<|im_end|>"


@pytest.mark.parametrize("prompt_format", list(PromptFormat))
def test_the_prompt_is_the_beginning_of_what_is_trained_on(
    tokenizer: Any, prompt_format: PromptFormat
) -> None:
    asked = prompt_text(tokenizer, prompt_format, ROW.messages()[:1])
    whole = tokenizer.apply_chat_template(
        ROW.messages(), chat_template=FORMATS[prompt_format].template, tokenize=False
    )
    assert whole.startswith(asked)
    assert "Korea" in asked
    assert "Red." not in asked


@pytest.mark.parametrize("prompt_format", list(PromptFormat))
def test_the_exported_template_writes_the_same_text(
    tokenizer: Any, prompt_format: PromptFormat
) -> None:
    written = [
        tokenizer.apply_chat_template(ROW.messages(), chat_template=template, tokenize=False)
        for template in (FORMATS[prompt_format].template, FORMATS[prompt_format].exported())
    ]
    assert written[0] == written[1]
    assert "generation %}" not in FORMATS[prompt_format].exported()


def test_alpaca_writes_the_published_prompt(tokenizer: Any) -> None:
    text = prompt_text(tokenizer, PromptFormat.alpaca, ROW.messages()[:1])
    assert text.endswith(
        "\n\n### Instruction:\nName a colour of the flag.\n\n### Input:\nKorea\n\n### Response:"
    )
    without = Row(id="r", instruction="Sing.", input="", output="La.").messages()[:1]
    text = prompt_text(tokenizer, PromptFormat.alpaca, without)
    assert text.endswith("\n\n### Instruction:\nSing.\n\n### Response:")


def test_a_format_whose_stop_token_is_unknown_is_refused(tokenizer: Any) -> None:
    with pytest.raises(UserError, match="llama3"):
        stop_token_id(tokenizer, PromptFormat.llama3)
