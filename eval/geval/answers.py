"""The answers of a model to the prompts of rubrics, which a judge is asked about later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eval.config import EvalConfig
from eval.geval.judge.judge_prompts import Text
from eval.harness.parts import whole_folder
from eval.rubrics.prompts import Prompt, read_prompts
from eval.rubrics.rubric import Rubric, read_rubric
from pacos.configs.suite import SuiteConfig
from pacos.errors import UserError
from pacos.files import read_jsonl, write_json, write_jsonl


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model wrote."""

    rubric: str
    id: str
    """Of the prompt."""
    source: str
    """The prompt as the judge reads it."""
    context: str
    output: str

    @property
    def text(self) -> Text:
        """The answer as the judge is shown it."""
        return Text(self.source, self.output, self.context)

    @property
    def item(self) -> tuple[str, str]:
        """What it has in common with other models' answers to the same prompt."""
        return self.rubric, self.id


def read_rubrics(suite: SuiteConfig) -> list[Rubric]:
    """The rubrics of a suite, which `GEvalConfig.missing_files` has found to be right."""
    return [read_rubric(suite.directory() / f"{name}.yaml") for name in suite.rubrics]


def asked(rubrics: Sequence[Rubric], limit: int | None) -> list[tuple[Rubric, Prompt]]:
    """All prompts, rubric by rubric, at most `limit` of each."""
    return [
        (rubric, prompt)
        for rubric in rubrics
        if rubric.prompts is not None
        for prompt in read_prompts(rubric.prompts)[:limit]
    ]


def write_answers(
    lm: Any, folder: Path, *, prompts: Sequence[tuple[Rubric, Prompt]], config: EvalConfig
) -> None:
    """Have a model answer, and write answers.jsonl and answering.json to `folder`.

    Args:
        lm: the model as the harness sees it.
        folder: appears when all is written.
        prompts: of `asked`.
        config: temperature and length of answers.
    """
    from lm_eval.api.instance import Instance

    from eval.harness.results import keeping_answers

    sampled = config.geval.temperature > 0
    settings = {
        "until": [],
        "max_gen_toks": config.geval.answer_tokens,
        "do_sample": sampled,
        **({"temperature": config.geval.temperature} if sampled else {}),
    }
    requests = [
        Instance(
            request_type="generate_until",
            doc={},
            arguments=(_written_out(lm, rubric, prompt), dict(settings)),
            idx=0,
            metadata=(rubric.name, number, 1),
        )
        for number, (rubric, prompt) in enumerate(prompts)
    ]
    facts = {"model": config.models()[folder.name], "precision": config.precision.name, **settings}
    with keeping_answers(lm, folder, config), whole_folder(folder) as partial:
        outputs = lm.generate_until(requests)
        answers = [
            Answer(
                rubric.name, prompt.id, prompt.source(rubric.lang), prompt.context, output.strip()
            )
            for (rubric, prompt), output in zip(prompts, outputs, strict=True)
        ]
        write_jsonl(partial / "answers.jsonl", [asdict(answer) for answer in answers])
        write_json(partial / "answering.json", facts)


def read_answers(folder: Path) -> list[Answer]:
    """Read back what `write_answers` wrote."""
    return [Answer(**record) for record in read_jsonl(folder / "answers.jsonl")]


def _written_out(lm: Any, rubric: Rubric, prompt: Prompt) -> str:
    try:
        text: str = lm.apply_chat_template(prompt.messages(), add_generation_prompt=True)
    except Exception as error:  # a template raises anything
        raise UserError(
            f"rubric {rubric.name}, prompt {prompt.id}: the model's chat template takes no such "
            f"conversation ({error}); choose a prompt_format"
        ) from error
    return text
