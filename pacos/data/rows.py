"""Rows as something to train on: the choice of a schema by a row's columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from pacos.data.example import Example, RowError
from pacos.data.reading.fields import Fields, Meanings
from pacos.data.reading.schemas import (
    ANSWERS,
    CONTEXTS,
    GENERATED,
    KNOWN,
    METADATA,
    QUESTIONS,
    RAW_KNOWN,
    RAW_SCHEMAS,
    SCHEMAS,
    Schema,
)
from pacos.data.reading.turns import ROLES, TURN_KEYS
from pacos.data.source_config import SourceConfig
from pacos.text.printable import printable

PLANS = 1000
"""Plans kept. Rows with more sets of columns than that are planned one by one."""

SHOWN_COLUMNS = 20
"""Most columns of a row that a message lists."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The reading of all rows that have the same columns."""

    schema: Schema
    names: Mapping[str, str]
    """The row's name of each renamed column."""
    columns: Mapping[str, str] | None
    """The row's name of each column by pacos's name; None if they are the same."""
    unread: tuple[str, ...]
    is_plain: bool
    """See `Fields`."""


@dataclass(slots=True)
class RowReader:
    """Reads the records of one source. Worker processes get it by pickling."""

    config: SourceConfig
    _meanings: Meanings
    _renamed: Mapping[str, str]
    """pacos's name of each renamed column."""
    _plans: dict[tuple[str, ...], Plan] = field(default_factory=dict)

    @classmethod
    def of(cls, config: SourceConfig) -> RowReader:
        """Return the reader for a source with these options."""
        ignored: dict[str, set[str]] = {}
        for path in config.ignore:
            column, bracket, key = path.partition("[].")
            if bracket and not set(".[") & set(key):
                ignored.setdefault(column, set()).add(key)
        meanings = Meanings(
            roles={**ROLES, **{theirs.lower(): ours for theirs, ours in config.roles.items()}},
            turn_keys={
                theirs: ours for theirs, ours in config.columns.items() if ours in TURN_KEYS
            },
            ignore=frozenset(config.ignore),
            ignored_keys={column: frozenset(keys) for column, keys in ignored.items()},
        )
        renamed = {theirs: ours for theirs, ours in config.columns.items() if ours not in TURN_KEYS}
        return cls(config, meanings, renamed)

    def read(self, record: Mapping[str, Any], *, filled: bool) -> Example:
        """Read one record.

        Args:
            record: the columns of a row.
            filled: the record comes from a table, where absent keys of structs are null.

        Raises:
            RowError: the row cannot be used.
        """
        # A table has the columns of all schemas that its file mixes, null where a row has none.
        present = tuple([column for column, value in record.items() if value is not None])
        plan = self._plans.get(present) or self._plan(present, record)
        columns = record
        if plan.columns is not None:
            columns = {ours: record[theirs] for ours, theirs in plan.columns.items()}
        fields = Fields(columns, self._meanings, plan.names, filled, plan.is_plain)
        content = plan.schema.read(fields)
        terms = lineage_of(columns).get("terms")
        return Example(
            content,
            id=row_id(columns),
            terms=printable(terms) if isinstance(terms, str) else None,
            unread=(*plan.unread, *fields.unread) if fields.unread else plan.unread,
            notes=tuple(fields.notes),
        )

    def _plan(self, present: tuple[str, ...], record: Mapping[str, Any]) -> Plan:
        plan = self._plan_for(present)
        if plan is not None:
            if len(self._plans) < PLANS:
                self._plans[present] = plan
            return plan
        # A column that is null by mistake: its schema says so better than the list of all schemas.
        plan = self._plan_for(tuple(record))
        if plan is None:
            raise self._no_schema(present)
        return plan

    def _plan_for(self, columns: tuple[str, ...]) -> Plan | None:
        """Return the plan for rows with these columns; None if no schema has them."""
        by_name = self._by_name(columns)
        for schema in RAW_SCHEMAS if self.config.raw else SCHEMAS:
            if all(column in by_name for column in schema.needed):
                break
        else:
            return None
        if (
            schema.needed == ("text",)
            and not self.config.raw
            and _loses_text_beside(by_name.keys())
        ):
            return None
        read = {*schema.needed, *schema.optional, *METADATA}
        if "lineage" in by_name:
            read.add(GENERATED)
        return Plan(
            schema=schema,
            names={ours: theirs for ours, theirs in by_name.items() if ours != theirs},
            columns=None if by_name == dict(zip(columns, columns, strict=True)) else by_name,
            unread=tuple(printable(name) for ours, name in by_name.items() if ours not in read),
            is_plain=by_name.keys().isdisjoint({*schema.optional} - {*schema.needed, *CONTEXTS}),
        )

    def _by_name(self, columns: tuple[str, ...]) -> dict[str, str]:
        """Return the row's name of each column by pacos's name, without the ignored columns."""
        by_name: dict[str, str] = {}
        for theirs in columns:
            if theirs in self._meanings.ignore:
                continue
            ours = self._renamed.get(theirs, theirs)
            if ours in by_name:
                first, second = sorted((by_name[ours], theirs), key=lambda name: name == ours)
                raise RowError(
                    f"columns = {first}, {second}: both mean {ours} (data.columns), and a row has "
                    f"one of it; leave one of them out with data.ignore=[{second}]"
                )
            by_name[ours] = theirs
        return by_name

    def _no_schema(self, columns: tuple[str, ...]) -> RowError:
        place = f"columns = {', '.join(columns[:SHOWN_COLUMNS]) or 'none'}"
        if len(columns) > SHOWN_COLUMNS:
            place += f" and {len(columns) - SHOWN_COLUMNS} more"
        if {"chosen", "rejected"} <= {*columns}:
            ours = "completion" if "prompt" in columns else "messages"
            return RowError(
                f"{place}: are preference data, which supervised fine-tuning cannot use; to train "
                f"on the chosen answers alone, set '+data.columns={{chosen: {ours}}}' "
                "data.ignore=[rejected]"
            )
        if {"message_id", "text", "role"} <= {*columns}:
            return RowError(
                f"{place}: are those of a message in a tree, but the source does not begin with "
                "one; put messages and other rows into files of their own"
            )
        for theirs, ours in self._renamed.items():
            if theirs not in columns and ours in columns:
                return RowError(
                    f"{place}: do not have {theirs}, which data.columns={{{theirs}: {ours}}} calls "
                    f"{ours}; your name comes first: '+data.columns={{{ours}: {theirs}}}'"
                )
        if not self.config.raw and (half := _half_of_a_pair(columns)):
            return RowError(f"{place}: {half}")
        known, option = (RAW_KNOWN, " for data.raw=true") if self.config.raw else (KNOWN, "")
        example = next((name for name in columns if name not in METADATA), "YOURS")
        return RowError(
            f"{place}: match no known schema{option}; say what they mean with "
            f"'+data.columns={{{example}: NAME, …}}', so that they become one of: {known} "
            "(docs/data.md)"
        )


def row_id(columns: Mapping[str, Any]) -> str | None:
    """Return a row's own id as text; None if it has none."""
    identifier = columns.get("id", columns.get("prompt_id"))
    # That of a table may be a date or bytes.
    return None if identifier is None else printable(str(identifier))


def lineage_of(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the lineage that a row carries; empty if it carries none."""
    lineage = record.get("lineage")
    if isinstance(lineage, str):
        # The Parquet files of pacos selfinstruct keep lineage as JSON text.
        try:
            lineage = json.loads(lineage)
        except ValueError:
            return {}
    return lineage if isinstance(lineage, Mapping) else {}


def _loses_text_beside(columns: Set[str]) -> bool:
    """Return True if `text` is only a part of a row: of a message in a tree, or of a pair."""
    return columns >= {"message_id", "role"} or not columns.isdisjoint({*QUESTIONS, *ANSWERS})


def _half_of_a_pair(columns: Sequence[str]) -> str | None:
    """Return the problem of a row with a prompt, but no answer, or the reverse."""
    has_question, has_answer = ({*names} & {*columns} for names in (QUESTIONS, ANSWERS))
    if bool(has_question) == bool(has_answer):
        return None
    lacks, names = ("answer", ANSWERS) if has_question else ("prompt", QUESTIONS)
    problem = (
        f"have no {lacks} ({', '.join(names)}); write one, or, if it has another name, say so with "
        f"'+data.columns={{YOURS: {names[0]}}}'"
    )
    if "text" in columns:
        others = ",".join(has_question or has_answer)
        problem += f"; to train on text alone, set data.ignore=[{others}]"
    return problem
