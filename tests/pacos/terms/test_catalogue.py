"""The names by which terms are found."""

from __future__ import annotations

import pytest

from pacos.terms.catalogue import catalogue, find_terms


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("apache-2.0", "apache-2.0"),
        ("Apache-2.0", "apache-2.0"),
        ("Apache-2.0 (pacos)", "apache-2.0"),
        (" MIT ", "mit"),
        ("Llama 3.1 Community License", "llama3.1"),
        ("Llama 2 Community License Agreement", "llama2"),
        ("OpenAI terms of use (no models that compete with OpenAI)", "openai-output"),
        ("Azure OpenAI terms of use (no models that compete with OpenAI)", "microsoft-output"),
        ("unstated (seeds of the user)", "unknown"),
        ("none", None),
        ("", None),
        ("Apache", None),
    ],
)
def test_terms_are_found_by_id_or_name(text: str, found: str | None) -> None:
    terms = find_terms(text)
    assert (terms.id if terms else None) == found


def test_no_two_entries_share_a_name() -> None:
    names = [
        name.lower()
        for terms in catalogue().values()
        for name in {terms.id, terms.name, *terms.aliases}
    ]
    assert len(names) == len(set(names))
