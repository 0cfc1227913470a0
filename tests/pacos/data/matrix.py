"""Rows of every kind, as data: each with its reading and the text it trains, or its refusal."""

from __future__ import annotations

from tests.pacos.data.cases import Case
from tests.pacos.data.dialog_cases import DIALOGS, LOSSES
from tests.pacos.data.other_cases import OTHERS
from tests.pacos.data.pair_cases import PAIRS
from tests.pacos.data.tool_cases import THOUGHTS, TOOLS

CASES: list[Case] = [*PAIRS, *DIALOGS, *LOSSES, *TOOLS, *THOUGHTS, *OTHERS]
