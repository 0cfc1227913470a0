"""Answers of the evaluated models to the prompts of a suite's rubrics, for a judge to score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from eval.config import EvalConfig
from eval.geval.judge.judge_prompts import JudgedText
from eval.harness.model import EvaluatedModel, publish_results
from eval.rubrics.prompts import RubricPrompt, read_prompts
from eval.rubrics.rubric import Rubric
from pacos.errors import UserError
from pacos.files import read_jsonl, write_json, write_jsonl
from pacos.run_paths import GEVAL_ANSWERS


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """One model's answer to one prompt: a line of answers.jsonl."""

    rubric: str
    id: str
    """Id of the prompt, unique within the rubric."""
    source: str
    """The prompt as the judge reads it."""
    context: str
    output: str

    @property
    def text(self) -> JudgedText:
        """The answer as it is shown to the judge."""
        return JudgedText(self.source, self.output, self.context)

    @property
    def item(self) -> tuple[str, str]:
        """Rubric and prompt id: equal for the answers of all models to one prompt."""
        return self.rubric, self.id


def suite_prompts(
    rubrics: Sequence[Rubric], limit: int | None
) -> list[tuple[Rubric, RubricPrompt]]:
    """Return the prompts of all rubrics in order, at most `limit` per rubric."""
    return [
        (rubric, prompt)
        for rubric in rubrics
        if rubric.prompts is not None
        for prompt in read_prompts(rubric.prompts)[:limit]
    ]


def write_answers(
    lm: EvaluatedModel,
    folder: Path,
    *,
    prompts: Sequence[tuple[Rubric, RubricPrompt]],
    config: EvalConfig,
) -> None:
    """Generate a model's answers and write answers.jsonl and answering.json.

    Args:
        lm: the model.
        folder: created when all answers are complete.
        prompts: result of `suite_prompts`.
        config: sets temperature and length of the answers.
    """
    # Deferred: `pacos review` reads answers through this module, without lm_eval and torch.
    from eval.lm_eval_api import Instance

    is_sampled = config.geval.temperature > 0
    settings = {
        # No stop strings: an answer ends at the model's own stop token, or at the limit.
        "until": [],
        "max_gen_toks": config.geval.answer_tokens,
        "do_sample": is_sampled,
        **({"temperature": config.geval.temperature} if is_sampled else {}),
    }
    requests = [
        Instance(
            request_type="generate_until",
            doc={},
            arguments=(_prompt_text(lm, rubric, prompt), dict(settings)),
            idx=0,
            # lm_eval reads task, item and repeats from here; the certificate samples whole items.
            metadata=(rubric.name, number, 1),
        )
        for number, (rubric, prompt) in enumerate(prompts)
    ]
    facts = {"model": config.models()[folder.name], "precision": config.precision.name, **settings}
    with publish_results(lm, folder, config.seed) as partial:
        outputs = lm.generate_until(requests)
        answers = [
            ModelAnswer(
                rubric.name, prompt.id, prompt.source(rubric.lang), prompt.context, output.strip()
            )
            for (rubric, prompt), output in zip(prompts, outputs, strict=True)
        ]
        write_jsonl(partial / GEVAL_ANSWERS, [asdict(answer) for answer in answers])
        write_json(partial / "answering.json", facts)


def read_answers(folder: Path) -> list[ModelAnswer]:
    """Read back what `write_answers` wrote."""
    return [ModelAnswer(**record) for record in read_jsonl(folder / GEVAL_ANSWERS)]


def _prompt_text(lm: EvaluatedModel, rubric: Rubric, prompt: RubricPrompt) -> str:
    try:
        return lm.apply_chat_template(prompt.messages(), add_generation_prompt=True)
    except Exception as error:  # Jinja templates raise arbitrary exceptions
        raise UserError(
            f"rubric {rubric.name}, prompt {prompt.id}: the model's chat template rejects the "
            f"conversation ({error}); choose a prompt_format"
        ) from error
