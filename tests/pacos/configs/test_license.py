"""License policies and waivers: what is refused, and how the message helps."""

from __future__ import annotations

import pytest

from pacos.configs.license import LicensePolicy, WaiverConfig, license_problems, terms_record
from pacos.terms.combine import PACOS, Input, Role
from pacos.terms.show import conflicts, markdown, use_sentence

BASE = Input(Role.weights, "base", "apache-2.0", "model.license")
OPENAI = Input(Role.teacher, "gpt", "openai-output", "generator.terms")
LLAMA2 = Input(Role.teacher, "llama", "llama2", "generator.terms")
UNSTATED = Input(Role.data, "rows.jsonl", "unknown", "data.terms")
NO_WAIVER = WaiverConfig()


def waiver(*what: str) -> WaiverConfig:
    return WaiverConfig(by="Kim", what=[*what], why="permission by letter")


@pytest.mark.parametrize(
    ("work", "policy", "refused"),
    [
        (OPENAI, "research", False),
        (OPENAI, "commercial", True),
        (OPENAI, "none", False),
        (LLAMA2, "research", True),
        (LLAMA2, "commercial", True),
        (LLAMA2, "none", False),
        (UNSTATED, "research", False),
        (UNSTATED, "commercial", True),
        (UNSTATED, "none", False),
    ],
)
def test_a_policy_refuses_what_forbids_its_use(work: Input, policy: str, refused: bool) -> None:
    found = license_problems([BASE, work, PACOS], LicensePolicy[policy], NO_WAIVER)
    assert [problem.key for problem in found] == ([work.key] if refused else [])


def test_the_message_names_input_clause_and_what_would_do_instead() -> None:
    [problem] = license_problems([BASE, OPENAI], LicensePolicy.commercial, NO_WAIVER)
    message = str(problem)
    for part in (
        "generator.terms = openai-output",
        "OpenAI Services Agreement, 3.3(e)",
        "license_policy=commercial",
        "use rows of people or of a teacher under apache-2.0",
        "license_policy=research",
        "license_waiver",
    ):
        assert part in message


def test_research_is_not_proposed_where_it_would_not_help() -> None:
    [problem] = license_problems([BASE, LLAMA2], LicensePolicy.commercial, NO_WAIVER)
    assert "license_policy=research" not in problem.remedy


@pytest.mark.parametrize("policy", LicensePolicy)
def test_terms_that_pacos_does_not_know_are_refused_with_all_that_it_knows(
    policy: LicensePolicy,
) -> None:
    works = [BASE, Input(Role.teacher, "gpt", "free for all", "generator.terms")]
    [problem] = license_problems(works, policy, NO_WAIVER)
    assert problem.key == "generator.terms"
    assert "apache-2.0, mit," in problem.remedy


def test_a_waiver_covers_the_terms_that_it_names_and_no_others() -> None:
    works = [BASE, OPENAI, UNSTATED]
    found = license_problems(works, LicensePolicy.commercial, waiver("OpenAI-output"))
    assert [problem.value for problem in found] == ["unknown"]


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (WaiverConfig(by="Kim"), ["what", "why"]),
        (WaiverConfig(what=["openai-output"]), ["by", "why"]),
        (WaiverConfig(by="Kim", what=["free"], why="so"), ["what"]),
    ],
)
def test_a_waiver_says_who_what_and_why(given: WaiverConfig, missing: list[str]) -> None:
    found = license_problems([BASE], LicensePolicy.research, given)
    assert [problem.key for problem in found] == [f"license_waiver.{name}" for name in missing]


def test_manifest_and_card_keep_the_waiver() -> None:
    record = terms_record([BASE, OPENAI], LicensePolicy.commercial, waiver("OpenAI-output"))
    assert record["waiver"] == {
        "by": "Kim",
        "what": ["openai-output"],
        "why": "permission by letter",
    }
    assert record["use"] == "research"
    assert "With the waiver: research and commercial use" in use_sentence(record)
    assert conflicts(record)[0].endswith("(waived)")
    card = markdown(record, "model")
    assert "Kim waived conflicts with openai-output: permission by letter" in card
    assert "This is no legal advice" in card


def test_a_text_in_a_row_cannot_break_the_table_of_the_card() -> None:
    odd = Input(Role.data, "a|b", "mine | yours\nnew <b>line", "data.terms")
    card = markdown(terms_record([odd], LicensePolicy.research, NO_WAIVER), "model")
    [line] = [line for line in card.splitlines() if line.startswith("| data")]
    assert line == r"| data | a\|b | unknown (mine \| yours new &lt;b>line) |  |"
