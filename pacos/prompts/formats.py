"""Prompt formats: one Jinja template each, for training, evaluation and export alike.

Text between `{% generation %}` and `{% endgeneration %}` is supervised: the answer and the stop
token after it. A user turn may have `input` beside `content` (Alpaca's third field): the alpaca
format gives it a section of its own, the others append it after a blank line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from importlib import resources
from pathlib import Path

from pacos.errors import UserError, first_line

MARK = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
"""Tags around supervised text, which transformers knows and other engines do not."""


class PromptFormat(Enum):
    """Prompt format of a conversation: a template in `pacos/prompts/templates`."""

    alpaca = "alpaca"
    llama2 = "llama2"
    llama3 = "llama3"
    chatml = "chatml"


@dataclass(frozen=True, slots=True)
class Format:
    """A chat template and its stop token."""

    template: str
    stop_token: str | None
    """Token that ends an answer; None for the tokenizer's eos token."""
    only_text: bool = False
    """Takes at most one system turn, then user and assistant in turns, without tools, calls and
    thoughts."""

    def exported(self) -> str:
        """Return the template without marks, for engines that reject unknown Jinja tags."""
        return MARK.sub("", self.template)


def _own(name: str, stop_token: str | None = None, *, only_text: bool = False) -> Format:
    file = resources.files("pacos.prompts") / "templates" / f"{name}.jinja"
    return Format(file.read_text(encoding="utf-8").strip(), stop_token, only_text)


FORMATS: dict[PromptFormat, Format] = {
    PromptFormat.chatml: _own("chatml", "<|im_end|>"),
    PromptFormat.llama3: _own("llama3", "<|eot_id|>"),
    PromptFormat.llama2: _own("llama2", only_text=True),
    PromptFormat.alpaca: _own("alpaca", only_text=True),
}


def read_template(path: str) -> str:
    """Read a chat template from a file.

    Raises:
        UserError: the file cannot be read or is no Jinja template.
    """
    import jinja2

    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
        # The tags that transformers adds to Jinja: generation, break and continue.
        jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).parse(MARK.sub("", text))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read: {first_line(error)}") from error
    except jinja2.TemplateSyntaxError as error:
        raise UserError(f"is no Jinja template: line {error.lineno}: {error.message}") from error
    return text
