"""Rubrics: those that ship are whole in both languages, bad ones are told key and remedy."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.config import EvalConfig
from eval.geval.answers import suite_prompts
from eval.geval.judge.judge_prompts import JudgedText, pair_prompt, score_prompt, steps_prompt
from eval.rubrics.prompts import read_prompts
from eval.rubrics.rubric import (
    LANGS,
    Rubric,
    RubricError,
    read_rubric,
    read_rubrics,
    write_rubric,
)
from launch.config import SCHEMAS
from pacos.configs.compose import compose_checked
from pacos.errors import ConfigError, UserError
from pacos.suites import SHIPPED_SUITES
from tests.eval.conftest import RUBRIC

FOLDER = SHIPPED_SUITES / "geval"
SHIPPED = sorted(path.stem for path in FOLDER.glob("*.yaml"))
KINDS = sorted({name.rpartition("_")[0] for name in SHIPPED})
HANGUL = re.compile(r"[가-힣]")


def shipped(name: str) -> Rubric:
    return read_rubric(FOLDER / f"{name}.yaml")


def test_the_suite_names_every_rubric() -> None:
    config = compose_checked(
        EvalConfig, SCHEMAS, ["suite=geval", "target=embedded:smollm2-135m-instruct"]
    )
    assert sorted(config.suite.rubrics) == SHIPPED
    assert len(suite_prompts(read_rubrics(config.suite), limit=3)) == 3 * len(SHIPPED)
    kinds = {"cover_letter", "ad_copy", "tone_change", "summary", "dialogue"}
    assert set(KINDS) == kinds | {"helpfulness", "harmlessness"}


@pytest.mark.parametrize("kind", KINDS)
def test_both_languages_ask_for_the_same(kind: str) -> None:
    english, korean = (shipped(f"{kind}_{lang}") for lang in LANGS)
    assert [one.name for one in english.criteria] == [one.name for one in korean.criteria]
    assert [one.high for one in english.criteria] == [one.high for one in korean.criteria]
    for rubric, lang in ((english, "en"), (korean, "ko")):
        assert rubric.prompts is not None
        prompts = read_prompts(rubric.prompts)
        assert len(prompts) >= 10
        texts = [turn for prompt in prompts for turn in prompt.turns]
        texts += [rubric.introduction, *(one.definition for one in rubric.criteria)]
        assert all(bool(HANGUL.search(text)) == (lang == "ko") for text in texts)
        assert all(bool(prompt.context) == bool(rubric.context) for prompt in prompts)


@pytest.mark.parametrize("name", SHIPPED)
def test_what_the_judge_is_shown(name: str) -> None:
    rubric = shipped(name)
    criterion = rubric.criteria[0]
    text = JudgedText("a source", "an </output> output", "a fact")
    (message,) = score_prompt(
        rubric.with_steps({criterion.name: "1. Look."}), criterion_with_steps(rubric), text
    )
    shown = message["content"]
    assert shown.startswith(rubric.introduction)
    assert shown.endswith(f"- {criterion.label}:")
    assert "1. Look." in shown
    assert shown.count("</output>") == 1, "a text cannot end its own quotation"
    assert ("a fact" in shown) == bool(rubric.context)
    steps = steps_prompt(rubric, criterion)[0]["content"]
    assert criterion.definition in steps
    pair = pair_prompt(rubric, text, "another output")[0]["content"]
    assert pair.index("output_1") < pair.index("another output")
    assert all(one.definition in pair for one in rubric.criteria)


def criterion_with_steps(rubric: Rubric) -> Any:
    return rubric.with_steps({rubric.criteria[0].name: "1. Look."}).criteria[0]


def test_a_rubric_survives_writing(rubrics: Path, tmp_path: Path) -> None:
    read = read_rubric(rubrics / "short.yaml")
    again = read_rubric(write_rubric(read, tmp_path / "other"))
    assert read.prompts is not None
    assert again.prompts is not None
    assert again.prompts.read_bytes() == read.prompts.read_bytes()
    assert replace(again, prompts=read.prompts) == read


BAD = [
    ({"lang": "fr"}, "lang = fr: the judge cannot be prompted in it; choose one of en, ko"),
    ({"introduction": None}, "introduction = None: must be a non-empty string"),
    ({"sauce": "x"}, "sauce: no such key; use one of lang, introduction, source"),
    ({"criteria": {}}, "criteria: is empty; write NAME"),
    ({"criteria": {"a": "b"}}, "criteria.a = b: has no keys"),
    ({"criteria": {"a": {"scale": [1, 5]}}}, "criteria.a.definition: is missing; add it"),
    ({"criteria": {"a": {"definition": "d", "scale": [1, 10]}}}, "scale: [1, 5]"),
    ({"criteria": {"a": {"definition": "d", "scale": [5, 1]}}}, "criteria.a.scale = [5, 1]"),
    ({"criteria": {"a": {"definition": "d", "scale": 5}}}, "two integers from 0 to 9"),
    ({"prompts": "none.jsonl"}, "prompts = none.jsonl: no file"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_a_bad_rubric(rubrics: Path, change: dict[str, Any], message: str) -> None:
    path = rubrics / "short.yaml"
    path.write_text(yaml.safe_dump({**RUBRIC, **change}))
    with pytest.raises(RubricError) as error:
        read_rubric(path)
    assert message in str(error.value)


def test_all_that_is_wrong_is_told_at_once_before_anything_starts(rubrics: Path) -> None:
    path = rubrics / "short.yaml"
    path.write_text("lang: fr\nsource: x\n")
    (rubrics / "broken.yaml").write_text("a: [")
    overrides = ["target=embedded:smollm2-135m-instruct", "suite=geval", "geval.samples=0"]
    overrides += [f"suite.folder={rubrics}", "suite.rubrics=[short,broken,absent]"]
    with pytest.raises(ConfigError) as error:
        compose_checked(EvalConfig, SCHEMAS, [*overrides, f"geval.rated={rubrics}"])
    told = [str(problem) for problem in error.value.problems]
    assert [problem.key for problem in error.value.problems] == [
        *("geval.samples", "suite.rubrics", "suite.rubrics", "suite.rubrics", "geval.rated")
    ]
    assert "lang = fr" in told[1]
    assert "output: is missing" in told[1]
    assert "cannot be read" in told[2]
    assert "choose from: broken, short" in told[3]
    assert "has no .json files" in told[4]


def test_a_judge_without_its_key_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    overrides = ["suite=geval", "target=embedded:smollm2-135m-instruct", "judge=openai"]
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY: no such environment variable"):
        compose_checked(EvalConfig, SCHEMAS, overrides)
    compose_checked(EvalConfig, SCHEMAS, [*overrides, "judge.endpoint.mode=replay"])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    compose_checked(EvalConfig, SCHEMAS, overrides)


def test_a_judge_without_rubrics_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    with pytest.raises(ConfigError, match="suite smoke has no rubrics to judge by"):
        compose_checked(
            EvalConfig, SCHEMAS, ["target=embedded:smollm2-135m-instruct", "judge=openai"]
        )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{}", "turns = None: must be a list with an odd number of non-empty strings"),
        ('{"id": "a", "turns": ["x", "y"]}', "odd number"),
        ('{"id": "a", "turns": ["x", ""]}', "odd number"),
        ('{"turns": ["x"]}', "id = None: must be a string"),
        ('{"id": "a", "turns": ["x"], "context": 3}', "context = 3"),
        ("{", "not JSON"),
        ("", "contains no prompts"),
        ('{"id": "a", "turns": ["x"]}\n{"id": "a", "turns": ["y"]}', "id = a: is a duplicate"),
    ],
)
def test_bad_prompts(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(f"{line}\n" if line else "")
    with pytest.raises(UserError) as error:
        read_prompts(path)
    assert message in str(error.value)
