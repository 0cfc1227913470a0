"""The licence matrix: what a model may be used for, by what it was made from."""

from __future__ import annotations

from itertools import product

import pytest

from pacos.terms.catalogue import Kind, catalogue
from pacos.terms.combine import PACOS, Input, Role, Use, combine

C, R, NO = Use.commercial, Use.research, None
"""Freest permitted use: commercial, research, none."""

WEIGHTS = (
    "apache-2.0",
    "llama1",
    "llama2",
    "llama3",
    "llama3.1",
    "gemma",
    "qwen-research",
    "cc-by-sa-4.0",
    "unknown",
)
MATRIX = {
    # rows                WEIGHTS, in their order
    "own": (C, R, C, C, C, C, R, C, R),
    "apache-2.0": (C, R, C, C, C, C, R, C, R),
    "mit": (C, R, C, C, C, C, R, C, R),
    "cc-by-4.0": (C, R, C, C, C, C, R, C, R),
    "odc-by": (C, R, C, C, C, C, R, C, R),
    # Llama and Gemma add demands to what has to be shared alike.
    "cc-by-sa-4.0": (C, R, R, R, R, R, R, C, R),
    "cc-by-sa-3.0": (C, R, R, R, R, R, R, C, R),
    "cc-by-nc-4.0": (R, R, R, R, R, R, R, R, R),
    "cc-by-nc-sa-4.0": (R, R, R, R, R, R, R, R, R),
    # Outputs of Llama 2 and 3 may improve nothing but themselves; those of 3.1 and later may.
    "llama2": (NO, NO, C, NO, NO, NO, NO, NO, NO),
    "llama3": (NO, NO, NO, C, NO, NO, NO, NO, NO),
    "llama3.1": (C, R, C, C, C, C, R, R, R),
    "llama3.3": (C, R, C, C, C, C, R, R, R),
    "gemma": (C, R, C, C, C, C, R, R, R),
    "qwen": (C, R, C, C, C, C, R, R, R),
    "tongyi-qianwen": (NO, NO, NO, NO, NO, NO, NO, NO, NO),
    "openai-output": (R, R, R, R, R, R, R, R, R),
    "microsoft-output": (R, R, R, R, R, R, R, R, R),
    "google-output": (R, R, R, R, R, R, R, R, R),
    # Anthropic forbids training without its authorization, whether or not the model competes.
    "anthropic-output": (NO, NO, NO, NO, NO, NO, NO, NO, NO),
    "unknown": (R, R, R, R, R, R, R, R, R),
}
CELLS = [
    (weights, rows, expected)
    for rows, line in MATRIX.items()
    for weights, expected in zip(WEIGHTS, line, strict=True)
]


def work(role: Role, terms: str) -> Input:
    return Input(role, f"{role.value} under {terms}", terms, f"{role.value}.terms")


@pytest.mark.parametrize(("weights", "rows", "expected"), CELLS)
def test_a_model_is_as_free_as_its_weights_and_rows_allow(
    weights: str, rows: str, expected: Use | None
) -> None:
    for role in (Role.data, Role.teacher):
        found = combine([work(Role.weights, weights), work(role, rows), PACOS])
        assert found.use is expected, found.conflicts
        assert [found.permits(use) for use in (R, C)] == [expected is not None, expected is C]


@pytest.mark.parametrize(
    ("terms", "kinds"),
    [
        ("llama2", {Kind.pass_on, Kind.attribution, Kind.use_policy, Kind.users}),
        (
            "llama3.1",
            {
                *(Kind.pass_on, Kind.built_with, Kind.name),
                *(Kind.attribution, Kind.use_policy, Kind.users),
            },
        ),
        ("apache-2.0", {Kind.attribution}),
        ("own", set()),
    ],
)
def test_weights_bring_their_duties(terms: str, kinds: set[Kind]) -> None:
    assert {duty.clause.kind for duty in combine([work(Role.weights, terms)]).duties} == kinds


@pytest.mark.parametrize(
    ("terms", "kinds"),
    [
        # The name is owed by whoever trains on the outputs, "Built with Llama" is not.
        ("llama3.1", {Kind.name}),
        ("llama2", {Kind.improves_only}),
        ("qwen", {Kind.built_with}),
        ("openai-output", {Kind.no_competitor}),
    ],
)
def test_outputs_bring_fewer_duties_than_weights(terms: str, kinds: set[Kind]) -> None:
    assert {duty.clause.kind for duty in combine([work(Role.teacher, terms)]).duties} == kinds


def test_duties_are_united_and_each_is_named_once() -> None:
    works = [work(Role.weights, "llama3.1"), work(Role.data, "cc-by-4.0")]
    found = combine([*works, work(Role.data, "cc-by-4.0"), work(Role.teacher, "CC-BY-4.0 (web)")])
    assert [str(duty) for duty in found.duties].count(str(found.duties[-1])) == 1
    assert {duty.terms for duty in found.duties} == {"llama3.1", "cc-by-4.0"}


def test_a_conflict_names_input_clause_and_remedy() -> None:
    works = [work(Role.weights, "apache-2.0"), work(Role.teacher, "llama2")]
    [conflict] = combine(works).conflicts
    assert (conflict.input, conflict.number) == (works[1], "1.b.v")
    assert "weights under apache-2.0 (apache-2.0)" in conflict.fault
    assert "train weights under llama2" in conflict.remedy


def test_rows_without_weights_do_not_conflict_with_what_may_be_trained() -> None:
    found = combine([work(Role.teacher, "llama2"), work(Role.data, "apache-2.0")])
    assert found.use is C
    assert found.duties[0].clause.kind is Kind.improves_only


@pytest.mark.parametrize(
    ("one", "other"), [*product(("cc-by-sa-4.0", "cc-by-nc-sa-4.0"), repeat=2)]
)
def test_two_licences_that_share_alike_go_together_only_if_they_are_the_same(
    one: str, other: str
) -> None:
    found = combine([work(Role.data, one), work(Role.data, other)])
    clashes = [found for found in found.conflicts if "share" in found.fault]
    assert bool(clashes) == (one != other)


def test_code_binds_no_model() -> None:
    found = combine([Input(Role.code, "program", "unknown", "")])
    assert (found.use, found.duties) == (C, ())


def test_every_entry_names_its_document_and_its_clauses() -> None:
    for terms in catalogue().values():
        assert terms.source.startswith("https://") or terms.source == "none"
        assert terms.version
        assert all(clause.number and clause.text and clause.through for clause in terms.clauses)
        accepted = {name for clause in terms.clauses for name in clause.allows}
        assert accepted <= catalogue().keys()
        limiting = {Kind.improves_only}
        assert all(clause.allows for clause in terms.clauses if clause.kind in limiting)
