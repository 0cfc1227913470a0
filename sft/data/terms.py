"""The check of the terms that rows carry, which no config can know."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from pacos.configs.license import conflict_problems
from pacos.distributed import World
from pacos.errors import ConfigError
from pacos.terms.catalogue import UNKNOWN
from pacos.terms.combine import Input, Role
from sft.config import SFTConfig
from sft.configs.terms import row_inputs

log = logging.getLogger(__name__)

SHOWN = 5
"""Most unknown terms of a source that the log quotes."""


def check_row_terms(config: SFTConfig, found: Mapping[str, Sequence[str]], world: World) -> None:
    """Check the terms of all rows, and name those that pacos does not know.

    Args:
        config: of the run.
        found: `Mixture.terms`.
        world: this rank; the main one logs.

    Raises:
        ConfigError: they conflict with the license policy, and nobody waived it.
    """
    inputs = row_inputs(config.model, config.data, found)
    problems = conflict_problems(inputs, config.license_policy, config.license_waiver)
    if problems:
        raise ConfigError(problems)
    if world.is_main:
        _name_unknown(inputs)


def _name_unknown(inputs: Sequence[Input]) -> None:
    by_source: dict[tuple[str, str], list[str]] = {}
    for work in inputs:
        if work.terms.id == UNKNOWN and work.role is Role.data:
            shown = "none" if work.stated == UNKNOWN else repr(work.stated)
            by_source.setdefault((work.name, work.key), []).append(shown)
    for (source, key), texts in by_source.items():
        shown = ", ".join(texts[:SHOWN]) + (" and others" if len(texts) > SHOWN else "")
        log.warning(
            f"{source}: rows whose terms pacos does not know ({shown}) count as {UNKNOWN}; "
            f"{key}=ID states those of rows that name none"
        )
