"""The results of tools beside the calls that they answer."""

from __future__ import annotations

from pacos.data.reading.fields import Fields, refusal
from pacos.data.reading.turns import Turns

REORDERED = "results of tools are put into the order of their calls (tool_call_id)"


def order_results(turns: Turns, column: str, fields: Fields) -> None:
    """Put the results after each turn that calls into the order of its calls.

    Most chat templates write no ids: the order alone tells which call a result answers.

    Args:
        turns: of the row; changed in place.
        column: the column or columns that they come from, for messages.
        fields: of the row; gets a note if anything moves.

    Raises:
        RowError: a result has the id of no call.
    """
    # Of a prompt and a completion, each with turns, the latter.
    place = f"{column.rpartition(', ')[2]}[].tool_call_id"
    begin = 0
    while begin < len(turns.turns):
        calls = turns.turns[begin].get("tool_calls") or ()
        begin = end = begin + 1
        while end < len(turns.turns) and turns.turns[end]["role"] == "tool":
            end += 1
        ids = [call.get("id") for call in calls]
        results = turns.turns[begin:end]
        named = [result.get("tool_call_id") for result in results]
        # Without an id on each, the order is all there is.
        if not ids or None in (*ids, *named) or len({*ids}) < len(ids):
            continue
        if unknown := next((name for name in named if name not in ids), None):
            raise refusal(
                place,
                unknown,
                f"is the id of no call just before it, which are {', '.join(ids)}",
                f"correct it, or leave ids out with 'data.ignore=[\"{place}\"]'",
            )
        if named != sorted(named, key=ids.index):
            results.sort(key=lambda result: ids.index(result["tool_call_id"]))
            turns.turns[begin:end] = results
            if REORDERED not in fields.notes:
                fields.notes.append(REORDERED)
