"""Turns put together into a conversation: the system prompt, the tools, and the last answer."""

from __future__ import annotations

from pacos.data.example import Conversation, RowError
from pacos.data.reading.fields import Fields, refusal, shown
from pacos.data.reading.results import order_results
from pacos.data.reading.tools import read_tools
from pacos.data.reading.turns import Turns

UNANSWERED = "ends with an unanswered turn, which is left out"


def conversation(turns: Turns, column: str, fields: Fields) -> Conversation:
    """Return the conversation of these turns, with the row's system prompt and tools.

    Args:
        turns: of the row, in order.
        column: the column or columns that they come from, for messages.
        fields: of the row; gets the notes.

    Raises:
        RowError: no turn has a loss, two system prompts differ, or a result answers no call.
    """
    if not fields.is_plain:
        _add_system(turns, fields)
    if turns.by_id:
        order_results(turns, column, fields)
    last = len(turns.turns)
    while last and turns.turns[last - 1]["role"] != "assistant":
        last -= 1
    if not last:
        raise RowError(
            f"{column} = {shown(turns.turns)}: has no turn of the assistant, so nothing to learn; "
            "remove the row"
        )
    if last < len(turns.turns):
        # No answer depends on it.
        fields.notes.append(UNANSWERED)
        del turns.turns[last:], turns.trained[last:]
    tools = None if fields.is_plain else read_tools(fields)
    return Conversation(turns.turns, tools, _untrained(turns, column))


def _untrained(turns: Turns, column: str) -> frozenset[int]:
    """Return the indices of the assistant turns without a loss."""
    if False not in turns.trained:
        return frozenset()
    roles = [turn["role"] for turn in turns.turns]
    untrained = frozenset(
        index
        for index, trained in enumerate(turns.trained)
        if trained is False and roles[index] == "assistant"
    )
    if len(untrained) == roles.count("assistant"):
        raise RowError(
            f"{column} = {shown(turns.turns)}: no turn of the assistant has a loss (weight, train, "
            "training), so nothing to learn; remove the row"
        )
    return untrained


def _add_system(turns: Turns, fields: Fields) -> None:
    """Put the system prompt of a column first."""
    system, used = "", ""
    for column in ("system", "system_prompt"):
        text = fields.optional_text(column)
        if not text or text.isspace():
            continue
        if system and text != system:
            fault = f"differs from {fields.place(used)}, which is {shown(system)}"
            raise refusal(fields.place(column), text, fault, "keep one of them")
        system, used = text, column
    if not system:
        return
    if turns.turns and turns.turns[0]["role"] == "system":
        if (own := turns.turns[0]["content"]) != system:
            fault = f"differs from the system turn, which is {shown(own)}"
            raise refusal(fields.place(used), system, fault, "keep one of them")
        return
    turns.turns.insert(0, {"role": "system", "content": system})
    turns.trained.insert(0, None)
