"""Readers of benchmark files in the format that their authors publish, one section per benchmark.

`read_…` yields the items of one file in file order. An item's id is the authors' own if they give
one, otherwise the number of the record, from 0. `…_rows` returns the rows of one file in the
columns that the data set has on the hub. A file in another format raises whatever its parser
raises; the callers add which file it was.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pacos.benchmarks.items import CodeProblem, MultipleChoice, OpenQuestion, SentencePair

HubRows = list[dict[str, Any]]
"""Rows in the columns of a hub data set."""

CALCULATOR = re.compile(r"<<[^<>]*>>")
"""GSM8K's calculator annotations, such as `<<2+3=5>>`. People who copy a solution drop them."""

HELLASWAG_LINES = 6
"""Lines per item: context, index of the right ending, four endings."""

HELLASWAG_EXAMPLES = 2000
"""Rows at the end of HellaSwag's text file that serve as few-shot examples and are not scored,
because the file has no training rows. At most half of the file."""


def read_mmlu(benchmark: str, file: Path) -> Iterator[MultipleChoice]:
    """Read one MMLU subject: CSV with the columns question, choice0 to choice3, answer (0 to 3)."""
    for number, row in enumerate(_csv(file)):
        yield MultipleChoice(
            benchmark=benchmark,
            id=f"{_mmlu_subject(file)}/{number}",
            question=row["question"],
            choices=tuple(row[f"choice{n}"] for n in range(4)),
            answers=(int(row["answer"]),),
        )


def mmlu_rows(file: Path) -> HubRows:
    """Return the rows of `cais/mmlu` for one subject."""
    return [
        {
            "question": item.question,
            "subject": _mmlu_subject(file),
            "choices": list(item.choices),
            "answer": item.answers[0],
        }
        for item in read_mmlu("mmlu", file)
    ]


def _mmlu_subject(file: Path) -> str:
    """Return `high_school_physics` for high_school_physics_test.csv."""
    return file.stem.rpartition("_")[0]


def read_hellaswag(benchmark: str, file: Path) -> Iterator[MultipleChoice]:
    """Read HellaSwag's text file: bzip2, six lines per item."""
    with bz2.open(file, "rt", encoding="utf-8") as stream:
        lines = stream.read().splitlines()
    if len(lines) % HELLASWAG_LINES:
        raise ValueError(f"{len(lines)} lines are not a multiple of {HELLASWAG_LINES}")
    for at in range(0, len(lines), HELLASWAG_LINES):
        context, label, *endings = lines[at : at + HELLASWAG_LINES]
        yield MultipleChoice(
            benchmark=benchmark,
            id=str(at // HELLASWAG_LINES),
            question=context,
            choices=tuple(endings),
            answers=(int(label),),
        )


def hellaswag_text_scored(file: Path) -> HubRows:
    """Return the rows of HellaSwag's text file that are scored."""
    return _hellaswag_parts(file)[0]


def hellaswag_text_examples(file: Path) -> HubRows:
    """Return the rows of HellaSwag's text file that few-shot examples are drawn from."""
    return _hellaswag_parts(file)[1]


def _hellaswag_parts(file: Path) -> tuple[HubRows, HubRows]:
    rows = []
    for item in read_hellaswag("hellaswag", file):
        # The text file joins what the hub keeps in two columns: "Activity: context".
        label, _, context = item.question.partition(": ")
        rows.append(
            {
                "activity_label": label,
                "ctx_a": context,
                "ctx_b": "",
                "endings": list(item.choices),
                "label": str(item.answers[0]),
            }
        )
    scored = max(len(rows) - HELLASWAG_EXAMPLES, len(rows) // 2)
    return rows[:scored], rows[scored:]


def read_truthfulqa(benchmark: str, file: Path) -> Iterator[MultipleChoice]:
    """Read TruthfulQA. The choices are the true answers, best first, then the false ones."""
    for number, row in enumerate(_csv(file)):
        true = [row["Best Answer"].strip(), *_listed(row["Correct Answers"])]
        # The best answer is usually among the correct ones, too.
        true = list(dict.fromkeys(true))
        yield MultipleChoice(
            benchmark=benchmark,
            id=str(number),
            question=row["Question"],
            choices=(*true, *_listed(row["Incorrect Answers"])),
            answers=tuple(range(len(true))),
        )


def truthfulqa_rows(file: Path) -> HubRows:
    """Return the rows of `truthfulqa/truthful_qa`, with targets built as its authors build them.

    mc1 asks for the best answer among the false ones, mc2 for all true answers against the false.
    """
    rows = []
    for item in read_truthfulqa("truthfulqa", file):
        true = [item.choices[at] for at in item.answers]
        false = [choice for at, choice in enumerate(item.choices) if at not in item.answers]
        rows.append(
            {
                "question": item.question,
                "mc1_targets": _targets(true[:1], false),
                "mc2_targets": _targets(true, false),
                "best_answer": true[0],
                "correct_answers": true,
                "incorrect_answers": false,
            }
        )
    return rows


def _targets(true: list[str], false: list[str]) -> dict[str, Any]:
    return {"choices": true + false, "labels": [1] * len(true) + [0] * len(false)}


def _listed(answers: str) -> list[str]:
    """Split TruthfulQA's answers, which are separated by semicolons."""
    return [answer.strip() for answer in answers.split(";") if answer.strip()]


def read_bbq(benchmark: str, file: Path) -> Iterator[MultipleChoice]:
    """Read one category of BBQ."""
    for record in _jsonl(file):
        yield MultipleChoice(
            benchmark=benchmark,
            # The authors number the examples of each category from 0.
            id=f"{file.stem}/{record['example_id']}",
            question=record["question"],
            choices=tuple(record[f"ans{n}"] for n in range(3)),
            answers=(record["label"],),
            context=record["context"],
        )


def read_gsm8k(benchmark: str, file: Path) -> Iterator[OpenQuestion]:
    """Read GSM8K. Each solution ends with `#### ANSWER`."""
    for number, record in enumerate(_jsonl(file)):
        explanation, mark, answer = record["answer"].rpartition("####")
        if not mark:
            raise ValueError(f"record {number} has no ####")
        yield OpenQuestion(
            benchmark=benchmark,
            id=str(number),
            question=record["question"],
            answers=(answer.strip(),),
            explanation=CALCULATOR.sub("", explanation).strip(),
        )


def read_tydiqa(benchmark: str, file: Path) -> Iterator[OpenQuestion]:
    """Read TyDiQA GoldP, which has SQuAD's format."""
    for row in tydiqa_rows(file):
        yield OpenQuestion(
            benchmark=benchmark,
            id=row["id"],
            question=row["question"],
            # Several annotators often mark the same span.
            answers=tuple(dict.fromkeys(row["answers"]["text"])),
            context=row["context"],
        )


def tydiqa_rows(file: Path) -> HubRows:
    """Return the rows of `google-research-datasets/tydiqa` for one language."""
    return [
        {
            "id": question["id"],
            "title": article.get("title", ""),
            "context": paragraph["context"],
            "question": question["question"],
            "answers": {"text": [answer["text"] for answer in question["answers"]]},
        }
        for article in json.loads(file.read_text(encoding="utf-8"))["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]


def read_self_instruct(benchmark: str, file: Path) -> Iterator[OpenQuestion]:
    """Read Self-Instruct's 252 user-oriented tasks."""
    for record in _jsonl(file):
        (instance,) = record["instances"]
        yield OpenQuestion(
            benchmark=benchmark,
            id=record["id"],
            question=record["instruction"],
            answers=(instance["output"],),
            context=instance["input"],
        )


def read_xstest(benchmark: str, file: Path) -> Iterator[OpenQuestion]:
    """Read XSTest: prompts without reference answers, scored by whether they are answered."""
    for row in _csv(file):
        yield OpenQuestion(benchmark=benchmark, id=row["id"], question=row["prompt"])


def xstest_rows(file: Path) -> HubRows:
    """Return the rows of `walledai/XSTest`."""
    return [{name: row[name] for name in ("prompt", "type", "label")} for row in _csv(file)]


def read_crows_pairs(benchmark: str, file: Path) -> Iterator[SentencePair]:
    """Read CrowS-Pairs. The first column, which has no name, numbers the pairs."""
    for row in _csv(file):
        yield SentencePair(
            benchmark=benchmark,
            id=row[""],
            stereotypical=row["sent_more"],
            other=row["sent_less"],
        )


def crows_pairs_rows(file: Path) -> HubRows:
    """Return the rows of `jannalu/crows_pairs_multilingual`, English."""
    return [{"id": int(row.pop("")), **row} for row in _csv(file)]


def read_humaneval(benchmark: str, file: Path) -> Iterator[CodeProblem]:
    """Read HumanEval: gzipped JSONL."""
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                yield _code_problem(benchmark, json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"line {number}: {error!r}") from error


def _code_problem(benchmark: str, record: dict[str, Any]) -> CodeProblem:
    keys = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
    for key in keys:
        # The texts are joined into a program: anything else would fail far from its cause.
        if not isinstance(record[key], str):
            raise TypeError(f"{key} is not a string")
    name, prompt, solution, tests, entry_point = (record[key] for key in keys)
    return CodeProblem(
        benchmark=benchmark,
        id=name,
        prompt=prompt,
        solution=solution,
        tests=tests,
        entry_point=entry_point,
    )


def read_smoke(benchmark: str, file: Path) -> Iterator[MultipleChoice | OpenQuestion]:
    """Read one task of the smoke suite that comes with pacos."""
    # Choices answer a question or continue a context; without choices, a prompt is answered freely.
    for record in _jsonl(file):
        if "choices" in record:
            yield MultipleChoice(
                benchmark=benchmark,
                id=record["id"],
                question=record["question"] if "question" in record else record["context"],
                choices=tuple(record["choices"]),
                answers=(record["answer"],),
            )
        else:
            yield OpenQuestion(
                benchmark=benchmark,
                id=record["id"],
                question=record["prompt"],
                answers=(record["answer"],),
            )


def jsonl_rows(file: Path) -> HubRows:
    """Return the records of a JSONL file that already has the hub's columns."""
    return list(_jsonl(file))


def _csv(file: Path) -> Iterator[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream, strict=True)):
            # DictReader files surplus values under None and fills missing ones with None.
            if None in row or None in row.values():
                raise ValueError(f"record {number} does not have one value per column")
            yield row


def _jsonl(file: Path) -> Iterator[dict[str, Any]]:
    # Not str.splitlines, which also breaks at U+2028: JSON strings may hold that.
    with file.open(encoding="utf-8") as stream:
        for line in stream:
            if not line.isspace():
                yield json.loads(line)
