"""The tokenizer of a run: with the chat template of the config, in training and in the export."""

from __future__ import annotations

from pathlib import Path

import pytest

from pacos.data.example import Conversation, RowError
from pacos.errors import UserError
from pacos.prompts.choice import format_of, prompt_text
from pacos.prompts.formats import PromptFormat
from pacos.prompts.tokens import Reason
from sft.config import SFTConfig
from sft.data.tokenizer import build_encoder, build_tokenizer
from tests.sft.small_runs import small_config

TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
PLAIN = (
    "{% for m in messages %}{{ m['role'] + ': ' }}ANSWER{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
UNMARKED = PLAIN.replace("ANSWER", "{{ m['content'] + eos_token }}")
MARKED = PLAIN.replace(
    "ANSWER",
    "{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] + eos_token }}{% endgeneration %}"
    "{% else %}{{ m['content'] + eos_token }}{% endif %}",
)


@pytest.fixture
def config(tmp_path: Path) -> SFTConfig:
    config = small_config(tmp_path, "run")
    config.model.prompt_format = None
    config.model.chat_template = str(tmp_path / "template.jinja")
    return config


@pytest.mark.parametrize("template", [UNMARKED, MARKED])
def test_a_template_from_a_file_is_the_one_of_training_and_export(
    config: SFTConfig, template: str
) -> None:
    assert config.model.chat_template is not None
    Path(config.model.chat_template).write_text(template)
    tokenizer = build_tokenizer(config.model)
    assert prompt_text(tokenizer, None, TURNS[:1]) == "user: Hi<|im_end|>\nassistant: "
    (examples,) = build_encoder(config, tokenizer).encode([Conversation(TURNS)])
    assert not isinstance(examples, RowError)
    (row,) = examples
    assert tokenizer.decode(row.ids) == "user: Hi<|im_end|>\nassistant: Hello.<|im_end|>\n"
    assert tokenizer.decode(row.ids[row.reasons == Reason.trained]) == "Hello.<|im_end|>"
    exported = format_of(tokenizer, None).exported()
    assert "generation %}" not in exported
    assert (
        tokenizer.apply_chat_template(TURNS, chat_template=exported, tokenize=False)
        == "user: Hi<|im_end|>\nassistant: Hello.<|im_end|>\n"
    )


def test_a_tokenizer_without_a_template_needs_a_file(config: SFTConfig) -> None:
    config.model.chat_template = None
    with pytest.raises(UserError, match=r"is missing; set model\.chat_template to a Jinja file"):
        build_tokenizer(config.model)


def test_the_hint_to_another_pad_token_names_one_that_is_there(config: SFTConfig) -> None:
    config.model.prompt_format, config.model.chat_template = PromptFormat.chatml, None
    config.model.pad_token = "<|im_end|>"
    with pytest.raises(UserError, match=r"name another token of the vocabulary$"):
        build_tokenizer(config.model)
