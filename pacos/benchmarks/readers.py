"""One reader a file format: the items of one file, in its order, in the form its authors publish.

Each takes the name of the benchmark and the file. An id is the authors' own where there is one,
else the number of the record, from 0. A file of another form raises what parsing it raises; the
catalogue says which file it was.
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

CALCULATOR = re.compile(r"<<[^<>]*>>")
"""GSM8K's annotations of what a calculator would say."""

HELLASWAG_LINES = 6
"""Context, index of the right ending, four endings."""


def read_mmlu(benchmark: str, file: Path) -> Iterator[MultipleChoice]:
    """MMLU: a subject's CSV with the columns question, choice0 to choice3 and answer (0 to 3)."""
    subject = file.stem.removesuffix("_test")
    for number, row in enumerate(_csv(file)):
        yield MultipleChoice(
            benchmark=benchmark,
            id=f"{subject}/{number}",
            question=row["question"],
            choices=tuple(row[f"choice{n}"] for n in range(4)),
            answers=(int(row["answer"]),),
        )


def read_hellaswag(benchmark: str, file: Path) -> Iterator[MultipleChoice]:
    """HellaSwag: bzip2, six lines an item."""
    with bz2.open(file, "rt", encoding="utf-8") as stream:
        lines = stream.read().splitlines()
    if len(lines) % HELLASWAG_LINES:
        raise ValueError(f"{len(lines)} lines are no multiple of {HELLASWAG_LINES}")
    for at in range(0, len(lines), HELLASWAG_LINES):
        context, label, *endings = lines[at : at + HELLASWAG_LINES]
        yield MultipleChoice(
            benchmark=benchmark,
            id=str(at // HELLASWAG_LINES),
            question=context,
            choices=tuple(endings),
            answers=(int(label),),
        )


def read_truthfulqa(benchmark: str, file: Path) -> Iterator[MultipleChoice]:
    """TruthfulQA: the true answers, the best one first, then the false ones."""
    for number, row in enumerate(_csv(file)):
        true = [row["Best Answer"].strip(), *_listed(row["Correct Answers"])]
        true = list(dict.fromkeys(true))
        yield MultipleChoice(
            benchmark=benchmark,
            id=str(number),
            question=row["Question"],
            choices=(*true, *_listed(row["Incorrect Answers"])),
            answers=tuple(range(len(true))),
        )


def read_bbq(benchmark: str, file: Path) -> Iterator[MultipleChoice]:
    """BBQ: one JSONL file a category."""
    for record in _jsonl(file):
        yield MultipleChoice(
            benchmark=benchmark,
            id=f"{file.stem}/{record['example_id']}",
            question=record["question"],
            choices=tuple(record[f"ans{n}"] for n in range(3)),
            answers=(record["label"],),
            context=record["context"],
        )


def read_gsm8k(benchmark: str, file: Path) -> Iterator[OpenQuestion]:
    """GSM8K: the solution ends with `#### ANSWER`."""
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
    """TyDiQA GoldP, in SQuAD's form."""
    for article in _json(file)["data"]:
        for paragraph in article["paragraphs"]:
            for asked in paragraph["qas"]:
                answers = dict.fromkeys(answer["text"] for answer in asked["answers"])
                yield OpenQuestion(
                    benchmark=benchmark,
                    id=asked["id"],
                    question=asked["question"],
                    answers=tuple(answers),
                    context=paragraph["context"],
                )


def read_self_instruct(benchmark: str, file: Path) -> Iterator[OpenQuestion]:
    """Self-Instruct's user-oriented tasks."""
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
    """XSTest: prompts alone; what matters is whether they are answered."""
    for row in _csv(file):
        yield OpenQuestion(benchmark=benchmark, id=row["id"], question=row["prompt"])


def read_crows_pairs(benchmark: str, file: Path) -> Iterator[SentencePair]:
    """CrowS-Pairs: the first column, without a name, numbers the pairs."""
    for row in _csv(file):
        yield SentencePair(
            benchmark=benchmark,
            id=row[""],
            stereotypical=row["sent_more"],
            other=row["sent_less"],
        )


def read_humaneval(benchmark: str, file: Path) -> Iterator[CodeProblem]:
    """HumanEval: JSONL, gzipped."""
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                yield _code_problem(benchmark, json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"line {number}: {error!r}") from error


def _code_problem(benchmark: str, record: dict[str, Any]) -> CodeProblem:
    keys = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
    for key in keys:
        if not isinstance(record[key], str):
            raise TypeError(f"{key} is no text")
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
    """The suite that comes with pacos."""
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
            answers = (record["answer"],)
            question = record["prompt"]
            yield OpenQuestion(
                benchmark=benchmark, id=record["id"], question=question, answers=answers
            )


def _csv(file: Path) -> Iterator[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream, strict=True)):
            if None in row or None in row.values():
                raise ValueError(f"record {number} has not one value a column")
            yield row


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _jsonl(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


def _listed(answers: str) -> list[str]:
    """TruthfulQA's answers, separated by semicolons."""
    return [answer.strip() for answer in answers.split(";") if answer.strip()]
