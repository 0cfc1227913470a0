"""Terms as text of a card."""

from __future__ import annotations

from pacos.terms.combine import Input, Role, combine
from pacos.terms.record import to_record
from pacos.terms.show import markdown


def test_a_card_names_inputs_without_folders_of_this_machine() -> None:
    works = [
        Input(Role.weights, "meta-llama/Llama-3.1-8B", "llama3.1", "model.license"),
        Input(Role.data, "/home/kim/secret/rows.jsonl", "unknown", "data.path"),
        Input(Role.data, "owner/rows", "cc-by-4.0", "data.path", via="/home/kim/secret"),
    ]
    text = markdown(to_record(combine(works), "research", None), "model")
    assert "/home" not in text
    assert "The terms of rows.jsonl are unknown." in text
    assert "owner/rows (in secret)" in text
    assert "meta-llama/Llama-3.1-8B" in text
