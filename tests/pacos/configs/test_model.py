"""Chat templates from files: named in the config, read before anything starts."""

from __future__ import annotations

from pathlib import Path

from pacos.configs.model import ModelConfig
from pacos.prompts.formats import PromptFormat


def config(template: Path) -> ModelConfig:
    return ModelConfig(
        path="m", name="M", license="l", prompt_format=None, chat_template=str(template)
    )


def test_a_template_needs_a_format_of_null(tmp_path: Path) -> None:
    model = config(tmp_path / "t.jinja")
    assert model.problems() == []
    model.prompt_format = PromptFormat.llama3
    (problem,) = model.problems()
    assert problem.key == "model.chat_template"
    assert problem.fault == "model.prompt_format=llama3 has a template of its own"
    assert problem.remedy == "set model.prompt_format=null to use the file"


def test_a_template_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.jinja"
    model = config(path)
    assert "cannot be read" in str(model.missing_files()[0])
    path.write_bytes(b"\xff")
    assert "cannot be read" in str(model.missing_files()[0])
    path.write_text("{% for m in messages %}\n{{ m['content' }}{% endfor %}")
    assert "is no Jinja template: line 2" in str(model.missing_files()[0])
    path.write_text(
        "{% for m in messages %}{% if m.role == 'x' %}{% break %}{% endif %}"
        "{% generation %}{{ m['content'] }}{% endgeneration %}{% endfor %}"
    )
    assert model.missing_files() == []
