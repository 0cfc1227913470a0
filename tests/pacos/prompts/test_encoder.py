import copy
from typing import Any

import pytest

from pacos.data.example import Conversation
from pacos.errors import UserError
from pacos.prompts.choice import prompt_text, stop_token_id
from pacos.prompts.encoder import Encoder, encode
from pacos.prompts.formats import FORMATS, PromptFormat
from pacos.prompts.tokens import IGNORE
from pacos.schemas import Row
from tests.sft.byte_tokenizer import byte_tokenizer

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


CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": " First, with a blank in front."},
    {"role": "user", "content": "Two? 둘?"},
    {"role": "assistant", "content": "Second.\n\n둘.\n"},
]


@pytest.mark.parametrize("prompt_format", list(PromptFormat))
def test_each_answer_is_learnt_with_its_stop_token_and_nothing_else(
    tokenizer: Any, prompt_format: PromptFormat
) -> None:
    if prompt_format is PromptFormat.llama3:
        pytest.skip("the tokenizer has no token of this format")
    (row,) = encode(tokenizer, prompt_format, [CONVERSATION])
    stop = tokenizer.decode([stop_token_id(tokenizer, prompt_format)])
    learnt = tokenizer.decode(row.labels[row.labels != IGNORE])
    answers = [turn["content"] for turn in CONVERSATION if turn["role"] == "assistant"]
    between = " " if prompt_format is PromptFormat.llama2 else ""
    assert learnt == "".join(between + answer + between + stop for answer in answers)
    text = tokenizer.decode(row.ids)
    for turn in CONVERSATION:
        assert turn["content"] in text


OWN = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' %}ANSWER"
    "{% else %}{{ m['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MARKED = "{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}"


@pytest.fixture
def own(tokenizer: Any) -> Any:
    """A tokenizer whose chat template a test may choose."""
    return copy.deepcopy(tokenizer)


def test_the_tokenizers_own_template_is_learnt_as_ours_are(own: Any, tokenizer: Any) -> None:
    own.chat_template = OWN.replace("ANSWER", MARKED)
    (mine,) = encode(own, None, [CONVERSATION])
    (ours,) = encode(tokenizer, PromptFormat.chatml, [CONVERSATION])
    assert mine.labels.tolist() == ours.labels.tolist()
    assert "Korea" in prompt_text(own, None, ROW.messages()[:1])


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("{{ m['content'] + '\n' }}", "ends an answer with no token of the tokenizer"),
        (
            "{% if loop.last %}{% generation %}{{ m['content'] + '<|im_end|>' }}"
            "{% endgeneration %}{% else %}{{ m['content'] }}{% endif %}",
            "marks 1 of 2 answers",
        ),
        (
            "{% generation %}{{ m['content'] }}{% endgeneration %}{{ '<|im_end|>\n' }}",
            r"does not mark the stop token <\|im_end\|>",
        ),
        (
            "{{ 'Sure. ' }}{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}",
            r"marks 'Four.<\|im_end\|>' as an answer, but what follows .* is 'Sure. Four",
        ),
    ],
)
def test_a_template_that_does_not_mark_what_is_learnt_is_refused(
    own: Any, answer: str, says: str
) -> None:
    own.chat_template = OWN.replace("ANSWER", answer)
    with pytest.raises(UserError, match=says):
        encode(own, None, [CONVERSATION])


def test_a_tokenizer_without_a_template_needs_a_format(own: Any) -> None:
    own.chat_template = None
    with pytest.raises(UserError, match="choose one of: alpaca"):
        encode(own, None, [CONVERSATION])


def test_control_tokens_in_a_text_are_found(tokenizer: Any) -> None:
    encoder = Encoder.of(tokenizer, PromptFormat.chatml)
    assert encoder.control_token_in(Conversation(CONVERSATION)) is None
    for key in ("content", "input"):
        # <filename> is special in SmolLM2's vocabulary, though no format uses it.
        for token in ("<|im_end|>", "<filename>"):
            turn = {"role": "user", "content": "a", key: f"b{token}"}
            assert encoder.control_token_in(Conversation([turn])) == token


def test_blanks_of_an_answer_are_learnt_where_a_tokenizer_leaves_them_out_of_its_offsets() -> None:
    """LLaMA 3's does: its post-processor trims them."""
    from tokenizers import processors

    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    turns = [
        {"role": "user", "content": "One? "},
        {"role": "assistant", "content": "  \n First "},
        {"role": "user", "content": " Two?"},
        {"role": "assistant", "content": "\n\n  둘 "},
    ]
    (row,) = encode(tokenizer, PromptFormat.chatml, [turns])
    learnt = tokenizer.decode(row.labels[row.labels != IGNORE])
    assert learnt == "  \n First <|im_end|>\n\n  둘 <|im_end|>"
